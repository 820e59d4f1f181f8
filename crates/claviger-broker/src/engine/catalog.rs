//! What is registered, and the proof that a caller may use it.
//!
//! A use case asks here first. What it gets back holds the proof together with what the name stood
//! for; everything else takes that. `Catalog::commit` is the only commit for a caller: the store
//! itself refuses it if what allowed it was revoked or has ended by then.

pub(crate) mod commit;
pub(crate) mod listing;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use claviger_access::{
    Authorized, Authorizer, Call, Caller, Directory, Grant, Permission, Principal, Proof, Resolved,
    Role, Scope,
};
use claviger_core::{
    Clock, DefinitionName, Detail, Error, Id, ProfileName, ProjectName, Reason, Resource, Result,
    SecretBytes,
};
use claviger_seal::{equal, sha256};
use claviger_store::{Batch, Expect, Record, Records, Stored};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::engine::forms::{definition_id, profile_id};
use crate::engine::found::{Asked, Found, OnDefinition, OnProfile, OnProject, expect};
use crate::engine::remembered::Remembered;
use crate::model::definition::{Definition, not_found};
use crate::model::grants::{GrantView, Grants};
use crate::model::identity::Identities;
use crate::model::profile::{Profile, profile_not_found};
use crate::model::project::{Project, project_not_found};
use crate::model::token::{self, Token};

thread_local! {
    /// Whose a token is, by its hash.
    static CALLERS: RefCell<Remembered<Caller>> = RefCell::default();
}

/// The owner of the records.
#[derive(Debug)]
pub(crate) struct Catalog {
    records: Arc<Records>,
    authorizer: Authorizer,
    clock: Arc<dyn Clock>,
    /// The uid that is admin by itself.
    first_admin: u32,
    deleted_retention: Duration,
    identities: Identities,
    /// Held while a definition is added to a project, and exclusively while an empty project is
    /// deleted. Enough for one process; replicas will need the store for it.
    project_gate: RwLock<()>,
}

impl Catalog {
    pub(crate) fn new(
        records: Arc<Records>,
        authorizer: Authorizer,
        clock: Arc<dyn Clock>,
        first_admin: u32,
        deleted_retention: Duration,
        identities: Identities,
    ) -> Self {
        Self {
            records,
            authorizer,
            clock,
            first_admin,
            deleted_retention,
            identities,
            project_gate: RwLock::new(()),
        }
    }

    /// Asks for permissions on a definition.
    ///
    /// # Errors
    /// `ACCESS_DENIED`; a name that stands for nothing is found out later.
    pub(crate) async fn ask_definition(
        &self,
        call: &Arc<Call>,
        permissions: &[Permission],
        name: &DefinitionName,
        environment: Option<&Id>,
    ) -> Result<Asked<OnDefinition>> {
        let resource = Resource::Definition(name.clone());
        let environment = environment.cloned();
        let asking = self
            .authorizer
            .authorize(self, call, permissions, resource, environment);
        let (proof, found) = asking.await?;
        let name = name.clone();
        let found = OnDefinition { name, found };
        Ok(Asked { proof, found })
    }

    /// Asks for a permission on a profile.
    ///
    /// # Errors
    /// As [`Self::ask_definition`].
    pub(crate) async fn ask_profile(
        &self,
        call: &Arc<Call>,
        permissions: &[Permission],
        name: &ProfileName,
        environment: Option<&Id>,
    ) -> Result<Asked<OnProfile>> {
        let resource = Resource::Profile(name.clone());
        let environment = environment.cloned();
        let (proof, found) = self
            .authorizer
            .authorize(self, call, permissions, resource, environment)
            .await?;
        let name = name.clone();
        let found = OnProfile { name, found };
        Ok(Asked { proof, found })
    }

    /// Asks for a permission on a project.
    ///
    /// # Errors
    /// As [`Self::ask_definition`].
    pub(crate) async fn ask_project(
        &self,
        call: &Arc<Call>,
        permission: Permission,
        name: &ProjectName,
    ) -> Result<Asked<OnProject>> {
        let resource = Resource::Project(name.clone());
        let (proof, found) = self
            .authorizer
            .authorize(self, call, &[permission], resource, None)
            .await?;
        let name = name.clone();
        let found = OnProject { name, found };
        Ok(Asked { proof, found })
    }

    /// Asks for a permission on any resource, of which no more is wanted than its uid.
    ///
    /// # Errors
    /// `ACCESS_DENIED`.
    pub(crate) async fn ask_resource(
        &self,
        call: &Arc<Call>,
        permission: Permission,
        resource: Resource,
    ) -> Result<Asked<()>> {
        let (proof, _) = self
            .authorizer
            .authorize(self, call, &[permission], resource, None)
            .await?;
        Ok(Asked { proof, found: () })
    }

    /// Asks for a permission on anything at all.
    ///
    /// # Errors
    /// `ACCESS_DENIED`.
    pub(crate) async fn ask_anywhere(
        &self,
        call: &Arc<Call>,
        permission: Permission,
    ) -> Result<Asked<()>> {
        let proof = self
            .authorizer
            .authorize_anywhere(self, call, permission)
            .await?;
        Ok(Asked { proof, found: () })
    }

    pub(super) fn records(&self) -> &Records {
        &self.records
    }

    /// The record of this id.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`.
    pub(crate) async fn get<R: Record>(
        &self,
        _: &Authorized,
        id: &str,
    ) -> Result<Option<Stored<R>>> {
        self.records.get(id).await
    }

    /// A page of records whose ids begin with `prefix`.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`.
    pub(crate) async fn scan<R: Record>(
        &self,
        _: &Authorized,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Stored<R>)>> {
        self.records.scan(prefix, after, limit).await
    }

    /// What the definition's name stands for by now, even if it was deleted so long ago that the
    /// name is free.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`.
    pub(crate) async fn named(
        &self,
        asked: &Asked<OnDefinition>,
    ) -> Result<Option<Stored<Definition>>> {
        self.find_definition(&asked.found.name).await
    }

    /// The definition that was asked for, as it is by now.
    ///
    /// # Errors
    /// `PROJECT_NOT_FOUND`; `DEFINITION_NOT_FOUND`: also when the name stands for another
    /// definition.
    pub(crate) async fn again(&self, asked: &Asked<OnDefinition>) -> Result<Stored<Definition>> {
        asked.found.project()?;
        let uid = asked.proof.resolved().definition;
        let stored = self.find_definition(&asked.found.name).await?;
        stored
            .filter(|stored| Some(stored.record.uid) == uid)
            .ok_or_else(|| not_found(&asked.found.name))
    }

    /// The project of the definition that was asked for, as it is by now.
    ///
    /// # Errors
    /// `PROJECT_NOT_FOUND`: also when the name stands for another project.
    pub(crate) async fn project_again(
        &self,
        asked: &Asked<OnDefinition>,
    ) -> Result<Stored<Project>> {
        let name = asked.found.name.project();
        self.same_project(&asked.proof, name).await
    }

    /// The project that something in it was asked about, as it is by now.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn same_project(
        &self,
        proof: &Authorized,
        name: &ProjectName,
    ) -> Result<Stored<Project>> {
        let uid = proof.resolved().project;
        let stored = self.find_project(name).await?;
        stored
            .filter(|stored| Some(stored.record.uid) == uid)
            .ok_or_else(|| project_not_found(name))
    }

    /// The definition that a profile leads to, which its caller need not know: the profile's own
    /// permission allows it.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`.
    pub(crate) async fn led_to(
        &self,
        _: &Authorized,
        name: &DefinitionName,
    ) -> Result<Option<Stored<Definition>>> {
        self.find_definition(name).await
    }

    /// The profile that was asked for, as it is by now.
    ///
    /// # Errors
    /// `PROFILE_NOT_FOUND`: also when the name stands for another profile.
    pub(crate) async fn profile_again(&self, asked: &Asked<OnProfile>) -> Result<Stored<Profile>> {
        let uid = asked.proof.resolved().profile;
        let stored = self.find_profile(&asked.found.name).await?;
        stored
            .filter(|stored| Some(stored.record.uid) == uid)
            .ok_or_else(|| profile_not_found(&asked.found.name))
    }

    /// Keeps the projects there are until this is dropped: a definition is being added to one.
    ///
    /// # Errors
    /// `PROJECT_NOT_FOUND`: also when the name stands for another project by now.
    pub(crate) async fn adding_to(
        &self,
        proof: &Authorized,
        name: &ProjectName,
    ) -> Result<RwLockReadGuard<'_, ()>> {
        let gate = self.project_gate.read().await;
        let stored = self.find_project(name).await?;
        let uid = proof.resolved().project;
        match stored.filter(|stored| Some(stored.record.uid) == uid) {
            Some(_) => Ok(gate),
            None => Err(project_not_found(name)),
        }
    }

    /// Keeps definitions from being added until this is dropped.
    pub(crate) async fn removing(&self) -> RwLockWriteGuard<'_, ()> {
        self.project_gate.write().await
    }

    /// Looks a definition up by name, for the engine only.
    pub(super) async fn find_definition(
        &self,
        name: &DefinitionName,
    ) -> Result<Option<Stored<Definition>>> {
        self.records.get(&definition_id(name)).await
    }

    async fn find_profile(&self, name: &ProfileName) -> Result<Option<Stored<Profile>>> {
        self.records.get(&profile_id(name)).await
    }

    /// The record of this id, for the engine only.
    pub(super) async fn get_own<R: Record>(&self, id: &str) -> Result<Option<Stored<R>>> {
        self.records.get(id).await
    }

    /// Secret bytes under this full key, for the engine only.
    pub(super) async fn secret_own(&self, key: &str) -> Result<Option<SecretBytes>> {
        let found = self.records.secret(key).await?;
        Ok(found.map(|(value, _)| value))
    }

    /// A page of records, for the engine only.
    pub(super) async fn scan_own<R: Record>(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Stored<R>)>> {
        self.records.scan("", after, limit).await
    }

    async fn find_project(&self, name: &ProjectName) -> Result<Option<Stored<Project>>> {
        self.records.get(name.id().as_str()).await
    }

    /// A page of all definitions with their projects: for the daemon itself, which asks for nobody.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`.
    pub(crate) async fn definitions_for_upkeep(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Stored<Definition>, Option<Stored<Project>>)>> {
        let mut page = Vec::new();
        for (id, stored) in self.scan_own::<Definition>(after, limit).await? {
            let project = self.find_project(stored.record.name.project()).await?;
            page.push((id, stored, project));
        }
        Ok(page)
    }

    /// Finds out whose token this is: before that nothing can be asked.
    ///
    /// # Errors
    /// `TOKEN_INVALID`, `TOKEN_EXPIRED`, `TOKEN_REVOKED`, `STORE_UNAVAILABLE`.
    pub(crate) async fn authenticate(&self, token: &str) -> Result<Caller> {
        if token.len() != token::LEN {
            return Err(Error::new(Reason::TokenInvalid));
        }
        // SECURITY: remembered by its hash, which is no secret and takes the same time to make.
        let hash = sha256(token.as_bytes());
        let known = CALLERS.with_borrow_mut(|callers| callers.get(&hash, &self.records));
        let known = known.filter(|caller| caller.expire_time.is_none_or(|end| self.now() < end));
        if let Some(caller) = known {
            return Ok(caller);
        }
        let asking = self.records.collecting(self.caller_of(token, hash));
        let (caller, stamp) = Box::pin(asking).await;
        if let Ok(caller) = &caller {
            CALLERS.with_borrow_mut(|callers| callers.put(&hash, caller.clone(), stamp));
        }
        caller
    }

    async fn caller_of(&self, token: &str, hash: [u8; 32]) -> Result<Caller> {
        if !token::is_well_formed(token.as_bytes()) {
            return Err(Error::new(Reason::TokenInvalid));
        }
        let id = token::id_of(&hash)?;
        let stored = self.records.get::<Token>(id.as_str()).await?;
        let token = stored
            .map(|stored| stored.record)
            .filter(|token| equal(&token.hash, &hash))
            .ok_or_else(|| Error::new(Reason::TokenInvalid))?;
        if token.is_revoked {
            return Err(Error::new(Reason::TokenRevoked));
        }
        if self.now() >= token.expire_time {
            return Err(Error::new(Reason::TokenExpired));
        }
        let (principal, proof) = match &token.speaks_as {
            Some(other) => {
                // SECURITY: whoever is not believed any more is not by what was given for that
                // either, and another issuer under the same name vouched for nobody.
                if self.identities.digest(&other.identity) != Some(other.digest) {
                    return Err(Error::new(Reason::TokenRevoked));
                }
                (other.principal.clone(), Proof::Exchanged(id))
            }
            None => (Principal::Token(id), Proof::Token),
        };
        Ok(Caller {
            principal,
            proof,
            expire_time: Some(token.expire_time),
        })
    }

    /// The token that a caller came with, if it was one of Claviger's own.
    ///
    /// # Errors
    /// `TOKEN_REVOKED`, `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`.
    pub(crate) async fn token_of(&self, caller: &Caller) -> Result<Option<(Id, Stored<Token>)>> {
        let Some(id) = caller.token() else {
            return Ok(None);
        };
        let stored = self.records.get::<Token>(id.as_str()).await?;
        match stored.filter(|stored| !stored.record.is_revoked) {
            Some(stored) => Ok(Some((id.clone(), stored))),
            None => Err(Error::new(Reason::TokenRevoked)),
        }
    }

    /// Makes a project and grants in it before any listener is open, when there is no caller to ask
    /// for; what exists stays.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`, `CONFLICT`.
    pub(crate) async fn seed(
        &self,
        project: &Project,
        grants: impl Fn(Grants) -> Result<Grants>,
    ) -> Result<()> {
        let name = &project.name;
        if self.find_project(name).await?.is_some() {
            return Ok(());
        }
        let principal = Principal::Unix(self.first_admin);
        let key = Grants::key(&principal);
        let stored = self.records.get::<Grants>(&key).await?;
        let existing = stored
            .as_ref()
            .map_or_else(|| Grants::none(principal), |s| (*s.record).clone());
        let batch = Batch::new()
            .put(name.id().as_str(), project, Expect::Absent)
            .put(&key, &grants(existing)?, expect(stored.as_ref()));
        match self.commit_own(batch).await? {
            Some(_) => Ok(()),
            None => Err(Error::new(Reason::Conflict).with(Detail::Resource, name)),
        }
    }

    /// Whether a soft-deleted definition's name is free again.
    pub(crate) fn is_gone(&self, definition: &Definition) -> bool {
        self.is_over(definition.delete_time)
    }

    /// The same of whatever was deleted at this time.
    pub(crate) fn is_over(&self, deleted: Option<SystemTime>) -> bool {
        let free = self.free_time(deleted);
        free.is_some_and(|free| self.now() >= free)
    }

    /// When a soft-deleted definition's name becomes free.
    pub(crate) fn purge_time(&self, definition: &Definition) -> Option<SystemTime> {
        self.free_time(definition.delete_time)
    }

    /// When a name becomes free that was deleted at this time.
    pub(crate) fn free_time(&self, deleted: Option<SystemTime>) -> Option<SystemTime> {
        deleted.map(|deleted| deleted + self.deleted_retention)
    }

    /// The time.
    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Who vouches for callers of other systems.
    pub(crate) fn identities(&self) -> &Identities {
        &self.identities
    }

    /// A keyed hash: nobody without the store's keys can make or guess it.
    pub(crate) fn mac(&self, purpose: &'static str, parts: &[&[u8]]) -> [u8; 32] {
        self.records.keyring().mac(purpose, parts)
    }

    /// Whether the store can read and commit.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `STORE_NOT_WRITABLE`.
    pub(crate) async fn health(&self) -> Result<()> {
        self.records.health().await
    }

    /// The records of all grants that hold for a principal: its own, and those of the patterns that
    /// it fits, each with its key.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`.
    async fn grants_of(
        &self,
        principal: &Principal,
    ) -> Result<Vec<(String, Option<Stored<Grants>>)>> {
        let mut found = Vec::with_capacity(1);
        for holder in principal.holders() {
            let key = Grants::key(&holder);
            let stored = self.records.get::<Grants>(&key).await?;
            found.push((key, stored));
        }
        Ok(found)
    }

    /// The grants that hold for a principal, each with the holder that it was given to.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`.
    pub(crate) async fn given_to(&self, principal: &Principal) -> Result<Vec<GrantView>> {
        let found = self.grants_of(principal).await?;
        let view = |grant: &Grant| {
            let key = Grants::key_of(&grant.id);
            let record = found.iter().find(|(own, _)| Some(own.as_str()) == key);
            let record = record.and_then(|(_, stored)| stored.as_ref());
            let holder = record.map_or(principal, |stored| &stored.record.principal);
            GrantView {
                principal: holder.clone(),
                grant: grant.clone(),
            }
        };
        let grants = self.together(principal, &found);
        Ok(grants.iter().map(view).collect())
    }

    /// What was found as one list. The first admin needs no record, so that there is no root token to
    /// lose.
    fn together(
        &self,
        principal: &Principal,
        found: &[(String, Option<Stored<Grants>>)],
    ) -> Arc<Vec<Grant>> {
        let mut given = found
            .iter()
            .filter_map(|(_, stored)| Some(&stored.as_ref()?.record.grants));
        let first = given.next().map_or_else(Arc::default, Arc::clone);
        let mut more = given.flat_map(|grants| grants.iter().cloned()).peekable();
        let given = match more.peek() {
            None => first,
            Some(_) => Arc::new(first.iter().cloned().chain(more).collect()),
        };
        if *principal != Principal::Unix(self.first_admin) {
            return given;
        }
        let own = Grant {
            id: Id::from_static("first-admin"),
            role: Role::Admin,
            scope: Scope::Daemon,
            environment: None,
            expire_time: None,
            purpose: None,
            made_by: None,
        };
        Arc::new([own].into_iter().chain(given.iter().cloned()).collect())
    }
}

impl Directory for Catalog {
    type Found = Found;

    async fn grants(&self, principal: &Principal) -> Result<Arc<Vec<Grant>>> {
        let found = self.grants_of(principal).await?;
        Ok(self.together(principal, &found))
    }

    async fn check_token(&self, caller: &Caller) -> Result<()> {
        self.token_of(caller).await.map(drop)
    }

    fn changes(&self) -> u64 {
        self.records.changes()
    }

    async fn resolve(&self, resource: &Resource) -> Result<(Resolved, Found)> {
        let project = match resource.project() {
            Some(name) => self.find_project(name).await?,
            None => None,
        };
        let definition = match resource {
            Resource::Definition(name) => self.find_definition(name).await?,
            Resource::Daemon | Resource::Profile(_) | Resource::Project(_) => None,
        };
        let profile = match resource {
            Resource::Profile(name) => self.find_profile(name).await?,
            Resource::Daemon | Resource::Definition(_) | Resource::Project(_) => None,
        };
        // What is gone is not there for grants either: they must not make it anew.
        let definition = definition.filter(|stored| !self.is_gone(&stored.record));
        let profile = profile.filter(|stored| !self.is_over(stored.record.delete_time));
        let resolved = Resolved {
            project: project.as_ref().map(|stored| stored.record.uid),
            definition: definition.as_ref().map(|stored| stored.record.uid),
            profile: profile.as_ref().map(|stored| stored.record.uid),
        };
        let found = Found {
            project,
            definition,
            profile,
        };
        Ok((resolved, found))
    }
}
