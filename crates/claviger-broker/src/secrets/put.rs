//! A new value for a definition.

use std::sync::Arc;

use claviger_access::{Call, Permission};
use claviger_audit::{Facts, Health};
use claviger_core::{DefinitionName, Error, Id, Kind, Reason, Result};
use claviger_store::Stored;

use crate::broker::Broker;
use crate::engine::found::{Asked, OnDefinition};
use crate::engine::replay::Replay;
use crate::engine::steps::{NewValue, Target};
use crate::model::answer::{Answer, Subject};
use crate::model::definition::Definition;
use crate::model::payload::Payload;
use crate::model::registered::Registered;
use crate::model::request::RequestId;
use crate::model::route::Route;
use crate::model::warning::Warning;

/// Definitions looked at per page.
const PAGE: usize = 500;

/// A new value.
#[derive(Debug)]
pub struct PutValue {
    /// The definition.
    pub name: DefinitionName,
    /// Where the project declares environments.
    pub environment: Option<Id>,
    /// The value.
    pub payload: Payload,
    /// Write only while this is the current version.
    pub if_version: Option<Id>,
    /// Makes a repeat return the first answer.
    pub request_id: Option<RequestId>,
    /// Whether a secret may be written that the definition did not create.
    pub is_adopting: bool,
}

/// The outcome of a put of a value.
#[derive(Clone, Debug)]
pub struct PutValueOutcome {
    /// The version that is current now.
    pub version: Id,
    /// The vault it went to.
    pub vault: Id,
    /// What deserves a look.
    pub warnings: Vec<Warning>,
}

impl Broker {
    /// Stores a new value.
    ///
    /// # Errors
    /// See the RPC `PutSecretValue`.
    pub async fn put_value(
        self: &Arc<Self>,
        call: &Arc<Call>,
        put: PutValue,
    ) -> Result<PutValueOutcome> {
        let permissions = &[Permission::SecretsPut];
        let environment = put.environment.as_ref();
        let asked = self
            .catalog
            .ask_definition(call, permissions, &put.name, environment)
            .await?;
        let facts = |outcome: &PutValueOutcome| Facts {
            vault: Some(outcome.vault.clone()),
            version: Some(outcome.version.clone()),
            ..Facts::default()
        };
        self.finish_detached(asked, facts, |broker, asked| async move {
            broker.put_value_asked(&asked, put).await
        })
        .await
    }

    async fn put_value_asked(
        &self,
        asked: &Asked<OnDefinition>,
        put: PutValue,
    ) -> Result<PutValueOutcome> {
        let proof = &asked.proof;
        if put.is_adopting {
            proof.claim_on_project(Permission::DefinitionsPut, put.environment.as_ref())?;
        }
        let shape = put.shape(asked)?;
        let content: [&[u8]; 2] = [&shape, put.payload.value.expose()];
        let replay = self
            .writes
            .replay(proof, &put.name, put.request_id, &content);
        let request = match replay.await? {
            Replay::Answered(answer) => return answer.try_into(),
            Replay::Fresh(request) => request,
        };

        // Both again: a replay may have waited for a vault.
        let project = self.catalog.project_again(asked).await?.record;
        let definition = self.catalog.again(asked).await?.record;
        let registered = Registered {
            definition: definition.live()?,
            project: &project,
            vaults: &self.vaults,
        };
        if registered.definition.content.kind == Kind::StripeOauth {
            return Err(Error::new(Reason::PayloadNotAllowed).violation(
                "payload",
                "does not go with a STRIPE_OAUTH definition, whose tokens roll; put a new refresh token \
                 or client secret with PutConnectionProfile",
            ));
        }
        let route = registered.write_route(put.environment.as_ref())?;
        self.claim_shared(asked, registered, &route).await?;
        self.writes
            .settle_at(proof, registered.definition, &route.place)
            .await?;
        let content = &registered.definition.content;
        let (value, mut warnings) = put.payload.admit(registered, &route)?;
        if content.rotates_by(self.catalog.now()) {
            warnings.push(Warning::ROTATION_DUE);
        }

        let vault = route.place.vault.clone();
        let intent = self.audit.intend(proof, vec![route.facts()]);
        if self.audit.health() == Health::Failed {
            // Before a vault is asked, whose own log would then know more than ours.
            return Err(Error::new(Reason::AuditUnavailable));
        }
        let if_version = put.if_version.as_ref();
        let fence = self
            .writes
            .fence(proof, registered.definition, &route, if_version)
            .await?;
        let value = NewValue {
            bytes: &value,
            format: content.format,
            is_adopting: put.is_adopting,
        };
        let target = Target::Existing(registered.definition, fence);
        // The version is filled in when the write is finished.
        let answer = Answer {
            subject: Subject::Value(vault.clone()),
            version: None,
            warnings: warnings.clone(),
        };
        let request = request.as_ref().map(|request| (request, &answer));
        let written = self
            .writes
            .write(proof, target, &route, value, request, intent)
            .await?;
        warnings.extend(Warning::of_write(&written));
        Ok(PutValueOutcome {
            version: written.version,
            vault,
            warnings,
        })
    }

    /// A change at a place needs the permission wherever that is read, in all environments and
    /// through all definitions of the project: else a grant on `dev` could rotate what `prod` reads.
    ///
    /// # Errors
    /// `ACCESS_DENIED` naming the environment; the project if it is another definition's.
    pub(super) async fn claim_shared(
        &self,
        asked: &Asked<OnDefinition>,
        registered: Registered<'_>,
        route: &Route,
    ) -> Result<()> {
        let proof = &asked.proof;
        let mut environments = registered.environments_at(&route.place);
        environments.try_for_each(|environment| proof.claim_in(environment))?;
        let is_reachable = route.vault.site(&route.place.secret).is_some();
        if !is_reachable || proof.claim_everywhere().is_ok() {
            return Ok(());
        }
        let project = registered.project;
        let prefix = format!("{}/", project.name.id());
        let mut after: Option<String> = None;
        loop {
            let page = self
                .catalog
                .scan::<Definition>(proof, &prefix, after.as_deref(), PAGE);
            let page = page.await?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = Some(last.clone());
            for (_, Stored { record: other, .. }) in &page {
                if other.uid == registered.definition.uid || other.live().is_err() {
                    continue;
                }
                let other = Registered {
                    definition: other,
                    ..registered
                };
                for environment in other.readers_at(&route.place) {
                    proof.claim_beside(other.definition.uid, environment)?;
                }
            }
        }
    }
}

impl PutValue {
    /// Everything that makes the request what it is, without the payload's bytes.
    fn shape(&self, asked: &Asked<OnDefinition>) -> Result<Vec<u8>> {
        let shape = (
            &self.name,
            &self.environment,
            &self.if_version,
            self.payload.format,
            self.is_adopting,
            // A re-made name inherits nothing, no answers either.
            asked.proof.resolved().definition,
        );
        serde_json::to_vec(&shape).map_err(|error| Error::new(Reason::Internal).caused_by(error))
    }
}

impl TryFrom<Answer> for PutValueOutcome {
    type Error = Error;

    fn try_from(answer: Answer) -> Result<Self> {
        match (answer.subject, answer.version) {
            (Subject::Value(vault), Some(version)) => Ok(Self {
                version,
                vault,
                warnings: answer.warnings,
            }),
            (Subject::Definition(_) | Subject::Profile(_) | Subject::Value(_), _) => {
                Err(Error::new(Reason::IntegrityFailure)
                    .caused_by("the answer of a request is not one to PutSecretValue"))
            }
        }
    }
}
