//! Asks Stripe whether a key works: `GET /v1/balance`, once, within a deadline.
//!
//! Follows no redirect, talks to configured hosts only and retries nothing. Of Stripe's answer only
//! the verdict is kept: its error texts repeat the key.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use claviger_core::{Clock, SecretBytes};
use reqwest::StatusCode;
use reqwest::header::AUTHORIZATION;

use crate::shape::Shape;
use crate::{Class, Mode, Settings, http};

mod answer;
mod base_url;
mod outcome;
mod settings;

pub(crate) use answer::refused;
pub use base_url::{BaseUrl, BaseUrlProblem};
pub use outcome::{LiveVerdict, Outcome};
pub use settings::LiveSettings;

/// Stripe demands a version with organization keys; others have one of their own.
const VERSION: &str = "2024-06-20";

/// The way to Stripe, with how often it may be taken.
#[derive(Debug)]
pub struct LiveClient {
    pub(crate) base: BaseUrl,
    pub(crate) timeout: Duration,
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
        match self.ask("/v1/balance", key, settings).await {
            Ok((StatusCode::OK, body)) => answer::taken(&body, demanded),
            Ok((status, body)) => answer::refused(status, &body),
            Err(outcome) => outcome.into(),
        }
    }

    /// Gets with this key what stands at `path`: the status and the body.
    pub(crate) async fn ask(
        &self,
        path: &str,
        key: &SecretBytes,
        settings: &Settings,
    ) -> Result<(StatusCode, SecretBytes), Outcome> {
        // SECURITY: a value that is not a key of Stripe's may be somebody else's, and is not for
        // Stripe to see.
        let class = Shape::of(key.expose()).class;
        if !class.is_server_key() {
            return Err(Outcome::NotAsked);
        }
        let authorization = http::bearer(key).ok_or(Outcome::NotAServerKey)?;
        if !self.may_ask() {
            return Err(Outcome::Overloaded);
        }
        let client = http::client(&self.base, self.timeout).map_err(|_| Outcome::CannotAsk)?;
        let mut request = client
            .get(self.base.at(path))
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
        let response = request.send().await.map_err(|_| Outcome::Unreachable)?;
        let status = response.status();
        match http::body(response).await {
            Ok(Some(body)) => Ok((status, body)),
            Ok(None) => Err(Outcome::Unexpected),
            Err(_) => Err(Outcome::Unreachable),
        }
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
