//! Everything that is compared: by full name, in the order in which it can be made.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use claviger_core::Resource;
use claviger_proto::v1;
use serde::Serialize;

use super::document::{DaemonGrant, Definition, Document, Grant, Profile, Project};
use super::place::Place;
use super::words::{self, Id, Role, Time};
use crate::stop::Stop;

/// What a grant on everything is on.
const EVERYTHING: &str = "*";

/// How the holders begin that are tokens.
const TOKEN: &str = "token:";

/// What a file wants, or what a daemon has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Items {
    pub(crate) things: BTreeMap<Name, Thing>,
    /// Each with where it stands, or with the names of the grants that the daemon has of it: more
    /// than one if some are on what had the name before.
    pub(crate) grants: BTreeMap<Holding, Given>,
    /// What has a name that is not free, because it may come back.
    pub(crate) deleted: BTreeSet<Name>,
}

/// A project comes before what is in it, and a definition before the profile that leads to it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Name {
    Project(Id),
    Definition(Id, Id),
    Profile(Id, Id),
}

#[derive(Clone, Debug)]
pub(crate) struct Thing {
    pub(crate) content: Content,
    pub(crate) place: Place,
    /// Empty in a file.
    pub(crate) etag: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Content {
    Project(Project),
    Definition(Box<Definition>),
    Profile(Profile),
}

/// A grant; any difference makes it another one.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Holding {
    pub(crate) project: Option<Id>,
    /// In full.
    pub(crate) resource: String,
    pub(crate) principal: String,
    pub(crate) role: Role,
    pub(crate) environment: Option<Id>,
    /// As text, which has an order.
    pub(crate) expire_time: Option<Time>,
    pub(crate) purpose: String,
}

/// Where a grant comes from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    pub(crate) place: Place,
    pub(crate) names: Vec<String>,
}

impl Name {
    pub(crate) fn project(&self) -> &Id {
        match self {
            Self::Project(project) | Self::Definition(project, _) | Self::Profile(project, _) => {
                project
            }
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project(project) => write!(f, "projects/{project}"),
            Self::Definition(project, id) => write!(f, "projects/{project}/secrets/{id}"),
            Self::Profile(project, id) => write!(f, "projects/{project}/connectionProfiles/{id}"),
        }
    }
}

impl Thing {
    pub(crate) fn kept(content: Content, etag: &str) -> Self {
        Self {
            content,
            place: Place::default(),
            etag: etag.to_owned(),
        }
    }
}

impl Content {
    /// A profile that leads to a definition has nothing of its own that would be lost, and as long as
    /// it could come back its definition could not be deleted.
    pub(crate) fn is_only_a_pointer(&self) -> bool {
        match self {
            Self::Project(_) | Self::Definition(_) => false,
            Self::Profile(profile) => {
                let key = profile.api_key.as_ref();
                key.is_some_and(|key| key.definition.is_some())
            }
        }
    }

    /// What has to be there before it, for the thing of this name.
    pub(crate) fn needs(&self, name: &Name) -> Vec<Name> {
        let project = name.project();
        let of_project = Name::Project(project.clone());
        match self {
            Self::Project(_) => Vec::new(),
            Self::Definition(_) => vec![of_project],
            Self::Profile(profile) => {
                let key = profile.api_key.as_ref();
                let definition = key.and_then(|key| key.definition.as_ref());
                let definition = definition.map(|id| id.value.clone());
                let definition = definition.map(|id| Name::Definition(project.clone(), id));
                [of_project].into_iter().chain(definition).collect()
            }
        }
    }
}

impl Holding {
    /// A grant that a daemon has.
    pub(crate) fn of(wire: &v1::Grant) -> Result<Self, Stop> {
        // SECURITY: whatever a newer daemon says here is a limit. Without it the file would give more.
        let unknown = || words::unknown().about(&wire.name);
        let resource = Resource::parse("resource", &wire.resource).map_err(|_| unknown())?;
        let id = |text: &str| Id::try_from(text.to_owned()).map_err(|_| unknown());
        let project = resource.project().map(|project| id(project.id().as_str()));
        let environment = Some(&*wire.environment).filter(|text| !text.is_empty());
        if project.is_none() && environment.is_some() {
            return Err(unknown());
        }
        Ok(Self {
            project: project.transpose()?,
            resource: wire.resource.clone(),
            principal: wire.principal.clone(),
            role: Role::of(wire.role()).ok_or_else(unknown)?,
            environment: environment.map(id).transpose()?,
            expire_time: wire.expire_time.map(Time),
            purpose: wire.purpose.clone(),
        })
    }

    pub(crate) fn wire(&self) -> v1::Grant {
        let environment = self.environment.as_ref();
        v1::Grant {
            principal: self.principal.clone(),
            role: self.role.number(),
            resource: self.resource.clone(),
            environment: environment.map(Id::to_string).unwrap_or_default(),
            expire_time: self.expire_time.as_ref().map(|time| time.0),
            purpose: self.purpose.clone(),
            ..Default::default()
        }
    }

    /// What has to be there for it; `None` for everything.
    pub(crate) fn on(&self) -> Option<Name> {
        let project = self.project.clone()?;
        let within = self.resource.split('/').skip(2).collect::<Vec<_>>();
        let id = |id: &str| Id::try_from(id.to_owned()).ok();
        match within.as_slice() {
            ["secrets", definition] => Some(Name::Definition(project, id(definition)?)),
            ["connectionProfiles", profile] => Some(Name::Profile(project, id(profile)?)),
            _ => Some(Name::Project(project)),
        }
    }

    /// A token is in no file, and its grants end with it.
    pub(crate) fn is_of_token(&self) -> bool {
        self.principal.starts_with(TOKEN)
    }

    fn in_project(project: &Id, grant: &Grant) -> Self {
        let within = grant.resource.as_ref();
        let within = within.map(|resource| format!("/{resource}"));
        Self {
            project: Some(project.clone()),
            resource: format!("projects/{project}{}", within.unwrap_or_default()),
            principal: grant.principal.value.clone(),
            role: grant.role,
            environment: grant.environment.clone(),
            expire_time: grant.expire_time.clone(),
            purpose: grant.purpose.clone(),
        }
    }

    fn on_everything(grant: &DaemonGrant) -> Self {
        Self {
            project: None,
            resource: EVERYTHING.to_owned(),
            principal: grant.principal.value.clone(),
            role: grant.role,
            environment: None,
            expire_time: grant.expire_time.clone(),
            purpose: grant.purpose.clone(),
        }
    }
}

impl fmt::Display for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = v1::Role::from(self.role).as_str_name();
        write!(f, "{role} on {} to {}", self.resource, self.principal)?;
        let environment = self.environment.as_ref().map(Id::to_string);
        let time = self.expire_time.clone().map(String::from);
        let limits = [
            (" in ", environment.unwrap_or_default()),
            (" until ", time.unwrap_or_default()),
            (" for ", self.purpose.clone()),
        ];
        let mut limits = limits.iter().filter(|(_, limit)| !limit.is_empty());
        limits.try_for_each(|(word, limit)| write!(f, "{word}{limit}"))
    }
}

impl From<Document> for Items {
    fn from(document: Document) -> Self {
        let mut items = Self::default();
        for (id, mut project) in document.projects {
            let mut add = |name, content, place| {
                let etag = String::new();
                let thing = Thing {
                    content,
                    place,
                    etag,
                };
                items.things.insert(name, thing);
            };
            let in_it = &id.value;
            for (id, definition) in std::mem::take(&mut project.definitions) {
                let name = Name::Definition(in_it.clone(), id.value);
                add(name, Content::Definition(Box::new(definition)), id.place);
            }
            for (id, profile) in std::mem::take(&mut project.profiles) {
                let name = Name::Profile(in_it.clone(), id.value);
                add(name, Content::Profile(profile), id.place);
            }
            let grants = std::mem::take(&mut project.grants);
            add(
                Name::Project(in_it.clone()),
                Content::Project(project),
                id.place,
            );
            items.grants.extend(grants.iter().map(|grant| {
                let given = Given {
                    place: grant.principal.place,
                    ..Given::default()
                };
                (Holding::in_project(in_it, grant), given)
            }));
        }
        items.grants.extend(document.grants.iter().map(|grant| {
            let given = Given {
                place: grant.principal.place,
                ..Given::default()
            };
            (Holding::on_everything(grant), given)
        }));
        items
    }
}

impl From<Items> for Document {
    fn from(items: Items) -> Self {
        let mut document = Self::default();
        for (name, thing) in items.things {
            let project = document.projects.entry(name.project().clone().into());
            let project = project.or_default();
            match (name, thing.content) {
                (Name::Definition(_, id), Content::Definition(definition)) => {
                    project.definitions.insert(id.into(), *definition);
                }
                (Name::Profile(_, id), Content::Profile(profile)) => {
                    project.profiles.insert(id.into(), profile);
                }
                // It comes before what is in it.
                (_, Content::Project(head)) => *project = head,
                (_, Content::Definition(_) | Content::Profile(_)) => {}
            }
        }
        for holding in items.grants.into_keys() {
            let (role, expire_time) = (holding.role, holding.expire_time);
            let Some(project) = &holding.project else {
                document.grants.push(DaemonGrant {
                    principal: holding.principal.into(),
                    role,
                    expire_time,
                    purpose: holding.purpose,
                });
                continue;
            };
            let Some(kept) = document.projects.get_mut(&project.clone().into()) else {
                continue;
            };
            let within = holding.resource.splitn(3, '/').nth(2);
            kept.grants.push(Grant {
                resource: within.and_then(|within| within.to_owned().try_into().ok()),
                environment: holding.environment,
                principal: holding.principal.into(),
                role,
                expire_time,
                purpose: holding.purpose,
            });
        }
        document
    }
}
