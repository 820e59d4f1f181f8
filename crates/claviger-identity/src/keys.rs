//! The keys of an issuer (RFC 7517), as far as a token can be signed by them.

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

use crate::fetch::Fault;
use crate::json;
use crate::kind::Kind;
use crate::refusal::Refusal;
use crate::token::{KID_BYTES_MAX, Token};

/// Most keys of one issuer.
const KEYS_MAX: usize = 100;

/// The keys of an issuer.
pub(crate) struct KeySet {
    keys: Vec<Key>,
    /// The text that they were read from.
    text: Vec<u8>,
}

/// One key, with the algorithms that it is of the type for.
struct Key {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl KeySet {
    /// Reads a set. Keys for other ends, and of types that are not known here, are left out.
    pub(crate) fn parse(kind: Kind, text: Vec<u8>) -> Result<Self, Fault> {
        const NOT_A_SET: Fault =
            Fault("is not a set of keys: a JSON object with a list `keys`, no member twice");
        let members = json::object(&text).map_err(|_| NOT_A_SET)?;
        let list = members
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(NOT_A_SET)?;
        if list.len() > KEYS_MAX {
            return Err(Fault(
                "has more than 100 keys; have the issuer drop old ones",
            ));
        }
        let keys = list.iter().filter_map(Value::as_object);
        let keys = keys
            .filter_map(|members| Key::read(kind, members))
            .collect();
        Ok(Self { keys, text })
    }

    pub(crate) fn is_from(&self, text: &[u8]) -> bool {
        self.text == text
    }

    /// Whether it has a key of this id, or the id is left out.
    pub(crate) fn knows(&self, kid: Option<&str>) -> bool {
        kid.is_none() || self.keys.iter().any(|key| key.kid.as_deref() == kid)
    }

    /// The one key that a token can be signed by.
    fn key_for(&self, token: &Token<'_>) -> Result<&DecodingKey, Refusal> {
        let kid = token.kid.as_deref();
        let named: Vec<&Key> = match kid {
            None if self.keys.len() == 1 => self.keys.iter().collect(),
            None => return Err(Refusal::KeyAmbiguous),
            Some(_) => self
                .keys
                .iter()
                .filter(|key| key.kid.as_deref() == kid)
                .collect(),
        };
        if named.is_empty() {
            return Err(Refusal::KeyUnknown);
        }
        let fits = |key: &&&Key| key.algorithms.contains(&token.algorithm);
        let mut fitting = named.iter().filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(&key.key),
            (Some(_), Some(_)) => Err(Refusal::KeyAmbiguous),
            (None, _) => Err(Refusal::KeyType),
        }
    }

    /// Whether the issuer has signed a token, by an algorithm that it was seen to be allowed.
    pub(crate) fn verify(&self, token: &Token<'_>) -> Result<(), Refusal> {
        let key = self.key_for(token)?;
        let verified =
            jsonwebtoken::crypto::verify(token.signature, token.message, key, token.algorithm);
        match verified {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Refusal::Signature),
        }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySet({} keys)", self.keys.len())
    }
}

impl Key {
    fn read(kind: Kind, members: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let is_for_tokens = match (kind, members.get("use")) {
            // The bundle of a trust domain has keys for certificates too, and says which are which.
            (Kind::Spiffe, usage) => {
                usage.is_some_and(|usage| usage == "jwt-svid" || usage == "sig")
            }
            (_, usage) => usage.is_none_or(|usage| usage == "sig"),
        };
        if !is_for_tokens {
            return None;
        }
        let may_verify = |list: &Value| {
            let list = list.as_array();
            list.is_some_and(|list| list.iter().any(|item| item == "verify"))
        };
        if !members.get("key_ops").is_none_or(may_verify) {
            return None;
        }
        let (mut algorithms, key) = match (text("kty")?, text("crv")) {
            ("RSA", None) => {
                let algorithms = jsonwebtoken::AlgorithmFamily::Rsa.algorithms().to_vec();
                (
                    algorithms,
                    DecodingKey::from_rsa_components(text("n")?, text("e")?),
                )
            }
            ("EC", Some(curve)) => {
                let algorithm = match curve {
                    "P-256" => Algorithm::ES256,
                    "P-384" => Algorithm::ES384,
                    _ => return None,
                };
                (
                    vec![algorithm],
                    DecodingKey::from_ec_components(text("x")?, text("y")?),
                )
            }
            ("OKP", Some("Ed25519")) => (
                vec![Algorithm::EdDSA],
                DecodingKey::from_ed_components(text("x")?),
            ),
            _ => return None,
        };
        if let Some(only) = members.get("alg") {
            let only = only.as_str()?.parse::<Algorithm>().ok()?;
            algorithms.retain(|algorithm| *algorithm == only);
        }
        let kid = match members.get("kid") {
            Some(kid) => Some(
                kid.as_str()
                    .filter(|kid| kid.len() <= KID_BYTES_MAX)?
                    .to_owned(),
            ),
            None => None,
        };
        Some(Self {
            kid,
            algorithms,
            key: key.ok()?,
        })
    }
}
