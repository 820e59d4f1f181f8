//! A vault of the fake's, and the console beside it.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use claviger_backend::testkit::Console;
use claviger_backend_azure::{Azure, AzureSettings, Credential};
use claviger_core::{SystemClock, Uid};
use claviger_keyvault_fake::{Fake, VaultHandle};
use tempfile::NamedTempFile;

const TIMEOUT: Duration = Duration::from_secs(60);

/// What the environment's proxy and certificate variables do for the daemon.
fn through(fake: &Fake, trusted: &str) -> reqwest::Client {
    let certificate = reqwest::Certificate::from_pem(trusted.as_bytes());
    reqwest::Client::builder()
        .proxy(reqwest::Proxy::all(fake.proxy_url()).expect("a proxy"))
        .tls_certs_only([certificate.expect("a certificate")])
        .build()
        .expect("a client")
}

pub(crate) fn file(content: &str) -> NamedTempFile {
    let file = NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), content).expect("written");
    file
}

pub(crate) fn with_credential(fake: &Fake, vault: &str, credential: Credential) -> Azure {
    trusting(fake.ca_pem(), fake, vault, credential)
}

fn trusting(trusted: &str, fake: &Fake, vault: &str, credential: Credential) -> Azure {
    let settings = AzureSettings {
        vault_url: fake.vault(vault).url(),
        credential: Some(credential),
    };
    assert_eq!(settings.problems(), []);
    assert_eq!(settings.file_problems(), []);
    let (http, clock) = (Arc::new(through(fake, trusted)), Arc::new(SystemClock));
    Azure::with_transport(&settings, http, Uid::random(), TIMEOUT, clock).expect("set up")
}

/// The service, and what its clients log in with.
pub(crate) struct Cloud {
    pub(crate) fake: Fake,
    secret_file: NamedTempFile,
}

impl Cloud {
    pub(crate) fn start() -> Self {
        // It drives a runtime of its own, which cannot be inside another.
        let fake = thread::spawn(Fake::start).join().expect("started");
        let secret_file = file(fake.client_secret());
        Self { fake, secret_file }
    }

    pub(crate) fn azure(&self, vault: &str) -> Azure {
        self.azure_trusting(self.fake.ca_pem(), vault)
    }

    /// A client that knows this authority only.
    pub(crate) fn azure_trusting(&self, authority: &str, vault: &str) -> Azure {
        let credential = Credential::ClientSecret {
            tenant_id: self.fake.tenant().to_owned(),
            client_id: self.fake.client_id().to_owned(),
            secret_file: self.secret_file.path().to_path_buf(),
        };
        trusting(authority, &self.fake, vault, credential)
    }
}

/// Acts in Azure past Claviger.
pub(crate) struct AzureConsole(pub(crate) VaultHandle);

#[async_trait]
impl Console for AzureConsole {
    async fn put(&self, secret: &str, text: &str) {
        self.0.set(secret, text, &[]);
    }

    async fn delete(&self, secret: &str) {
        self.0.delete(secret);
    }
}
