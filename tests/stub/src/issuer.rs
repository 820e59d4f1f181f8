//! Keys of an issuer of JWTs, which sign whatever a test wants to claim.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Base64url without padding, as in a JWT.
pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key of an issuer.
pub enum Key {
    /// On P-256.
    Ec(EcdsaKeyPair),
    /// On Curve25519.
    Ed(Ed25519KeyPair),
    /// Of 2048 bits.
    Rsa(Box<RsaKeyPair>),
}

impl Key {
    /// For ES256.
    pub fn ec() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        Self::Ec(pair.expect("a key"))
    }

    /// For EdDSA.
    pub fn ed() -> Self {
        Self::Ed(Ed25519KeyPair::generate().expect("a key"))
    }

    /// For RS256 and PS256. Made once: it takes long.
    pub fn rsa() -> &'static Self {
        static KEY: LazyLock<Key> = LazyLock::new(|| {
            Key::Rsa(Box::new(
                RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"),
            ))
        });
        &KEY
    }

    /// As the issuer shows it.
    pub fn public(&self, kid: &str) -> Value {
        match self {
            Self::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref().split_at(1).1.split_at(32);
                json!({
                    "kty": "EC", "crv": "P-256", "use": "sig", "kid": kid,
                    "x": base64(x), "y": base64(y),
                })
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
    pub fn sign(&self, header: &str, claims: &str) -> String {
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
    pub fn token(&self, kid: &str, claims: &Value) -> String {
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
