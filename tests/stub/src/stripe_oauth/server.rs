//! The endpoints, and what a test may want of them.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::state::{APP, CLIENT_ID, Install, Key, State, bearer};
use super::twist::{Hold, Twist};
use crate::message::{Reply, Request};
use crate::stub::Stub;

/// How it treats tokens.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Whether a spent refresh token ends its install. At Stripe it does not, and of two refreshes
    /// that are under way at once both succeed.
    pub revokes_on_reuse: bool,
    /// How many calls an access token works for after its successor was issued; none for no end.
    pub old_access_calls: Option<u32>,
    /// What answers say of the access token's life. Stripe's say nothing.
    pub expires_in: Option<u64>,
}

/// Plays until it is dropped.
#[derive(Debug)]
pub struct StripeOauth {
    stub: Stub,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    rules: Rules,
    state: Mutex<State>,
    /// A refresh came, waits or may go on.
    moved: Condvar,
}

impl Default for Rules {
    /// As Stripe, with an old access token that is over at once.
    fn default() -> Self {
        Self {
            revokes_on_reuse: false,
            old_access_calls: Some(0),
            expires_in: None,
        }
    }
}

impl StripeOauth {
    /// Starts one without installs.
    pub fn start(rules: Rules) -> Self {
        let shared = Arc::new(Shared {
            rules,
            state: Mutex::new(State::new()),
            moved: Condvar::new(),
        });
        let playing = Arc::clone(&shared);
        Self {
            stub: Stub::start(move |request| playing.play(request)),
            shared,
        }
    }

    /// Where both the API and Connect are.
    pub fn url(&self) -> String {
        self.stub.url()
    }

    /// The server itself: what it was asked.
    pub fn stub(&self) -> &Stub {
        &self.stub
    }

    /// Installs the app in an account; the refresh token of the exchanged code. An install that was
    /// there loses its tokens.
    pub fn install(&self, account: &str, is_live: bool) -> String {
        self.shared.lock().begin_install(account, is_live)
    }

    /// Lets the app into an account, as the account's owner does in a browser; the authorization code
    /// for the redirect.
    pub fn authorize(&self, account: &str, is_live: bool) -> String {
        self.shared.lock().issue_code(account, is_live)
    }

    /// Takes this key, too, for calls of the API.
    pub fn add_key(&self, key: &str, account: &str, is_live: bool) {
        let opens = Key::new(account, is_live);
        self.shared.lock().keys.insert(key.to_owned(), opens);
    }

    /// Takes this client secret and no other.
    pub fn set_client_secret(&self, secret: &str) {
        self.shared.lock().client_secret = secret.to_owned();
    }

    /// Ends an install, as its account's owner can.
    pub fn revoke(&self, account: &str) {
        let mut state = self.shared.lock();
        let at = state.at(account);
        state.end(at);
    }

    /// Ends the newest access token of an install, as its hour does.
    pub fn expire_access(&self, account: &str) {
        let mut state = self.shared.lock();
        let at = state.at(account);
        state.end_access(at, Some(0));
    }

    /// Twists the next exchanges that would succeed, one by one.
    pub fn twist_next(&self, twists: impl IntoIterator<Item = Twist>) {
        self.shared.lock().twists.extend(twists);
    }

    /// Twists all exchanges that would succeed, after those of [`twist_next`](Self::twist_next).
    pub fn twist_always(&self, twist: Option<Twist>) {
        self.shared.lock().twist_always = twist;
    }

    /// Holds each refresh there that comes from now on, until [`release`](Self::release).
    pub fn hold(&self, hold: Hold) {
        self.shared.lock().hold = Some(hold);
    }

    /// Lets all refreshes go that are held, and holds none any more.
    pub fn release(&self) {
        self.shared.lock().hold = None;
        self.shared.moved.notify_all();
    }

    /// Waits until this many refreshes are held.
    pub fn await_held(&self, count: usize) {
        self.shared.await_while(|state| state.held < count);
    }

    /// Waits until the token endpoints have been called this often.
    pub fn await_calls(&self, count: usize) {
        self.shared.await_while(|state| state.calls < count);
    }

    /// How often the token endpoints have been called, with or without success.
    pub fn calls(&self) -> usize {
        self.shared.lock().calls
    }

    /// How many refreshes of an install have taken effect.
    pub fn refreshes(&self, account: &str) -> usize {
        self.shared.lock().install(account).refreshes
    }

    /// How many refreshes of an install were under way at once, at most.
    pub fn most_under_way(&self, account: &str) -> usize {
        self.shared.lock().install(account).most_under_way
    }

    /// The spent refresh tokens that were presented, in order.
    pub fn spent_presented(&self) -> Vec<String> {
        self.shared.lock().spent_presented.clone()
    }

    /// Whether an install has ended.
    pub fn is_over(&self, account: &str) -> bool {
        self.shared.lock().install(account).refresh_token.is_none()
    }

    /// The refresh token of an install that is good.
    pub fn newest_refresh_token(&self, account: &str) -> String {
        self.shared.lock().newest(account)
    }

    /// The access token of an install that was issued last.
    pub fn newest_access_token(&self, account: &str) -> String {
        self.shared.lock().install(account).access_token.clone()
    }
}

impl Drop for StripeOauth {
    fn drop(&mut self) {
        // The stub waits for all that it plays.
        self.release();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn await_while(&self, waits: impl Fn(&State) -> bool) {
        let waited = self.moved.wait_while(self.lock(), |state| waits(state));
        drop(waited);
    }

    /// Held there, if refreshes are.
    fn held<'a>(&self, mut state: MutexGuard<'a, State>, at: Hold) -> MutexGuard<'a, State> {
        if state.hold != Some(at) {
            return state;
        }
        state.held += 1;
        self.moved.notify_all();
        let waited = self.moved.wait_while(state, |state| state.hold == Some(at));
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.held -= 1;
        state
    }

    fn play(&self, request: &Request) -> Reply {
        let target = request.target();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match path {
            "POST /v1/oauth/token" => self.token(request, false),
            "POST /oauth/token" => self.token(request, true),
            "GET /v1/account" => self.asked(
                request,
                |key| json!({"object": "account", "id": key.account}),
            ),
            "GET /v1/balance" => self.asked(
                request,
                |key| json!({"object": "balance", "available": [], "livemode": key.is_live}),
            ),
            "GET /v1/apps/installs" => self.installs(request, query),
            "POST /oauth/deauthorize" => self.deauthorize(request),
            _ => self.uninstall(request, path),
        }
    }

    fn token(&self, request: &Request, is_connect: bool) -> Reply {
        let mut state = self.lock();
        state.calls += 1;
        self.moved.notify_all();
        if let Some(refusal) = state.client_refusal(request) {
            return refusal;
        }
        let form = fields(&request.body);
        match form.get("grant_type").map(String::as_str) {
            Some("authorization_code") => self.exchange(state, &form, is_connect),
            Some("refresh_token") => self.refresh(state, &form, is_connect),
            Some(_) | None => refusal(400, "unsupported_grant_type", "Unsupported grant type"),
        }
    }

    fn exchange(
        &self,
        mut state: MutexGuard<'_, State>,
        form: &HashMap<String, String>,
        is_connect: bool,
    ) -> Reply {
        let Some(text) = form.get("code") else {
            return refusal(400, "invalid_request", "No authorization code");
        };
        let unknown = |text: &str| {
            let description = format!("Authorization code does not exist: {text}");
            refusal(400, "invalid_grant", &description)
        };
        let Some(code) = state.codes.get(text).cloned() else {
            return unknown(text);
        };
        if code.is_spent {
            // As Connect's documentation has it.
            if is_connect {
                let at = state.at(&code.account);
                state.end(at);
            }
            return unknown(text);
        }
        if code.is_live != state.client_secret.starts_with("sk_live_") {
            return unknown(text);
        }
        let twist = state.next_twist();
        if let Some(Twist::Before(fault)) = twist {
            return fault.reply();
        }
        state.spend_code(text);
        state.begin_install(&code.account, code.is_live);
        let at = state.at(&code.account);
        let answer = answer(&state.installs[at], self.rules, is_connect);
        twisted(twist, answer)
    }

    fn refresh(
        &self,
        mut state: MutexGuard<'_, State>,
        form: &HashMap<String, String>,
        is_connect: bool,
    ) -> Reply {
        let Some(token) = form.get("refresh_token") else {
            return refusal(400, "invalid_request", "No refresh token");
        };
        let Some(&at) = state.issued.get(token) else {
            return unknown(token);
        };
        if !state.is_good(at, token) {
            return self.spent(&mut state, at, token);
        }
        state.begin_refresh(at);
        let mut state = self.held(state, Hold::BeforeCommit);
        // Where both succeed, it is enough that the token was good when it came.
        let demands_good = self.rules.revokes_on_reuse || state.installs[at].is_over();
        if demands_good && !state.is_good(at, token) {
            state.installs[at].under_way -= 1;
            return self.spent(&mut state, at, token);
        }
        let twist = state.next_twist();
        if !matches!(twist, Some(Twist::Before(_))) {
            state.roll(at, self.rules.old_access_calls);
        }
        let answer = answer(&state.installs[at], self.rules, is_connect);
        let mut state = self.held(state, Hold::BeforeAnswer);
        state.installs[at].under_way -= 1;
        twisted(twist, answer)
    }

    fn spent(&self, state: &mut State, at: usize, token: &str) -> Reply {
        state.spent_presented.push(token.to_owned());
        if self.rules.revokes_on_reuse {
            state.end(at);
        }
        unknown(token)
    }

    fn asked(&self, request: &Request, answer: impl Fn(&Key) -> Value) -> Reply {
        let token = bearer(request).unwrap_or_default();
        let mut state = self.lock();
        let error = |code: Option<&str>, message: &str| {
            let message = format!("{message}: {token}");
            let error = json!({"type": "invalid_request_error", "code": code, "message": message});
            Reply::json(401, &json!({ "error": error }))
        };
        match state.keys.get_mut(token) {
            None => error(None, "Invalid API Key provided"),
            Some(Key {
                calls_left: Some(0),
                ..
            }) => error(Some("platform_api_key_expired"), "Expired API Key provided"),
            Some(key) => {
                key.calls_left = key.calls_left.map(|calls| calls - 1);
                Reply::json(200, &answer(key))
            }
        }
    }

    fn installs(&self, request: &Request, query: &str) -> Reply {
        let state = self.lock();
        if let Some(refusal) = state.installs_refusal(request) {
            return refusal;
        }
        let query = fields(query);
        let asked = |name: &str, value: &str| query.get(name).is_some_and(|asked| asked == value);
        let found = state.installs.iter().filter(|install| {
            asked("app", APP) && asked("account", &install.account) && !install.is_over()
        });
        let found: Vec<_> = found.map(|install| json!({"id": install.id})).collect();
        Reply::json(200, &json!({"object": "list", "data": found}))
    }

    fn uninstall(&self, request: &Request, path: &str) -> Reply {
        let id = path.strip_prefix("POST /v1/apps/installs/");
        let Some(id) = id.and_then(|rest| rest.strip_suffix("/uninstall")) else {
            return Reply::json(
                404,
                &json!({"error": {"message": "Unrecognized request URL"}}),
            );
        };
        let mut state = self.lock();
        if let Some(refusal) = state.installs_refusal(request) {
            return refusal;
        }
        let account = request.header("stripe-account").unwrap_or_default();
        let mut installs = state.installs.iter();
        let found = installs.position(|install| install.id == id && install.account == account);
        let Some(at) = found.filter(|at| !state.installs[*at].is_over()) else {
            return Reply::json(404, &json!({"error": {"message": "No such install"}}));
        };
        state.end(at);
        Reply::json(200, &json!({"id": id, "status": "uninstalling"}))
    }

    fn deauthorize(&self, request: &Request) -> Reply {
        let mut state = self.lock();
        if let Some(refusal) = state.client_refusal(request) {
            return refusal;
        }
        let form = fields(&request.body);
        let account = form.get("stripe_user_id").cloned().unwrap_or_default();
        let is_known = form.get("client_id").is_some_and(|id| id == CLIENT_ID);
        let mut installs = state.installs.iter();
        let found = installs.position(|install| install.account == account && !install.is_over());
        match found.filter(|_| is_known) {
            Some(at) => {
                state.end(at);
                Reply::json(200, &json!({"stripe_user_id": account}))
            }
            None => refusal(401, "invalid_client", "not connected to your application"),
        }
    }
}

fn twisted(twist: Option<Twist>, answer: Value) -> Reply {
    match twist {
        None => Reply::json(200, &answer),
        Some(Twist::Before(fault) | Twist::After(fault)) => fault.reply(),
        Some(Twist::Answer(oddity)) => oddity.reply(answer),
    }
}

fn answer(install: &Install, rules: Rules, is_connect: bool) -> Value {
    let scope = match is_connect {
        true => "read_write",
        false => "stripe_apps",
    };
    let mut answer = json!({
        "access_token": install.access_token,
        "refresh_token": install.refresh_token,
        "token_type": "bearer",
        "scope": scope,
        "livemode": install.is_live,
        "stripe_user_id": install.account,
        "stripe_publishable_key": "pk_test_ofTheStandIn0123456789",
    });
    if let Some(life) = rules.expires_in {
        answer["expires_in"] = life.into();
    }
    answer
}

fn refusal(status: u16, error: &str, description: &str) -> Reply {
    let body = json!({"error": error, "error_description": description});
    Reply::json(status, &body)
}

fn unknown(token: &str) -> Reply {
    let description = format!("Refresh token does not exist: {token}");
    refusal(400, "invalid_grant", &description)
}

/// Of a form or a query.
fn fields(text: &str) -> HashMap<String, String> {
    form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect()
}
