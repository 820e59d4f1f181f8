//! `claviger adopt`: definitions for the secrets that a vault has already.

mod ids;
mod place;
mod progress;
mod proposals;
mod told;
mod walk;

use std::collections::BTreeMap;
use std::process::ExitCode;

use claviger_client::{Client, Service};
use claviger_proto::v1::environment::StripeMode;
use claviger_proto::v1::secret_definition_service_client::SecretDefinitionServiceClient;
use claviger_proto::v1::{
    GetProjectRequest, ListSecretDefinitionsRequest, PutSecretDefinitionRequest, SecretDefinition,
};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::signal::unix::SignalKind;
use uuid::Uuid;

use crate::ask::Asking;
use crate::cli::Adopt;
use crate::output::print;
use crate::pages::{self, PAGE_SIZE};
use crate::patience::patiently;
use crate::signals::Signals;
use crate::stop::{Stop, judged};
use place::Taken;
use progress::Progress;
use proposals::{Proposal, Proposals, Target};
use walk::{AT_ONCE, Walk, is_about_one};

pub(crate) async fn adopt(asking: &Asking, options: &Adopt) -> Result<ExitCode, Stop> {
    let mut interrupt = Signals::catch(&[SignalKind::interrupt()])?;
    let progress = Progress::new();
    let ended = tokio::select! {
        ended = carry_out(asking, options, &progress) => {
            ended.map_err(|stop| match progress.told() {
                Some(told) => stop.about(&told),
                None => stop,
            })
        }
        () = interrupt.any() => {
            let told = progress.told().unwrap_or_else(|| "nothing was inspected".to_owned());
            Err(Stop::interrupted(told))
        }
    };
    progress.end();
    let (proposals, target) = ended?;
    print(match asking.is_json {
        true => format!("{:#}\n", told::document(&proposals, &target.vault)?),
        false => told::text(&proposals, options.apply),
    })?;
    let mut proposed = proposals.proposed.iter();
    Ok(judged(proposed.all(|proposal| proposal.refusal.is_empty())))
}

async fn carry_out(
    asking: &Asking,
    options: &Adopt,
    progress: &Progress,
) -> Result<(Proposals, Target), Stop> {
    let client = asking.client().await?;
    let vault = options
        .vault
        .strip_prefix("vaults/")
        .unwrap_or(&options.vault);
    let target = target(asking, &client, vault).await?;
    let definitions = client.definitions();
    let all = definitions_of(asking, &definitions, &target.project, None).await?;
    let in_vault = definitions_of(asking, &definitions, &target.project, Some(vault)).await?;
    let taken = Taken::new(&all, &in_vault, vault);
    let walk = Walk {
        service: client.vaults(),
        project: target.project.clone(),
        vault: vault.to_owned(),
        taken: &taken,
        patience: asking.patience,
        progress,
    };
    let mut proposals = Proposals::of(walk.walk().await?, &taken, &target);
    if !proposals.proposed.is_empty() {
        proposals.remark_twins(&walk.registered().await);
    }
    if options.apply {
        progress.registering(proposals.proposed.len());
        let puts = proposals.proposed.iter_mut();
        let puts = puts.map(|proposal| register(asking, &definitions, proposal, progress));
        let puts = stream::iter(puts).buffered(AT_ONCE);
        puts.try_collect::<()>().await?;
    }
    Ok((proposals, target))
}

/// The project, and the modes of keys that its environments take.
async fn target(asking: &Asking, client: &Client, vault: &str) -> Result<Target, Stop> {
    let request = GetProjectRequest {
        name: asking.project()?,
    };
    let get = async || client.projects().get_project(request.clone()).await;
    let project = patiently(asking.patience, get).await?.into_inner();
    let environment = asking.environment.clone();
    let environments = project.environments.iter();
    let modes = environments.map(|(id, declared)| (id.clone(), declared.stripe_mode()));
    let mut modes: BTreeMap<String, StripeMode> = modes.collect();
    if !environment.is_empty() {
        if !modes.contains_key(&environment) {
            let declared: Vec<_> = modes.into_keys().collect();
            return Err(Stop::usage(format!(
                "{} has no environment {environment}; it has {}",
                project.name,
                match declared.is_empty() {
                    true => "none, so leave --environment away".to_owned(),
                    false => declared.join(", "),
                }
            )));
        }
        modes.retain(|id, _| *id == environment);
    }
    Ok(Target {
        project: project.name,
        vault: vault.to_owned(),
        environment,
        modes,
    })
}

/// Those with a location in a vault, or all whose ids are taken, the deleted ones too.
async fn definitions_of(
    asking: &Asking,
    service: &SecretDefinitionServiceClient<Service>,
    project: &str,
    vault: Option<&str>,
) -> Result<Vec<SecretDefinition>, Stop> {
    pages::all(async |page_token: String| {
        let request = ListSecretDefinitionsRequest {
            parent: project.to_owned(),
            page_size: PAGE_SIZE,
            page_token,
            vault: vault.unwrap_or_default().to_owned(),
            show_deleted: vault.is_none(),
            ..Default::default()
        };
        let list = async || {
            service
                .clone()
                .list_secret_definitions(request.clone())
                .await
        };
        let page = patiently(asking.patience, list).await?.into_inner();
        Ok((page.definitions, page.next_page_token))
    })
    .await
}

/// Without a value: the vault is not written. The daemon judges once more what is there now.
async fn register(
    asking: &Asking,
    service: &SecretDefinitionServiceClient<Service>,
    proposal: &mut Proposal,
    progress: &Progress,
) -> Result<(), Stop> {
    let request = PutSecretDefinitionRequest {
        definition: Some(proposal.definition.clone()),
        request_id: Uuid::new_v4().to_string(),
        ..Default::default()
    };
    let put = async || service.clone().put_secret_definition(request.clone()).await;
    match patiently(asking.patience, put).await {
        Ok(answer) => {
            let warnings = answer.into_inner().warnings.into_iter();
            let warnings = warnings.map(|warning| warning.reason);
            let new = warnings.filter(|reason| !proposal.remarks.contains(reason));
            let new: Vec<_> = new.collect();
            proposal.remarks.extend(new);
            proposal.is_registered = true;
        }
        Err(status) if is_about_one(&status) => {
            proposal.refusal = Stop::from(status).to_string();
        }
        Err(status) => return Err(status.into()),
    }
    progress.done_one();
    Ok(())
}
