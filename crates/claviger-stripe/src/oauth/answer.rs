//! From the answers of a token endpoint to their meaning. Nothing of a text is kept.

use std::fmt;
use std::time::Duration;

use claviger_core::SecretBytes;
use reqwest::StatusCode;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::server::Flavor;
use crate::Mode;
use crate::settings::is_account;

/// Why there are no new tokens, by what it says about the refresh token, or the authorization code,
/// that was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GrantFailure {
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
    /// The server does not know it: it is spent, over, revoked, another client's or of the other
    /// mode.
    InvalidGrant,
    /// The server does not take the client secret; the token is not spent.
    ClientRejected,
    /// The server does not take the call; the token is not spent.
    Refused,
}

/// What an exchange yields.
pub struct Tokens {
    /// For jobs.
    pub access_token: SecretBytes,
    /// The one that takes the place of the one that was sent; none if the answer has none.
    pub refresh_token: Option<SecretBytes>,
    /// The account that they are for, if the answer names one.
    pub account: Option<String>,
    /// The mode that they are for, if the answer names one.
    pub mode: Option<Mode>,
    /// The offer that they are of, if it can be told by the scope.
    pub flavor: Option<Flavor>,
    /// How long the access token lasts, if the answer says so; see
    /// [`access_life`](super::access_life).
    pub life: Option<Duration>,
}

impl Tokens {
    /// None without an access token.
    pub(super) fn read(body: &SecretBytes) -> Option<Self> {
        let answer: Answer = serde_json::from_slice(body.expose()).ok()?;
        (!answer.access_token.0.is_empty()).then(|| answer.into())
    }
}

/// SECURITY: says which tokens there are, and nothing of them.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("has_refresh_token", &self.refresh_token.is_some())
            .field("account", &self.account)
            .field("mode", &self.mode)
            .field("flavor", &self.flavor)
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

/// As it comes. Beside the tokens any form of a field is borne: they are in danger if an answer is
/// thrown away for the rest of it.
#[derive(Deserialize)]
struct Answer {
    access_token: Token,
    refresh_token: Option<Token>,
    #[serde(default)]
    livemode: Value,
    #[serde(default)]
    expires_in: Value,
    #[serde(default)]
    scope: Value,
    #[serde(default)]
    stripe_user_id: Value,
    #[serde(default)]
    account_id: Value,
}

struct Token(SecretBytes);

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(SecretBytes::new(text.into_bytes())))
    }
}

impl From<Answer> for Tokens {
    fn from(answer: Answer) -> Self {
        let refresh_token = answer.refresh_token.map(|Token(token)| token);
        let account = answer.stripe_user_id.as_str();
        let account = account.or_else(|| answer.account_id.as_str());
        let mode = answer.livemode.as_bool();
        Self {
            access_token: answer.access_token.0,
            refresh_token: refresh_token.filter(|token| !token.is_empty()),
            account: account.filter(|id| is_account(id)).map(str::to_owned),
            mode: mode.map(|live| if live { Mode::Live } else { Mode::Test }),
            flavor: answer.scope.as_str().and_then(of_scope),
            life: answer.expires_in.as_u64().map(Duration::from_secs),
        }
    }
}

/// An app's scopes are in its manifest, and one word stands for them.
fn of_scope(scope: &str) -> Option<Flavor> {
    match scope {
        "stripe_apps" => Some(Flavor::Apps),
        "read_only" | "read_write" => Some(Flavor::Connect),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Refusal {
    error: Cause,
}

/// OAuth's errors are words, those of Stripe's API are objects.
#[derive(Deserialize)]
#[serde(untagged)]
enum Cause {
    Word(String),
    Object {},
}

/// Only an answer that is known to be final says that the token is not spent: a proxy, a server in
/// trouble and a word of next year do not.
pub(super) fn refused(status: StatusCode, body: &SecretBytes) -> GrantFailure {
    let Ok(Refusal { error }) = serde_json::from_slice(body.expose()) else {
        return GrantFailure::Lost;
    };
    match (status, error) {
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Cause::Object {}) => {
            GrantFailure::ClientRejected
        }
        (StatusCode::BAD_REQUEST, Cause::Object {}) => GrantFailure::Refused,
        (
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN,
            Cause::Word(word),
        ) => of_word(&word),
        _ => GrantFailure::Lost,
    }
}

fn of_word(word: &str) -> GrantFailure {
    match word {
        "invalid_client" | "unauthorized_client" => GrantFailure::ClientRejected,
        "invalid_grant" => GrantFailure::InvalidGrant,
        "invalid_request" | "invalid_scope" | "unsupported_grant_type" => GrantFailure::Refused,
        _ => GrantFailure::Lost,
    }
}

#[derive(Deserialize)]
struct Account {
    object: String,
    id: String,
}

pub(super) fn account(body: &SecretBytes) -> Option<String> {
    let account: Account = serde_json::from_slice(body.expose()).ok()?;
    (account.object == "account" && is_account(&account.id)).then_some(account.id)
}
