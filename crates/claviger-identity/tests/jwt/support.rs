//! Issuers with keys of their own, and a network that is told what to answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger_core::{Id, ManualClock};
use claviger_identity::{Algorithm, Fault, Fetch, IdentitySettings, Kind, Verifier};
use serde_json::{Value, json};
use tokio::runtime::Handle;

pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "claviger.example";
pub(crate) const KEYS_AT: &str = "https://issuer.example/keys";
pub(crate) const DISCOVERY_AT: &str = "https://issuer.example/.well-known/openid-configuration";

/// When the clock of these tests starts.
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key of an issuer.
pub(crate) enum Key {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl Key {
    pub(crate) fn ec() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        Self::Ec(pair.expect("a key"))
    }

    pub(crate) fn ed() -> Self {
        Self::Ed(Ed25519KeyPair::generate().expect("a key"))
    }

    /// Made once: it takes long.
    pub(crate) fn rsa() -> &'static Self {
        static KEY: LazyLock<Key> = LazyLock::new(|| {
            Key::Rsa(Box::new(
                RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"),
            ))
        });
        &KEY
    }

    /// As the issuer shows it.
    pub(crate) fn public(&self, kid: &str) -> Value {
        match self {
            Self::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref().split_at(1).1.split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": base64(x), "y": base64(y)})
            }
            Self::Ed(pair) => {
                let x = base64(pair.public_key());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x})
            }
            Self::Rsa(pair) => {
                let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
                let n = base64(n.big_endian_without_leading_zero());
                let e = base64(e.big_endian_without_leading_zero());
                json!({"kty": "RSA", "use": "sig", "kid": kid, "n": n, "e": e})
            }
        }
    }

    /// A token with this header and these claims, as they are written.
    pub(crate) fn sign(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", base64(header), base64(claims));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Ec(pair) => {
                let signature = pair.sign(&random, message.as_bytes()).expect("signs");
                signature.as_ref().to_vec()
            }
            Self::Ed(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Self::Rsa(pair) => {
                let padding: &dyn aws_lc_rs::signature::RsaEncoding = if header.contains("PS256") {
                    &RSA_PSS_SHA256
                } else {
                    &RSA_PKCS1_SHA256
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message.as_bytes(), &mut signature)
                    .expect("signs");
                signature
            }
        };
        format!("{message}.{}", base64(signature))
    }

    /// A token by the key of this id.
    pub(crate) fn token(&self, kid: &str, claims: &Value) -> String {
        let alg = match self {
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
            Self::Rsa(_) => "RS256",
        };
        self.sign(
            &json!({"alg": alg, "kid": kid}).to_string(),
            &claims.to_string(),
        )
    }
}

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
