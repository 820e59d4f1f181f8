//! Profiles deleted, brought back and gone for good.

use std::sync::Arc;
use std::time::Duration;

use claviger_access::{Authorized, Call, Permission};
use claviger_audit::Facts;
use claviger_core::{Detail, Error, ProfileName, Reason, Result};
use claviger_store::{Batch, Stored};

use super::backing::Changes;
use super::{ProfileView, conflict};
use crate::broker::Broker;
use crate::engine::catalog::commit::{ATTEMPTS, Update};
use crate::engine::forms::profile_id;
use crate::engine::found::{Asked, OnProfile, expect};
use crate::model::profile::{Profile, profile_not_found};
use crate::model::warning::Warning;

/// How long ago a resolve was for which a profile is in use.
const IN_USE: Duration = Duration::from_secs(24 * 60 * 60);

impl Broker {
    /// Soft-deletes or purges a profile and returns its last state, with what deserves a look.
    ///
    /// # Errors
    /// See the RPC `DeleteConnectionProfile`.
    pub async fn delete_profile(
        self: &Arc<Self>,
        call: &Arc<Call>,
        name: &ProfileName,
        etag: Option<String>,
        is_purging: bool,
    ) -> Result<(ProfileView, Vec<Warning>)> {
        let permissions = &[Permission::ProfilesDelete];
        let asked = self
            .catalog
            .ask_profile(call, permissions, name, None)
            .await?;
        let facts = |_: &_| Facts::default();
        self.finish_detached(asked, facts, move |broker, asked| async move {
            let etag = etag.as_deref();
            broker.delete_profile_asked(&asked, etag, is_purging).await
        })
        .await
    }

    async fn delete_profile_asked(
        &self,
        asked: &Asked<OnProfile>,
        etag: Option<&str>,
        is_purging: bool,
    ) -> Result<(ProfileView, Vec<Warning>)> {
        let proof = &asked.proof;
        if let Some(gone) = self
            .found_now(asked)
            .await?
            .filter(|stored| is_purging && self.catalog.is_over(stored.record.delete_time))
        {
            // Its name is free, and what was pasted into it is still there.
            return self.purge_gone(proof, &gone.record).await;
        }
        let found = &asked.found.profile()?.record;
        // As it was: with its install, and who resolved it.
        let install = self.viewed(proof, (**found).clone()).await?.install;
        let warnings = match self.is_in_use(found).await? {
            true => vec![Warning::PROFILE_IN_USE],
            false => Vec::new(),
        };
        let now = self.catalog.now();
        let delete = |profile: &mut Profile| {
            if let Some(etag) = etag {
                profile.check_etag(etag, "etag")?;
            }
            if !is_purging {
                profile.live()?;
            }
            profile.delete_time.get_or_insert(now);
            profile.is_purging |= is_purging;
            Ok(())
        };
        // Refused before anything is said to be about to happen, and asked again by the commit.
        let before = self.catalog.profile_again(asked).await?.record;
        let mut after = (*before).clone();
        delete(&mut after)?;
        let facts = match is_purging {
            true => self.ending_profile(proof, &before).await?,
            false => vec![before.changing(&after)],
        };
        self.audit.intents(proof, facts).await?;
        let profile = self.change_profile(proof, found, delete).await?;
        if is_purging {
            self.purge_profile(proof, &profile).await?;
        }
        let view = ProfileView {
            install,
            consumers: Vec::new(),
            purge_time: self.catalog.free_time(profile.delete_time),
            profile,
        };
        Ok((view, warnings))
    }

    /// Destroys what is left of a profile whose name is free.
    async fn purge_gone(
        &self,
        proof: &Authorized,
        gone: &Profile,
    ) -> Result<(ProfileView, Vec<Warning>)> {
        let facts = self.ending_profile(proof, gone).await?;
        self.audit.intents(proof, facts).await?;
        self.erase_profile(proof, gone).await?;
        let view = ProfileView {
            install: None,
            consumers: Vec::new(),
            purge_time: self.catalog.free_time(gone.delete_time),
            profile: gone.clone(),
        };
        Ok((view, Vec::new()))
    }

    /// Takes back a soft delete.
    ///
    /// # Errors
    /// See the RPC `UndeleteConnectionProfile`.
    pub async fn undelete_profile(
        self: &Arc<Self>,
        call: &Arc<Call>,
        name: &ProfileName,
    ) -> Result<ProfileView> {
        let permissions = &[Permission::ProfilesDelete];
        let asked = self
            .catalog
            .ask_profile(call, permissions, name, None)
            .await?;
        let facts = |_: &_| Facts::default();
        self.finish_detached(asked, facts, |broker, asked| async move {
            let found = &asked.found.profile()?.record;
            if found.delete_time.is_none() {
                return broker.viewed(&asked.proof, (**found).clone()).await;
            }
            let after = Profile {
                delete_time: None,
                ..(**found).clone()
            };
            let changing = found.changing(&after);
            broker.audit.intent(&asked.proof, changing).await?;
            let undelete = |profile: &mut Profile| {
                if profile.is_purging || broker.catalog.is_over(profile.delete_time) {
                    return Err(profile_not_found(&profile.name));
                }
                profile.delete_time = None;
                Ok(())
            };
            let profile = broker.change_profile(&asked.proof, found, undelete).await?;
            broker.viewed(&asked.proof, profile).await
        })
        .await
    }

    /// Whether a caller has resolved it within a day.
    async fn is_in_use(&self, profile: &Profile) -> Result<bool> {
        let consumers = self.consumers.of(profile.uid).await?;
        let now = self.catalog.now();
        Ok(consumers.iter().any(|(_, time)| now < *time + IN_USE))
    }

    async fn change_profile(
        &self,
        proof: &Authorized,
        found: &Profile,
        change: impl Fn(&mut Profile) -> Result<()>,
    ) -> Result<Profile> {
        let name = &found.name;
        let update = |stored: Option<&Stored<Profile>>| {
            let stored = stored.filter(|stored| stored.record.uid == found.uid);
            let mut record = (*stored.ok_or_else(|| profile_not_found(name))?.record).clone();
            change(&mut record)?;
            let answer = record.clone();
            Ok(Update::Put {
                record,
                also: Batch::new(),
                answer,
            })
        };
        let id = profile_id(name);
        let changed = self.catalog.update(proof, &id, update).await?;
        changed.ok_or_else(|| conflict(name))
    }

    /// The intents after which a profile is gone, with what goes with it.
    pub(super) async fn ending_profile(
        &self,
        proof: &Authorized,
        profile: &Profile,
    ) -> Result<Vec<Facts>> {
        let mut changes = Changes::default();
        let auth = &profile.content.auth;
        let deleted = profile.delete_time;
        self.leave(proof, &profile.name, auth, deleted, &mut changes)
            .await?;
        let mut facts = vec![profile.ending()];
        facts.extend(changes.facts);
        Ok(facts)
    }

    /// Removes a profile whose name is free again: first the mark that there is no way back.
    pub(super) async fn erase_profile(&self, proof: &Authorized, found: &Profile) -> Result<()> {
        let mark = |profile: &mut Profile| {
            // Brought back meanwhile.
            if !self.catalog.is_over(profile.delete_time) {
                return Err(conflict(&profile.name));
            }
            profile.is_purging = true;
            Ok(())
        };
        let marked = match self.change_profile(proof, found, mark).await {
            Err(error) if error.reason() == Reason::ProfileNotFound => {
                return Err(conflict(&found.name));
            }
            marked => marked?,
        };
        self.purge_profile(proof, &marked).await
    }

    /// Destroys what was pasted into a profile that is marked, and removes it.
    ///
    /// # Errors
    /// `CONFLICT`, `STORE_UNAVAILABLE`; a repeat goes on where it stopped.
    async fn purge_profile(&self, proof: &Authorized, marked: &Profile) -> Result<()> {
        let id = profile_id(&marked.name);
        for _ in 0..ATTEMPTS {
            let stored: Option<Stored<Profile>> = self.catalog.get(proof, &id).await?;
            let is_it = |stored: &Stored<Profile>| {
                stored.record.uid == marked.uid && stored.record.is_purging
            };
            let Some(stored) = stored.filter(is_it) else {
                return Err(conflict(&marked.name));
            };
            let mut changes = Changes::default();
            let auth = &stored.record.content.auth;
            let deleted = marked.delete_time;
            self.leave(proof, &marked.name, auth, deleted, &mut changes)
                .await?;
            let found = expect(Some(&stored));
            if !changes.ended.is_empty() {
                // While the profile is there, so that a crash leaves something to repeat.
                changes.add(|batch| batch.require::<Profile>(&id, found));
                if self
                    .catalog
                    .commit_marked(proof, changes.batch)
                    .await?
                    .is_none()
                {
                    continue;
                }
                for ended in &changes.ended {
                    self.writes.purge(proof, ended).await?;
                }
                changes.batch = Batch::new();
            }
            let batch = changes.batch.delete::<Profile>(&id, found);
            let batch = self.consumers.forget(batch, marked.uid);
            if self.catalog.commit_marked(proof, batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(Error::new(Reason::Conflict).with(Detail::Resource, &marked.name))
    }
}
