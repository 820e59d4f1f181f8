//! The kind as the daemon sees it, which looks into the files before it starts.

use std::sync::Arc;

use async_trait::async_trait;
use claviger_backend::private_file::{self, FileFault};
use claviger_backend::{Backend, BackendKind, BackendSettings, Opening};
use claviger_core::Result;
use claviger_settings::{SettingsProblem, Table};

use crate::assertion::Signer;
use crate::settings::{CERTIFICATE_FILE, SECRET_FILE, TOKEN_FILE};
use crate::{Azure, AzureSettings, Credential};

/// Azure Key Vault.
pub const KIND: BackendKind = BackendKind {
    name: Azure::KIND,
    read: |table| Box::new(read(table)),
};

/// Files are looked into when all else is right.
fn read(table: &mut Table<'_>) -> AzureSettings {
    let settings = AzureSettings::read(table);
    if settings.problems().is_empty() {
        table.report(settings.file_problems());
    }
    settings
}

#[async_trait]
impl BackendSettings for AzureSettings {
    async fn open(&self, opening: Opening) -> Result<Arc<dyn Backend>> {
        let store_id = opening.keyring.store_id();
        let azure = Azure::new(self, store_id, opening.timeout, opening.clock)?;
        Ok(Arc::new(azure))
    }
}

impl AzureSettings {
    /// Problems with the files that the credential names; for a daemon that is about to start.
    /// A file is read again whenever a token is needed, so that its content can be replaced.
    pub fn file_problems(&self) -> Vec<SettingsProblem> {
        let (key, found) = match &self.credential {
            Some(Credential::ClientCertificate {
                certificate_file, ..
            }) => {
                let pem = private_file::read(certificate_file);
                let signer = pem.and_then(|pem| Signer::from_pem(&pem).map(drop));
                (CERTIFICATE_FILE, signer.err())
            }
            Some(Credential::ClientSecret { secret_file, .. }) => {
                (SECRET_FILE, private_file::read(secret_file).err())
            }
            Some(Credential::WorkloadIdentity {
                token_file: Some(file),
                ..
            }) => (TOKEN_FILE, private_file::read_handed_over(file).err()),
            Some(
                Credential::AzureCli
                | Credential::ManagedIdentity { .. }
                | Credential::WorkloadIdentity { .. },
            )
            | None => return Vec::new(),
        };
        let problem = |fault: FileFault| SettingsProblem {
            key,
            remedy: fault.remedy(),
        };
        found.into_iter().map(problem).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const ID: &str = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";

    #[test]
    fn files_that_cannot_be_used_are_named_and_never_quoted() {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |name: &str, content: &str, mode: u32| {
            let path = dir.path().join(name);
            fs::write(&path, content).expect("written");
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("set");
            path
        };
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = rcgen::CertificateParams::default().self_signed(&key);
        let certificate = certificate.expect("a certificate").pem();
        let elliptic = format!("{}{certificate}", key.serialize_pem());
        for (path, in_secret, in_certificate) in [
            (
                dir.path().join("none"),
                Some("does not exist"),
                Some("does not exist"),
            ),
            (
                dir.path().to_path_buf(),
                Some("regular file"),
                Some("regular file"),
            ),
            (write("empty", " \n", 0o600), Some("empty"), Some("empty")),
            (write("open", "canary", 0o604), Some("chmod"), Some("chmod")),
            (write("good", "canary\n", 0o600), None, Some("private key")),
            (
                write("keyless", &certificate, 0o600),
                None,
                Some("private key"),
            ),
            (write("elliptic", &elliptic, 0o600), None, Some("not RSA")),
        ] {
            let certificate = Credential::ClientCertificate {
                tenant_id: ID.to_owned(),
                client_id: ID.to_owned(),
                certificate_file: path.clone(),
            };
            let secret = Credential::ClientSecret {
                tenant_id: ID.to_owned(),
                client_id: ID.to_owned(),
                secret_file: path.clone(),
            };
            for (credential, key, expected) in [
                (secret, SECRET_FILE, in_secret),
                (certificate, CERTIFICATE_FILE, in_certificate),
            ] {
                let settings = AzureSettings {
                    vault_url: "https://acme.vault.azure.net".to_owned(),
                    credential: Some(credential),
                };
                let found = settings.file_problems();
                let words: Vec<_> = expected.into_iter().collect();
                assert_eq!(found.len(), words.len(), "{path:?} {key}: {found:?}");
                for (problem, word) in found.iter().zip(words) {
                    assert_eq!(problem.key, key, "{path:?}");
                    assert!(problem.remedy.contains(word), "{path:?}: {problem:?}");
                    assert!(!problem.remedy.contains("canary"), "{problem:?}");
                }
            }
        }
    }
}
