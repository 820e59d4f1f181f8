//! Whether a value that is in a vault already is what a definition says, before a job finds out.

use claviger_access::Authorized;
use claviger_backend::NameWarning;
use claviger_core::{Detail, Id, Reason, Result};

use crate::broker::Broker;
use crate::model::registered::Registered;
use crate::model::warning::Warning;

impl Broker {
    /// What deserves a look about a definition, its value aside.
    pub(super) fn warnings_about(
        &self,
        registered: Registered<'_>,
        names: &[NameWarning],
    ) -> Vec<Warning> {
        let is_due = registered.definition.content.rotates_by(self.catalog.now());
        let sharing = registered.is_sharing();
        let sharing = sharing.then_some(Warning::ENVIRONMENTS_SHARE_VALUE);
        let rotation = is_due.then_some(Warning::ROTATION_DUE);
        let named = |warning: &NameWarning| Warning::of_name(*warning, "definition.location");
        let names = names.iter().map(named);
        sharing.into_iter().chain(rotation).chain(names).collect()
    }

    /// Judges the values that a definition points at, where its kind can be judged: others write to
    /// their vault, and settings change. What cannot be read now is warned about: checks and reads
    /// judge it again.
    ///
    /// # Errors
    /// `VALUE_*`, `PROPERTY_REQUIRED`, `STRIPE_CONTEXT_REQUIRED`, each with the remedy.
    pub(crate) async fn judge_existing(
        &self,
        proof: &Authorized,
        registered: Registered<'_>,
    ) -> Result<Vec<Warning>> {
        let content = &registered.definition.content;
        if !content.kind.is_stripe() {
            return Ok(Vec::new());
        }
        let environments = &registered.project.content.environments;
        let none = environments.is_empty().then_some(None);
        let mut warnings = Vec::new();
        for environment in environments.keys().map(Some).chain(none) {
            warnings.extend(self.judge_in(proof, registered, environment).await?);
        }
        warnings.dedup();
        Ok(warnings)
    }

    async fn judge_in(
        &self,
        proof: &Authorized,
        registered: Registered<'_>,
        environment: Option<&Id>,
    ) -> Result<Vec<Warning>> {
        let definition = registered.definition;
        let content = &definition.content;
        let route = registered.route(environment, None);
        // What cannot be reached has been refused, or has no value yet.
        let Ok(route) = route else {
            return Ok(Vec::new());
        };
        let field = "definition.location";
        // What is there now: it may have been typed a moment ago.
        let document = match self.reads.refresh(proof, &route).await {
            Ok(found) => found.document,
            // To be stored yet.
            Err(error) if error.reason() == Reason::SecretNotFound => return Ok(Vec::new()),
            Err(_) => return Ok(vec![Warning::VALUE_NOT_CHECKED]),
        };
        let value = match route.present(&document, content.format) {
            Ok(value) => value,
            // To be stored yet, beside the properties there are.
            Err(error) if error.reason() == Reason::PropertyNotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.with(Detail::Resource, &definition.name).at(field)),
        };
        let verdict = content.judge(&value, registered.project.stripe_mode(environment));
        let Some(verdict) = verdict else {
            return Ok(Vec::new());
        };
        match verdict.refusal(content.kind, Some(field)) {
            Some(refusal) => Err(refusal),
            None => {
                let sort = (content.kind, content.format);
                Ok(Warning::of_value(sort, &value, [&verdict], field))
            }
        }
    }
}
