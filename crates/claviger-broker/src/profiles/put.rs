//! A profile, made or changed, with what is pasted into it.

use std::sync::Arc;

use claviger_access::{Authorized, Call, Permission, Resolved};
use claviger_audit::Facts;
use claviger_core::{
    DefinitionName, Detail, Error, Id, ProfileName, Reason, Result, SecretBytes, Uid,
};
use claviger_store::Stored;

use super::backing::Changes;
use super::{ProfileView, conflict, invalid};
use crate::broker::Broker;
use crate::engine::catalog::commit::ATTEMPTS;
use crate::engine::forms::profile_id;
use crate::engine::found::{Asked, OnProfile, expect};
use crate::engine::replay::{FreshRequest, Replay};
use crate::model::answer::{Answer, Subject};
use crate::model::draft::{AuthDraft, ProfileDraft};
use crate::model::profile::{Auth, Profile, ProfileContent, profile_not_found};
use crate::model::project::Project;
use crate::model::request::{RequestId, RequestState};
use crate::model::texts::{check_description, check_labels};
use crate::model::warning::Warning;

/// A wanted profile.
#[derive(Debug)]
pub struct PutProfile {
    /// Its name.
    pub name: ProfileName,
    /// What it is to be.
    pub draft: ProfileDraft,
    /// The state that is replaced.
    pub etag: Option<String>,
    /// The fields of an existing profile to change.
    pub mask: Option<Vec<String>>,
    /// Check everything, change nothing.
    pub is_dry_run: bool,
    /// Makes a repeat return the first answer.
    pub request_id: Option<RequestId>,
}

/// The outcome of a put of a profile.
#[derive(Clone, Debug)]
pub struct PutProfileOutcome {
    /// The profile as it is now.
    pub view: ProfileView,
    /// The version of the key that was pasted.
    pub version: Option<Id>,
    /// What deserves a look.
    pub warnings: Vec<Warning>,
}

/// A put against what there is.
pub(super) struct Wanted<'a> {
    pub(super) asked: &'a Asked<OnProfile>,
    pub(super) project: &'a Project,
    pub(super) existing: Option<&'a Profile>,
    pub(super) name: &'a ProfileName,
    pub(super) uid: Uid,
    /// What its generation is if its content changes.
    pub(super) generation: u64,
}

/// What a put comes to.
struct Plan {
    profile: Profile,
    /// What is gone in its place.
    gone: Option<Profile>,
    changes: Changes,
}

impl Broker {
    /// Makes or changes a profile.
    ///
    /// # Errors
    /// See the RPC `PutConnectionProfile`.
    pub async fn put_profile(
        self: &Arc<Self>,
        call: &Arc<Call>,
        put: PutProfile,
    ) -> Result<PutProfileOutcome> {
        let permissions = &[Permission::ProfilesPut];
        let asked = self
            .catalog
            .ask_profile(call, permissions, &put.name, None)
            .await?;
        let facts = |outcome: &PutProfileOutcome| Facts {
            version: outcome.version.clone(),
            ..Facts::default()
        };
        self.finish_detached(asked, facts, |broker, asked| async move {
            let answer = broker.put_profile_asked(&asked, &put).await?;
            broker.put_profile_answered(&asked.proof, answer).await
        })
        .await
    }

    async fn put_profile_asked(
        &self,
        asked: &Asked<OnProfile>,
        put: &PutProfile,
    ) -> Result<Answer> {
        let shape = put.shape()?;
        let [key, secret, token] = put.draft.pasted();
        let content: [&[u8]; 4] = [&shape, exposed(key), exposed(secret), exposed(token)];
        let replay = self
            .writes
            .replay_commit(&asked.proof, put.request_id, &content);
        let request = match replay.await? {
            Replay::Answered(answer) => return self.same_profile(asked, answer).await,
            Replay::Fresh(request) => request,
        };
        for _ in 0..ATTEMPTS {
            let done = self.try_put_profile(asked, put, request.as_ref()).await?;
            if let Some(answer) = done {
                return Ok(answer);
            }
        }
        Err(conflict(&put.name))
    }

    /// An answer given before, unless what it was about is gone: a re-made name inherits nothing.
    async fn same_profile(&self, asked: &Asked<OnProfile>, answer: Answer) -> Result<Answer> {
        let stored = self.found_now(asked).await?;
        let is_it = |stored: &Stored<Profile>| match &answer.subject {
            Subject::Profile(profile) => stored.record.uid == profile.uid,
            Subject::Definition(_) | Subject::Value(_) => false,
        };
        let is_over = |stored: &Stored<Profile>| self.catalog.is_over(stored.record.delete_time);
        match stored.is_some_and(|stored| is_it(&stored) && !is_over(&stored)) {
            true => Ok(answer),
            false => Err(Error::new(Reason::RequestIdReused).at("request_id")),
        }
    }

    /// What the name stands for by now, even if it was deleted so long ago that it is free.
    pub(super) async fn found_now(
        &self,
        asked: &Asked<OnProfile>,
    ) -> Result<Option<Stored<Profile>>> {
        let id = profile_id(&asked.found.name);
        self.catalog.get(&asked.proof, &id).await
    }

    /// Plans the put on what there is, and commits all of it at once. `None` if another change came
    /// in between.
    async fn try_put_profile(
        &self,
        asked: &Asked<OnProfile>,
        put: &PutProfile,
        request: Option<&FreshRequest>,
    ) -> Result<Option<Answer>> {
        let proof = &asked.proof;
        let name = put.name.project();
        // What it leads to is not deleted until that is committed.
        let gate = self.catalog.adding_to(proof, name).await;
        let gate = gate.map_err(|error| error.at("profile.name"))?;
        let project = self.catalog.same_project(proof, name).await?.record;
        let plan = self.plan_profile(asked, &project, put).await?;
        let Plan {
            profile,
            gone,
            mut changes,
        } = plan;
        let answer = Answer {
            subject: Subject::Profile(Box::new(profile)),
            version: changes.version.take(),
            warnings: std::mem::take(&mut changes.warnings),
        };
        if put.is_dry_run {
            return Ok(Some(answer));
        }
        if let Some(gone) = gone {
            let ending = self.ending_profile(proof, &gone).await?;
            self.audit.intents(proof, ending).await?;
            self.erase_profile(proof, &gone).await?;
        }
        let mut batch = changes.batch;
        if let Some(request) = request {
            let now = self.catalog.now();
            batch = request.record(batch, &answer, RequestState::Finished, now);
        }
        if changes.facts.is_empty() {
            // Kept, so that the id stays its own.
            let kept = self.catalog.commit(proof, &batch).await?;
            return Ok(kept.map(|_| answer));
        }
        let intent = self.audit.intend(proof, changes.facts);
        let committed = self
            .writes
            .commit_noted(proof, batch, request, intent)
            .await;
        drop(gate);
        if !committed? {
            return Ok(None);
        }
        for ended in &changes.ended {
            // It is marked: whoever purges it next goes on.
            if let Err(error) = self.writes.purge(proof, ended).await {
                tracing::warn!(definition = %ended.name, ?error, "values of a profile's key not destroyed; call DeleteSecretDefinition with purge");
            }
        }
        Ok(Some(answer))
    }

    async fn plan_profile(
        &self,
        asked: &Asked<OnProfile>,
        project: &Project,
        put: &PutProfile,
    ) -> Result<Plan> {
        let mut stored = self.found_now(asked).await?;
        let gone = stored.take_if(|stored| self.catalog.is_over(stored.record.delete_time));
        let existing = stored.as_ref().map(|stored| &*stored.record);
        let now = Resolved {
            profile: existing.map(|profile| profile.uid),
            ..asked.proof.resolved()
        };
        if now != asked.proof.resolved() {
            // The name stands for something else by now, where the caller may have no permission.
            let resource = asked.proof.resource();
            asked.proof.claim(Permission::ProfilesPut, resource, now)?;
        }
        let draft = put.draft_for(existing)?;
        let wanted = Wanted {
            asked,
            project,
            existing,
            name: &put.name,
            uid: existing.map_or_else(Uid::random, |profile| profile.uid),
            generation: existing.map_or(1, |profile| profile.generation + 1),
        };
        let mut changes = Changes::default();
        let content = self.plan_content(&wanted, draft, &mut changes).await?;
        let time = self.catalog.now();
        let profile = match existing {
            Some(existing) if existing.content == content => existing.clone(),
            existing => Profile {
                name: put.name.clone(),
                uid: wanted.uid,
                content,
                generation: wanted.generation,
                create_time: existing.map_or(time, |profile| profile.create_time),
                update_time: time,
                delete_time: None,
                is_purging: false,
            },
        };
        let is_changed = existing.is_none_or(|existing| existing.generation != profile.generation);
        if let Some(existing) = existing.filter(|_| is_changed || !changes.facts.is_empty()) {
            put.check_replaces(existing)?;
        }
        let id = profile_id(&put.name);
        let found = expect(stored.as_ref());
        if is_changed {
            changes.add(|batch| batch.put(&id, &profile, found));
            let facts = existing.map_or_else(|| profile.making(), |was| was.changing(&profile));
            changes.facts.insert(0, facts);
        } else {
            changes.add(|batch| batch.require::<Profile>(&id, found));
        }
        Ok(Plan {
            profile,
            gone: gone.map(|gone| (*gone.record).clone()),
            changes,
        })
    }

    /// What the profile is to be, and what becomes of what it leads to.
    async fn plan_content(
        &self,
        wanted: &Wanted<'_>,
        draft: ProfileDraft,
        changes: &mut Changes,
    ) -> Result<ProfileContent> {
        check_description(&draft.description, "profile.description")?;
        check_labels(&draft.labels, "profile.labels")?;
        // First: what is pasted begins the batch.
        let auth = match &draft.auth {
            Some(AuthDraft::ApiKey(auth)) => {
                Auth::ApiKey(self.plan_api_key(wanted, auth, changes).await?)
            }
            Some(AuthDraft::Oauth(auth)) => {
                Auth::Oauth(self.plan_oauth(wanted, auth, changes).await?)
            }
            None => {
                return Err(invalid(
                    "profile.api_key",
                    "is missing, and oauth too; fill in one of both",
                ));
            }
        };
        let before = wanted.existing.map(|profile| &profile.content.auth);
        let is_left = |before: &&Auth| before.own_definition() != auth.own_definition();
        if let Some(before) = before.filter(is_left) {
            let proof = &wanted.asked.proof;
            self.leave(proof, wanted.name, before, None, changes)
                .await?;
        }
        Ok(ProfileContent {
            description: draft.description,
            adapter: draft.adapter,
            labels: draft.labels,
            auth,
        })
    }

    async fn put_profile_answered(
        &self,
        proof: &Authorized,
        answer: Answer,
    ) -> Result<PutProfileOutcome> {
        let Subject::Profile(profile) = answer.subject else {
            return Err(Error::new(Reason::IntegrityFailure)
                .caused_by("the answer of a request is not one to PutConnectionProfile"));
        };
        Ok(PutProfileOutcome {
            view: self.viewed(proof, *profile).await?,
            version: answer.version,
            warnings: answer.warnings,
        })
    }
}

/// Of the hash at the end of a definition's name.
const HASH_BYTES: usize = 5;

/// Longest part of the profile's own id: with a dash and the hash it is one again.
const ID_CHARS: usize = 128 - 1 - 2 * HASH_BYTES;

impl Wanted<'_> {
    /// Its own definition's name: told apart from whatever a person would choose, and from those that it
    /// had before.
    pub(super) fn own_name(&self, arm: &str) -> Result<DefinitionName> {
        let project = self.name.project();
        let unique = format!("{}/{arm}/{}", self.uid, self.generation);
        let hash = claviger_seal::sha256(unique.as_bytes());
        let (start, _) = hash.split_at(HASH_BYTES);
        let id: String = self.name.id().as_str().chars().take(ID_CHARS).collect();
        let id = format!("{id}-{}", claviger_seal::hex(start));
        Ok(project.definition(Id::parse("profile.name", &id)?))
    }
}

impl PutProfile {
    /// What is wanted of an existing profile, or of a new one.
    fn draft_for(&self, existing: Option<&Profile>) -> Result<ProfileDraft> {
        match (existing, &self.mask) {
            (None, None) if self.etag.is_none() => Ok(self.draft.duplicate()),
            (None, _) => Err(profile_not_found(&self.name)),
            (Some(existing), mask) => {
                existing.live().map_err(|error| error.at("profile.name"))?;
                match mask {
                    Some(paths) => self.draft.masked(&existing.content, paths),
                    None => Ok(self.draft.duplicate()),
                }
            }
        }
    }

    /// Changing what exists needs an etag, or the fields that are meant.
    fn check_replaces(&self, existing: &Profile) -> Result<()> {
        let is_partial = |paths: &Vec<String>| !paths.iter().any(|path| path == "*");
        match &self.etag {
            Some(etag) => existing.check_etag(etag, "profile.etag"),
            None if self.mask.as_ref().is_some_and(is_partial) => Ok(()),
            None => Err(Error::new(Reason::ProfileExists)
                .with(Detail::Resource, &self.name)
                .at("profile.etag")),
        }
    }

    /// Everything that makes the request what it is, without what was pasted.
    fn shape(&self) -> Result<Vec<u8>> {
        let draft = self.draft.shape()?;
        let shape = (&self.name, draft, &self.etag, &self.mask, self.is_dry_run);
        serde_json::to_vec(&shape).map_err(|error| Error::new(Reason::Internal).caused_by(error))
    }
}

fn exposed(value: Option<&SecretBytes>) -> &[u8] {
    value.map_or(&[], SecretBytes::expose)
}
