//! Asks Stripe whether a key works: `GET /v1/balance`, once, within a deadline.
//!
//! Follows no redirect, talks to configured hosts only and retries nothing. Of what Stripe answers
//! only the verdict is kept: its error texts repeat the key.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use claviger_core::{Clock, Error, Reason, Result, SecretBytes};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::Deserialize;

use crate::shape::Shape;
use crate::{Class, Mode, Settings};

mod base_url;
mod permission;

pub use base_url::{BaseUrl, BaseUrlProblem};
pub use permission::Permission;

/// Most of an answer that is read; a balance has a few hundred bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Stripe demands a version with organization keys; others have one of their own.
const VERSION: &str = "2024-06-20";

/// What Stripe said about a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LiveVerdict {
    /// The account named beside an organization key is missing.
    ContextRequired,
    /// The key had an end, and it has come.
    Expired,
    /// The key is good, but not from this machine's address.
    IpNotAllowed,
    /// The key is good; reading the balance is not among its permissions.
    Limited {
        /// The permission it lacks, as Stripe calls it, if the answer says so.
        permission: Option<Permission>,
    },
    /// Not a key for servers.
    NotAServerKey,
    /// There was no value that is worth a question.
    NotAsked,
    /// Too many questions at a time, for us or for Stripe; the key may be good.
    Overloaded,
    /// Stripe does not know the key (any longer), or the platform behind it lost its access.
    Revoked,
    /// An answer that says nothing about the key.
    Unexpected,
    /// No answer in time.
    Unreachable,
    /// Stripe took it.
    Works {
        /// Which mode it is for, by Stripe's own word.
        mode: Option<Mode>,
    },
    /// The key is good; the account or context of the definition is out of its reach.
    WrongAccount,
    /// Stripe took it, in the mode that the environment does not demand.
    WrongMode,
}

impl LiveVerdict {
    /// The name on the wire.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::ContextRequired => "CONTEXT_REQUIRED",
            Self::Expired => "EXPIRED",
            Self::IpNotAllowed => "IP_NOT_ALLOWED",
            Self::Limited { .. } => "LIMITED",
            Self::NotAServerKey => "NOT_A_SERVER_KEY",
            Self::NotAsked => "NOT_ASKED",
            Self::Overloaded => "OVERLOADED",
            Self::Revoked => "REVOKED",
            Self::Unexpected => "UNEXPECTED",
            Self::Unreachable => "UNREACHABLE",
            Self::Works { .. } => "WORKS",
            Self::WrongAccount => "WRONG_ACCOUNT",
            Self::WrongMode => "WRONG_MODE",
        }
    }

    /// What it means and what to do about it.
    pub fn text(&self) -> &'static str {
        match self {
            Self::ContextRequired => {
                "Stripe wants an account with this organization key; set stripe.context of the \
                 definition"
            }
            Self::Expired => {
                "the key has expired; create a new one: Developers → API keys → Create restricted \
                 key, and store it with PutSecretValue"
            }
            Self::IpNotAllowed => {
                "the key may not be used from this host's address; add it: Developers → API keys → \
                 the key → Manage IP restrictions"
            }
            Self::Limited { .. } => {
                "the key is good but may not read the balance; whether it may do what its jobs need \
                 is seen under Developers → API keys → the key → Edit"
            }
            Self::NotAServerKey => {
                "this key cannot call Stripe from a server; create a restricted key: Developers → \
                 API keys → Create restricted key"
            }
            Self::NotAsked => "Stripe was not asked; see existence, format and kind",
            Self::Overloaded => "too many live checks at a time; try again in a minute",
            Self::Revoked => {
                "Stripe does not know this key: it was deleted or rolled, or its platform lost \
                 access; create a new one: Developers → API keys → Create restricted key"
            }
            Self::Unexpected => {
                "Stripe's address answers, but not as Stripe does; see the base URL in the \
                 daemon's configuration"
            }
            Self::Unreachable => "Stripe did not answer in time; try again",
            Self::Works { .. } => "Stripe takes the key",
            Self::WrongAccount => {
                "the key has no access to the account of the definition; see stripe.account and \
                 stripe.context, and Connect → Connected accounts"
            }
            Self::WrongMode => {
                "Stripe takes the key, but in the other mode than the environment demands; create \
                 one there: Developers → API keys → Create restricted key"
            }
        }
    }
}

/// The way to Stripe, with how often it may be taken.
#[derive(Debug)]
pub struct LiveClient {
    base: BaseUrl,
    timeout: Duration,
    checks_per_minute: u32,
    clock: Arc<dyn Clock>,
    /// The minute that is counted, and the checks in it.
    counted: Mutex<(u64, u32)>,
}

impl LiveClient {
    /// Asks nobody yet. A check takes at most `timeout`, whatever Stripe does.
    pub fn new(
        base: BaseUrl,
        timeout: Duration,
        checks_per_minute: u32,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            base,
            timeout,
            checks_per_minute,
            clock,
            counted: Mutex::new((0, 0)),
        }
    }

    /// Set up for each check: they are rare, and a host without certificates of authorities must not
    /// keep the daemon from starting.
    fn http(&self) -> Result<Client> {
        let builder = Client::builder()
            .timeout(self.timeout)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false);
        let builder = match self.base.is_local() {
            true => builder.no_proxy(),
            false => builder.https_only(true),
        };
        let internal = |error| Error::new(Reason::Internal).caused_by(error);
        builder.build().map_err(internal)
    }

    fn may_ask(&self) -> bool {
        let since_epoch = self.clock.now().duration_since(SystemTime::UNIX_EPOCH);
        let minute = since_epoch.unwrap_or_default().as_secs() / 60;
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.0 != minute {
            *counted = (minute, 0);
        }
        let is_free = counted.1 < self.checks_per_minute;
        counted.1 = counted.1.saturating_add(u32::from(is_free));
        is_free
    }

    /// The request; none for bytes that no header can carry.
    fn request(&self, key: &SecretBytes, settings: &Settings) -> Result<Option<RequestBuilder>> {
        let bearer = SecretBytes::new([b"Bearer ", key.expose()].concat());
        let Ok(mut authorization) = HeaderValue::from_bytes(bearer.expose()) else {
            return Ok(None);
        };
        authorization.set_sensitive(true);
        let mut request = self.http()?.get(self.base.balance());
        request = request.header(AUTHORIZATION, authorization);
        if Shape::of(key.expose()).class == Class::Organization {
            request = request.header("Stripe-Version", VERSION);
        }
        // A context goes before an account: the newer of the two says all that the older can.
        Ok(Some(match (&settings.context, &settings.account) {
            (Some(context), _) => request.header("Stripe-Context", context),
            (None, Some(account)) => request.header("Stripe-Account", account),
            (None, None) => request,
        }))
    }
}

/// Asks Stripe about a key that [`judge`](crate::judge) did not refuse, in an environment that may
/// demand a mode.
///
/// # Errors
/// `INTERNAL` if this host cannot ask anybody.
pub async fn check(
    client: &LiveClient,
    key: &SecretBytes,
    settings: &Settings,
    demanded: Option<Mode>,
) -> Result<LiveVerdict> {
    let Some(request) = client.request(key, settings)? else {
        return Ok(LiveVerdict::NotAServerKey);
    };
    if !client.may_ask() {
        return Ok(LiveVerdict::Overloaded);
    }
    // SECURITY: neither error is kept, because an address or an answer may be in it.
    let Ok(response) = request.send().await else {
        return Ok(LiveVerdict::Unreachable);
    };
    let status = response.status();
    Ok(match body(response).await {
        Ok(Some(body)) if status == StatusCode::OK => taken(&body, demanded),
        Ok(Some(body)) => refused(status, &body, key),
        Ok(None) => LiveVerdict::Unexpected,
        Err(_) => LiveVerdict::Unreachable,
    })
}

/// The body, wiped after use; none if it is longer than any answer to this question.
async fn body(mut response: Response) -> reqwest::Result<Option<SecretBytes>> {
    let mut body = Vec::with_capacity(ANSWER_BYTES_MAX);
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(SecretBytes::new(body)))
}

#[derive(Deserialize)]
struct Balance {
    object: String,
    livemode: Option<bool>,
}

#[derive(Default, Deserialize)]
struct Refusal {
    error: Cause,
}

#[derive(Default, Deserialize)]
struct Cause {
    code: Option<String>,
    message: Option<String>,
}

fn taken(body: &SecretBytes, demanded: Option<Mode>) -> LiveVerdict {
    let mode = match serde_json::from_slice(body.expose()) {
        Ok(Balance { object, livemode }) if object == "balance" => {
            livemode.map(|live| if live { Mode::Live } else { Mode::Test })
        }
        Ok(_) | Err(_) => return LiveVerdict::Unexpected,
    };
    match (demanded, mode) {
        (Some(demanded), Some(mode)) if demanded != mode => LiveVerdict::WrongMode,
        (Some(_) | None, mode) => LiveVerdict::Works { mode },
    }
}

/// From Stripe's refusal to what it means. The code decides where there is one; several refusals have
/// none, and are told apart by words that Stripe has kept for years.
fn refused(status: StatusCode, body: &SecretBytes, key: &SecretBytes) -> LiveVerdict {
    if status.is_server_error() {
        return LiveVerdict::Unreachable;
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        return LiveVerdict::Overloaded;
    }
    if !status.is_client_error() {
        return LiveVerdict::Unexpected;
    }
    let refusal: Refusal = serde_json::from_slice(body.expose()).unwrap_or_default();
    let message = refusal.error.message.as_deref().unwrap_or_default();
    if let Some(verdict) = verdict_of_code(refusal.error.code.as_deref()) {
        return verdict;
    }
    verdict_of_message(status, message, key)
}

fn verdict_of_code(code: Option<&str>) -> Option<LiveVerdict> {
    match code? {
        "api_key_expired" => Some(LiveVerdict::Expired),
        "platform_api_key_expired" => Some(LiveVerdict::Revoked),
        "account_invalid" | "no_account" | "platform_account_required" => {
            Some(LiveVerdict::WrongAccount)
        }
        "rate_limit" | "lock_timeout" => Some(LiveVerdict::Overloaded),
        "secret_key_required" => Some(LiveVerdict::NotAServerKey),
        _ => None,
    }
}

fn verdict_of_message(status: StatusCode, message: &str, key: &SecretBytes) -> LiveVerdict {
    let has = |words: &str| message.contains(words);
    if has("made with a publishable API key") {
        return LiveVerdict::NotAServerKey;
    }
    if has("include the Stripe-Context header") {
        return LiveVerdict::ContextRequired;
    }
    if has("does not allow requests from your IP address") {
        return LiveVerdict::IpNotAllowed;
    }
    if has("does not have access to account") {
        return LiveVerdict::WrongAccount;
    }
    match status {
        // Of something in between, which knows nothing of keys.
        _ if message.is_empty() => LiveVerdict::Unexpected,
        StatusCode::UNAUTHORIZED if has("access may have been revoked") => LiveVerdict::Revoked,
        StatusCode::UNAUTHORIZED if has("Expired API Key") => LiveVerdict::Expired,
        StatusCode::UNAUTHORIZED => LiveVerdict::Revoked,
        StatusCode::FORBIDDEN if has("permission") || has("scope") => LiveVerdict::Limited {
            permission: Permission::named_in(message, key),
        },
        _ => LiveVerdict::Unexpected,
    }
}
