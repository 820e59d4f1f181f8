//! How an application with a certificate proves itself to Entra: a short-lived JWT of our own,
//! signed with the certificate's key. RSA only, because Entra takes nothing else. And how a pod does:
//! by the token of its service account.
//!
//! The SDK's credential for the one needs OpenSSL, which Claviger does not have; the one for the
//! other blocks on the file, whatever it is.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{KeyPair as _, RsaKeyPair};
use azure_core::base64::encode_url_safe;
use azure_core::http::ClientMethodOptions;
use azure_identity::ClientAssertion;
use claviger_backend::private_file::{self, FileFault};
use claviger_core::{Clock, SecretBytes, Uid};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use pkcs8::PrivateKeyInfo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use crate::login::{self, LoginFailure};

/// How long an assertion is good for.
const LIFETIME: Duration = Duration::from_secs(5 * 60);

/// How far Entra's clock may be behind ours.
const SKEW: Duration = Duration::from_secs(2 * 60);

const NO_KEY: &str = "names a file without a private key; put the RSA key of the certificate into \
                      it, as PEM and not encrypted";
const ENCRYPTED_KEY: &str = "names a file whose private key is encrypted, and there is no password to open it with; put it \
                             there unencrypted, for the daemon's user only: openssl pkcs8 -in OLD -out NEW";
const NOT_RSA: &str =
    "names a file whose private key is not RSA of 2048 bits or more, and Entra takes no other";
const NO_CERTIFICATE: &str = "names a file without a certificate; put it beside its key, as PEM";
const OTHER_CERTIFICATE: &str =
    "names a file whose certificates are of other keys than the private key in it";

/// A key, and the certificate that Entra knows it by.
pub(crate) struct Signer {
    key: EncodingKey,
    /// Base64 of the certificate's SHA-256.
    thumbprint: String,
}

impl Signer {
    /// Takes the private key, and of the certificates the key's own.
    pub(crate) fn from_pem(pem: &SecretBytes) -> Result<Self, FileFault> {
        let is_encrypted = || pem.expose().windows(9).any(|window| window == b"ENCRYPTED");
        let key =
            PrivateKeyDer::from_pem_slice(pem.expose()).map_err(|_| match is_encrypted() {
                true => ENCRYPTED_KEY,
                false => NO_KEY,
            })?;
        let key = match &key {
            PrivateKeyDer::Pkcs1(key) => key.secret_pkcs1_der(),
            PrivateKeyDer::Pkcs8(key) => {
                let info = PrivateKeyInfo::try_from(key.secret_pkcs8_der());
                info.map_err(|_| NOT_RSA)?.private_key
            }
            PrivateKeyDer::Sec1(_) | _ => return Err(NOT_RSA.into()),
        };
        let pair = RsaKeyPair::from_der(key).map_err(|_| NOT_RSA)?;
        let certificates = CertificateDer::pem_slice_iter(pem.expose());
        let certificates: Vec<CertificateDer<'_>> = certificates
            .collect::<Result<_, _>>()
            .map_err(|_| NO_CERTIFICATE)?;
        if certificates.is_empty() {
            return Err(NO_CERTIFICATE.into());
        }
        // A certificate holds its public key as it is.
        let public = pair.public_key().as_ref();
        let is_own = |der: &&CertificateDer<'_>| {
            let mut parts = der.as_ref().windows(public.len());
            parts.any(|part| part == public)
        };
        let own = certificates.iter().find(is_own).ok_or(OTHER_CERTIFICATE)?;
        Ok(Self {
            key: EncodingKey::from_rsa_der(key),
            thumbprint: encode_url_safe(digest(&SHA256, own)),
        })
    }

    /// An assertion that it is `client_id` that asks at `audience`, good from `now`.
    fn sign(&self, client_id: &str, audience: &str, now: Duration) -> Option<String> {
        let mut header = Header::new(Algorithm::PS256);
        header.x5t_s256 = Some(self.thumbprint.clone());
        let claims = json!({
            "aud": audience,
            "exp": (now + LIFETIME).as_secs(),
            "iat": now.as_secs(),
            "iss": client_id,
            "jti": Uid::random().to_string(),
            "nbf": now.saturating_sub(SKEW).as_secs(),
            "sub": client_id,
        });
        jsonwebtoken::encode(&header, &claims, &self.key).ok()
    }
}

/// Reads the file and signs whenever Entra is asked.
pub(crate) struct CertificateAssertion {
    pub(crate) file: PathBuf,
    pub(crate) client_id: String,
    /// Where the assertion will be sent.
    pub(crate) audience: String,
    pub(crate) clock: Arc<dyn Clock>,
}

#[async_trait]
impl ClientAssertion for CertificateAssertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let file = self.file.clone();
        let pem = login::in_background(move || private_file::read(&file)).await?;
        let signer = Signer::from_pem(&pem).map_err(LoginFailure::from)?;
        let now = self.clock.now().duration_since(UNIX_EPOCH);
        let signed = signer.sign(&self.client_id, &self.audience, now.unwrap_or_default());
        signed.ok_or_else(|| LoginFailure::from(FileFault::Unusable(NOT_RSA)).into())
    }
}

impl fmt::Debug for CertificateAssertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAssertion")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// Reads the token of a pod's service account whenever Entra is asked.
pub(crate) struct TokenFile(pub(crate) PathBuf);

#[async_trait]
impl ClientAssertion for TokenFile {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let file = self.0.clone();
        let token = login::in_background(move || private_file::read_handed_over(&file)).await?;
        login::text(token)
    }
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenFile").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
    use azure_core::base64::decode_url_safe;
    use pkcs8::LineEnding;
    use pkcs8::der::pem::encode_string;
    use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
    use serde_json::Value;

    use super::*;

    fn rsa() -> KeyPair {
        KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key")
    }

    fn certificate(key: &KeyPair) -> rcgen::Certificate {
        let params = CertificateParams::default();
        params.self_signed(key).expect("a certificate")
    }

    fn signer(pem: &str) -> Result<Signer, FileFault> {
        Signer::from_pem(&SecretBytes::new(pem.into()))
    }

    fn json(part: &str) -> Value {
        serde_json::from_slice(&decode_url_safe(part).expect("base64")).expect("JSON")
    }

    fn verify(key: &KeyPair, assertion: &str) {
        let (signed, signature) = assertion.rsplit_once('.').expect("three parts");
        let signature = decode_url_safe(signature).expect("base64");
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key.public_key_raw())
            .verify(signed.as_bytes(), &signature)
            .expect("signed with the key");
    }

    #[test]
    fn assertion_is_signed_short_lived_and_names_the_certificate_of_its_key() {
        let (key, other) = (rsa(), rsa());
        let own = certificate(&key);
        let pem = format!(
            "{}{}{}",
            certificate(&other).pem(),
            key.serialize_pem(),
            own.pem()
        );
        let signer = signer(&pem).expect("usable");
        let sign = || {
            let now = Duration::from_secs(1_795_348_800);
            signer
                .sign("app", "https://login/token", now)
                .expect("signed")
        };
        let assertion = sign();
        verify(&key, &assertion);
        let mut parts = assertion.split('.');
        let (header, claims) = (parts.next().unwrap(), parts.next().unwrap());
        let thumbprint = encode_url_safe(digest(&SHA256, own.der()));
        assert_eq!(
            json(header),
            json!({"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint})
        );
        let mut claims = json(claims);
        let id = claims["jti"].take();
        assert_eq!(
            claims,
            json!({
                "aud": "https://login/token",
                "exp": 1_795_349_100,
                "iat": 1_795_348_800,
                "iss": "app",
                "jti": null,
                "nbf": 1_795_348_680,
                "sub": "app",
            })
        );
        assert_ne!(
            json(sign().split('.').nth(1).expect("claims"))["jti"],
            id,
            "an assertion is used once"
        );
    }

    #[test]
    fn a_key_as_openssl_wrote_it_before_pkcs8_signs_too() {
        let key = rsa();
        let pkcs8 = key.serialize_der();
        let pkcs1 = PrivateKeyInfo::try_from(&*pkcs8).unwrap().private_key;
        let pem = encode_string("RSA PRIVATE KEY", LineEnding::LF, pkcs1).unwrap();
        let signer = signer(&format!("{pem}{}", certificate(&key).pem())).expect("usable");
        let assertion = signer.sign("app", "https://login/token", Duration::ZERO);
        verify(&key, &assertion.expect("signed"));
    }

    #[test]
    fn key_of_another_kind_is_refused() {
        let key = KeyPair::generate().expect("a key");
        let pem = format!("{}{}", key.serialize_pem(), certificate(&key).pem());
        let problem = signer(&pem).err().expect("unusable");
        assert!(problem.remedy().contains("not RSA"), "{problem:?}");
    }

    #[test]
    fn key_and_certificate_have_to_belong_together() {
        let (key, other) = (rsa(), rsa());
        for (pem, word) in [
            (certificate(&key).pem(), "private key"),
            (key.serialize_pem(), "without a certificate"),
            (
                format!("{}{}", key.serialize_pem(), certificate(&other).pem()),
                "other keys",
            ),
            ("canary".to_owned(), "without a private key"),
            (
                key.serialize_pem().replace("PRIVATE", "ENCRYPTED PRIVATE"),
                "key is encrypted",
            ),
        ] {
            let problem = signer(&pem).err().expect("unusable");
            assert!(problem.remedy().contains(word), "{problem:?}");
        }
    }
}
