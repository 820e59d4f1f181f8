//! A definition, registered or changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger_access::{Call, Permission, Resolved};
use claviger_audit::Facts;
use claviger_backend::NameWarning;
use claviger_core::{DefinitionName, Detail, Error, Id, Kind, Reason, Result, SecretBytes, Uid};
use claviger_store::{Batch, Expect, Stored};

use crate::broker::Broker;
use crate::engine::catalog::commit::Update;
use crate::engine::forms::definition_id;
use crate::engine::found::{Asked, OnDefinition};
use crate::engine::replay::{FreshRequest, Replay};
use crate::engine::steps::{NewValue, Target, in_progress};
use crate::model::answer::{Answer, Subject};
use crate::model::content::Content;
use crate::model::definition::{Definition, DerivedFrom, not_found};
use crate::model::payload::Payload;
use crate::model::project::{MANAGED, Project};
use crate::model::registered::Registered;
use crate::model::request::{RequestId, RequestState};
use crate::model::route::Route;
use crate::model::warning::Warning;

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

/// The outcome of a put of a definition.
#[derive(Clone, Debug)]
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
        let permissions = put.permissions();
        let asked = self
            .catalog
            .ask_definition(call, permissions, &put.name, None)
            .await?;
        let facts = |outcome: &PutDefinitionOutcome| Facts {
            version: outcome.version.clone(),
            ..Facts::default()
        };
        self.finish_detached(asked, facts, |broker, asked| async move {
            broker.put_definition_asked(&asked, put).await
        })
        .await
    }

    async fn put_definition_asked(
        &self,
        asked: &Asked<OnDefinition>,
        put: PutDefinition,
    ) -> Result<PutDefinitionOutcome> {
        // Before its own answer is looked for: what this very request has made is not to be taken for
        // another's.
        let mut existing = self.settled(asked).await?;
        let shape = put.shape()?;
        let value = put.payload.as_ref().map(|payload| payload.value.expose());
        let content: [&[u8]; 2] = [&shape, value.unwrap_or_default()];
        let replay = self
            .writes
            .replay(&asked.proof, &put.name, put.request_id, &content);
        let request = match replay.await? {
            Replay::Answered(answer) => return self.answered(asked, answer).await,
            Replay::Fresh(request) => request,
        };
        let request = request.as_ref();
        // Again, as the definition was: settling may have waited for a vault.
        let project = self.catalog.project_again(asked).await;
        let project = project.map_err(|error| error.at("definition.name"))?.record;
        let gone = existing.take_if(|stored| self.catalog.is_gone(&stored.record));
        let now = Resolved {
            definition: existing.as_ref().map(|stored| stored.record.uid),
            ..asked.proof.resolved()
        };
        if now != asked.proof.resolved() {
            // The name stands for something else by now, where the caller may have no permission.
            for permission in put.permissions() {
                let resource = asked.proof.resource();
                asked.proof.claim(*permission, resource, now)?;
            }
        }
        match existing {
            None => self.create(asked, &project, gone, put, request).await,
            Some(stored) if stored.record.delete_time.is_some() => {
                Err(Error::new(Reason::DefinitionDeleted)
                    .with(Detail::Resource, &put.name)
                    .at("definition.name"))
            }
            Some(stored) => {
                self.change(asked, &project, &stored.record, put, request)
                    .await
            }
        }
    }

    /// An answer given before, unless what it was about is gone: a re-made name inherits nothing.
    async fn answered(
        &self,
        asked: &Asked<OnDefinition>,
        answer: Answer,
    ) -> Result<PutDefinitionOutcome> {
        let outcome = PutDefinitionOutcome::try_from(answer)?;
        // As it is now: the call that was answered may have ended after this one asked.
        let stored = self.catalog.named(asked).await?;
        let is_it = |stored: &Stored<Definition>| stored.record.uid == outcome.definition.uid;
        match stored.is_some_and(|stored| is_it(&stored) && !self.catalog.is_gone(&stored.record)) {
            true => Ok(outcome),
            false => Err(Error::new(Reason::RequestIdReused).at("request_id")),
        }
    }

    /// What the name stands for, once a half-done creation is settled.
    async fn settled(&self, asked: &Asked<OnDefinition>) -> Result<Option<Stored<Definition>>> {
        let stored = self.catalog.named(asked).await?;
        let Some(creating) = stored.as_ref().filter(|stored| stored.record.is_creating()) else {
            return Ok(stored);
        };
        self.writes.settle(&asked.proof, &creating.record).await?;
        self.catalog.named(asked).await
    }

    async fn create(
        &self,
        asked: &Asked<OnDefinition>,
        project: &Project,
        gone: Option<Stored<Definition>>,
        put: PutDefinition,
        request: Option<&FreshRequest>,
    ) -> Result<PutDefinitionOutcome> {
        let now = self.catalog.now();
        let definition = Definition {
            name: put.name.clone(),
            uid: Uid::random(),
            content: put.content,
            generation: 1,
            create_time: now,
            update_time: now,
            delete_time: None,
            derived_from: DerivedFrom::Uid,
            is_purging: false,
            places: BTreeMap::new(),
        };
        let registered = self.registered(project, &definition);
        check_made_by_profile(registered, put.payload.is_some())?;
        let names = registered.validate()?;
        if put.etag.is_some() || put.mask.is_some() {
            return Err(not_found(&put.name));
        }
        let mut warnings = self.warnings_about(registered, &names);
        let value = match put.payload {
            None if put.is_value_unchecked => None,
            None => {
                warnings.extend(self.judge_existing(&asked.proof, registered).await?);
                None
            }
            Some(payload) => {
                let (route, value, found) = admitted(registered, payload)?;
                warnings.extend(found);
                Some((route, value))
            }
        };
        let answer = Answer {
            subject: Subject::Definition(Box::new(definition.clone())),
            version: None,
            warnings,
        };
        if put.is_dry_run {
            return answer.try_into();
        }

        let place = value.as_ref().map(|(route, _)| route.facts());
        let making = definition.making(place.unwrap_or_default());
        if let Some(gone) = gone {
            let ending = gone.record.ending();
            self.audit.intent(&asked.proof, ending).await?;
            self.erase(&asked.proof, &gone.record).await?;
        }
        let intent = self.audit.intend(&asked.proof, vec![making]);
        match value {
            None => {
                intent.written().await?;
                self.register(asked, answer, request).await
            }
            Some((route, value)) => {
                let value = NewValue {
                    bytes: &value,
                    format: definition.content.format,
                    is_adopting: put.is_adopting,
                };
                let target = Target::New(&definition);
                let request = request.map(|request| (request, &answer));
                let written = self
                    .writes
                    .write(&asked.proof, target, &route, value, request, intent)
                    .await?;
                let mut outcome = PutDefinitionOutcome::try_from(answer)?;
                outcome.warnings.extend(Warning::of_write(&written));
                outcome.version = Some(written.version);
                Ok(outcome)
            }
        }
    }

    /// Commits a new definition without a value.
    async fn register(
        &self,
        asked: &Asked<OnDefinition>,
        answer: Answer,
        request: Option<&FreshRequest>,
    ) -> Result<PutDefinitionOutcome> {
        let name = &asked.found.name;
        let _gate = self.catalog.adding_to(&asked.proof, name.project()).await?;
        let outcome = PutDefinitionOutcome::try_from(answer.clone())?;
        let new = Batch::new().put(&definition_id(name), &outcome.definition, Expect::Absent);
        let batch = self.with_answer(new, request, &answer);
        match self.catalog.commit(&asked.proof, &batch).await? {
            Some(_) => Ok(outcome),
            None => Err(conflict(name)),
        }
    }

    async fn change(
        &self,
        asked: &Asked<OnDefinition>,
        project: &Project,
        existing: &Definition,
        put: PutDefinition,
        request: Option<&FreshRequest>,
    ) -> Result<PutDefinitionOutcome> {
        if put.payload.is_some() && existing.content.kind == Kind::StripeOauth {
            return Err(credentials_elsewhere());
        }
        if put.payload.is_some() {
            return Err(Error::new(Reason::PayloadNotAllowed).violation(
                "payload",
                "does not go with a definition that exists; rotate its value with PutSecretValue",
            ));
        }
        let content = match &put.mask {
            Some(paths) => masked(&existing.content, &put.content, paths)?,
            None => put.content.clone(),
        };
        if content.leads_elsewhere_than(&existing.content) {
            // First: what is refused about a location tells what the project may use.
            asked
                .proof
                .claim_on_project(Permission::DefinitionsPut, None)?;
        }
        let mut wanted = Definition {
            content,
            ..existing.clone()
        };
        check_oauth(existing, &wanted.content)?;
        let names = self.registered(project, &wanted).validate()?;
        if wanted.content == existing.content {
            let registered = self.registered(project, existing);
            return self.keep(asked, registered, &put, &names, request).await;
        }
        check_replaces(existing, &put)?;
        check_interpretation(existing, &wanted.content)?;
        wanted.generation += 1;
        wanted.update_time = self.catalog.now();
        let registered = self.registered(project, &wanted);
        let mut warnings = self.warnings_about(registered, &names);
        if !put.is_value_unchecked {
            warnings.extend(self.judge_existing(&asked.proof, registered).await?);
        }
        let outcome = PutDefinitionOutcome {
            definition: wanted,
            version: None,
            warnings,
        };
        if put.is_dry_run {
            return Ok(outcome);
        }
        let changing = existing.changing(&outcome.definition);
        self.audit.intent(&asked.proof, changing).await?;
        let changed = self.commit_change(asked, outcome, request).await?;
        self.doubt(self.registered(project, existing));
        self.doubt(self.registered(project, &changed.definition));
        Ok(changed)
    }

    /// Answers a put that changes nothing, so nothing is refused: callers that put again to see
    /// whether all is well are told.
    async fn keep(
        &self,
        asked: &Asked<OnDefinition>,
        registered: Registered<'_>,
        put: &PutDefinition,
        names: &[NameWarning],
        request: Option<&FreshRequest>,
    ) -> Result<PutDefinitionOutcome> {
        let existing = registered.definition;
        let mut warnings = self.warnings_about(registered, names);
        if !put.is_value_unchecked {
            let judged = self.judge_existing(&asked.proof, registered).await;
            let refused = |error| vec![Warning::of_refusal(&error, "definition.location")];
            warnings.extend(judged.unwrap_or_else(refused));
        }
        let answer = Answer {
            subject: Subject::Definition(Box::new(existing.clone())),
            version: None,
            warnings,
        };
        if request.is_some() && !put.is_dry_run {
            // Kept, so that the id stays its own.
            let batch = self.with_answer(Batch::new(), request, &answer);
            let kept = self.catalog.commit(&asked.proof, &batch).await?;
            kept.ok_or_else(|| in_progress(&existing.name))?;
        }
        answer.try_into()
    }

    /// Commits a changed definition; a value written meanwhile does not stand in the way.
    async fn commit_change(
        &self,
        asked: &Asked<OnDefinition>,
        outcome: PutDefinitionOutcome,
        request: Option<&FreshRequest>,
    ) -> Result<PutDefinitionOutcome> {
        let wanted = &outcome.definition;
        let name = &wanted.name;
        let change = |stored: Option<&Stored<Definition>>| {
            let stored = stored.filter(|stored| stored.record.uid == wanted.uid);
            let stored = &stored.ok_or_else(|| not_found(name))?.record;
            if stored.generation + 1 != wanted.generation || stored.delete_time.is_some() {
                return Err(Error::new(Reason::EtagMismatch)
                    .with(Detail::Resource, name)
                    .at("definition.etag"));
            }
            check_interpretation(stored, &wanted.content)?;
            let definition = Definition {
                places: stored.places.clone(),
                ..wanted.clone()
            };
            let answer = Answer {
                subject: Subject::Definition(Box::new(definition.clone())),
                version: None,
                warnings: outcome.warnings.clone(),
            };
            Ok(Update::Put {
                also: self.with_answer(Batch::new(), request, &answer),
                record: definition,
                answer,
            })
        };
        let id = definition_id(name);
        let changed = self.catalog.update(&asked.proof, &id, change).await?;
        changed.ok_or_else(|| conflict(name))?.try_into()
    }

    fn registered<'a>(
        &'a self,
        project: &'a Project,
        definition: &'a Definition,
    ) -> Registered<'a> {
        Registered {
            definition,
            project,
            vaults: &self.vaults,
        }
    }

    fn with_answer(&self, batch: Batch, request: Option<&FreshRequest>, answer: &Answer) -> Batch {
        match request {
            Some(request) => {
                request.record(batch, answer, RequestState::Finished, self.catalog.now())
            }
            None => batch,
        }
    }
}

impl TryFrom<Answer> for PutDefinitionOutcome {
    type Error = Error;

    fn try_from(answer: Answer) -> Result<Self> {
        match answer.subject {
            Subject::Definition(definition) => Ok(Self {
                definition: *definition,
                version: answer.version,
                warnings: answer.warnings,
            }),
            Subject::Profile(_) | Subject::Value(_) => Err(Error::new(Reason::IntegrityFailure)
                .caused_by("the answer of a request is not one to PutSecretDefinition")),
        }
    }
}

impl PutDefinition {
    fn permissions(&self) -> &'static [Permission] {
        match self.payload {
            Some(_) => &[Permission::DefinitionsPut, Permission::SecretsPut],
            None => &[Permission::DefinitionsPut],
        }
    }

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

/// A connection is made with the profile that has it, and its tokens lie in Claviger's own vault: a
/// token that rolled has to be replaced for good.
fn check_made_by_profile(registered: Registered<'_>, has_payload: bool) -> Result<()> {
    let content = &registered.definition.content;
    if content.kind != Kind::StripeOauth {
        return Ok(());
    }
    let places = registered.places();
    let mut elsewhere = places
        .iter()
        .filter(|place| place.vault.as_str() != MANAGED);
    if let Some(place) = elsewhere.next() {
        return Err(Error::new(Reason::LocationInvalid)
            .with(Detail::Vault, &place.vault)
            .violation(
                "definition.location",
                "is not the managed vault, where alone the tokens of a STRIPE_OAUTH definition can be; \
                 make it with PutConnectionProfile, without a location",
            ));
    }
    match has_payload {
        true => Err(credentials_elsewhere()),
        false => Err(of_a_profile()),
    }
}

/// What a profile made is described and labelled by people, and leads where the profile says.
fn check_oauth(existing: &Definition, content: &Content) -> Result<()> {
    let before = &existing.content;
    let kinds = [before.kind, content.kind];
    if !kinds.contains(&Kind::StripeOauth) {
        return Ok(());
    }
    let described = Content {
        description: content.description.clone(),
        labels: content.labels.clone(),
        rotate_by: content.rotate_by,
        ..before.clone()
    };
    if *content == described {
        return Ok(());
    }
    match before.kind == content.kind {
        false => Err(of_a_profile()),
        true => Err(Error::new(Reason::FieldInvalid).violation(
            "definition",
            "is of kind STRIPE_OAUTH, of which description, labels and rotate_by change here; change \
             the connection with PutConnectionProfile",
        )),
    }
}

fn of_a_profile() -> Error {
    Error::new(Reason::FieldInvalid).violation(
        "definition.kind",
        "is STRIPE_OAUTH, which goes with the connection profile that it was made for; call \
         PutConnectionProfile with oauth",
    )
}

fn credentials_elsewhere() -> Error {
    Error::new(Reason::PayloadNotAllowed).violation(
        "payload",
        "does not go with a STRIPE_OAUTH definition; put client secret and refresh token with \
         PutConnectionProfile",
    )
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
            "freshness" => content.freshness = new.freshness,
            "kind" => content.kind = new.kind,
            "stripe" => content.stripe.clone_from(&new.stripe),
            "labels" => content.labels.clone_from(&new.labels),
            "location" => content.location.clone_from(&new.location),
            "rotate_by" => content.rotate_by = new.rotate_by,
            _ => {
                return Err(Error::new(Reason::FieldInvalid).violation(
                    "update_mask",
                    "names a field that cannot be changed; use description, environment_fallback, \
                     environments, format, freshness, kind, labels, location, rotate_by, stripe or *",
                ));
            }
        }
    }
    Ok(content)
}

/// The first value of a definition, and where it goes.
fn admitted(
    registered: Registered<'_>,
    payload: Payload,
) -> Result<(Route, SecretBytes, Vec<Warning>)> {
    let route = registered.only_route()?;
    let (value, warnings) = payload.admit(registered, &route)?;
    Ok((route, value, warnings))
}

/// Changing what exists needs an etag, or the fields that are meant.
fn check_replaces(existing: &Definition, put: &PutDefinition) -> Result<()> {
    let is_partial = |paths: &Vec<String>| !is_full_replace(paths);
    match &put.etag {
        Some(etag) => existing.check_etag(etag, "definition.etag"),
        None if put.mask.as_ref().is_some_and(is_partial) => Ok(()),
        None => Err(Error::new(Reason::DefinitionExists)
            .with(Detail::Resource, &put.name)
            .at("definition.etag")),
    }
}

fn conflict(name: &DefinitionName) -> Error {
    Error::new(Reason::Conflict).with(Detail::Resource, name)
}
