//! `claviger vault`.

use std::process::ExitCode;

use claviger_proto::v1::vault::Capabilities;
use claviger_proto::v1::{
    CheckVaultRequest, CheckVaultResponse, InspectVaultSecretRequest, InspectVaultSecretResponse,
    ListVaultSecretsRequest, ListVaultSecretsResponse, ListVaultsRequest,
};

use crate::ask::{Asking, full_name};
use crate::cli::{Inspect, VaultCommand};
use crate::output::{age, fields, show, table, time, warn};
use crate::pages::{self, PAGE_SIZE};
use crate::stop::{Stop, judged};
use crate::verdict;

pub(crate) async fn execute(asking: &Asking, command: &VaultCommand) -> Result<ExitCode, Stop> {
    match command {
        VaultCommand::List => list(asking).await,
        VaultCommand::Check { id } => check(asking, id).await,
        VaultCommand::Secrets { id } => secrets(asking, id).await,
        VaultCommand::Inspect(options) => inspect(asking, options).await,
    }
}

async fn list(asking: &Asking) -> Result<ExitCode, Stop> {
    let mut vaults = asking.client().await?.vaults();
    let all = vaults.list_vaults(ListVaultsRequest {}).await?.into_inner();
    show(asking.is_json, &all, || {
        let mut rows = vec![["ID", "KIND", "CAPABILITIES"].map(str::to_owned)];
        rows.extend(all.vaults.iter().map(|vault| {
            [
                vault.name.trim_start_matches("vaults/").to_owned(),
                vault.kind.clone(),
                vault.capabilities.as_ref().map(told).unwrap_or_default(),
            ]
        }));
        table(&rows)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn told(capabilities: &Capabilities) -> String {
    let all = [
        ("secret", capabilities.secret),
        ("property", capabilities.property),
        ("version", capabilities.version),
        ("disable", capabilities.disable_version),
        ("destroy", capabilities.destroy_version),
        ("list", capabilities.list),
        ("inspect", capabilities.inspect),
    ];
    let all = all.into_iter().filter(|(_, is_there)| *is_there);
    all.map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}

async fn check(asking: &Asking, id: &str) -> Result<ExitCode, Stop> {
    let name = full_name("vaults", id);
    let mut vaults = asking.client().await?.vaults();
    let answer = vaults.check_vault(CheckVaultRequest { name }).await?;
    let answer = answer.into_inner();
    show(asking.is_json, &answer, || checked(&answer))?;
    Ok(judged(answer.ok))
}

fn checked(answer: &CheckVaultResponse) -> String {
    let vault = answer.vault.clone().unwrap_or_default();
    let state = match answer.ok {
        true => "ok".to_owned(),
        false => format!("{} [{}]", answer.message, answer.reason),
    };
    fields([
        ["name", &vault.name],
        ["kind", &vault.kind],
        ["credentials", &answer.credentials],
        ["state", &state],
    ])
}

async fn secrets(asking: &Asking, id: &str) -> Result<ExitCode, Stop> {
    let project = asking.project()?;
    let service = asking.client().await?.vaults();
    let secrets = pages::all(async |page_token| {
        let request = ListVaultSecretsRequest {
            parent: full_name("vaults", id),
            project: project.clone(),
            page_size: PAGE_SIZE,
            page_token,
        };
        let page = service.clone().list_vault_secrets(request).await?;
        let page = page.into_inner();
        Ok((page.secrets, page.next_page_token))
    })
    .await?;
    let all = ListVaultSecretsResponse {
        secrets,
        ..Default::default()
    };
    show(asking.is_json, &all, || {
        let mut rows = vec![["SECRET", "OURS", "CHANGED"].map(str::to_owned)];
        rows.extend(all.secrets.iter().map(|secret| {
            let ours = if secret.ours { "*" } else { "" };
            let changed = time(&secret.change_time);
            [secret.secret.clone(), ours.to_owned(), changed]
        }));
        table(&rows)
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn inspect(asking: &Asking, options: &Inspect) -> Result<ExitCode, Stop> {
    let request = InspectVaultSecretRequest {
        name: full_name("vaults", &options.id),
        project: asking.project()?,
        secret: options.secret.clone(),
        property: options.property.clone().unwrap_or_default(),
        version: options.version.clone().unwrap_or_default(),
        kind: options.kind.unwrap_or_default().into(),
        whole: options.whole,
    };
    let mut vaults = asking.client().await?.vaults();
    let answer = vaults.inspect_vault_secret(request).await?.into_inner();
    warn(&answer.warnings);
    show(asking.is_json, &answer, || inspected(&answer))?;
    let mut verdicts = [&answer.format, &answer.kind].into_iter().flatten();
    Ok(judged(verdicts.all(|verdict| verdict.ok)))
}

fn inspected(answer: &InspectVaultSecretResponse) -> String {
    let verdict = |verdict: &Option<_>| verdict.as_ref().map(verdict::told).unwrap_or_default();
    let stripe = answer.stripe.as_ref().map(verdict::stripe);
    let mut properties = answer.properties.join(", ");
    if answer.hidden_properties > 0 {
        properties.push_str(&format!(" and {} more", answer.hidden_properties));
    }
    fields([
        ["version", &answer.version],
        ["age", &age(&answer.age)],
        ["properties", &properties],
        ["format", &verdict(&answer.format)],
        ["judged as", answer.judged_as().as_str_name()],
        ["kind", &verdict(&answer.kind)],
        ["stripe", &stripe.unwrap_or_default()],
        ["fingerprint", &answer.fingerprint],
    ])
}
