//! `claviger grant`.

use std::process::ExitCode;

use claviger_proto::v1::{
    DeleteGrantRequest, Grant, ListGrantsRequest, ListGrantsResponse, PutGrantRequest,
};

use crate::ask::{Asking, full_name};
use crate::cli::{GrantCommand, PutGrant};
use crate::output::{show, table, time};
use crate::pages::{self, PAGE_SIZE};
use crate::stop::Stop;

pub(crate) async fn execute(asking: &Asking, command: &GrantCommand) -> Result<ExitCode, Stop> {
    match command {
        GrantCommand::Put(options) => put(asking, options).await?,
        GrantCommand::List { principal } => list(asking, principal.as_deref()).await?,
        GrantCommand::Delete { id } => delete(asking, id).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn put(asking: &Asking, options: &PutGrant) -> Result<(), Stop> {
    let grant = Grant {
        principal: options.principal.clone(),
        role: options.role.into(),
        resource: asking.resource(&options.resource)?,
        environment: asking.environment.clone(),
        expire_time: options.expire_time,
        purpose: options.purpose.clone().unwrap_or_default(),
        ..Default::default()
    };
    let request = PutGrantRequest { grant: Some(grant) };
    let mut access = asking.client().await?.access();
    let grant = access.put_grant(request).await?.into_inner();
    show(asking.is_json, &grant, || listed([&grant]))
}

async fn list(asking: &Asking, principal: Option<&str>) -> Result<(), Stop> {
    let service = asking.client().await?.access();
    let grants = pages::all(async |page_token| {
        let request = ListGrantsRequest {
            principal: principal.unwrap_or_default().to_owned(),
            page_size: PAGE_SIZE,
            page_token,
        };
        let page = service.clone().list_grants(request).await?.into_inner();
        Ok((page.grants, page.next_page_token))
    })
    .await?;
    let all = ListGrantsResponse {
        grants,
        ..Default::default()
    };
    show(asking.is_json, &all, || listed(&all.grants))
}

async fn delete(asking: &Asking, id: &str) -> Result<(), Stop> {
    let name = full_name("grants", id);
    let request = DeleteGrantRequest { name: name.clone() };
    let mut access = asking.client().await?.access();
    access.delete_grant(request).await?;
    show(asking.is_json, &(), || format!("{name} is taken back\n"))
}

/// Grants in a table.
pub(crate) fn listed<'a>(grants: impl IntoIterator<Item = &'a Grant>) -> String {
    let heads = ["PRINCIPAL", "ROLE", "RESOURCE", "ENVIRONMENT", "ONLY", "ID"];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(grants.into_iter().map(|grant| {
        [
            grant.principal.clone(),
            grant.role().as_str_name().to_owned(),
            grant.resource.clone(),
            grant.environment.clone(),
            limits(grant),
            grant.name.trim_start_matches("grants/").to_owned(),
        ]
    }));
    table(&rows)
}

/// Until when, and for which purpose.
fn limits(grant: &Grant) -> String {
    let end = grant.expire_time.is_some();
    let end = end.then(|| format!("until {}", time(&grant.expire_time)));
    let purpose = (!grant.purpose.is_empty()).then(|| format!("for {}", grant.purpose));
    let limits: Vec<_> = [end, purpose].into_iter().flatten().collect();
    limits.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_shows_its_limits() {
        let mut grant = Grant::default();
        assert_eq!(limits(&grant), "");
        grant.purpose = "nightly".to_owned();
        assert_eq!(limits(&grant), "for nightly");
        grant.expire_time = Some("2027-01-31T00:00:00Z".parse().unwrap());
        assert_eq!(limits(&grant), "until 2027-01-31T00:00:00Z, for nightly");
    }
}
