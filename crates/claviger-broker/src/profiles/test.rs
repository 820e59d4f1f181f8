//! Whether a profile works, asked of Stripe with the credential that a job would get.

use std::sync::Arc;

use claviger_access::{Call, Permission};
use claviger_audit::Facts;
use claviger_core::{Id, ProfileName, Result};
use claviger_stripe::Settings;
use claviger_stripe::live::{LiveVerdict, Outcome};

use crate::broker::Broker;
use crate::engine::found::{Asked, OnProfile};
use crate::model::install::Install;
use crate::model::profile::Auth;
use crate::profiles::resolve::{Connection, ResolveConnection};

/// Which profile is tested, and where.
#[derive(Clone, Debug)]
pub struct TestConnection {
    /// The profile.
    pub name: ProfileName,
    /// Where the project declares environments.
    pub environment: Option<Id>,
}

/// What Stripe said.
#[derive(Debug)]
pub struct TestedConnection {
    /// Its answer about the credential.
    pub live: LiveVerdict,
    /// The account that answered.
    pub account: Option<String>,
    /// The version of the credential.
    pub version: Id,
    /// How the connection is now.
    pub install: Option<Install>,
}

impl Broker {
    /// Asks Stripe whether it takes what a job would get.
    ///
    /// # Errors
    /// See the RPC `TestConnection`.
    pub async fn test_connection(
        &self,
        call: &Arc<Call>,
        test: TestConnection,
    ) -> Result<TestedConnection> {
        let permissions = &[Permission::ProfilesTest];
        let environment = test.environment.as_ref();
        let asked = self
            .catalog
            .ask_profile(call, permissions, &test.name, environment)
            .await?;
        let result = self.test_connection_asked(&asked, test).await;
        let facts = |tested: &(TestedConnection, Facts)| tested.1.clone();
        let tested = self.concluded(asked, result, facts).await;
        tested.map(|(tested, _)| tested)
    }

    async fn test_connection_asked(
        &self,
        asked: &Asked<OnProfile>,
        test: TestConnection,
    ) -> Result<(TestedConnection, Facts)> {
        let resolve = ResolveConnection {
            name: test.name,
            environment: test.environment,
            max_age: None,
            refused_version: None,
        };
        let connection = self.connection(asked, &resolve).await?;
        let facts = connection.facts();
        // The credential leaves for Stripe, so that is written down before.
        self.audit.intent(&asked.proof, facts.clone()).await?;
        let profile = self.catalog.profile_again(asked).await?.record;
        let bound = match &profile.content.auth {
            Auth::ApiKey(_) => connection.account.clone(),
            Auth::Oauth(auth) => auth.account.clone(),
        };
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
        let settings = Settings {
            account,
            context,
            ..Settings::default()
        };
        let (stripe, installs) = (Arc::clone(&self.stripe), Arc::clone(&self.installs));
        let ask = async move {
            let balance = stripe.check(&credential, &settings, demanded).await;
            let answer = installs.client().account(&credential, &settings).await;
            Ok((balance, answer))
        };
        let (live, answer) = self.outside.call(asked.proof.call().id, ask).await?;
        let is_other = bound.zip(answer.account.clone());
        let is_other = is_other.is_some_and(|(bound, found)| bound != found);
        let live = match (live.outcome, answer.outcome) {
            (Outcome::Works | Outcome::Limited, _) if is_other => Outcome::WrongAccount.into(),
            _ => live,
        };
        let install = match install {
            Some(uid) => self.installs.find(uid).await?,
            None => None,
        };
        let tested = TestedConnection {
            live,
            account: answer.account,
            version,
            install: install.map(|stored| (*stored.record).clone()),
        };
        Ok((tested, facts))
    }
}
