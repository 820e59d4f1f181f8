//! Secret definitions: registered, changed, deleted and brought back.

use std::sync::Arc;

use claviger_access::{Authorized, Call, Permission};
use claviger_audit::Facts;
use claviger_backend::NameWarning;
use claviger_core::{DefinitionName, Detail, Error, Id, Reason, Resource, Result, Uid};
use claviger_store::{Batch, Committed, Expect, Stored};
use serde::{Deserialize, Serialize};

use crate::definition::not_found;
use crate::idempotency::{FreshRequest, Replay};
use crate::writes::{ATTEMPTS, NewValue, Target, in_progress};
use crate::{Broker, Content, Definition, Payload, Project, RequestId, Warning, context};

/// A wanted definition.
#[derive(Debug)]
pub struct PutDefinition {
    /// Its name.
    pub name: DefinitionName,
    /// What it is to hold.
    pub content: Content,
    /// The state that is replaced.
    pub etag: Option<String>,
    /// The fields of an existing definition to change.
    pub mask: Option<Vec<String>>,
    /// The first value.
    pub payload: Option<Payload>,
    /// Check everything, change nothing.
    pub is_dry_run: bool,
    /// Makes a repeat return the first answer.
    pub request_id: Option<RequestId>,
    /// Whether the payload may go to a secret that the definition did not create.
    pub is_adopting: bool,
    /// Whether an existing value of the vault is left unjudged.
    pub is_value_unchecked: bool,
}

/// What a put of a definition did.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct PutDefinitionOutcome {
    /// The definition as it is now.
    pub definition: Definition,
    /// The version of the value that came along.
    pub version: Option<Id>,
    /// What deserves a look.
    pub warnings: Vec<Warning>,
}

impl Broker {
    /// Registers or changes a definition.
    ///
    /// # Errors
    /// See the RPC `PutSecretDefinition`.
    pub async fn put_definition(
        self: &Arc<Self>,
        call: &Arc<Call>,
        put: PutDefinition,
    ) -> Result<PutDefinitionOutcome> {
        let permissions: &[Permission] = if put.payload.is_some() {
            &[Permission::DefinitionsPut, Permission::SecretsPut]
        } else {
            &[Permission::DefinitionsPut]
        };
        let resource = Resource::Definition(put.name.clone());
        let authorized = self.authorize(call, permissions, resource, None).await?;
        let facts = |outcome: &PutDefinitionOutcome| Facts {
            version: outcome.version.clone(),
            ..Facts::default()
        };
        self.finish_detached(authorized, facts, |broker, authorized| async move {
            broker.put_authorized(&authorized, put).await
        })
        .await
    }

    async fn put_authorized(
        &self,
        authorized: &Authorized,
        put: PutDefinition,
    ) -> Result<PutDefinitionOutcome> {
        let shape = put.shape()?;
        let value = put
            .payload
            .as_ref()
            .map(|payload| payload.value.expose())
            .unwrap_or_default();
        let request = match self
            .replay(authorized, put.request_id, &[&shape, value])
            .await?
        {
            Replay::Answered(outcome) => return self.answered(authorized, outcome),
            Replay::Fresh(request) => request,
        };
        let mut existing = self.settled(authorized, &put.name).await?;
        let project = self
            .project(authorized)
            .await
            .map_err(|e| e.at("definition.name"))?
            .record;
        let gone = existing.take_if(|stored| self.is_gone(&stored.record));
        match existing {
            None => self.create(authorized, &project, gone, put, request).await,
            Some(stored) if stored.record.delete_time.is_some() => {
                Err(Error::new(Reason::DefinitionDeleted)
                    .with(Detail::Resource, &put.name)
                    .at("definition.name"))
            }
            Some(stored) => {
                self.change(authorized, &project, stored, put, request)
                    .await
            }
        }
    }

    /// An answer given before, unless what it was about is gone: a re-made name inherits nothing.
    fn answered(
        &self,
        authorized: &Authorized,
        outcome: PutDefinitionOutcome,
    ) -> Result<PutDefinitionOutcome> {
        match authorized.resolved().definition == Some(outcome.definition.uid) {
            true => Ok(outcome),
            false => Err(Error::new(Reason::RequestIdReused).at("request_id")),
        }
    }

    /// The definition as it is once a half-done creation is settled.
    async fn settled(
        &self,
        authorized: &Authorized,
        name: &DefinitionName,
    ) -> Result<Option<Stored<Definition>>> {
        let stored = self.find_definition(name).await?;
        let Some(creating) = stored.as_ref().filter(|stored| stored.record.is_creating()) else {
            return Ok(stored);
        };
        self.settle_definition(&context(authorized), &creating.record, None)
            .await?;
        self.find_definition(name).await
    }

    async fn create(
        &self,
        authorized: &Authorized,
        project: &Project,
        gone: Option<Stored<Definition>>,
        put: PutDefinition,
        request: Option<FreshRequest>,
    ) -> Result<PutDefinitionOutcome> {
        let names = put.content.validate(&put.name, project, &self.vaults)?;
        if put.etag.is_some() || put.mask.is_some() {
            return Err(not_found(&put.name));
        }
        let now = self.clock.now();
        let definition = Definition {
            name: put.name.clone(),
            uid: Uid::random(),
            content: put.content,
            generation: 1,
            create_time: now,
            update_time: now,
            delete_time: None,
            is_purging: false,
            places: std::collections::BTreeMap::new(),
        };
        let mut outcome = self.outcome(definition, project, &names);
        let write = match put.payload {
            None if put.is_value_unchecked => None,
            None => {
                let judged = self.judge_existing(authorized, &outcome.definition, project);
                outcome.warnings.extend(judged.await?);
                None
            }
            Some(payload) => {
                let definition = &outcome.definition;
                let route = definition.only_route(project, &self.vaults)?;
                let defaults = definition.defaults(project, &self.vaults);
                let (value, warnings) = payload.admit(
                    &definition.content,
                    &definition.content.stripe_modes(defaults, &route.place),
                    route.vault.capabilities().value_bytes_max,
                )?;
                outcome.warnings.extend(warnings);
                Some((route, value))
            }
        };
        if put.is_dry_run {
            return Ok(outcome);
        }

        self.audit.intent(authorized, Facts::default()).await?;
        if let Some(gone) = gone {
            self.erase(authorized, &gone).await?;
        }
        match write {
            None => {
                let _gate = self.project_gate.read().await;
                self.project(authorized).await?;
                self.commit_definition(&outcome, Expect::Absent, request.as_ref())
                    .await?
            }
            Some((route, value)) => {
                let value = NewValue {
                    bytes: &value,
                    format: outcome.definition.content.format,
                    is_adopting: put.is_adopting,
                    base: None,
                };
                let target = Target::New(&outcome.definition);
                let answer = request.as_ref().map(|request| (request, &outcome));
                let written = self
                    .store(authorized, target, &route, value, answer)
                    .await?;
                outcome.warnings.extend(Warning::of_write(&written));
                outcome.version = Some(written.version);
            }
        }
        Ok(outcome)
    }

    async fn change(
        &self,
        authorized: &Authorized,
        project: &Project,
        stored: Stored<Definition>,
        put: PutDefinition,
        request: Option<FreshRequest>,
    ) -> Result<PutDefinitionOutcome> {
        let existing = &stored.record;
        if put.payload.is_some() {
            return Err(Error::new(Reason::PayloadNotAllowed).violation(
                "payload",
                "does not go with a definition that exists; rotate its value with PutSecretValue",
            ));
        }
        let content = match &put.mask {
            Some(paths) => masked(&existing.content, &put.content, paths)?,
            None => put.content,
        };
        let names = content.validate(&put.name, project, &self.vaults)?;
        let mut outcome = self.outcome((**existing).clone(), project, &names);
        if content == existing.content {
            // Nothing changes, so nothing is refused: who puts again to see whether all is well is
            // told.
            if !put.is_value_unchecked {
                let judged = self.judge_existing(authorized, &outcome.definition, project);
                outcome
                    .warnings
                    .extend(judged.await.unwrap_or_else(|refusal| {
                        vec![Warning::of_refusal(&refusal, "definition.location")]
                    }));
            }
            self.remember(request.as_ref().filter(|_| !put.is_dry_run), &outcome)
                .await?;
            return Ok(outcome);
        }
        match &put.etag {
            Some(etag) => check_etag(etag, existing, "definition.etag")?,
            None if put
                .mask
                .as_ref()
                .is_some_and(|paths| !is_full_replace(paths)) => {}
            None => {
                return Err(Error::new(Reason::DefinitionExists)
                    .with(Detail::Resource, &put.name)
                    .at("definition.etag"));
            }
        }
        check_interpretation(existing, &content)?;
        let definition = Definition {
            content,
            ..outcome.definition
        };
        outcome = self.outcome(definition, project, &names);
        outcome.definition.generation += 1;
        outcome.definition.update_time = self.clock.now();
        if !put.is_value_unchecked {
            let judged = self.judge_existing(authorized, &outcome.definition, project);
            outcome.warnings.extend(judged.await?);
        }
        if put.is_dry_run {
            return Ok(outcome);
        }
        self.audit.intent(authorized, Facts::default()).await?;
        self.commit_change(authorized, outcome, stored.revision, request.as_ref())
            .await
    }

    /// What a put answers about a definition before anything is stored.
    fn outcome(
        &self,
        definition: Definition,
        project: &Project,
        names: &[NameWarning],
    ) -> PutDefinitionOutcome {
        let content = &definition.content;
        let is_sharing = content.is_sharing(definition.defaults(project, &self.vaults));
        let is_due = content.rotates_by(self.clock.now());
        let sharing = is_sharing.then_some(Warning::ENVIRONMENTS_SHARE_VALUE);
        let rotation = is_due.then_some(Warning::ROTATION_DUE);
        let names = names.iter().map(|warning| Warning::from(*warning));
        PutDefinitionOutcome {
            warnings: sharing.into_iter().chain(rotation).chain(names).collect(),
            definition,
            version: None,
        }
    }

    /// Keeps the answer of a request that changed nothing, so that its id stays its own.
    async fn remember(
        &self,
        request: Option<&FreshRequest>,
        outcome: &PutDefinitionOutcome,
    ) -> Result<()> {
        let Some(request) = request else {
            return Ok(());
        };
        let batch = request.record(Batch::new(), outcome, true, self.clock.now())?;
        match self.records.commit(batch).await? {
            Committed::At(_) => Ok(()),
            Committed::Conflict { .. } => Err(in_progress(&outcome.definition.name)),
        }
    }

    /// Commits a changed definition; a value written meanwhile does not stand in the way.
    async fn commit_change(
        &self,
        authorized: &Authorized,
        mut outcome: PutDefinitionOutcome,
        mut revision: u64,
        request: Option<&FreshRequest>,
    ) -> Result<PutDefinitionOutcome> {
        let name = outcome.definition.name.clone();
        for _ in 0..ATTEMPTS {
            let expect = Expect::Revision(revision);
            match self.commit_definition(&outcome, expect, request).await {
                Ok(()) => return Ok(outcome),
                Err(error) if error.reason() == Reason::Conflict => {}
                Err(error) => return Err(error),
            }
            let stored = self.definition(authorized).await?;
            if stored.record.generation + 1 != outcome.definition.generation
                || stored.record.delete_time.is_some()
            {
                return Err(Error::new(Reason::EtagMismatch)
                    .with(Detail::Resource, &name)
                    .at("definition.etag"));
            }
            check_interpretation(&stored.record, &outcome.definition.content)?;
            outcome.definition.places = stored.record.places.clone();
            revision = stored.revision;
        }
        Err(Error::new(Reason::Conflict).with(Detail::Resource, &name))
    }

    async fn commit_definition(
        &self,
        outcome: &PutDefinitionOutcome,
        expect: Expect,
        request: Option<&FreshRequest>,
    ) -> Result<()> {
        let definition = &outcome.definition;
        let mut batch =
            Batch::new().put(&Definition::record_id(&definition.name), definition, expect);
        if let Some(request) = request {
            batch = request.record(batch, outcome, true, self.clock.now())?;
        }
        match self.records.commit(batch).await? {
            Committed::At(_) => Ok(()),
            Committed::Conflict { .. } => {
                Err(Error::new(Reason::Conflict).with(Detail::Resource, &definition.name))
            }
        }
    }

    /// Reads a definition.
    ///
    /// # Errors
    /// See the RPC `GetSecretDefinition`.
    pub async fn get_definition(
        &self,
        call: &Arc<Call>,
        name: &DefinitionName,
    ) -> Result<Definition> {
        let resource = Resource::Definition(name.clone());
        let authorized = self
            .authorize(call, &[Permission::DefinitionsGet], resource, None)
            .await?;
        let result = self
            .definition(&authorized)
            .await
            .and_then(|stored| self.visible(&stored));
        self.decided(authorized, result).await
    }

    /// What a reader of definitions sees: soft-deleted ones too, half-created ones not.
    pub(crate) fn visible(&self, stored: &Stored<Definition>) -> Result<Definition> {
        let definition = &stored.record;
        if definition.is_creating() || self.is_gone(definition) {
            return Err(not_found(&definition.name));
        }
        Ok((**definition).clone())
    }
}

impl PutDefinition {
    /// Everything that makes the request what it is, without the payload's bytes.
    fn shape(&self) -> Result<Vec<u8>> {
        let format = self.payload.as_ref().map(|payload| payload.format);
        let shape = (
            &self.name,
            &self.content,
            &self.etag,
            &self.mask,
            format,
            self.is_dry_run,
            self.is_adopting,
            self.is_value_unchecked,
        );
        serde_json::to_vec(&shape).map_err(|error| Error::new(Reason::Internal).caused_by(error))
    }
}

pub(crate) fn check_etag(etag: &str, definition: &Definition, field: &'static str) -> Result<()> {
    if etag == definition.etag() {
        return Ok(());
    }
    Err(Error::new(Reason::EtagMismatch)
        .with(Detail::Resource, &definition.name)
        .at(field))
}

/// Stored bytes keep the meaning they were stored with.
fn check_interpretation(existing: &Definition, content: &Content) -> Result<()> {
    let field = if existing.content.kind != content.kind {
        "definition.kind"
    } else if existing.content.format != content.format {
        "definition.format"
    } else {
        return Ok(());
    };
    if !existing.has_values() {
        return Ok(());
    }
    Err(Error::new(Reason::FieldInvalid).violation(
        field,
        "cannot change once there is a value; register a new definition",
    ))
}

fn is_full_replace(paths: &[String]) -> bool {
    paths.iter().any(|path| path == "*")
}

/// The existing content with the named fields taken from the new one.
fn masked(existing: &Content, new: &Content, paths: &[String]) -> Result<Content> {
    let mut content = existing.clone();
    for path in paths {
        match path.as_str() {
            "*" => content = new.clone(),
            "description" => content.description.clone_from(&new.description),
            "environment_fallback" => content.environment_fallback = new.environment_fallback,
            "environments" => content.environments.clone_from(&new.environments),
            "format" => content.format = new.format,
            "kind" => content.kind = new.kind,
            "stripe" => content.stripe.clone_from(&new.stripe),
            "labels" => content.labels.clone_from(&new.labels),
            "location" => content.location.clone_from(&new.location),
            "rotate_by" => content.rotate_by = new.rotate_by,
            _ => {
                return Err(Error::new(Reason::FieldInvalid).violation(
                    "update_mask",
                    "names a field that cannot be changed; use description, environment_fallback, \
                     environments, format, kind, labels, location, rotate_by, stripe or *",
                ));
            }
        }
    }
    Ok(content)
}
