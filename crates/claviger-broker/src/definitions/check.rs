//! Whether a read of a definition would work, said without its value.

use std::collections::BTreeSet;
use std::sync::Arc;

use claviger_access::{Authorized, Call, Directory, Permission, Principal, Question, evaluate};
use claviger_audit::Facts;
use claviger_cache::State;
use claviger_core::{DefinitionName, Detail, Error, Id, Kind, Reason, Result, SecretBytes};
use claviger_stripe::live::{LiveVerdict, Outcome};
use claviger_stripe::{Mode, Verdict};

use crate::broker::Broker;
use crate::engine::found::{Asked, OnDefinition};
use crate::engine::reads::Found;
use crate::model::content::Content;
use crate::model::definition::Definition;
use crate::model::install::{self, Install};
use crate::model::registered::Registered;
use crate::model::route::Route;
use crate::model::warning::Warning;

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
    /// Whether the vault is asked now, whatever is remembered.
    pub is_refreshing: bool,
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
    /// Whether all of it is meant.
    pub is_whole: bool,
    /// The version that is pinned.
    pub pin: Option<String>,
    /// The environment that was checked.
    pub environment: Option<Id>,
    /// Whether there is a readable value; its version.
    pub existence: Result<Id>,
    /// Whether the value fits the format; `None` without a value.
    pub format: Option<Result<()>>,
    /// Whether it is what the kind says; `None` for kinds that are not judged.
    pub kind: Option<Result<()>>,
    /// What it is, of a Stripe credential.
    pub stripe: Option<Verdict>,
    /// What Stripe said, if it was to be asked.
    pub live: Option<LiveVerdict>,
    /// What is remembered of it.
    pub remembered: State,
    /// Of a STRIPE_OAUTH definition: the state of its install.
    pub install: Option<&'static str>,
    /// What deserves a look though a read works.
    pub warnings: Vec<Warning>,
    /// Whether the principal may read it.
    pub access: Result<()>,
    /// Whose access was judged.
    pub principal: Principal,
}

/// What a read would find.
struct Looked {
    existence: Result<Id>,
    format: Option<Result<()>>,
    kind: Option<Result<()>>,
    verdict: Option<Verdict>,
    warnings: Vec<Warning>,
    /// SECURITY: only a value that was judged and not refused; Stripe sees no other.
    usable: Option<SecretBytes>,
}

impl Looked {
    /// A read that ends before its value is judged.
    fn as_far_as(existence: Result<Id>, format: Option<Result<()>>) -> Self {
        Self {
            existence,
            format,
            kind: None,
            verdict: None,
            warnings: Vec::new(),
            usable: None,
        }
    }
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
        let principal = check.principal.as_ref();
        let is_own = principal.is_none_or(|other| *other == call.caller.principal);
        let permissions: &[Permission] = if is_own {
            &[Permission::DefinitionsCheck]
        } else {
            &[Permission::DefinitionsCheck, Permission::GrantsGet]
        };
        let environment = check.environment.as_ref();
        let asked = self
            .catalog
            .ask_definition(call, permissions, &check.name, environment)
            .await?;
        let result = self.check_definition_asked(&asked, check).await;
        let facts = |report: &CheckReport| Facts {
            vault: Some(report.vault.clone()),
            secret: Some(report.secret.clone()),
            property: report.property.clone(),
            version: report.existence.as_ref().ok().cloned(),
            holder: Some(report.principal.clone()),
            ..Facts::default()
        };
        self.concluded(asked, result, facts).await
    }

    async fn check_definition_asked(
        &self,
        asked: &Asked<OnDefinition>,
        check: CheckDefinition,
    ) -> Result<CheckReport> {
        let environment = check.environment.as_ref();
        let proof = &asked.proof;
        let own = &proof.call().caller.principal;
        let principal = check.principal.clone().unwrap_or_else(|| own.clone());
        let registered = asked.found.live(&self.vaults)?;
        let content = &registered.definition.content;
        if content.kind == Kind::StripeOauth {
            return self
                .check_install(asked, registered, &check, principal)
                .await;
        }
        if check.is_live && content.kind != Kind::StripeApiKey {
            return Err(Error::new(Reason::FieldInvalid).violation(
                "live",
                "asks Stripe, and this definition is not a STRIPE_API_KEY; leave it out",
            ));
        }
        let place = registered.write_route(environment)?;
        let route = registered.route(environment, None);
        let to = route.as_ref().ok().cloned();
        let demanded = registered.project.stripe_mode(environment);
        // What is at one place is warned of as when it is put there: for all environments that read it.
        let modes = registered.stripe_modes(&place.place);
        let modes = (demanded, &modes);
        let is_refreshing = check.is_refreshing;
        let looked = self.look_at(proof, registered.definition, route, modes, is_refreshing);
        let looked = looked.await;
        let remembered = to.map_or(State::Absent, |route| self.reads.state(&route));
        let name = place.vault.check_name(&place.address.secret);
        let names: Vec<_> = name.ok().flatten().into_iter().collect();
        let mut warnings = self.warnings_about(registered, &names);
        warnings.extend(looked.warnings);
        let live = match check.is_live {
            true => {
                let answer = self.ask_stripe(proof, &place, looked.usable, content, demanded);
                Some(answer.await?)
            }
            false => None,
        };
        Ok(CheckReport {
            vault: place.place.vault,
            secret: place.address.secret,
            property: place.property,
            is_whole: place.is_whole,
            pin: place.pin,
            environment: environment.cloned(),
            existence: looked.existence,
            format: looked.format,
            kind: looked.kind,
            warnings,
            stripe: looked.verdict,
            live,
            remembered,
            install: None,
            access: self.check_access(proof, environment, &principal).await?,
            principal,
        })
    }

    /// Says how a connection is. Nobody reads it, and Stripe is asked through its profile alone: a
    /// check never costs running jobs their token.
    async fn check_install(
        &self,
        asked: &Asked<OnDefinition>,
        registered: Registered<'_>,
        check: &CheckDefinition,
        principal: Principal,
    ) -> Result<CheckReport> {
        let environment = check.environment.as_ref();
        let place = registered.write_route(environment)?;
        let definition = registered.definition;
        let install = self.installs.find(definition.uid).await?;
        let missing =
            || Err(Error::new(Reason::SecretNotFound).with(Detail::Vault, &place.place.vault));
        let state = install.as_ref().map(|stored| stored.record.state.as_str());
        let existence = install.map_or_else(missing, |stored| standing(&stored.record));
        Ok(CheckReport {
            secret: place.address.secret,
            property: None,
            is_whole: false,
            pin: None,
            environment: environment.cloned(),
            existence: existence.map_err(|error| error.with(Detail::Resource, &definition.name)),
            format: None,
            kind: None,
            stripe: None,
            live: check.is_live.then(|| Outcome::NotAsked.into()),
            remembered: State::Absent,
            install: state,
            warnings: self.warnings_about(registered, &[]),
            access: self
                .check_access(&asked.proof, environment, &principal)
                .await?,
            principal,
            vault: place.place.vault,
        })
    }

    /// Goes the way of a read as far as it leads.
    async fn look_at(
        &self,
        proof: &Authorized,
        definition: &Definition,
        route: Result<Route>,
        (demanded, modes): (Option<Mode>, &BTreeSet<Mode>),
        is_refreshing: bool,
    ) -> Looked {
        let named = |error: Error| error.with(Detail::Resource, &definition.name);
        let content = &definition.content;
        let read = match route {
            Ok(route) => {
                let found = match is_refreshing {
                    true => self.reads.refresh(proof, &route).await,
                    false => self.reads.read(proof, &route, None).await,
                };
                found.map(|Found { document, .. }| {
                    let value = route.present(&document, content.format);
                    (document.version.clone(), value)
                })
            }
            Err(error) => Err(error),
        };
        let (version, value) = match read {
            Ok(read) => read,
            Err(error) => return Looked::as_far_as(Err(named(error)), None),
        };
        let value = match value {
            Ok(value) => value,
            Err(error) => return Looked::as_far_as(Ok(version), Some(Err(named(error)))),
        };
        let verdict = content.judge(&value, demanded);
        let kind = verdict.as_ref().map(|verdict| {
            let refusal = verdict.refusal(content.kind, None);
            refusal.map_or(Ok(()), |refusal| Err(named(refusal)))
        });
        let sort = (content.kind, content.format);
        let of_modes = modes.iter();
        let of_modes = of_modes.filter_map(|mode| content.judge(&value, Some(*mode)));
        let of_modes: Vec<Verdict> = of_modes.collect();
        let own = verdict.iter().filter(|_| of_modes.is_empty());
        let verdicts = own.chain(&of_modes);
        Looked {
            warnings: Warning::of_value(sort, &value, verdicts, ""),
            usable: Some(value).filter(|_| matches!(kind, Some(Ok(())))),
            kind,
            verdict,
            ..Looked::as_far_as(Ok(version), Some(Ok(())))
        }
    }

    /// The value leaves for Stripe, so that is written down before.
    async fn ask_stripe(
        &self,
        proof: &Authorized,
        route: &Route,
        key: Option<SecretBytes>,
        content: &Content,
        demanded: Option<Mode>,
    ) -> Result<LiveVerdict> {
        let Some(key) = key else {
            return Ok(Outcome::NotAsked.into());
        };
        self.audit.intent(proof, route.facts()).await?;
        let (client, settings) = (Arc::clone(&self.stripe), content.stripe.clone());
        let ask = async move { Ok(client.check(&key, &settings, demanded).await) };
        self.outside.call(proof.call().id, ask).await
    }

    async fn check_access(
        &self,
        proof: &Authorized,
        environment: Option<&Id>,
        principal: &Principal,
    ) -> Result<Result<()>> {
        let resolved = proof.resolved();
        let question = Question {
            permission: Permission::SecretsGet,
            project: resolved.project,
            definition: resolved.definition,
            profile: None,
            environment,
            purpose: proof.call().purpose.as_ref(),
            now: self.catalog.now(),
        };
        if evaluate(&self.catalog.grants(principal).await?, &question).is_some() {
            return Ok(Ok(()));
        }
        Ok(Err(Error::new(Reason::AccessDenied)
            .with(Detail::Principal, principal)
            .with(Detail::Permission, Permission::SecretsGet)
            .with(Detail::Resource, proof.resource())))
    }
}

/// Whether jobs get a credential of an install; the version of the present one.
fn standing(install: &Install) -> Result<Id> {
    match install.state {
        install::State::ReconnectRequired(reason) => Err(Error::new(Reason::ReconnectRequired)
            .with(Detail::Cause, reason.as_str())
            .with(Detail::Remedy, reason.remedy())),
        install::State::Shared => Err(Error::new(Reason::InstallShared)),
        install::State::Unverified
        | install::State::Connected
        | install::State::Refreshing(_)
        | install::State::Uncertain => install.version(),
    }
}
