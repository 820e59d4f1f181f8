//! The use cases, one file per resource. Nobody else sees both a caller and a vault.
//!
//! Start with `secrets.rs` (how a read goes), then `writes.rs` (how a write survives a
//! crash between two systems). Knows no transport: the API parses, calls and formats.
#![forbid(unsafe_code)]

mod access;
mod catalog;
mod checks;
mod definition;
mod definitions;
mod deletion;
mod dev;
mod document;
mod failpoints;
mod idempotency;
mod inspect;
mod judging;
mod listing;
mod merge;
mod page;
mod payload;
mod place;
mod projects;
mod route;
mod secrets;
mod tokens;
mod upkeep;
mod vaults;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use claviger_access::{Authorized, Authorizer, Call, DecisionLog, Permission};
use claviger_audit::{Audit, Facts};
use claviger_backend::{CallContext, Vaults};
use claviger_core::{Clock, Error, Id, Reason, Resource, Result};
use claviger_store::{Records, Upgrade};
use claviger_stripe::live::LiveClient;
use tokio::runtime::Handle;
use tokio::sync::RwLock;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

pub use access::{GrantView, NewGrant};
pub use checks::{Check, CheckDefinition, CheckReport};
pub use claviger_backend::{ListedSecret, VersionState};
pub use claviger_stripe::live::{LiveVerdict, Outcome as LiveOutcome};
pub use claviger_stripe::{Class, Mode, Settings as StripeSettings, Verdict as StripeVerdict};
pub use definition::{Content, Definition};
pub use definitions::{PutDefinition, PutDefinitionOutcome};
pub use idempotency::RequestId;
pub use inspect::{InspectReport, InspectSecret};
pub use listing::{DefinitionFilter, LabelFilter};
pub use page::{Page, PageRequest};
pub use payload::{Payload, Warning};
pub use place::{Location, VaultRef};
pub use projects::{Environment, Project, ProjectContent, PutProject};
pub use secrets::{GetSecret, PutValue, PutValueOutcome, SecretVersion, Served};
pub use tokens::{NewToken, TokenView};
pub use vaults::{PartStatus, VaultView};

/// The upgrades of the broker's records.
pub const UPGRADES: [Upgrade; 6] = [
    Upgrade::unchanged::<Definition>(),
    Upgrade::unchanged::<access::PrincipalGrants>(),
    Upgrade::unchanged::<writes::PendingPointer>(),
    Upgrade::unchanged::<Project>(),
    Upgrade::unchanged::<idempotency::Request>(),
    Upgrade::unchanged::<tokens::Token>(),
];

/// What a broker is made of.
#[derive(Debug)]
pub struct Parts {
    /// The sealed records.
    pub records: Arc<Records>,
    /// The configured vaults.
    pub vaults: Vaults,
    /// The audit log.
    pub audit: Arc<Audit>,
    /// The way to Stripe.
    pub stripe: LiveClient,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How long a soft-deleted definition keeps its name.
    pub deleted_retention: Duration,
    /// The uid that is admin by itself: the daemon's own.
    pub first_admin: u32,
    /// Where writes run, so that they finish although their caller left.
    pub runtime: Handle,
}

/// The use cases.
#[derive(Debug)]
pub struct Broker {
    records: Arc<Records>,
    vaults: Vaults,
    audit: Arc<Audit>,
    stripe: Arc<LiveClient>,
    clock: Arc<dyn Clock>,
    authorizer: Authorizer,
    deleted_retention: Duration,
    first_admin: u32,
    runtime: Handle,
    writes: TaskTracker,
    /// Writes that this process is taking to a vault right now: nobody settles those.
    writing: writes::Writing,
    /// Held while a definition is added to a project, and exclusively while an empty project is
    /// deleted. Enough for one process; replicas will need the store for it.
    project_gate: RwLock<()>,
}

impl Broker {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let log: Arc<dyn DecisionLog> = Arc::<Audit>::clone(&parts.audit);
        Self {
            records: parts.records,
            vaults: parts.vaults,
            audit: parts.audit,
            stripe: Arc::new(parts.stripe),
            authorizer: Authorizer::new(log, Arc::clone(&parts.clock)),
            clock: parts.clock,
            deleted_retention: parts.deleted_retention,
            first_admin: parts.first_admin,
            runtime: parts.runtime,
            writes: TaskTracker::new(),
            writing: writes::Writing::default(),
            project_gate: RwLock::new(()),
        }
    }

    /// The audit log, for what happens before a caller is known.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Waits until the writes that were begun have ended.
    pub async fn drain(&self) {
        self.writes.close();
        self.writes.wait().await;
    }

    async fn authorize(
        &self,
        call: &Arc<Call>,
        permissions: &[Permission],
        resource: Resource,
        environment: Option<&Id>,
    ) -> Result<Authorized> {
        self.authorizer
            .authorize(self, call, permissions, resource, environment.cloned())
            .await
    }

    async fn authorize_anywhere(
        &self,
        call: &Arc<Call>,
        permission: Permission,
    ) -> Result<Authorized> {
        self.authorizer
            .authorize_anywhere(self, call, permission)
            .await
    }

    /// Writes the one record of a call that changed nothing.
    async fn decided<T>(&self, authorized: Authorized, result: Result<T>) -> Result<T> {
        self.audit
            .conclude(authorized, result, |_| Facts::default())
            .await
    }

    /// Runs a call to a vault, or to Stripe, on the runtime where such connections live. It ends with
    /// its caller: who asks and leaves must not use up the vault for others.
    async fn call_out<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let asked = AbortOnDropHandle::new(self.runtime.spawn(call));
        asked
            .await
            .map_err(|error| Error::new(Reason::Internal).caused_by(error))?
    }

    /// Runs a change to its end and writes its last record, even if the caller leaves meanwhile.
    async fn finish_detached<T, F>(
        self: &Arc<Self>,
        authorized: Authorized,
        facts: impl FnOnce(&T) -> Facts + Send + 'static,
        change: impl FnOnce(Arc<Self>, Arc<Authorized>) -> F + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let broker = Arc::clone(self);
        let task = self.writes.spawn_on(
            async move {
                let authorized = Arc::new(authorized);
                let result = change(Arc::clone(&broker), Arc::clone(&authorized)).await;
                let authorized =
                    Arc::into_inner(authorized).ok_or_else(|| Error::new(Reason::Internal))?;
                broker.audit.conclude(authorized, result, facts).await
            },
            &self.runtime,
        );
        task.await
            .map_err(|error| Error::new(Reason::Internal).caused_by(error))?
    }
}

fn context(authorized: &Authorized) -> CallContext {
    CallContext {
        call_id: authorized.call().id,
    }
}
