//! The certificate authority of the fake: one certificate for each host that is asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

/// Signs certificates that live as long as the fake.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    configs: Mutex<BTreeMap<String, Arc<ServerConfig>>>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "Claviger tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
            configs: Mutex::default(),
        }
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// How to end TLS for this host.
    pub(crate) fn config(&self, host: &str) -> Arc<ServerConfig> {
        let mut configs = self.configs.lock().expect("no panic while locked");
        let config = configs
            .entry(host.to_owned())
            .or_insert_with(|| Arc::new(self.issue(host)));
        Arc::clone(config)
    }

    fn issue(&self, host: &str) -> ServerConfig {
        let mut params = CertificateParams::new([host.to_owned()]).expect("a host name");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .expect("the key belongs to the certificate")
    }
}
