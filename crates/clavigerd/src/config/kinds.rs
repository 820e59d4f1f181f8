//! The kinds of vault, each with the settings that only it has.

use claviger_backend_aws::{Aws, AwsSettings};
use claviger_backend_azure::{Azure, AzureSettings, Credential};

use claviger_backend_snowflake::{Grantee, Reader, Snowflake, SnowflakeSettings, Storage};

use super::Table;

/// A kind of vault that this build has.
pub(crate) struct VaultKind {
    /// As written in the file.
    pub(crate) name: &'static str,
    /// Reads `[vaults.<id>.settings]`. Any other key in there is a problem.
    pub(crate) read_settings: fn(&mut Table<'_>) -> VaultSettings,
}

/// The settings of one vault, by kind.
#[derive(Debug)]
pub(crate) enum VaultSettings {
    /// AWS Secrets Manager.
    Aws(AwsSettings),
    /// Azure Key Vault.
    Azure(AzureSettings),
    /// Claviger's own vault has none.
    Managed,
    /// A Snowflake schema.
    Snowflake(Box<SnowflakeSettings>),
}

/// The kinds of vault that this build has. A new backend is one more line.
pub(crate) const VAULT_KINDS: &[VaultKind] = &[
    VaultKind {
        name: Aws::KIND,
        read_settings: read_aws,
    },
    VaultKind {
        name: Azure::KIND,
        read_settings: read_azure,
    },
    VaultKind {
        name: "managed",
        read_settings: |_| VaultSettings::Managed,
    },
    VaultKind {
        name: Snowflake::KIND,
        read_settings: read_snowflake,
    },
];

pub(super) fn read_aws(settings: &mut Table<'_>) -> VaultSettings {
    let region = settings.text("region");
    if !settings.has("region") {
        settings.missing(
            "region",
            "name the one the secrets are in, eu-central-1 for example",
        );
    }
    let has_region = region.is_some();
    let aws = AwsSettings {
        region: region.unwrap_or_default(),
        account_id: settings.text("account_id"),
        endpoint_url: settings.text("endpoint_url"),
        profile: settings.text("profile"),
        role_arn: settings.text("role_arn"),
        external_id: settings.text("external_id"),
        kms_key_id: settings.text("kms_key_id"),
        tags: settings.map("tags"),
    };
    for problem in aws.problems() {
        // Reported already.
        if problem.key != "region" || has_region {
            settings.wrong(problem.key, problem.remedy);
        }
    }
    VaultSettings::Aws(aws)
}

fn read_azure(settings: &mut Table<'_>) -> VaultSettings {
    let vault_url = settings.text("vault_url");
    if !settings.has("vault_url") {
        settings.missing("vault_url", "copy the vault URI from the portal");
    }
    let has_credential = settings.has("credential");
    let credential = match has_credential {
        true => settings.table("credential", read_credential),
        false => None,
    };
    let (has_url, is_read) = (vault_url.is_some(), credential.is_some());
    let azure = AzureSettings {
        vault_url: vault_url.unwrap_or_default(),
        credential,
    };
    let mut problems = azure.problems();
    if problems.is_empty() {
        problems = azure.file_problems();
    }
    for problem in problems {
        match problem.key {
            // Reported already.
            "vault_url" if !has_url => {}
            "credential" if has_credential && !is_read => {}
            "credential" | "vault_url" => settings.wrong(problem.key, problem.remedy),
            key => settings.wrong_in("credential", key, problem.remedy),
        }
    }
    VaultSettings::Azure(azure)
}

fn read_credential(credential: &mut Table<'_>) -> Option<Credential> {
    const REMEDY: &str = "is not a kind of credential; known: azure_cli, client_certificate, \
        client_secret, managed_identity, workload_identity";
    let text = |table: &mut Table<'_>, key: &str| table.text(key).unwrap_or_default();
    let file = |table: &mut Table<'_>, key: &str| table.path(key).map(|given| given.value);
    if !credential.has("kind") {
        credential.missing(
            "kind",
            "write the kind of credential: \"managed_identity\" for example",
        );
    }
    let kind = credential.parsed("kind", |kind| match kind {
        "azure_cli" | "client_certificate" | "client_secret" | "managed_identity"
        | "workload_identity" => Ok(kind.to_owned()),
        _ => Err(REMEDY),
    });
    let Some(kind) = kind else {
        for key in [
            "tenant_id",
            "client_id",
            "secret_file",
            "certificate_file",
            "token_file",
        ] {
            credential.skip(key);
        }
        return None;
    };
    Some(match kind.value.as_str() {
        "azure_cli" => Credential::AzureCli,
        "client_certificate" => Credential::ClientCertificate {
            tenant_id: text(credential, "tenant_id"),
            client_id: text(credential, "client_id"),
            certificate_file: file(credential, "certificate_file").unwrap_or_default(),
        },
        "client_secret" => Credential::ClientSecret {
            tenant_id: text(credential, "tenant_id"),
            client_id: text(credential, "client_id"),
            secret_file: file(credential, "secret_file").unwrap_or_default(),
        },
        "managed_identity" => Credential::ManagedIdentity {
            client_id: credential.text("client_id"),
        },
        _ => Credential::WorkloadIdentity {
            tenant_id: credential.text("tenant_id"),
            client_id: credential.text("client_id"),
            token_file: file(credential, "token_file"),
        },
    })
}

fn read_snowflake(settings: &mut Table<'_>) -> VaultSettings {
    let text = |table: &mut Table<'_>, key: &str| table.text(key).unwrap_or_default();
    let file = |table: &mut Table<'_>, key: &str| table.path(key).map(|given| given.value);
    let storage = settings.parsed("storage", |storage| match storage {
        "sealed_table" => Ok(Storage::SealedTable),
        "secret_objects" => Ok(Storage::SecretObjects),
        _ => Err("is not a way to store; write \"secret_objects\" or \"sealed_table\""),
    });
    let reader = settings.parsed("reader", |reader| match reader {
        "none" => Ok(false),
        "procedure" => Ok(true),
        _ => Err("is not a way to read; write \"none\" or \"procedure\""),
    });
    let reader_schema = text(settings, "reader_schema");
    let reader_integration = text(settings, "reader_integration");
    let has_reader = reader.is_some_and(|given| given.value);
    for (key, value) in [
        ("reader_schema", &reader_schema),
        ("reader_integration", &reader_integration),
    ] {
        match (has_reader, value.is_empty()) {
            (true, true) => settings.missing(key, "a reader procedure needs it"),
            (false, false) => {
                settings.wrong(key, "goes with reader = \"procedure\"; drop it or add that")
            }
            (true, false) | (false, true) => {}
        }
    }
    let application = settings
        .text("grant_to_application")
        .map(Grantee::Application);
    let role = settings.text("grant_to_role").map(Grantee::Role);
    if application.is_some() && role.is_some() {
        settings.wrong(
            "grant_to_role",
            "contradicts grant_to_application; drop one of the two",
        );
    }
    let defaults = SnowflakeSettings::default();
    let snowflake = SnowflakeSettings {
        account: text(settings, "account"),
        base_url: settings.text("base_url"),
        user: text(settings, "user"),
        private_key_file: file(settings, "private_key_file").unwrap_or_default(),
        private_key_password_file: file(settings, "private_key_password_file"),
        role: text(settings, "role"),
        warehouse: settings.text("warehouse"),
        database: text(settings, "database"),
        schema: settings.text("schema").unwrap_or(defaults.schema),
        storage: storage.map(|given| given.value),
        reader: has_reader.then_some(Reader {
            schema: reader_schema,
            integration: reader_integration,
        }),
        grantee: application.or(role),
    };
    let mut problems = snowflake.problems();
    if problems.is_empty() {
        problems = snowflake.file_problems();
    }
    for problem in problems {
        // What could not be read is reported already.
        let is_reported = problem.key == "storage" && settings.has("storage");
        if !is_reported {
            settings.wrong(problem.key, problem.remedy);
        }
    }
    VaultSettings::Snowflake(Box::new(snowflake))
}
