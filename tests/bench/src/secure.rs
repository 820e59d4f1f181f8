//! TLS with a certificate on either side: the files, and what a client connects with.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use claviger_raw::Authority;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::step::Result;

/// Who the client's certificate is of.
pub(crate) const CLIENT: &str = "spiffe://acme.example/bench";

/// Makes the files of a server and of a client with a certificate; returns the daemon's configuration.
pub(crate) fn configure(dir: &Path) -> Result<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let (root, acme) = (Authority::new("root", now), Authority::new("acme", now));
    let (server, client) = (root.server(&["localhost"]), acme.client(&[CLIENT], |_| ()));
    for (name, text) in [
        ("root.crt", &root.pem()),
        ("server.crt", &server.certificate),
        ("server.key", &server.key),
        ("acme.crt", &acme.pem()),
        ("client.crt", &client.certificate),
        ("client.key", &client.key),
    ] {
        fs::write(dir.join(name), text)?;
        fs::set_permissions(dir.join(name), Permissions::from_mode(0o600))?;
    }
    let dir = dir.display();
    Ok(format!(
        "[tls]\n\
         certificate_file = \"{dir}/server.crt\"\n\
         private_key_file = \"{dir}/server.key\"\n\
         client_auth = \"required\"\n\
         client_ca_file = \"{dir}/acme.crt\"\n\
         spiffe_trust_domain = \"acme.example\"\n"
    ))
}

/// What a client connects with that has the files in this directory.
pub(crate) fn connector(files: &Path) -> Result<TlsConnector> {
    Ok(TlsConnector::from(Arc::new(client_config(files)?)))
}

/// The name of the server.
pub(crate) fn server_name() -> Result<ServerName<'static>> {
    Ok(ServerName::try_from("localhost")?)
}

/// The configuration of such a client.
pub(crate) fn client_config(files: &Path) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(files.join("root.crt"))?)?;
    let chain = CertificateDer::pem_file_iter(files.join("client.crt"))?;
    let key = PrivateKeyDer::from_pem_file(files.join("client.key"))?;
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(roots);
    let mut config =
        builder.with_client_auth_cert(chain.collect::<std::result::Result<_, _>>()?, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
