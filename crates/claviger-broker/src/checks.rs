//! Whether a read of a definition would work, said without its value.

use std::sync::Arc;

use claviger_access::{Authorized, Call, Directory, Permission, Principal, Question, evaluate};
use claviger_audit::Facts;
use claviger_core::{
    DefinitionName, Detail, Error, Format, Id, Kind, Reason, Resource, Result, SecretBytes,
};
use claviger_stripe::live::{LiveVerdict, Outcome};
use claviger_stripe::{Mode, Verdict};

use crate::route::Route;
use crate::secrets::present;
use crate::{Broker, Content, Warning};

/// One thing that was looked at: well, or the error a read would fail with.
pub type Check = Result<()>;

/// Which definition is looked at, and for whom.
#[derive(Clone, Debug)]
pub struct CheckDefinition {
    /// The definition.
    pub name: DefinitionName,
    /// Where the project declares environments.
    pub environment: Option<Id>,
    /// Whose access is judged, if not the caller's.
    pub principal: Option<Principal>,
    /// Whether Stripe is asked too.
    pub is_live: bool,
}

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
    /// What Stripe said, if it was to be asked.
    pub live: Option<LiveVerdict>,
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
        check: CheckDefinition,
    ) -> Result<CheckReport> {
        let resource = Resource::Definition(check.name.clone());
        let principal = check.principal.as_ref();
        let is_own = principal.is_none_or(|other| *other == call.caller.principal);
        let permissions: &[Permission] = if is_own {
            &[Permission::DefinitionsCheck]
        } else {
            &[Permission::DefinitionsCheck, Permission::GrantsGet]
        };
        let authorized = self
            .authorize(call, permissions, resource, check.environment.as_ref())
            .await?;
        let result = self.check_authorized(&authorized, check).await;
        self.decided(authorized, result).await
    }

    async fn check_authorized(
        &self,
        authorized: &Authorized,
        check: CheckDefinition,
    ) -> Result<CheckReport> {
        let environment = check.environment.as_ref();
        let own = &authorized.call().caller.principal;
        let principal = check.principal.unwrap_or_else(|| own.clone());
        let definition = self.definition(authorized).await?.record;
        let definition = definition.live()?;
        let content = &definition.content;
        if check.is_live && content.kind != Kind::StripeApiKey {
            return Err(Error::new(Reason::FieldInvalid).violation(
                "live",
                "asks Stripe, and this definition is not a STRIPE_API_KEY; leave it out",
            ));
        }
        let project = self.project(authorized).await?.record;
        let place = definition.place_of(environment, &project, &self.vaults)?;
        let route = definition.route(environment, None, &project, &self.vaults);
        let (existence, value) = match route {
            Ok(route) => self.look_at(authorized, &route, content.format).await,
            Err(error) => (Err(error), None),
        };
        let named = |error: Error| error.with(Detail::Resource, &definition.name);
        let (format, value) = match value {
            Some(Ok(value)) => (Some(Ok(())), Some(value)),
            Some(Err(error)) => (Some(Err(named(error))), None),
            None => (None, None),
        };
        let demanded = project.stripe_mode(environment);
        let readable = value.as_ref();
        let stripe = readable.and_then(|value| content.judge(value, demanded));
        let kind = stripe.as_ref().map(|verdict| {
            let refusal = verdict.refusal(content.kind, None);
            refusal.map_or(Ok(()), |refusal| Err(named(refusal)))
        });
        let live = match check.is_live {
            true => {
                // SECURITY: Stripe sees nothing that was refused.
                let key = value.filter(|_| matches!(kind, Some(Ok(()))));
                let asked = self.ask_stripe(authorized, &place, key, content, demanded);
                Some(asked.await?)
            }
            false => None,
        };
        Ok(CheckReport {
            vault: place.place.vault,
            secret: place.address.secret,
            property: place.property,
            pin: place.pin,
            environment: environment.cloned(),
            existence: existence.map_err(named),
            format,
            kind,
            warnings: self.warnings(content, stripe.as_ref()),
            stripe,
            live,
            access: self
                .check_access(authorized, environment, &principal)
                .await?,
            principal,
        })
    }

    /// The version that a read returns, and what it makes of the value; none without one.
    async fn look_at(
        &self,
        authorized: &Authorized,
        route: &Route,
        format: Format,
    ) -> (Result<Id>, Option<Result<SecretBytes>>) {
        match self.read_route(authorized, route).await {
            Ok(reading) => {
                let value = present(reading.value, format, route);
                (Ok(reading.version), Some(value))
            }
            Err(error) => (Err(error), None),
        }
    }

    /// The value leaves for Stripe, so that is written down before.
    async fn ask_stripe(
        &self,
        authorized: &Authorized,
        route: &Route,
        key: Option<SecretBytes>,
        content: &Content,
        demanded: Option<Mode>,
    ) -> Result<LiveVerdict> {
        let Some(key) = key else {
            return Ok(Outcome::NotAsked.into());
        };
        let facts = Facts {
            vault: Some(route.place.vault.clone()),
            ..Facts::default()
        };
        self.audit.intent(authorized, facts).await?;
        let (client, settings) = (Arc::clone(&self.stripe), content.stripe.clone());
        self.call_out(async move { Ok(client.check(&key, &settings, demanded).await) })
            .await
    }

    fn warnings(&self, content: &Content, verdict: Option<&Verdict>) -> Vec<Warning> {
        let is_due = content.rotates_by(self.clock.now());
        let due = is_due.then_some(Warning::ROTATION_DUE);
        let verdict = verdict.into_iter();
        let found = verdict.flat_map(|verdict| Warning::of_verdict(verdict, ""));
        due.into_iter().chain(found).collect()
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
