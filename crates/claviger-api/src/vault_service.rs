//! `VaultService`.

use std::sync::Arc;

use claviger_access::Call;
use claviger_broker::{InspectReport, InspectSecret, ListedSecret, PageRequest, VaultView};
use claviger_core::{ProjectName, Result, VaultName};
use claviger_proto::v1;

use crate::convert;
use crate::fitting;
use crate::handler::Api;

pub(crate) async fn list_vaults(
    api: &Api,
    call: Call,
    _: v1::ListVaultsRequest,
) -> Result<v1::ListVaultsResponse> {
    let vaults = api.broker.list_vaults(&Arc::new(call)).await?;
    Ok(v1::ListVaultsResponse {
        vaults: vaults.iter().map(wire).collect(),
    })
}

pub(crate) async fn check_vault(
    api: &Api,
    call: Call,
    request: v1::CheckVaultRequest,
) -> Result<v1::CheckVaultResponse> {
    let name = VaultName::parse("name", &request.name)?;
    let (vault, check) = api.broker.check_vault(&Arc::new(call), &name).await?;
    let error = check.err();
    Ok(v1::CheckVaultResponse {
        vault: Some(wire(&vault)),
        ok: error.is_none(),
        reason: convert::reason(error.as_ref()),
        message: convert::told(error.as_ref()),
        credentials: vault.credentials,
    })
}

pub(crate) async fn list_vault_secrets(
    api: &Api,
    call: Call,
    request: v1::ListVaultSecretsRequest,
) -> Result<v1::ListVaultSecretsResponse> {
    let vault = VaultName::parse("parent", &request.parent)?;
    let project = ProjectName::parse("project", &request.project)?;
    let page = PageRequest::parse(request.page_size, &request.page_token)?;
    let page = api
        .broker
        .list_vault_secrets(&Arc::new(call), &vault, &project, &page)
        .await?;
    let (secrets, next_page_token) = fitting::page(page, wire_secret);
    Ok(v1::ListVaultSecretsResponse {
        secrets,
        next_page_token,
    })
}

pub(crate) async fn inspect_vault_secret(
    api: &Api,
    call: Call,
    request: v1::InspectVaultSecretRequest,
) -> Result<v1::InspectVaultSecretResponse> {
    let inspect = InspectSecret {
        vault: VaultName::parse("name", &request.name)?,
        project: ProjectName::parse("project", &request.project)?,
        secret: convert::exact("secret", &request.secret)?.unwrap_or_default(),
        property: convert::exact("property", &request.property)?,
        is_whole: request.whole,
        version: convert::exact("version", &request.version)?,
        kind: convert::kind("kind", request.kind)?,
    };
    let call = call.with(&[("whole", inspect.is_whole)]);
    let report = api.broker.inspect_secret(&Arc::new(call), &inspect).await?;
    Ok(inspected(report))
}

fn inspected(report: InspectReport) -> v1::InspectVaultSecretResponse {
    let judged_as = report.judged_as.map(convert::wire_kind).unwrap_or_default();
    v1::InspectVaultSecretResponse {
        version: report.version.to_string(),
        age: report.age.and_then(|age| age.try_into().ok()),
        properties: report.properties,
        hidden_properties: i32::try_from(report.hidden_properties).unwrap_or(i32::MAX),
        format: Some(convert::check(&report.format)),
        judged_as: judged_as.into(),
        kind: report.kind.as_ref().map(convert::check),
        stripe: report.stripe.as_ref().map(convert::stripe_verdict),
        warnings: convert::warnings(&report.warnings),
        fingerprint: report.fingerprint.unwrap_or_default(),
    }
}

fn wire_secret(secret: ListedSecret) -> v1::VaultSecret {
    v1::VaultSecret {
        secret: secret.name,
        ours: secret.is_ours,
        change_time: secret.change_time.and_then(convert::timestamp),
    }
}

fn wire(vault: &VaultView) -> v1::Vault {
    let able = vault.capabilities;
    v1::Vault {
        name: vault.name.to_string(),
        kind: vault.kind.to_owned(),
        capabilities: Some(v1::vault::Capabilities {
            secret: able.secret,
            property: able.property,
            version: able.version,
            disable_version: able.disable_version,
            destroy_version: able.destroy_version,
            value_bytes_max: i64::try_from(able.value_bytes_max).unwrap_or(i64::MAX),
            list: able.list,
            inspect: able.latest,
        }),
    }
}
