//! The operator's table `[vaults.<id>.settings]`, and the rules that it keeps.

use std::path::{Path, PathBuf};

use azure_core::cloud::CloudConfiguration;
use claviger_settings::{SettingsProblem, Table, is_uuid};

/// A cloud of Azure's.
pub(crate) struct Cloud {
    /// How the host names of its vaults end.
    zone: &'static str,
    /// Where applications log in.
    pub(crate) login_host: &'static str,
    /// How the domains end that its tenants are given.
    tenants: &'static str,
    /// The SDK's name for it.
    pub(crate) configuration: CloudConfiguration,
}

const CLOUDS: &[Cloud] = &[
    Cloud {
        zone: "vault.azure.cn",
        login_host: "login.chinacloudapi.cn",
        tenants: ".onmschina.cn",
        configuration: CloudConfiguration::AzureChina,
    },
    Cloud {
        zone: "vault.azure.net",
        login_host: "login.microsoftonline.com",
        tenants: ".onmicrosoft.com",
        configuration: CloudConfiguration::AzurePublic,
    },
    Cloud {
        zone: "vault.usgovcloudapi.net",
        login_host: "login.microsoftonline.us",
        tenants: ".onmicrosoft.us",
        configuration: CloudConfiguration::AzureGovernment,
    },
];

const VAULT_URL: &str = "vault_url";
const CREDENTIAL: &str = "credential";
const TENANT: &str = "credential.tenant_id";
const CLIENT: &str = "credential.client_id";
pub(crate) const SECRET_FILE: &str = "credential.secret_file";
pub(crate) const CERTIFICATE_FILE: &str = "credential.certificate_file";
pub(crate) const TOKEN_FILE: &str = "credential.token_file";

const NOT_A_KIND: &str = "is not a kind of credential; known: azure_cli, client_certificate, \
                          client_secret, managed_identity, workload_identity";
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
    /// The identity that Claviger has at the vault. Has to be there: none is guessed.
    pub credential: Option<Credential>,
}

/// The identity that Claviger has at a vault. A text that has to be there and is not is empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Credential {
    /// The user logged in to the Azure CLI: for development.
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
    /// A pod's identity. Settings left out come from the environment that the webhook sets.
    WorkloadIdentity {
        /// The identity's tenant.
        tenant_id: Option<String>,
        /// The identity.
        client_id: Option<String>,
        /// Holds the token of the pod's service account.
        token_file: Option<PathBuf>,
    },
}

impl AzureSettings {
    /// Reads them; everything wrong goes to the table's problems. Opens no file.
    pub fn read(table: &mut Table<'_>) -> Self {
        table.require(VAULT_URL, "copy the vault URI from the portal");
        let vault_url = table.text(VAULT_URL).unwrap_or_default();
        let is_named = table.has(CREDENTIAL);
        let credential = match is_named {
            true => table.table(CREDENTIAL, Credential::read),
            false => None,
        };
        let settings = Self {
            vault_url,
            credential,
        };
        let mut problems = settings.problems();
        // The problems of one that is there are known already.
        problems.retain(|problem| problem.key != CREDENTIAL || !is_named);
        table.report(problems);
        settings
    }

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
            Some(credential) => {
                problems.extend(credential.problems());
                let is_elsewhere = |cloud| credential.is_of_another_cloud(cloud);
                if self.cloud().is_some_and(is_elsewhere) {
                    problems.push(problem(
                        TENANT,
                        "is a tenant of another cloud of Azure than vault_url (onmicrosoft.com, \
                         onmicrosoft.us, onmschina.cn), which knows nobody of it; correct one of \
                         the two",
                    ));
                }
            }
            None => problems.push(SettingsProblem {
                key: CREDENTIAL,
                remedy: "is missing; say which one, { kind = \"managed_identity\" } for example \
                         (or workload_identity, client_secret, client_certificate, azure_cli)",
            }),
        }
        problems
    }

    /// The vault's URL without a slash at its end.
    pub(crate) fn origin(&self) -> &str {
        self.vault_url.strip_suffix('/').unwrap_or(&self.vault_url)
    }

    /// The cloud of the vault; `None` if the URL is not that of a vault.
    pub(crate) fn cloud(&self) -> Option<&'static Cloud> {
        let host = self.origin().strip_prefix("https://")?;
        let (name, zone) = host.split_once('.')?;
        let mut clouds = CLOUDS.iter();
        let cloud = clouds.find(|cloud| cloud.zone.eq_ignore_ascii_case(zone));
        cloud.filter(|_| is_vault_name(name))
    }
}

impl Credential {
    fn read(table: &mut Table<'_>) -> Option<Self> {
        table.require(
            "kind",
            "write the kind of credential: \"managed_identity\" for example",
        );
        let kind = table.parsed("kind", |kind| {
            Ok::<fn(&mut Table<'_>) -> Self, _>(match kind {
                "azure_cli" => |_| Self::AzureCli,
                "client_certificate" => |table| Self::ClientCertificate {
                    tenant_id: table.text("tenant_id").unwrap_or_default(),
                    client_id: table.text("client_id").unwrap_or_default(),
                    certificate_file: table.path("certificate_file").unwrap_or_default(),
                },
                "client_secret" => |table| Self::ClientSecret {
                    tenant_id: table.text("tenant_id").unwrap_or_default(),
                    client_id: table.text("client_id").unwrap_or_default(),
                    secret_file: table.path("secret_file").unwrap_or_default(),
                },
                "managed_identity" => |table| Self::ManagedIdentity {
                    client_id: table.text("client_id"),
                },
                "workload_identity" => |table| Self::WorkloadIdentity {
                    tenant_id: table.text("tenant_id"),
                    client_id: table.text("client_id"),
                    token_file: table.path("token_file"),
                },
                _ => return Err(NOT_A_KIND),
            })
        });
        if kind.is_none() {
            table.skip(&[
                "tenant_id",
                "client_id",
                "secret_file",
                "certificate_file",
                "token_file",
            ]);
        }
        Some(kind?(table))
    }

    /// Whether its tenant has a domain that only another cloud gives.
    fn is_of_another_cloud(&self, cloud: &Cloud) -> bool {
        let tenant = match self {
            Self::AzureCli | Self::ManagedIdentity { .. } => None,
            Self::ClientCertificate { tenant_id, .. } | Self::ClientSecret { tenant_id, .. } => {
                Some(tenant_id)
            }
            Self::WorkloadIdentity { tenant_id, .. } => tenant_id.as_ref(),
        };
        tenant.is_some_and(|tenant| {
            let tenant = tenant.to_ascii_lowercase();
            let mut others = CLOUDS.iter().filter(|other| other.zone != cloud.zone);
            others.any(|other| tenant.ends_with(other.tenants))
        })
    }

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

#[cfg(test)]
mod tests {
    use claviger_settings::{Problems, read_document};

    use super::*;

    const ID: &str = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";

    fn keys(url: &str, credential: Option<Credential>) -> Vec<&'static str> {
        let settings = AzureSettings {
            vault_url: url.to_owned(),
            credential,
        };
        let problems = settings.problems().into_iter();
        problems
            .map(|problem| problem.key.trim_start_matches("credential."))
            .collect()
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
            ("https://ACME.Vault.Azure.NET/", true),
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
    fn tenant_is_of_the_cloud_of_the_vault() {
        let zones = ["azure.net", "usgovcloudapi.net", "azure.cn"];
        let tenants = ["onmicrosoft.com", "onmicrosoft.us", "partner.onmschina.cn"];
        for (zone, own) in zones.into_iter().zip(tenants) {
            let url = format!("https://acme.vault.{zone}");
            for tenant in tenants {
                let credential = secret(&format!("Acme.{tenant}"), ID, "/run/secret");
                let found = keys(&url, Some(credential));
                let expected: &[&str] = if tenant == own { &[] } else { &["tenant_id"] };
                assert_eq!(found, expected, "{zone} {tenant}");
            }
            let credential = secret("acme.example", ID, "/run/secret");
            assert_eq!(keys(&url, Some(credential)), [""; 0], "{zone}");
        }
    }

    #[test]
    fn every_kind_of_credential_is_read_with_what_it_needs() {
        let application = |kind: &str, file: &str| {
            format!("kind = \"{kind}\", tenant_id = \"{ID}\", client_id = \"{ID}\", {file}")
        };
        for (table, expected) in [
            ("kind = \"azure_cli\"".to_owned(), Credential::AzureCli),
            (
                "kind = \"managed_identity\"".to_owned(),
                Credential::ManagedIdentity { client_id: None },
            ),
            (
                format!("kind = \"managed_identity\", client_id = \"{ID}\""),
                Credential::ManagedIdentity {
                    client_id: Some(ID.to_owned()),
                },
            ),
            (
                "kind = \"workload_identity\"".to_owned(),
                Credential::WorkloadIdentity {
                    tenant_id: None,
                    client_id: None,
                    token_file: None,
                },
            ),
            (
                application("workload_identity", "token_file = \"/run/token\""),
                Credential::WorkloadIdentity {
                    tenant_id: Some(ID.to_owned()),
                    client_id: Some(ID.to_owned()),
                    token_file: Some("/run/token".into()),
                },
            ),
            (
                application("client_secret", "secret_file = \"/run/secret\""),
                secret(ID, ID, "/run/secret"),
            ),
            (
                application("client_certificate", "certificate_file = \"/run/pem\""),
                Credential::ClientCertificate {
                    tenant_id: ID.to_owned(),
                    client_id: ID.to_owned(),
                    certificate_file: "/run/pem".into(),
                },
            ),
        ] {
            let vault_url = "https://acme.vault.azure.net";
            let text = format!("vault_url = \"{vault_url}\"\ncredential = {{ {table} }}");
            let mut problems = Problems::new(None);
            let read = read_document(&text, &mut problems, AzureSettings::read);
            let expected = AzureSettings {
                vault_url: vault_url.to_owned(),
                credential: Some(expected),
            };
            assert_eq!(
                (read, problems.to_string()),
                (Some(expected), String::new())
            );
        }
    }
}
