//! Asks Stripe whether a key works: `GET /v1/balance`, once, within a deadline.
//!
//! Follows no redirect, talks to configured hosts only and retries nothing. Of Stripe's answer only
//! the verdict is kept: its error texts repeat the key.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use claviger_core::{Clock, SecretBytes};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};

use crate::shape::Shape;
use crate::{Class, Mode, Settings};

mod answer;
mod base_url;
mod outcome;
mod settings;

pub use base_url::{BaseUrl, BaseUrlProblem};
pub use outcome::{LiveVerdict, Outcome};
pub use settings::LiveSettings;

/// Most of an answer that is read; a balance has a few hundred bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Stripe demands a version with organization keys; others have one of their own.
const VERSION: &str = "2024-06-20";

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
    /// Asks nobody yet. A check takes at most `timeout`.
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

    /// Asks Stripe about a key that [`judge`](crate::judge) did not refuse, in an environment that
    /// may demand a mode.
    pub async fn check(
        &self,
        key: &SecretBytes,
        settings: &Settings,
        demanded: Option<Mode>,
    ) -> LiveVerdict {
        // SECURITY: a value that is not a key of Stripe's may be somebody else's, and is not for
        // Stripe to see.
        let class = Shape::of(key.expose()).class;
        if !class.is_server_key() {
            return Outcome::NotAsked.into();
        }
        let Some(authorization) = bearer(key) else {
            return Outcome::NotAServerKey.into();
        };
        if !self.may_ask() {
            return Outcome::Overloaded.into();
        }
        let Ok(client) = self.http() else {
            return Outcome::CannotAsk.into();
        };
        let mut request = client
            .get(self.base.balance())
            .header(AUTHORIZATION, authorization);
        if class == Class::Organization {
            request = request.header("Stripe-Version", VERSION);
        }
        // A context goes before an account: the newer of the two says all that the older can.
        let request = match (&settings.context, &settings.account) {
            (Some(context), _) => request.header("Stripe-Context", context),
            (None, Some(account)) => request.header("Stripe-Account", account),
            (None, None) => request,
        };
        // SECURITY: neither error is kept, because an address or an answer may be in it.
        let Ok(response) = request.send().await else {
            return Outcome::Unreachable.into();
        };
        let status = response.status();
        match body(response).await {
            Ok(Some(body)) if status == StatusCode::OK => answer::taken(&body, demanded),
            Ok(Some(body)) => answer::refused(status, &body),
            Ok(None) => Outcome::Unexpected.into(),
            Err(_) => Outcome::Unreachable.into(),
        }
    }

    /// Set up for each check: they are rare, and a host without certificates of authorities must
    /// not keep the daemon from starting.
    fn http(&self) -> reqwest::Result<Client> {
        let builder = Client::builder()
            .timeout(self.timeout)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false);
        let builder = match self.base.is_local() {
            true => builder.no_proxy(),
            false => builder.https_only(true),
        };
        builder.build()
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
}

/// The header with the key; none for bytes that no header can carry.
fn bearer(key: &SecretBytes) -> Option<HeaderValue> {
    let bearer = SecretBytes::new([b"Bearer ", key.expose()].concat());
    let mut authorization = HeaderValue::from_bytes(bearer.expose()).ok()?;
    authorization.set_sensitive(true);
    Some(authorization)
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
