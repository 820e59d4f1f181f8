//! Connection profiles: what jobs connect with, under one name.
//!
//! A profile leads to a definition: one that exists, or one of its own that is made of what was
//! pasted, ends with it, and changes in the same commit as the profile.

pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod put;

mod api_key;
mod backing;
mod disconnect;
mod oauth;
mod resolve;
mod test;

use std::time::SystemTime;

use claviger_access::{Authorized, Principal};
use claviger_core::{DefinitionName, Detail, Error, ProfileName, Reason, Result};
use claviger_store::Stored;

use crate::broker::Broker;
use crate::engine::forms::definition_id;
use crate::model::definition::Definition;
use crate::model::install::Install;
use crate::model::profile::{Auth, Profile, profile_not_found};

/// Profiles looked at per page.
const PAGE: usize = 500;

/// A profile, for people.
#[derive(Clone, Debug)]
pub struct ProfileView {
    /// The profile.
    pub profile: Profile,
    /// With OAuth: how the connection is.
    pub install: Option<Install>,
    /// Who resolved it last, and when; of a single profile.
    pub consumers: Vec<(Principal, SystemTime)>,
    /// When its name becomes free.
    pub purge_time: Option<SystemTime>,
}

impl Broker {
    /// What a reader of profiles sees: soft-deleted ones too.
    async fn viewed(&self, proof: &Authorized, profile: Profile) -> Result<ProfileView> {
        if self.catalog.is_over(profile.delete_time) {
            return Err(profile_not_found(&profile.name));
        }
        let install = match &profile.content.auth {
            Auth::ApiKey(_) => None,
            Auth::Oauth(auth) => {
                let definition = self.backing(proof, &auth.definition).await?;
                match definition {
                    Some(stored) => self.installs.find(stored.record.uid).await?,
                    None => None,
                }
            }
        };
        Ok(ProfileView {
            install: install.map(|stored| (*stored.record).clone()),
            consumers: Vec::new(),
            purge_time: self.catalog.free_time(profile.delete_time),
            profile,
        })
    }

    /// The definition that a profile leads to.
    async fn backing(
        &self,
        proof: &Authorized,
        name: &DefinitionName,
    ) -> Result<Option<Stored<Definition>>> {
        self.catalog.get(proof, &definition_id(name)).await
    }

    /// A profile of the project that leads to the definition, of those that are meant. While nothing
    /// is added to projects, none comes meanwhile.
    pub(crate) async fn leading_to(
        &self,
        proof: &Authorized,
        definition: &DefinitionName,
        is_meant: impl Fn(&Profile) -> bool,
    ) -> Result<Option<ProfileName>> {
        let prefix = format!("{}/", definition.project().id());
        let mut after: Option<String> = None;
        loop {
            let page = self
                .catalog
                .scan::<Profile>(proof, &prefix, after.as_deref(), PAGE)
                .await?;
            let Some((last, _)) = page.last() else {
                return Ok(None);
            };
            after = Some(last.clone());
            let mut profiles = page.iter().map(|(_, stored)| &*stored.record);
            let found = profiles.find(|profile| {
                profile.content.auth.definition() == definition && is_meant(profile)
            });
            if let Some(profile) = found {
                return Ok(Some(profile.name.clone()));
            }
        }
    }
}

fn conflict(name: &ProfileName) -> Error {
    Error::new(Reason::Conflict).with(Detail::Resource, name)
}

fn invalid(field: &'static str, remedy: &'static str) -> Error {
    Error::new(Reason::FieldInvalid).violation(field, remedy)
}
