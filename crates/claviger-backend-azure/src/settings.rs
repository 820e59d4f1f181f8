//! What an operator writes under `[vaults.<id>.settings]`, and what can be wrong with it.

use std::path::{Path, PathBuf};

use azure_core::cloud::CloudConfiguration;

use crate::assertion::Signer;
use crate::files::{self, FileProblem};

/// A cloud of Azure's.
pub(crate) struct Cloud {
    /// How the host names of its vaults end.
    zone: &'static str,
    /// Where applications log in.
    pub(crate) login_host: &'static str,
    /// The SDK's name for it.
    pub(crate) configuration: CloudConfiguration,
}

const CLOUDS: &[Cloud] = &[
    Cloud {
        zone: "vault.azure.cn",
        login_host: "login.chinacloudapi.cn",
        configuration: CloudConfiguration::AzureChina,
    },
    Cloud {
        zone: "vault.azure.net",
        login_host: "login.microsoftonline.com",
        configuration: CloudConfiguration::AzurePublic,
    },
    Cloud {
        zone: "vault.usgovcloudapi.net",
        login_host: "login.microsoftonline.us",
        configuration: CloudConfiguration::AzureGovernment,
    },
];

const VAULT_URL: &str = "vault_url";
const TENANT: &str = "tenant_id";
const CLIENT: &str = "client_id";
const SECRET_FILE: &str = "secret_file";
const CERTIFICATE_FILE: &str = "certificate_file";
const TOKEN_FILE: &str = "token_file";

const NOT_A_TENANT: &str = "is not the id of a tenant; write its directory id \
                            (00000000-0000-0000-0000-000000000000) or one of its domains";
const NOT_A_CLIENT: &str = "is not the id of an application or identity; write its client id \
                            (00000000-0000-0000-0000-000000000000)";
const NOT_ABSOLUTE: &str = "is not an absolute path; write the file's whole path";

/// The settings of one vault of kind `azure`. Holds no secrets: they stay in their files.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AzureSettings {
    /// `https://NAME.vault.azure.net`, or the same in a sovereign cloud.
    pub vault_url: String,
    /// Who Claviger is to the vault. Has to be there: none is guessed.
    pub credential: Option<Credential>,
}

/// Who Claviger is to a vault. A text that has to be there and is not is empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Credential {
    /// Who is logged in to the Azure CLI: for development.
    AzureCli,
    /// An application with a certificate.
    ClientCertificate {
        /// The application's tenant.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// PEM: an RSA key and its certificate.
        certificate_file: PathBuf,
    },
    /// An application with a client secret.
    ClientSecret {
        /// The application's tenant.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Holds the secret and nothing else.
        secret_file: PathBuf,
    },
    /// The machine's own identity, or one assigned to it.
    ManagedIdentity {
        /// The assigned one; else the machine's own.
        client_id: Option<String>,
    },
    /// A pod's identity. What is left out comes from the environment that the webhook sets.
    WorkloadIdentity {
        /// The identity's tenant.
        tenant_id: Option<String>,
        /// The identity.
        client_id: Option<String>,
        /// Holds the token of the pod's service account.
        token_file: Option<PathBuf>,
    },
}

/// A setting that cannot work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SettingsProblem {
    /// The key under `settings`, or under its `credential`.
    pub key: &'static str,
    /// What is wrong and the remedy.
    pub remedy: &'static str,
}

impl AzureSettings {
    /// Everything that is wrong, found without asking anybody or opening a file.
    pub fn problems(&self) -> Vec<SettingsProblem> {
        let mut problems = Vec::new();
        if self.cloud().is_none() {
            problems.push(SettingsProblem {
                key: VAULT_URL,
                remedy: "is not https://NAME.vault.azure.net (or .vault.azure.cn, \
                         .vault.usgovcloudapi.net) with the vault's name and nothing else; copy \
                         the vault URI from the portal",
            });
        }
        match &self.credential {
            Some(credential) => problems.extend(credential.problems()),
            None => problems.push(SettingsProblem {
                key: "credential",
                remedy: "is missing; say which one, { kind = \"managed_identity\" } for example \
                         (or workload_identity, client_secret, client_certificate, azure_cli)",
            }),
        }
        problems
    }

    /// What is wrong with the files that the credential names; for a daemon that is about to start.
    /// A file is read again whenever a token is needed, so that its content can be replaced.
    pub fn file_problems(&self) -> Vec<SettingsProblem> {
        let found = self.credential.as_ref().and_then(Credential::file_problem);
        found.into_iter().collect()
    }

    /// The vault's URL without a slash at its end.
    pub(crate) fn origin(&self) -> &str {
        self.vault_url.strip_suffix('/').unwrap_or(&self.vault_url)
    }

    /// The cloud of the vault; `None` if the URL is no vault's.
    pub(crate) fn cloud(&self) -> Option<&'static Cloud> {
        let host = self.origin().strip_prefix("https://")?;
        let (name, zone) = host.split_once('.')?;
        let cloud = CLOUDS.iter().find(|cloud| cloud.zone == zone);
        cloud.filter(|_| is_vault_name(name))
    }
}

impl Credential {
    fn problems(&self) -> Vec<SettingsProblem> {
        match self {
            Self::AzureCli => Vec::new(),
            Self::ClientCertificate {
                tenant_id,
                client_id,
                certificate_file,
            } => application(tenant_id, client_id, CERTIFICATE_FILE, certificate_file),
            Self::ClientSecret {
                tenant_id,
                client_id,
                secret_file,
            } => application(tenant_id, client_id, SECRET_FILE, secret_file),
            Self::ManagedIdentity { client_id } => {
                let client_id = client_id.as_deref().filter(|id| !is_uuid(id));
                let wrong = client_id.map(|_| problem(CLIENT, NOT_A_CLIENT));
                wrong.into_iter().collect()
            }
            Self::WorkloadIdentity {
                tenant_id,
                client_id,
                token_file,
            } => {
                let tenant = tenant_id.as_deref().filter(|id| !is_tenant(id));
                let client = client_id.as_deref().filter(|id| !is_uuid(id));
                let file = token_file.as_deref().filter(|file| !file.is_absolute());
                let wrong = [
                    tenant.map(|_| problem(TENANT, NOT_A_TENANT)),
                    client.map(|_| problem(CLIENT, NOT_A_CLIENT)),
                    file.map(|_| problem(TOKEN_FILE, NOT_ABSOLUTE)),
                ];
                wrong.into_iter().flatten().collect()
            }
        }
    }

    fn file_problem(&self) -> Option<SettingsProblem> {
        let (key, found) = match self {
            Self::ClientCertificate {
                certificate_file, ..
            } => {
                let pem = files::read_private(certificate_file);
                let signer = pem.and_then(|pem| Signer::from_pem(&pem).map(drop));
                (CERTIFICATE_FILE, signer.err())
            }
            Self::ClientSecret { secret_file, .. } => {
                (SECRET_FILE, files::read_private(secret_file).err())
            }
            Self::WorkloadIdentity {
                token_file: Some(file),
                ..
            } => (TOKEN_FILE, files::read_token(file).err()),
            Self::AzureCli | Self::ManagedIdentity { .. } | Self::WorkloadIdentity { .. } => {
                return None;
            }
        };
        found.map(|FileProblem { remedy, .. }| problem(key, remedy))
    }
}

fn application(
    tenant_id: &str,
    client_id: &str,
    file_key: &'static str,
    file: &Path,
) -> Vec<SettingsProblem> {
    let tenant = match tenant_id {
        "" => Some("is missing; write the directory id of the application's tenant"),
        id => (!is_tenant(id)).then_some(NOT_A_TENANT),
    };
    let client = match client_id {
        "" => Some("is missing; write the application's client id"),
        id => (!is_uuid(id)).then_some(NOT_A_CLIENT),
    };
    let file = match file.as_os_str().is_empty() {
        true if file_key == SECRET_FILE => {
            Some("is missing; write the path of a file that holds the client secret")
        }
        true => {
            Some("is missing; write the path of a PEM file with an RSA key and its certificate")
        }
        false => (!file.is_absolute()).then_some(NOT_ABSOLUTE),
    };
    let found = [(TENANT, tenant), (CLIENT, client), (file_key, file)].into_iter();
    found
        .filter_map(|(key, remedy)| Some(problem(key, remedy?)))
        .collect()
}

fn problem(key: &'static str, remedy: &'static str) -> SettingsProblem {
    SettingsProblem { key, remedy }
}

fn is_vault_name(name: &str) -> bool {
    (3..=24).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && !name.ends_with('-')
        && !name.contains("--")
}

/// A directory id or a domain. Words such as `common` are for people who log in.
fn is_tenant(text: &str) -> bool {
    let is_domain = text.split('.').count() > 1
        && text.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        });
    is_uuid(text) || is_domain
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups
            .iter()
            .all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const ID: &str = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";

    fn keys(url: &str, credential: Option<Credential>) -> Vec<&'static str> {
        let settings = AzureSettings {
            vault_url: url.to_owned(),
            credential,
        };
        let problems = settings.problems().into_iter();
        problems.map(|problem| problem.key).collect()
    }

    fn keys_of(credential: Credential) -> Vec<&'static str> {
        keys("https://acme.vault.azure.net", Some(credential))
    }

    fn secret(tenant_id: &str, client_id: &str, secret_file: &str) -> Credential {
        Credential::ClientSecret {
            tenant_id: tenant_id.to_owned(),
            client_id: client_id.to_owned(),
            secret_file: secret_file.into(),
        }
    }

    #[test]
    fn vault_url_is_that_of_a_vault_and_nothing_else() {
        for (url, is_vault) in [
            ("https://acme.vault.azure.net", true),
            ("https://acme.vault.azure.net/", true),
            ("https://Acme-1.vault.azure.cn", true),
            ("https://acme.vault.usgovcloudapi.net", true),
            ("http://acme.vault.azure.net", false),
            ("acme.vault.azure.net", false),
            ("https://acme.vault.azure.net:443", false),
            ("https://acme.vault.azure.net//", false),
            ("https://acme.vault.azure.net/secrets", false),
            ("https://user@acme.vault.azure.net", false),
            ("https://acme.vault.azure.net?x", false),
            ("https://acme.vault.azure.net.evil.example", false),
            ("https://a.b.vault.azure.net", false),
            ("https://ac.vault.azure.net", false),
            ("https://1acme.vault.azure.net", false),
            ("https://acme-.vault.azure.net", false),
            ("https://ac--me.vault.azure.net", false),
            ("https://abcdefghijklmnopqrstuvwxy.vault.azure.net", false),
            ("https://acme.managedhsm.azure.net", false),
            ("https://localhost:8443", false),
            ("", false),
        ] {
            let found = keys(url, Some(Credential::AzureCli));
            let expected: &[&str] = if is_vault { &[] } else { &["vault_url"] };
            assert_eq!(found, expected, "{url}");
        }
    }

    #[test]
    fn credential_is_not_guessed() {
        assert_eq!(keys("https://acme.vault.azure.net", None), ["credential"]);
    }

    #[test]
    fn half_given_credentials_are_named() {
        assert_eq!(keys_of(secret(ID, ID, "/run/secret")), [""; 0]);
        assert_eq!(
            keys_of(secret("acme.onmicrosoft.com", ID, "/run/secret")),
            [""; 0]
        );
        for (credential, key) in [
            (secret("", ID, "/run/secret"), "tenant_id"),
            (secret("common", ID, "/run/secret"), "tenant_id"),
            (secret("../x", ID, "/run/secret"), "tenant_id"),
            (secret(ID, "", "/run/secret"), "client_id"),
            (secret(ID, "claviger", "/run/secret"), "client_id"),
            (secret(ID, ID, ""), "secret_file"),
            (secret(ID, ID, "secret"), "secret_file"),
        ] {
            assert_eq!(keys_of(credential.clone()), [key], "{credential:?}");
        }
        let certificate = Credential::ClientCertificate {
            tenant_id: String::new(),
            client_id: String::new(),
            certificate_file: PathBuf::new(),
        };
        assert_eq!(
            keys_of(certificate),
            ["tenant_id", "client_id", "certificate_file"]
        );
        let managed = |client_id: Option<&str>| Credential::ManagedIdentity {
            client_id: client_id.map(str::to_owned),
        };
        assert_eq!(keys_of(managed(None)), [""; 0]);
        assert_eq!(keys_of(managed(Some(ID))), [""; 0]);
        assert_eq!(keys_of(managed(Some(""))), ["client_id"]);
        let workload = Credential::WorkloadIdentity {
            tenant_id: Some(String::new()),
            client_id: Some(String::new()),
            token_file: Some("token".into()),
        };
        assert_eq!(keys_of(workload), ["tenant_id", "client_id", "token_file"]);
    }

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
            (write("good", "canary\n", 0o640), None, Some("private key")),
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
            let secret = secret(ID, ID, path.to_str().expect("text"));
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
