//! Stripe's OAuth: access tokens for a refresh token, who a token is for, and the end of an install.
//!
//! Each call is made once. Whether to make it again is for the caller to know, who keeps the refresh
//! token: what can be told about the one that was sent is in [`RefreshFailure`].
//!
//! SECURITY: of Stripe's answers nothing is kept but the tokens, the account, the mode and the life:
//! its error texts repeat refresh tokens in full. Hosts are those of `[stripe]`, no redirect is
//! followed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use claviger_core::{Clock, SecretBytes};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, StatusCode};

use crate::live::{self, BaseUrl, LiveClient, LiveSettings, Outcome};
use crate::{Settings, http};

mod answer;
mod disconnect;
pub mod fields;

pub use answer::Tokens;
pub use disconnect::{Disconnect, DisconnectFailure};

/// How long an access token of an app lasts: Stripe documents an hour and does not say so in its
/// answers.
const ACCESS_LIFE: Duration = Duration::from_secs(60 * 60);

/// Which of Stripe's two OAuth offers an install belongs to.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Flavor {
    /// An app of Stripe's marketplace: access tokens last an hour.
    #[default]
    Apps,
    /// A platform with Standard accounts: access tokens have no end.
    Connect,
}

/// Whether presenting a spent refresh token ends the connection. A property of the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reuse {
    /// It is refused and the connection lives, as measured at Stripe.
    Tolerated,
    /// All tokens of the connection are revoked (RFC 9700).
    Revokes,
}

/// Why there are no new tokens, by what it says about the refresh token that was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RefreshFailure {
    /// No connection came about: the server has not seen the token.
    NotSent,
    /// Too many calls for the server, which may say when to come back. Says nothing of the token for
    /// certain: somebody on the way may have answered.
    Limited {
        /// When that is.
        retry_after: Option<Duration>,
    },
    /// The call was sent and its answer is not known: the token may be spent.
    Lost,
    /// The server does not know the token: it is spent, over, revoked, another client's or of the
    /// other mode.
    InvalidGrant,
    /// The server does not take the client secret; the token is not spent.
    ClientRejected,
    /// The server does not take the call; the token is not spent.
    Refused,
}

/// Who answers with a token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AccountAnswer {
    /// Its meaning: a token that is over is [`Outcome::Revoked`] or [`Outcome::Expired`].
    pub outcome: Outcome,
    /// With [`Outcome::Works`]: the account, `acct_…`.
    pub account: Option<String>,
}

/// The way to the token endpoints.
#[derive(Debug)]
pub struct OauthClient {
    api: LiveClient,
    connect: Option<BaseUrl>,
    reuse: Reuse,
    refresh_before: Duration,
}

impl Flavor {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apps => "APPS",
            Self::Connect => "CONNECT",
        }
    }
}

/// How long an access token lasts when the answer does not say so; none for one without an end.
pub fn access_life(flavor: Flavor) -> Option<Duration> {
    match flavor {
        Flavor::Apps => Some(ACCESS_LIFE),
        Flavor::Connect => None,
    }
}

impl OauthClient {
    /// Asks nobody yet. Questions about accounts are counted by `clock`, apart from those about keys.
    pub fn new(settings: &LiveSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            api: LiveClient::new(
                settings.base_url.clone(),
                settings.timeout,
                settings.checks_per_minute,
                clock,
            ),
            connect: settings.connect_url.clone(),
            reuse: settings.refresh_token_reuse,
            refresh_before: settings.oauth_refresh_before,
        }
    }

    /// Whether the server bears a spent refresh token.
    pub fn reuse(&self) -> Reuse {
        self.reuse
    }

    /// The longest that a call takes.
    pub fn timeout(&self) -> Duration {
        self.api.timeout
    }

    /// How long before its end a token of this life is refreshed.
    pub fn refresh_before(&self, life: Duration) -> Duration {
        self.refresh_before.min(life / 2)
    }

    /// Whether there is a host to ask for this flavor.
    pub fn serves(&self, flavor: Flavor) -> bool {
        self.base(flavor).is_some()
    }

    /// Asks for new tokens, once. From the moment of the call until its end nobody knows which
    /// refresh token is the right one, so it must run to its end.
    ///
    /// # Errors
    /// What is known about the refresh token after it.
    pub async fn refresh(
        &self,
        flavor: Flavor,
        client_secret: &SecretBytes,
        refresh_token: &SecretBytes,
    ) -> Result<Tokens, RefreshFailure> {
        let base = self.base(flavor).ok_or(RefreshFailure::NotSent)?;
        let path = match flavor {
            Flavor::Apps => "/v1/oauth/token",
            Flavor::Connect => "/oauth/token",
        };
        let client = http::client(base, self.timeout()).map_err(|_| RefreshFailure::NotSent)?;
        let call = form([
            ("grant_type", b"refresh_token"),
            ("refresh_token", refresh_token.expose()),
        ]);
        let call = authenticated(client.post(base.at(path)), client_secret)
            .ok_or(RefreshFailure::ClientRejected)?
            .header(CONTENT_TYPE, FORM)
            .body(call);
        // SECURITY: no error is kept, because the call may be in it.
        let response = call
            .send()
            .await
            .map_err(|error| match error.is_connect() {
                true => RefreshFailure::NotSent,
                false => RefreshFailure::Lost,
            })?;
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            let retry_after = retry_after(response.headers());
            return Err(RefreshFailure::Limited { retry_after });
        }
        let Ok(Some(body)) = http::body(response).await else {
            return Err(RefreshFailure::Lost);
        };
        match status {
            StatusCode::OK => Tokens::read(&body).ok_or(RefreshFailure::Lost),
            _ => Err(answer::refused(status, &body)),
        }
    }

    /// Asks which account a token is for. Never refreshes.
    pub async fn account(&self, token: &SecretBytes, settings: &Settings) -> AccountAnswer {
        let (outcome, account) = match self.api.ask("/v1/account", token, settings).await {
            Ok((StatusCode::OK, body)) => match answer::account(&body) {
                Some(account) => (Outcome::Works, Some(account)),
                None => (Outcome::Unexpected, None),
            },
            Ok((status, body)) => (live::refused(status, &body).outcome, None),
            Err(outcome) => (outcome, None),
        };
        AccountAnswer { outcome, account }
    }

    fn base(&self, flavor: Flavor) -> Option<&BaseUrl> {
        match flavor {
            Flavor::Apps => Some(&self.api.base),
            Flavor::Connect => self.connect.as_ref(),
        }
    }
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a form says that it is one.
const FORM: &str = "application/x-www-form-urlencoded";

fn form<const N: usize>(fields: [(&str, &[u8]); N]) -> String {
    let mut form = String::new();
    for (name, value) in fields {
        if !form.is_empty() {
            form.push('&');
        }
        form.extend([name, "="]);
        form.extend(form_urlencoded::byte_serialize(value));
    }
    form
}

/// With the client's secret as the name of the user, and no password; none for a secret that is not
/// even text.
fn authenticated(call: RequestBuilder, client_secret: &SecretBytes) -> Option<RequestBuilder> {
    let name = str::from_utf8(client_secret.expose()).ok()?;
    Some(call.basic_auth(name, None::<&str>))
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?;
    seconds.parse().ok().map(Duration::from_secs)
}
