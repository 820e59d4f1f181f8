//! `claviger project`.

use std::process::ExitCode;

use claviger_client::Service;
use claviger_core::Reason;
use claviger_proto::v1::project_service_client::ProjectServiceClient;
use claviger_proto::v1::{
    DeleteProjectRequest, Environment, GetProjectRequest, ListProjectsRequest,
    ListProjectsResponse, Project, PutProjectRequest,
};

use crate::ask::{Asking, full_name};
use crate::cli::{ProjectCommand, PutProject};
use crate::output::{end, fields, show, table, time};
use crate::pages::{self, PAGE_SIZE};
use crate::stop::{Stop, found};

pub(crate) async fn execute(asking: &Asking, command: &ProjectCommand) -> Result<ExitCode, Stop> {
    match command {
        ProjectCommand::Put(options) => put(asking, options).await?,
        ProjectCommand::Get { id } => get(asking, id).await?,
        ProjectCommand::List => list(asking).await?,
        ProjectCommand::Delete { id } => delete(asking, id).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn put(asking: &Asking, options: &PutProject) -> Result<(), Stop> {
    let name = full_name("projects", &options.id);
    let mut projects = asking.client().await?.projects();
    let mut project = existing(&mut projects, &name).await?;
    apply(options, &mut project);
    let request = PutProjectRequest {
        project: Some(project),
        validate_only: options.dry_run,
    };
    let answer = projects.put_project(request).await;
    let answer = answer.map_err(|status| Stop::of_change(status, &name, "project get"))?;
    let answer = answer.into_inner();
    show(asking.is_json, &answer, || {
        let mut text = answer.project.as_ref().map(told).unwrap_or_default();
        if options.dry_run {
            text.push_str(&format!("{name}{}", end(true)));
        }
        text
    })
}

/// The project as it is, with its etag; a new one if there is none.
async fn existing(
    projects: &mut ProjectServiceClient<Service>,
    name: &str,
) -> Result<Project, Stop> {
    let name = name.to_owned();
    let request = GetProjectRequest { name: name.clone() };
    let project = found(projects.get_project(request).await, Reason::ProjectNotFound)?;
    Ok(project.unwrap_or_else(|| Project {
        name,
        ..Default::default()
    }))
}

/// Changes what the options name.
fn apply(options: &PutProject, project: &mut Project) {
    if let Some(description) = &options.description {
        project.description.clone_from(description);
    }
    if let Some(vault) = &options.default_vault {
        project.default_vault.clone_from(vault);
    }
    for named in &options.environments {
        let environment = project.environments.entry(named.environment.clone());
        let environment = environment.or_default();
        if let Some(vault) = &named.vault {
            environment.default_vault.clone_from(vault);
        }
    }
    for (environment, mode) in &options.modes {
        let environment = project.environments.entry(environment.clone());
        environment.or_default().stripe_mode = (*mode).into();
    }
    for environment in &options.removed_environments {
        project.environments.remove(environment);
    }
}

async fn get(asking: &Asking, id: &str) -> Result<(), Stop> {
    let name = full_name("projects", id);
    let mut projects = asking.client().await?.projects();
    let project = projects.get_project(GetProjectRequest { name }).await?;
    let project = project.into_inner();
    show(asking.is_json, &project, || told(&project))
}

fn told(project: &Project) -> String {
    fields([
        ["name", &project.name],
        ["description", &project.description],
        ["default vault", &project.default_vault],
        ["environments", &environments(project)],
        ["etag", &project.etag],
        ["updated", &time(&project.update_time)],
    ])
}

/// The environments by their ids, each with the mode and the vault that it has.
fn environments(project: &Project) -> String {
    let mut all: Vec<_> = project.environments.iter().collect();
    all.sort_by_key(|(id, _)| *id);
    let all = all.into_iter().map(|(id, environment)| {
        let parts = [mode(environment), &environment.default_vault];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        match parts.is_empty() {
            true => id.clone(),
            false => format!("{id} ({})", parts.join(", ")),
        }
    });
    all.collect::<Vec<_>>().join(", ")
}

fn mode(environment: &Environment) -> &'static str {
    match environment.stripe_mode {
        0 => "",
        _ => environment.stripe_mode().as_str_name(),
    }
}

async fn list(asking: &Asking) -> Result<(), Stop> {
    let service = asking.client().await?.projects();
    let projects = pages::all(async |page_token| {
        let request = ListProjectsRequest {
            page_size: PAGE_SIZE,
            page_token,
        };
        let page = service.clone().list_projects(request).await?.into_inner();
        Ok((page.projects, page.next_page_token))
    })
    .await?;
    let all = ListProjectsResponse {
        projects,
        ..Default::default()
    };
    show(asking.is_json, &all, || {
        let mut rows =
            vec![["ID", "DEFAULT VAULT", "ENVIRONMENTS", "DESCRIPTION"].map(str::to_owned)];
        rows.extend(all.projects.iter().map(|project| {
            [
                project.name.trim_start_matches("projects/").to_owned(),
                project.default_vault.clone(),
                environments(project),
                project.description.clone(),
            ]
        }));
        table(&rows)
    })
}

async fn delete(asking: &Asking, id: &str) -> Result<(), Stop> {
    let name = full_name("projects", id);
    let request = DeleteProjectRequest {
        name: name.clone(),
        ..Default::default()
    };
    let mut projects = asking.client().await?.projects();
    projects.delete_project(request).await?;
    show(asking.is_json, &(), || format!("{name} is deleted\n"))
}

#[cfg(test)]
mod tests {
    use claviger_proto::v1::environment::StripeMode;

    use super::*;
    use crate::cli::DefaultVault;

    #[test]
    fn what_no_option_names_stays() {
        let environment = |vault: &str, mode: StripeMode| Environment {
            default_vault: vault.to_owned(),
            stripe_mode: mode.into(),
        };
        let named = |environment: &str, vault: Option<&str>| DefaultVault {
            environment: environment.to_owned(),
            vault: vault.map(str::to_owned),
        };
        let mut project = Project {
            description: "kept".to_owned(),
            default_vault: "aws".to_owned(),
            etag: "e".to_owned(),
            environments: [
                ("dev", environment("azure", StripeMode::Test)),
                ("old", environment("", StripeMode::Unspecified)),
                ("prod", environment("azure", StripeMode::Live)),
            ]
            .map(|(id, environment)| (id.to_owned(), environment))
            .into(),
            ..Default::default()
        };
        let options = PutProject {
            default_vault: Some(String::new()),
            environments: vec![
                named("dev", None),
                named("prod", Some("")),
                named("new", None),
            ],
            modes: vec![("new".to_owned(), StripeMode::Test)],
            removed_environments: vec!["old".to_owned()],
            ..PutProject::default()
        };
        apply(&options, &mut project);
        assert_eq!(project.description, "kept");
        assert_eq!(project.etag, "e");
        assert_eq!(project.default_vault, "");
        assert_eq!(
            environments(&project),
            "dev (TEST, azure), new (TEST), prod (LIVE)"
        );
    }
}
