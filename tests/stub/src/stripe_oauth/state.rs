//! What the stand-in remembers.

use std::collections::{HashMap, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::twist::{Hold, Twist};
use crate::message::{Reply, Request};

/// A part of every token that it issues, and of the client secret.
pub const CANARY: &str = "cAnArY";

/// The id of the app that all installs are of.
pub const APP: &str = "app_1StandInOfOurs";

/// The client id of the app.
pub const CLIENT_ID: &str = "ca_1StandInOfOurs";

/// The client secret, until another is set.
pub const CLIENT_SECRET: &str = "sk_test_cAnArY51H8ZxQmC0nF";

#[derive(Debug)]
pub(super) struct State {
    pub(super) client_secret: String,
    pub(super) installs: Vec<Install>,
    /// Where each refresh token that was ever issued belongs.
    pub(super) issued: HashMap<String, usize>,
    pub(super) keys: HashMap<String, Key>,
    /// Each authorization code that was ever issued.
    pub(super) codes: HashMap<String, Code>,
    pub(super) spent_presented: Vec<String>,
    pub(super) twists: VecDeque<Twist>,
    pub(super) twist_always: Option<Twist>,
    pub(super) hold: Option<Hold>,
    pub(super) held: usize,
    pub(super) calls: usize,
}

/// One app in one account in one mode.
#[derive(Debug)]
pub(super) struct Install {
    pub(super) id: String,
    pub(super) account: String,
    pub(super) is_live: bool,
    /// The one that is good; none after its end.
    pub(super) refresh_token: Option<String>,
    pub(super) access_token: String,
    pub(super) refreshes: usize,
    pub(super) under_way: usize,
    pub(super) most_under_way: usize,
}

/// The leave of an account's owner.
#[derive(Clone, Debug)]
pub(super) struct Code {
    pub(super) account: String,
    pub(super) is_live: bool,
    pub(super) is_spent: bool,
}

/// What opens the API.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) account: String,
    pub(super) is_live: bool,
    /// None for no end.
    pub(super) calls_left: Option<u32>,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            client_secret: CLIENT_SECRET.to_owned(),
            installs: Vec::new(),
            issued: HashMap::new(),
            keys: HashMap::new(),
            codes: HashMap::new(),
            spent_presented: Vec::new(),
            twists: VecDeque::new(),
            twist_always: None,
            hold: None,
            held: 0,
            calls: 0,
        }
    }

    pub(super) fn issue_code(&mut self, account: &str, is_live: bool) -> String {
        let text = format!("ac_{CANARY}51H8ZxQm{:06}", self.codes.len());
        let code = Code {
            account: account.to_owned(),
            is_live,
            is_spent: false,
        };
        self.codes.insert(text.clone(), code);
        text
    }

    pub(super) fn spend_code(&mut self, text: &str) {
        if let Some(code) = self.codes.get_mut(text) {
            code.is_spent = true;
        }
    }

    /// What becomes of an exchange that would succeed.
    pub(super) fn next_twist(&mut self) -> Option<Twist> {
        let twist = self.twists.pop_front();
        twist.or_else(|| self.twist_always.clone())
    }

    /// Its first refresh token. An install that was there loses its tokens.
    pub(super) fn begin_install(&mut self, account: &str, is_live: bool) -> String {
        let mut installs = self.installs.iter();
        if let Some(at) = installs.rposition(|install| install.is(account, is_live)) {
            self.end(at);
        }
        let at = self.installs.len();
        self.installs.push(Install {
            id: format!("ainst_{at}StandIn"),
            account: account.to_owned(),
            is_live,
            refresh_token: None,
            access_token: String::new(),
            refreshes: 0,
            under_way: 0,
            most_under_way: 0,
        });
        self.issue(at);
        self.newest(account)
    }

    /// The install that this account had last.
    pub(super) fn at(&self, account: &str) -> usize {
        let mut installs = self.installs.iter();
        let found = installs.rposition(|install| install.account == account);
        found.expect("an install of this account")
    }

    pub(super) fn install(&mut self, account: &str) -> &mut Install {
        let at = self.at(account);
        &mut self.installs[at]
    }

    pub(super) fn newest(&mut self, account: &str) -> String {
        let token = self.install(account).refresh_token.clone();
        token.expect("the install is not over")
    }

    pub(super) fn is_good(&self, at: usize, token: &str) -> bool {
        self.installs[at].refresh_token.as_deref() == Some(token)
    }

    pub(super) fn begin_refresh(&mut self, at: usize) {
        let install = &mut self.installs[at];
        install.under_way += 1;
        install.most_under_way = install.most_under_way.max(install.under_way);
    }

    /// Issues new tokens; the old access token works for this many calls.
    pub(super) fn roll(&mut self, at: usize, old_access_calls: Option<u32>) {
        self.end_access(at, old_access_calls);
        self.installs[at].refreshes += 1;
        self.issue(at);
    }

    fn issue(&mut self, at: usize) {
        let number = self.issued.len();
        let install = &mut self.installs[at];
        let mode = if install.is_live { "live" } else { "test" };
        let refresh_token = format!("rt_{CANARY}51H8ZxQm{number:06}");
        let access_token = format!("rk_{mode}_{CANARY}51H8ZxQm{number:06}");
        install.refresh_token = Some(refresh_token.clone());
        install.access_token = access_token.clone();
        let key = Key::new(&install.account, install.is_live);
        self.issued.insert(refresh_token, at);
        self.keys.insert(access_token, key);
    }

    pub(super) fn end_access(&mut self, at: usize, calls: Option<u32>) {
        if let Some(key) = self.keys.get_mut(&self.installs[at].access_token) {
            key.calls_left = calls;
        }
    }

    pub(super) fn end(&mut self, at: usize) {
        self.installs[at].refresh_token = None;
        self.end_access(at, Some(0));
    }

    /// Of a call with another client secret than the right one.
    pub(super) fn client_refusal(&self, request: &Request) -> Option<Reply> {
        let authorization = request.header("authorization").unwrap_or_default();
        let name = authorization.strip_prefix("Basic ").and_then(|name| {
            let name = String::from_utf8(STANDARD.decode(name).ok()?).ok()?;
            Some(name.strip_suffix(':')?.to_owned())
        });
        self.refusal_of(name.as_deref().unwrap_or_default())
    }

    pub(super) fn installs_refusal(&self, request: &Request) -> Option<Reply> {
        if request.header("stripe-version") != Some("2026-09-30.endive") {
            let error = json!({"error": {"message": "no such resource in this version"}});
            return Some(Reply::json(400, &error));
        }
        self.refusal_of(bearer(request).unwrap_or_default())
    }

    fn refusal_of(&self, secret: &str) -> Option<Reply> {
        if secret == self.client_secret {
            return None;
        }
        let (status, message) = match secret.starts_with("sk_") {
            true => (401, "Invalid API Key provided"),
            false => (
                403,
                "The provided key does not have the required permissions",
            ),
        };
        let message = format!("{message}: {secret}");
        let error = json!({"type": "invalid_request_error", "message": message});
        Some(Reply::json(status, &json!({ "error": error })))
    }
}

impl Install {
    pub(super) fn is(&self, account: &str, is_live: bool) -> bool {
        self.account == account && self.is_live == is_live
    }

    pub(super) fn is_over(&self) -> bool {
        self.refresh_token.is_none()
    }
}

impl Key {
    pub(super) fn new(account: &str, is_live: bool) -> Self {
        Self {
            account: account.to_owned(),
            is_live,
            calls_left: None,
        }
    }
}

pub(super) fn bearer(request: &Request) -> Option<&str> {
    request.header("authorization")?.strip_prefix("Bearer ")
}
