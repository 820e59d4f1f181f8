//! Whether a profile works, asked of Stripe with the credential that a job would get.

use std::sync::Arc;

use claviger_access::{Call, Permission};
use claviger_audit::Facts;
use claviger_core::{Id, ProfileName, Result};
use claviger_stripe::Settings;
use claviger_stripe::live::Outcome;
use claviger_stripe::oauth::AccountAnswer;

use crate::broker::Broker;
use crate::engine::found::{Asked, OnProfile};
use crate::engine::installs::Need;
use crate::model::connection::{Connection, ResolveConnection, TestedConnection};

impl Broker {
    /// Asks Stripe whether it takes what a job would get.
    ///
    /// # Errors
    /// See the RPC `TestConnection`.
    pub async fn test_connection(
        &self,
        call: &Arc<Call>,
        name: &ProfileName,
        environment: Option<Id>,
    ) -> Result<TestedConnection> {
        let permissions = &[Permission::ProfilesTest];
        let asked = self
            .catalog
            .ask_profile(call, permissions, name, environment.as_ref())
            .await?;
        let resolve = ResolveConnection {
            name: name.clone(),
            environment,
            max_age: None,
            refused_version: None,
        };
        let result = self.test_connection_asked(&asked, &resolve).await;
        let facts = |tested: &(TestedConnection, Facts)| tested.1.clone();
        let tested = self.concluded(asked, result, facts).await;
        tested.map(|(tested, _)| tested)
    }

    async fn test_connection_asked(
        &self,
        asked: &Asked<OnProfile>,
        resolve: &ResolveConnection,
    ) -> Result<(TestedConnection, Facts)> {
        let connection = self.connection(asked, resolve, Need::Test).await?;
        let facts = connection.facts();
        asked.proof.still_valid(&*self.catalog).await?;
        // The credential leaves for Stripe, so that is written down before.
        self.audit.intent(&asked.proof, facts.clone()).await?;
        let project = &asked.found.project()?.record;
        let demanded = project.stripe_mode(resolve.environment.as_ref());
        let Connection {
            credential,
            account,
            context,
            version,
            install,
            ..
        } = connection;
        let named = account.clone();
        let settings = Settings {
            account,
            context,
            ..Settings::default()
        };
        let (stripe, installs) = (Arc::clone(&self.stripe), Arc::clone(&self.installs));
        let ask = async move {
            let balance = stripe.check(&credential, &settings, demanded).await;
            // Too many at a time for one are too many for the other.
            let answer = match balance.outcome == Outcome::Overloaded {
                true => AccountAnswer {
                    outcome: Outcome::Overloaded,
                    account: None,
                },
                false => installs.client().account(&credential, &settings).await,
            };
            Ok((balance, answer))
        };
        let (live, answer) = self.outside.call(asked.proof.call().id, ask).await?;
        let install = match install {
            Some(uid) => self.installs.find(uid).await?,
            None => None,
        };
        let install = install.map(|stored| (*stored.record).clone());
        let bound = match &install {
            Some(install) => install.account.clone(),
            None => named,
        };
        let is_other = bound.zip(answer.account.clone());
        let is_other = is_other.is_some_and(|(bound, found)| bound != found);
        let live = match (live.outcome, answer.outcome) {
            (Outcome::Works | Outcome::Limited, _) if is_other => Outcome::WrongAccount.into(),
            _ => live,
        };
        let tested = TestedConnection {
            live,
            account: answer.account,
            version,
            install,
        };
        Ok((tested, facts))
    }
}
