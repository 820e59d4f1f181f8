//! Where the keys of one issuer come from, and how long they are believed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use claviger_core::{Clock, Id};
use reqwest::Url;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync;

use crate::address;
use crate::fetch::{self, Fault, Fetch};
use crate::json;
use crate::keys::KeySet;
use crate::kind::Kind;

/// How long keys are good for while the issuer does not show any.
const LAST_GOOD_MAX: Duration = Duration::from_secs(24 * 3600);

/// Where keys are asked for.
#[derive(Debug)]
pub(crate) enum Origin {
    /// At the address that the issuer's discovery document has.
    Discovery {
        issuer: String,
        fetch: Arc<dyn Fetch>,
    },
    File(PathBuf),
    Uri {
        uri: String,
        fetch: Arc<dyn Fetch>,
    },
}

/// How often an origin is asked.
struct Pace {
    /// The least time between two questions, whatever callers send.
    between: Duration,
    /// The age at which keys are asked for again, beside the calls.
    refresh: Duration,
    /// The age at which a call waits for that: nobody has sent a token for a while, and a key may
    /// have been withdrawn.
    wait: Duration,
}

const FILE_PACE: Pace = Pace {
    between: Duration::from_secs(1),
    refresh: Duration::from_secs(5),
    wait: Duration::from_secs(5),
};

const NETWORK_PACE: Pace = Pace {
    between: Duration::from_secs(60),
    refresh: Duration::from_secs(300),
    wait: Duration::from_secs(900),
};

/// The keys of one issuer.
#[derive(Debug)]
pub(crate) struct Source {
    /// The identity, for the log.
    name: Id,
    kind: Kind,
    origin: Origin,
    clock: Arc<dyn Clock>,
    /// Runs the questions: one goes on when the call that waits for it is dropped, else a caller
    /// could use up the minute of all others.
    runtime: Handle,
    /// Held by the question that is under way.
    turn: sync::Mutex<()>,
    state: Mutex<State>,
}

/// Times are of the clock's `uptime`.
#[derive(Debug, Default)]
struct State {
    asked: Option<Duration>,
    /// With the time at which the issuer showed them last.
    known: Option<(Arc<KeySet>, Duration)>,
}

impl Source {
    pub(crate) fn new(
        name: Id,
        kind: Kind,
        origin: Origin,
        clock: Arc<dyn Clock>,
        runtime: Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            kind,
            origin,
            clock,
            runtime,
            turn: sync::Mutex::new(()),
            state: Mutex::default(),
        })
    }

    /// The keys to judge a token by whose key has this id. Waits for the issuer if none are known,
    /// or not this one, and it may be asked.
    pub(crate) async fn keys(self: &Arc<Self>, kid: Option<&str>) -> Option<Arc<KeySet>> {
        let pace = self.pace();
        match self.known() {
            // One that may not ask goes on with what is known, also while the issuer is away.
            Some((keys, age)) if keys.knows(kid) && (age < pace.wait || !self.may_ask()) => {
                if age >= pace.refresh && self.may_ask() {
                    let this = Arc::clone(self);
                    drop(self.runtime.spawn(async move { this.ask().await }));
                }
                return Some(keys);
            }
            Some(_) | None if self.may_ask() => {
                let this = Arc::clone(self);
                // It fails only where the daemon ends.
                drop(self.runtime.spawn(async move { this.ask().await }).await);
            }
            // SECURITY: whoever waits is told what the question under way has found, and asks none.
            Some(_) | None => drop(self.turn.lock().await),
        }
        self.known().map(|(keys, _)| keys)
    }

    /// Asks, unless another question was faster.
    async fn ask(&self) {
        let _turn = self.turn.lock().await;
        if !self.may_ask() {
            return;
        }
        let now = self.clock.uptime();
        self.state().asked = Some(now);
        match self.load().await {
            Ok(text) => self.keep(text, now),
            Err(fault) => self.complain(fault),
        }
    }

    fn keep(&self, text: Vec<u8>, now: Duration) {
        let known = self
            .state()
            .known
            .as_ref()
            .map(|(keys, _)| Arc::clone(keys));
        // The same keys stay the same set, so that tokens seen by them stay known.
        let keys = match known.filter(|keys| keys.is_from(&text)) {
            Some(keys) => Ok(keys),
            None => KeySet::parse(self.kind, text).map(Arc::new),
        };
        match keys {
            Ok(keys) => self.state().known = Some((keys, now)),
            Err(fault) => self.complain(fault),
        }
    }

    /// At most as often as is asked.
    fn complain(&self, fault: Fault) {
        let origin = match &self.origin {
            Origin::Discovery { issuer, .. } => issuer.clone(),
            Origin::File(path) => path.display().to_string(),
            Origin::Uri { uri, .. } => uri.clone(),
        };
        let name = &self.name;
        tracing::warn!(
            "identity.{name}: keys at {origin}: {}; those known already are used for 24 h",
            fault.0
        );
    }

    async fn load(&self) -> Result<Vec<u8>, Fault> {
        match &self.origin {
            Origin::Discovery { issuer, fetch } => {
                let at = issuer.trim_end_matches('/');
                let document = fetch
                    .get(&format!("{at}/.well-known/openid-configuration"))
                    .await?;
                fetch.get(keys_of(issuer, &document)?.as_str()).await
            }
            Origin::File(path) => {
                let path = path.clone();
                let read = self.runtime.spawn_blocking(move || fetch::read(&path));
                read.await.unwrap_or(Err(Fault("was not read")))
            }
            Origin::Uri { uri, fetch } => fetch.get(uri).await,
        }
    }

    fn pace(&self) -> &'static Pace {
        match self.origin {
            Origin::File(_) => &FILE_PACE,
            Origin::Discovery { .. } | Origin::Uri { .. } => &NETWORK_PACE,
        }
    }

    fn may_ask(&self) -> bool {
        let asked = self.state().asked;
        let since = asked.map(|asked| self.clock.uptime().saturating_sub(asked));
        since.is_none_or(|since| since >= self.pace().between)
    }

    /// The keys that may still be used, with their age.
    fn known(&self) -> Option<(Arc<KeySet>, Duration)> {
        let state = self.state();
        let (keys, shown) = state.known.as_ref()?;
        let age = self.clock.uptime().saturating_sub(*shown);
        (age < LAST_GOOD_MAX).then(|| (Arc::clone(keys), age))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the discovery document of an issuer says that its keys are.
fn keys_of(issuer: &str, document: &[u8]) -> Result<Url, Fault> {
    let members = json::object(document).map_err(|_| {
        Fault("has a discovery document that is not a JSON object, no member twice")
    })?;
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    if text("issuer") != Some(issuer) {
        return Err(Fault(
            "has a discovery document of another issuer; correct `issuer`, byte for byte",
        ));
    }
    let url = text("jwks_uri").and_then(address::parse);
    let url = url.ok_or(Fault("has a discovery document without a usable jwks_uri"))?;
    match address::parse(issuer).is_some_and(|at| at.origin() == url.origin()) {
        true => Ok(url),
        false => Err(Fault(
            "has its keys at another host; if that is right, write jwks_uri into the settings",
        )),
    }
}
