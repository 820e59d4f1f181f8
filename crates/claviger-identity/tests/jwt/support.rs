//! Issuers with keys of their own, and a network that is told what to answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use claviger_core::{Id, ManualClock};
use claviger_identity::{Algorithm, Fault, Fetch, IdentitySettings, Kind, Verifier};
pub(crate) use claviger_stub::issuer::{Key, base64};
use serde_json::{Value, json};
use tokio::runtime::Handle;

pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "claviger.example";
pub(crate) const KEYS_AT: &str = "https://issuer.example/keys";
pub(crate) const DISCOVERY_AT: &str = "https://issuer.example/.well-known/openid-configuration";

/// When the clock of these tests starts.
pub(crate) const NOW: u64 = 1_800_000_000;

/// What any token of these tests claims.
pub(crate) fn claims() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "etl", "iat": NOW, "exp": NOW + 600})
}

/// With other ones put in; `null` takes one out.
pub(crate) fn with(mut claims: Value, mut others: Value) -> Value {
    let members = claims.as_object_mut().expect("an object");
    let others = others.as_object_mut().expect("an object");
    for (name, value) in std::mem::take(others) {
        match value.is_null() {
            true => drop(members.remove(&name)),
            false => drop(members.insert(name, value)),
        }
    }
    claims
}

/// Answers as told, and remembers what it was asked.
#[derive(Debug, Default)]
pub(crate) struct Network {
    answers: Mutex<HashMap<String, String>>,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Fetch for Network {
    async fn get(&self, url: &str) -> Result<Vec<u8>, Fault> {
        self.asked
            .lock()
            .expect("not poisoned")
            .push(url.to_owned());
        // Others get their turn, as with a real one.
        tokio::task::yield_now().await;
        let answers = self.answers.lock().expect("not poisoned");
        let answer = answers.get(url).ok_or(Fault("does not answer"))?;
        Ok(answer.clone().into_bytes())
    }
}

impl Network {
    pub(crate) fn answer(&self, url: &str, answer: &impl ToString) {
        let mut answers = self.answers.lock().expect("not poisoned");
        answers.insert(url.to_owned(), answer.to_string());
    }

    /// No address answers any more.
    pub(crate) fn cut(&self) {
        self.answers.lock().expect("not poisoned").clear();
    }

    /// How often this address was asked.
    pub(crate) fn asked(&self, url: &str) -> usize {
        let asked = self.asked.lock().expect("not poisoned");
        asked.iter().filter(|asked| *asked == url).count()
    }

    /// The issuer shows these keys.
    pub(crate) fn show(&self, keys: &[Value]) {
        self.answer(
            DISCOVERY_AT,
            &json!({"issuer": ISSUER, "jwks_uri": KEYS_AT}),
        );
        self.answer(KEYS_AT, &json!({"keys": keys}));
    }
}

/// A daemon with one identity, `ci`.
pub(crate) struct World {
    pub(crate) network: Arc<Network>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) verifier: Verifier,
}

impl World {
    pub(crate) fn new(settings: IdentitySettings) -> Self {
        let network = Arc::new(Network::default());
        let clock = Arc::new(ManualClock::at(Duration::from_secs(NOW)));
        let fetch = Arc::clone(&network);
        let verifier = Verifier::with_fetch(
            BTreeMap::from([(Id::from_static("ci"), settings)]),
            Arc::clone(&clock) as _,
            &Handle::current(),
            move |_| Arc::clone(&fetch) as _,
        );
        Self {
            network,
            clock,
            verifier,
        }
    }

    /// The principal of a token, or the code of its refusal.
    pub(crate) async fn seen(&self, token: &str) -> String {
        match self.verifier.verify(token).await {
            Ok(verified) => verified.principal.clone(),
            Err(refusal) => refusal.to_string(),
        }
    }

    /// Lets time pass.
    pub(crate) fn after(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

/// The settings of an identity of any issuer.
pub(crate) fn settings() -> IdentitySettings {
    IdentitySettings {
        kind: Kind::Generic,
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        algorithms: vec![Algorithm::ES256],
        ..IdentitySettings::default()
    }
}
