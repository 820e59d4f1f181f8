//! The definitions that go with a profile: made, changed and ended in the profile's own commit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use claviger_access::{Authorized, Facts};
use claviger_core::{DefinitionName, Error, Id, Kind, ProfileName, Reason, Result, Uid};
use claviger_store::{Batch, Stored};
use claviger_stripe::{Mode, Settings};

use crate::broker::Broker;
use crate::engine::forms::definition_id;
use crate::engine::found::expect;
use crate::model::content::Content;
use crate::model::definition::{Definition, DerivedFrom};
use crate::model::install::Install;
use crate::model::location::{Location, VaultRef};
use crate::model::profile::Auth;
use crate::model::project::{MANAGED, Project};
use crate::model::warning::Warning;

/// What becomes of what a profile leads to.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) batch: Batch,
    /// Those of `batch`, one by one; nothing changes if there are none.
    pub(super) facts: Vec<Facts>,
    /// Definitions that are marked for good: their values are destroyed once that is committed.
    pub(super) ended: Vec<Definition>,
    /// The version of the key that was pasted.
    pub(super) version: Option<Id>,
    pub(super) warnings: Vec<Warning>,
}

impl Changes {
    /// Changes the batch.
    pub(super) fn add(&mut self, add: impl FnOnce(Batch) -> Batch) {
        self.batch = add(std::mem::take(&mut self.batch));
    }

    /// A definition as it is to be, which was not there or another one before.
    pub(super) fn put_definition(
        &mut self,
        definition: &Definition,
        found: Option<&Stored<Definition>>,
    ) {
        let id = definition_id(&definition.name);
        self.add(|batch| batch.put(&id, definition, expect(found)));
    }

    /// That it stays as it was found.
    pub(super) fn rely_on(&mut self, found: &Stored<Definition>) {
        let id = definition_id(&found.record.name);
        self.add(|batch| batch.require::<Definition>(&id, expect(Some(found))));
    }
}

impl Broker {
    /// Ends what goes with a way to authenticate: an own definition with all its values, unless
    /// others connect with it too. A refresh that runs finds nothing any more.
    pub(super) async fn leave(
        &self,
        proof: &Authorized,
        profile: &ProfileName,
        auth: &Auth,
        deleted: Option<SystemTime>,
        changes: &mut Changes,
    ) -> Result<()> {
        let Some(name) = auth.own_definition() else {
            return Ok(());
        };
        let found = self.backing(proof, name).await?;
        // One that was made under this name since then is not its own.
        let is_own = |found: &Stored<Definition>| {
            deleted.is_none_or(|deleted| found.record.create_time <= deleted)
        };
        let Some(found) = found.filter(is_own) else {
            return Ok(());
        };
        match auth {
            Auth::ApiKey(_) => {
                self.end(&found, changes);
                Ok(())
            }
            Auth::Oauth(_) => self.leave_install(profile, &found, changes).await,
        }
    }

    /// Marks a definition: its values are destroyed next, and there is no way back.
    fn end(&self, found: &Stored<Definition>, changes: &mut Changes) {
        let mut marked = (*found.record).clone();
        marked.delete_time.get_or_insert(self.catalog.now());
        if !marked.is_purging {
            marked.is_purging = true;
            changes.facts.push(found.record.ending());
            changes.put_definition(&marked, Some(found));
        }
        changes.ended.push(marked);
    }

    async fn leave_install(
        &self,
        profile: &ProfileName,
        found: &Stored<Definition>,
        changes: &mut Changes,
    ) -> Result<()> {
        let definition = &*found.record;
        let install = self.installs.find(definition.uid).await?;
        let others = install.as_ref().map(|install| {
            let mut profiles: BTreeSet<ProfileName> = install.record.profiles.clone();
            profiles.remove(profile);
            profiles
        });
        match (install, others) {
            (Some(install), Some(others)) if !others.is_empty() => {
                let record = Install {
                    profiles: others,
                    ..(*install.record).clone()
                };
                let id = definition.uid.to_string();
                changes.add(|batch| batch.put(&id, &record, expect(Some(&install))));
            }
            (install, _) => {
                if let Some(install) = install {
                    changes.add(|batch| self.installs.delete(batch, definition.uid, &install));
                }
                let id = definition_id(&definition.name);
                changes.add(|batch| batch.delete::<Definition>(&id, expect(Some(found))));
                changes.facts.push(definition.ending());
            }
        }
        Ok(())
    }

    /// A definition for what is pasted into a profile.
    pub(super) fn own_definition(
        &self,
        name: DefinitionName,
        profile: &ProfileName,
        kind: Kind,
        stripe: Settings,
    ) -> Definition {
        let now = self.catalog.now();
        let id = profile.id();
        let label = (Id::from_static(LABEL), id.to_string());
        Definition {
            name,
            uid: Uid::random(),
            content: Content {
                description: format!("Of connection profile {id}"),
                kind,
                location: Location {
                    vault: Some(VaultRef::Named(Id::from_static(MANAGED))),
                    ..Location::default()
                },
                environment_fallback: true,
                stripe,
                labels: BTreeMap::from([label]),
                ..Content::default()
            },
            generation: 1,
            create_time: now,
            update_time: now,
            delete_time: None,
            derived_from: DerivedFrom::Uid,
            is_purging: false,
            places: BTreeMap::new(),
        }
    }
}

/// On the definitions that profiles make: which one.
const LABEL: &str = "connection_profile";

/// A warning if no environment takes a credential of this mode.
pub(super) fn unused_mode(
    project: &Project,
    mode: Option<Mode>,
    field: &'static str,
) -> Option<Warning> {
    let mode = mode?;
    let environments = &project.content.environments;
    let is_taken = environments.is_empty()
        || environments
            .values()
            .any(|environment| environment.stripe_mode.is_none_or(|own| own == mode));
    (!is_taken).then(|| Warning::new(
        "MODE_UNUSED",
        "no environment of the project takes a credential of this mode (Environment.stripe_mode), so \
         every resolve will be refused; put one of the other mode, or change an environment",
        field,
    ))
}

/// A definition of a profile that is not there although it leads there.
pub(super) fn lost(name: &DefinitionName) -> Error {
    Error::new(Reason::IntegrityFailure)
        .caused_by(format!("{name} is gone, and a profile leads there"))
}
