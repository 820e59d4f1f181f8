//! Whether a read of a definition would work, said without its value.

use std::sync::Arc;

use claviger_access::{Authorized, Call, Directory, Permission, Principal, Question, evaluate};
use claviger_core::{DefinitionName, Detail, Error, Id, Reason, Resource, Result};
use claviger_stripe::Verdict;

use crate::secrets::present;
use crate::{Broker, Warning};

/// One thing that was looked at: well, or the error a read would fail with.
pub type Check = Result<()>;

/// What [`Broker::check_definition`] found.
#[derive(Debug)]
pub struct CheckReport {
    /// The vault a read goes to.
    pub vault: Id,
    /// The secret's name there.
    pub secret: String,
    /// The key of its document that is meant.
    pub property: Option<String>,
    /// The version that is pinned.
    pub pin: Option<String>,
    /// The environment that was checked.
    pub environment: Option<Id>,
    /// Whether there is a readable value; its version.
    pub existence: Result<Id>,
    /// Whether the value fits the format; `None` without a value.
    pub format: Option<Check>,
    /// Whether it is what the kind says; `None` for kinds that are not judged.
    pub kind: Option<Check>,
    /// What it is, of a Stripe credential.
    pub stripe: Option<Verdict>,
    /// What deserves a look though a read works.
    pub warnings: Vec<Warning>,
    /// Whether the principal may read it.
    pub access: Check,
    /// Whose access was judged.
    pub principal: Principal,
}

impl Broker {
    /// Says where a definition leads and whether a read would work.
    ///
    /// # Errors
    /// See the RPC `CheckSecretDefinition`.
    pub async fn check_definition(
        &self,
        call: &Arc<Call>,
        name: &DefinitionName,
        environment: Option<&Id>,
        principal: Option<Principal>,
    ) -> Result<CheckReport> {
        let resource = Resource::Definition(name.clone());
        let is_own = principal
            .as_ref()
            .is_none_or(|other| *other == call.caller.principal);
        let permissions: &[Permission] = if is_own {
            &[Permission::DefinitionsCheck]
        } else {
            &[Permission::DefinitionsCheck, Permission::GrantsGet]
        };
        let authorized = self
            .authorize(call, permissions, resource, environment)
            .await?;
        let principal = principal.unwrap_or_else(|| call.caller.principal.clone());
        let result = self
            .check_authorized(&authorized, environment, principal)
            .await;
        self.decided(authorized, result).await
    }

    async fn check_authorized(
        &self,
        authorized: &Authorized,
        environment: Option<&Id>,
        principal: Principal,
    ) -> Result<CheckReport> {
        let definition = self.definition(authorized).await?.record;
        let definition = definition.live()?;
        let project = self.project(authorized).await?.record;
        let place = definition.place_of(environment, &project, &self.vaults)?;
        let route = definition.route(environment, None, &project, &self.vaults);
        let (existence, value) = match route {
            Ok(route) => match self.read_route(authorized, &route).await {
                Ok(reading) => {
                    let value = present(reading.value, definition.content.format, &route);
                    (Ok(reading.version), Some(value))
                }
                Err(error) => (Err(error), None),
            },
            Err(error) => (Err(error), None),
        };
        let named = |error: Error| error.with(Detail::Resource, &definition.name);
        let content = &definition.content;
        let readable = value.as_ref().and_then(|value| value.as_ref().ok());
        let stripe =
            readable.and_then(|value| content.judge(value, project.stripe_mode(environment)));
        let kind = stripe
            .as_ref()
            .map(|verdict| match verdict.refusal(content.kind, None) {
                Some(refusal) => Err(named(refusal)),
                None => Ok(()),
            });
        let due = content.is_rotation_due(self.clock.now());
        let due = due.then_some(Warning::ROTATION_DUE);
        let found = stripe.iter().flat_map(Verdict::warnings);
        let found = found.map(|finding| Warning::found(finding, ""));
        let warnings = due.into_iter().chain(found).collect();
        Ok(CheckReport {
            warnings,
            vault: place.place.vault,
            secret: place.address.secret,
            property: place.property,
            pin: place.pin,
            environment: environment.cloned(),
            existence: existence.map_err(named),
            format: value.map(|value| value.map(drop).map_err(named)),
            kind,
            stripe,
            access: self
                .check_access(authorized, environment, &principal)
                .await?,
            principal,
        })
    }

    async fn check_access(
        &self,
        authorized: &Authorized,
        environment: Option<&Id>,
        principal: &Principal,
    ) -> Result<Check> {
        let resolved = authorized.resolved();
        let question = Question {
            permission: Permission::SecretsGet,
            project: resolved.project,
            definition: resolved.definition,
            environment,
            purpose: authorized.call().purpose.as_ref(),
            now: self.clock.now(),
        };
        if evaluate(&self.grants(principal).await?, &question).is_some() {
            return Ok(Ok(()));
        }
        Ok(Err(Error::new(Reason::AccessDenied)
            .with(Detail::Principal, principal)
            .with(Detail::Permission, Permission::SecretsGet)
            .with(Detail::Resource, authorized.resource())))
    }
}
