//! The proof that an application with a certificate gives of itself, and its check.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde::Deserialize;

use crate::vault::now;

/// A certificate with its key.
pub(crate) struct ClientCertificate {
    pem: String,
    der: Vec<u8>,
    public_key: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    x5t: Option<String>,
    #[serde(rename = "x5t#S256")]
    x5t_s256: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    exp: i64,
    iss: String,
    jti: String,
    nbf: Option<i64>,
    sub: String,
}

impl ClientCertificate {
    /// Entra takes RSA keys only.
    pub(crate) fn new() -> Self {
        let key =
            KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("an RSA key");
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "claviger");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            pem: format!("{}{}", key.serialize_pem(), certificate.pem()),
            der: certificate.der().to_vec(),
            public_key: key.public_key_raw().to_vec(),
        }
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Whether this is a fresh assertion of the application, made for us and signed with our key.
    pub(crate) fn has_signed(&self, assertion: &str, client_id: &str, audience: &str) -> bool {
        self.check(assertion, client_id, audience).is_some()
    }

    fn check(&self, assertion: &str, client_id: &str, audience: &str) -> Option<()> {
        let (signed, signature) = assertion.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let header = URL_SAFE_NO_PAD.decode(header).ok()?;
        let header = serde_json::from_slice::<Header>(&header).ok()?;
        let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
        let claims = serde_json::from_slice::<Claims>(&claims).ok()?;

        let algorithm = match header.alg.as_str() {
            "PS256" => &RSA_PSS_2048_8192_SHA256,
            "RS256" => &RSA_PKCS1_2048_8192_SHA256,
            _ => return None,
        };
        UnparsedPublicKey::new(algorithm, &self.public_key)
            .verify(signed.as_bytes(), &signature)
            .ok()?;
        let thumbprint = |algorithm| URL_SAFE_NO_PAD.encode(digest(algorithm, &self.der));
        let names_us = header.x5t == Some(thumbprint(&SHA1_FOR_LEGACY_USE_ONLY))
            || header.x5t_s256 == Some(thumbprint(&SHA256));
        let now = now();
        let is_fresh = claims.exp > now && claims.nbf.is_none_or(|start| start <= now);
        (names_us
            && is_fresh
            && claims.aud == audience
            && claims.iss == client_id
            && claims.sub == client_id
            && !claims.jti.is_empty())
        .then_some(())
    }
}
