//! The kinds of vault, each with the settings that only it has.

use claviger_backend_aws::{Aws, AwsSettings};
use claviger_backend_azure::{Azure, AzureSettings, Credential};

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
];

fn read_aws(settings: &mut Table<'_>) -> VaultSettings {
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
