//! What a daemon has, as far as the caller may see it.

use std::collections::BTreeSet;

use claviger_client::{Client, reason};
use claviger_core::{Clock as _, SystemClock};
use claviger_proto::v1::connection_profile::Auth;
use claviger_proto::v1::secret_definition::Kind;
use claviger_proto::v1::{
    ConnectionProfile, Grant, ListConnectionProfilesRequest, ListGrantsRequest,
    ListProjectsRequest, ListSecretDefinitionsRequest, SecretDefinition,
};
use prost_types::Timestamp;

use super::convert;
use super::items::{Content, Holding, Items, Name, Thing};
use super::words::Id;
use crate::pages::{self, PAGE_SIZE};
use crate::stop::Stop;

/// The label of a definition that a profile made for what was pasted into it.
const LABEL: &str = "connection_profile";

/// What there is.
pub(crate) struct Kept {
    pub(crate) items: Items,
    /// Why no grants are among it.
    pub(crate) hidden_grants: Option<String>,
}

impl Kept {
    /// Reads the projects that are asked for, with what is in them, and the grants on everything.
    pub(crate) async fn read(
        client: &Client,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<Self, Stop> {
        let mut items = Items::default();
        for project in projects(client).await? {
            let id = project.name.trim_start_matches("projects/").to_owned();
            if !is_wanted(&id) {
                continue;
            }
            let id = Id::try_from(id).map_err(Stop::failed)?;
            let content = Content::Project(convert::project(&project)?);
            let thing = Thing::kept(content, &project.etag);
            items.things.insert(Name::Project(id.clone()), thing);
            within(client, &id, &mut items).await?;
        }
        let mut hidden_grants = None;
        match grants(client).await? {
            Err(message) => hidden_grants = Some(message),
            Ok(grants) => {
                // First: what is not known of another project is no reason to refuse this one.
                let in_project = |resource: &str| {
                    let within = resource.strip_prefix("projects/")?;
                    Some(is_wanted(within.split('/').next()?))
                };
                for grant in grants {
                    if in_project(&grant.resource).unwrap_or(true) {
                        let given = items.grants.entry(Holding::of(&grant)?).or_default();
                        given.names.push(grant.name);
                    }
                }
            }
        }
        Ok(Self {
            items,
            hidden_grants,
        })
    }

    /// What a file is to have of it: no grants that have ended, that are on what is gone, or that
    /// belong to a token.
    pub(crate) fn for_file(self) -> Items {
        let Items {
            things, mut grants, ..
        } = self.items;
        let now = Timestamp::from(SystemClock.now());
        let is_over = |holding: &Holding| {
            let end = holding.wire().expire_time;
            end.is_some_and(|end| (end.seconds, end.nanos) <= (now.seconds, now.nanos))
        };
        grants.retain(|holding, _| {
            let is_there = holding.on().is_none_or(|name| things.contains_key(&name));
            is_there && !holding.is_of_token() && !is_over(holding)
        });
        Items {
            things,
            grants,
            ..Items::default()
        }
    }
}

async fn projects(client: &Client) -> Result<Vec<claviger_proto::v1::Project>, Stop> {
    let service = client.projects();
    pages::all(async |page_token| {
        let request = ListProjectsRequest {
            page_size: PAGE_SIZE,
            page_token,
        };
        let page = service.clone().list_projects(request).await?.into_inner();
        Ok((page.projects, page.next_page_token))
    })
    .await
}

/// The definitions and profiles of a project.
async fn within(client: &Client, project: &Id, items: &mut Items) -> Result<(), Stop> {
    let parent = format!("projects/{project}");
    let profiles = profiles(client, &parent).await?;
    let own = profiles.iter().filter_map(own_definition);
    let own: BTreeSet<_> = own.collect();
    let id = |text: &str| Id::try_from(text.to_owned()).map_err(Stop::failed);
    let mut made = BTreeSet::new();
    for definition in definitions(client, &parent).await? {
        let label = definition.labels.get(LABEL).map(String::as_str);
        let is_own = own.contains(&(definition.name.as_str(), label.unwrap_or_default()));
        if is_own || definition.kind() == Kind::StripeOauth {
            made.insert(definition.name);
            continue;
        }
        let name = Name::Definition(project.clone(), id(&definition.id)?);
        if definition.delete_time.is_some() {
            items.deleted.insert(name);
            continue;
        }
        let content = Content::Definition(Box::new(convert::definition(&definition)?));
        items
            .things
            .insert(name, Thing::kept(content, &definition.etag));
    }
    for profile in &profiles {
        let own = own_definition(profile);
        let is_own = own.is_some_and(|(definition, _)| made.contains(definition));
        let name = Name::Profile(project.clone(), id(&profile.id)?);
        if profile.delete_time.is_some() {
            items.deleted.insert(name);
            continue;
        }
        let content = Content::Profile(convert::profile(profile, is_own)?);
        items
            .things
            .insert(name, Thing::kept(content, &profile.etag));
    }
    Ok(())
}

/// The definition of an API key, with the label that it has if the profile made it.
fn own_definition(profile: &ConnectionProfile) -> Option<(&str, &str)> {
    match &profile.auth {
        Some(Auth::ApiKey(auth)) => Some((&auth.definition, &profile.id)),
        Some(Auth::Oauth(_)) | None => None,
    }
}

async fn definitions(client: &Client, parent: &str) -> Result<Vec<SecretDefinition>, Stop> {
    let service = client.definitions();
    pages::all(async |page_token| {
        let request = ListSecretDefinitionsRequest {
            parent: parent.to_owned(),
            page_size: PAGE_SIZE,
            page_token,
            show_deleted: true,
            ..Default::default()
        };
        let page = service.clone().list_secret_definitions(request).await?;
        let page = page.into_inner();
        Ok((page.definitions, page.next_page_token))
    })
    .await
}

async fn profiles(client: &Client, parent: &str) -> Result<Vec<ConnectionProfile>, Stop> {
    let service = client.profiles();
    pages::all(async |page_token| {
        let request = ListConnectionProfilesRequest {
            parent: parent.to_owned(),
            page_size: PAGE_SIZE,
            page_token,
            show_deleted: true,
            ..Default::default()
        };
        let page = service.clone().list_connection_profiles(request).await?;
        let page = page.into_inner();
        Ok((page.profiles, page.next_page_token))
    })
    .await
}

/// All grants that the caller may list, or why it may not: whoever keeps definitions need not be
/// one who keeps grants.
async fn grants(client: &Client) -> Result<Result<Vec<Grant>, String>, Stop> {
    let service = client.access();
    let mut denied = None;
    let grants = pages::all(async |page_token| {
        let request = ListGrantsRequest {
            page_size: PAGE_SIZE,
            page_token,
            ..Default::default()
        };
        let page = match service.clone().list_grants(request).await {
            Ok(page) => page.into_inner(),
            Err(status) if reason(&status).as_deref() == Some("ACCESS_DENIED") => {
                denied = Some(Stop::from(status).to_string());
                return Ok((Vec::new(), String::new()));
            }
            Err(status) => return Err(status),
        };
        Ok((page.grants, page.next_page_token))
    })
    .await?;
    Ok(denied.map_or(Ok(grants), Err))
}
