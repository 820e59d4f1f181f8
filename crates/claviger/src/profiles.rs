//! `claviger profile`.

mod connect;
mod find;
mod put;
mod show;

use std::process::ExitCode;

use claviger_proto::v1::stripe_live_verdict::Outcome;
use claviger_proto::v1::{
    DeleteConnectionProfileRequest, DisconnectInstallRequest, GetConnectionProfileRequest,
    ListConnectionProfilesRequest, ListConnectionProfilesResponse, ResolveConnectionRequest,
    TestConnectionRequest, UndeleteConnectionProfileRequest,
};

use crate::ask::Asking;
use crate::cli::ProfileCommand;
use crate::confirm::confirm;
use crate::output::{self, warn};
use crate::pages::{self, PAGE_SIZE};
use crate::reveal::{print_value, refuse_terminal};
use crate::stop::{Stop, judged};

pub(crate) async fn execute(asking: &Asking, command: &ProfileCommand) -> Result<ExitCode, Stop> {
    match command {
        ProfileCommand::Put(options) => put::put(asking, options).await?,
        ProfileCommand::Connect(options) => connect::connect(asking, options).await?,
        ProfileCommand::Get { id } => get(asking, id).await?,
        ProfileCommand::List { show_deleted } => list(asking, *show_deleted).await?,
        ProfileCommand::Delete { id, purge, yes } => delete(asking, id, *purge, *yes).await?,
        ProfileCommand::Undelete { id } => undelete(asking, id).await?,
        ProfileCommand::Test { id } => return test(asking, id).await,
        ProfileCommand::Disconnect { id } => disconnect(asking, id).await?,
        ProfileCommand::Resolve { id, reveal } => resolve(asking, id, *reveal).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn get(asking: &Asking, id: &str) -> Result<(), Stop> {
    let request = GetConnectionProfileRequest {
        name: asking.profile(id)?,
    };
    let mut profiles = asking.client().await?.profiles();
    let profile = profiles.get_connection_profile(request).await?;
    let profile = profile.into_inner();
    output::show(asking.is_json, &profile, || show::profile(&profile))
}

async fn list(asking: &Asking, show_deleted: bool) -> Result<(), Stop> {
    let parent = asking.project()?;
    let service = asking.client().await?.profiles();
    let profiles = pages::all(async |page_token| {
        let request = ListConnectionProfilesRequest {
            parent: parent.clone(),
            page_size: PAGE_SIZE,
            page_token,
            show_deleted,
            ..Default::default()
        };
        let page = service.clone().list_connection_profiles(request).await?;
        let page = page.into_inner();
        Ok((page.profiles, page.next_page_token))
    })
    .await?;
    let all = ListConnectionProfilesResponse {
        profiles,
        ..Default::default()
    };
    output::show(asking.is_json, &all, || show::list(&all.profiles))
}

async fn delete(asking: &Asking, id: &str, purge: bool, is_meant: bool) -> Result<(), Stop> {
    let name = asking.profile(id)?;
    if purge {
        let lost = "will be gone for good, with all that was pasted into it.";
        confirm(&format!("{name} {lost}"), is_meant)?;
    }
    let request = DeleteConnectionProfileRequest {
        name,
        purge,
        ..Default::default()
    };
    let mut profiles = asking.client().await?.profiles();
    let answer = profiles.delete_connection_profile(request).await?;
    let answer = answer.into_inner();
    warn(&answer.warnings);
    output::show(asking.is_json, &answer, || {
        answer
            .profile
            .as_ref()
            .map(show::profile)
            .unwrap_or_default()
    })
}

async fn undelete(asking: &Asking, id: &str) -> Result<(), Stop> {
    let request = UndeleteConnectionProfileRequest {
        name: asking.profile(id)?,
    };
    let mut profiles = asking.client().await?.profiles();
    let profile = profiles.undelete_connection_profile(request).await?;
    let profile = profile.into_inner();
    output::show(asking.is_json, &profile, || show::profile(&profile))
}

async fn test(asking: &Asking, id: &str) -> Result<ExitCode, Stop> {
    let request = TestConnectionRequest {
        name: asking.profile(id)?,
        environment: asking.environment.clone(),
    };
    let mut profiles = asking.client().await?.profiles();
    let answer = profiles.test_connection(request).await?.into_inner();
    output::show(asking.is_json, &answer, || show::test(&answer))?;
    let live = answer.live.as_ref().map(|live| live.outcome());
    let is_well = live.is_some_and(|live| [Outcome::Works, Outcome::Limited].contains(&live));
    Ok(judged(is_well))
}

async fn disconnect(asking: &Asking, id: &str) -> Result<(), Stop> {
    let request = DisconnectInstallRequest {
        name: asking.profile(id)?,
    };
    let mut profiles = asking.client().await?.profiles();
    let answer = profiles.disconnect_install(request).await?.into_inner();
    output::show(asking.is_json, &answer, || {
        answer
            .install
            .as_ref()
            .map(show::install)
            .unwrap_or_default()
    })
}

async fn resolve(asking: &Asking, id: &str, reveal: bool) -> Result<(), Stop> {
    refuse_terminal(reveal)?;
    let request = ResolveConnectionRequest {
        name: asking.profile(id)?,
        environment: asking.environment.clone(),
        ..Default::default()
    };
    let mut profiles = asking.client().await?.profiles();
    let answer = profiles.resolve_connection(request).await?.into_inner();
    match asking.is_json {
        true => output::show(true, &answer, String::new),
        false => print_value(answer.credential.as_bytes()),
    }
}
