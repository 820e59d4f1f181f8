//! Whether a value that is in a vault already is what a definition says, before a job finds out.

use claviger_access::Authorized;
use claviger_core::{Detail, Id, Reason, Result};

use crate::secrets::present;
use crate::{Broker, Definition, Project, Warning};

impl Broker {
    /// Judges the values that a definition points at, where its kind can be judged: others write to
    /// their vault, and settings change. What cannot be read now is warned about: checks and reads
    /// judge it again.
    ///
    /// # Errors
    /// `VALUE_*`, `PROPERTY_REQUIRED`, `STRIPE_CONTEXT_REQUIRED`, each with the remedy.
    pub(crate) async fn judge_existing(
        &self,
        authorized: &Authorized,
        definition: &Definition,
        project: &Project,
    ) -> Result<Vec<Warning>> {
        let content = &definition.content;
        if !content.kind.is_stripe() {
            return Ok(Vec::new());
        }
        let declared = project.content.environments.keys().map(Some);
        let none = project.content.environments.is_empty().then_some(None);
        let mut warnings = Vec::new();
        for environment in declared.chain(none) {
            warnings.extend(
                self.judge_in(authorized, definition, project, environment)
                    .await?,
            );
        }
        warnings.dedup();
        Ok(warnings)
    }

    async fn judge_in(
        &self,
        authorized: &Authorized,
        definition: &Definition,
        project: &Project,
        environment: Option<&Id>,
    ) -> Result<Vec<Warning>> {
        let content = &definition.content;
        let route = definition.route(environment, None, project, &self.vaults);
        // What cannot be reached has been refused, or has no value yet.
        let Ok(route) = route else {
            return Ok(Vec::new());
        };
        let field = "definition.location";
        let value = match self.read_route(authorized, &route).await {
            Ok(reading) => reading.value,
            // To be stored yet.
            Err(error) if error.reason() == Reason::SecretNotFound => return Ok(Vec::new()),
            Err(_) => return Ok(vec![Warning::VALUE_NOT_CHECKED]),
        };
        let value = match present(value, content.format, &route) {
            Ok(value) => value,
            // To be stored yet, beside the properties there are.
            Err(error) if error.reason() == Reason::PropertyNotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.with(Detail::Resource, &definition.name).at(field)),
        };
        let verdict = content.judge(&value, project.stripe_mode(environment));
        let Some(verdict) = verdict else {
            return Ok(Vec::new());
        };
        match verdict.refusal(content.kind, Some(field)) {
            Some(refusal) => Err(refusal),
            None => Ok(Warning::of_verdict(&verdict, field).collect()),
        }
    }
}
