//! What a job connects with: how a profile becomes a credential.

use std::sync::Arc;
use std::time::Duration;

use claviger_access::{Authorized, Call, Permission};
use claviger_core::{Detail, Error, Id, Kind, Reason, Result};
use claviger_stripe::{Class, Mode, Settings, judge};

use crate::broker::Broker;
use crate::engine::found::{Asked, OnProfile};
use crate::engine::installs::{Access, Need, busy};
use crate::model::connection::{AuthMethod, Connection, ResolveConnection};
use crate::model::definition::{Definition, not_found};
use crate::model::freshness::Age;
use crate::model::profile::{ApiKeyAuth, Auth, OauthAuth, Profile};
use crate::model::project::{MANAGED, Project};
use crate::model::registered::Registered;

/// How often a profile is looked up again that was joined with another one meanwhile.
const ATTEMPTS: usize = 3;

impl Broker {
    /// Returns what a job connects with.
    ///
    /// # Errors
    /// See the RPC `ResolveConnection`.
    pub async fn resolve_connection(
        &self,
        call: &Arc<Call>,
        resolve: &ResolveConnection,
    ) -> Result<Connection> {
        let permissions = &[Permission::ProfilesResolve];
        let environment = resolve.environment.as_ref();
        let asked = self
            .catalog
            .ask_profile(call, permissions, &resolve.name, environment)
            .await?;
        let refused = resolve.refused_version.as_ref();
        let need = Need::Job { refused };
        let result = self.connection(&asked, resolve, need).await;
        // A caller that was revoked meanwhile may not even hear why there is none.
        let result = match asked.proof.still_valid(&*self.catalog).await {
            Ok(()) => result,
            Err(error) => Err(error),
        };
        if let (Ok(_), Ok(profile)) = (&result, asked.found.profile()) {
            let principal = &call.caller.principal;
            let now = self.catalog.now();
            self.consumers.note(profile.record.uid, principal, now);
        }
        self.concluded(asked, result, Connection::facts).await
    }

    /// The credential of a profile, for a job or for a test.
    pub(super) async fn connection(
        &self,
        asked: &Asked<OnProfile>,
        resolve: &ResolveConnection,
        need: Need<'_>,
    ) -> Result<Connection> {
        let project = &asked.found.project()?.record;
        let environment = resolve.environment.as_ref();
        let mut profile = Arc::clone(&asked.found.profile()?.record);
        profile.live()?;
        project.check_environment(environment, "environment")?;
        for _ in 0..ATTEMPTS {
            let found = match &profile.content.auth {
                Auth::ApiKey(auth) => {
                    let found = self.api_key(&asked.proof, project, auth, resolve);
                    return found.await;
                }
                Auth::Oauth(auth) => {
                    let found = self.access_token(&asked.proof, &profile, auth, need);
                    found.await?
                }
            };
            if let Some(found) = found {
                check_mode(project.stripe_mode(environment), found.mode)?;
                // It may have been changed while this call waited.
                let now = self.catalog.profile_again(asked).await?.record;
                if now.live()?.content.auth.definition() != profile.content.auth.definition() {
                    profile = now;
                    continue;
                }
                let environment = environment.cloned();
                return Ok(Connection {
                    environment,
                    ..found
                });
            }
            // Joined with another profile's, or put anew.
            profile = self.catalog.profile_again(asked).await?.record;
            profile.live()?;
        }
        Err(busy().with(Detail::Resource, &resolve.name))
    }

    async fn api_key(
        &self,
        proof: &Authorized,
        project: &Project,
        auth: &ApiKeyAuth,
        resolve: &ResolveConnection,
    ) -> Result<Connection> {
        let named = |error: Error| error.with(Detail::Resource, &auth.definition);
        let environment = resolve.environment.as_ref();
        let found = self.catalog.led_to(proof, &auth.definition).await?;
        let definition: &Definition = &found.ok_or_else(|| not_found(&auth.definition))?.record;
        let registered = Registered {
            definition: definition.live()?,
            project,
            vaults: &self.vaults,
        };
        let content = &definition.content;
        if content.kind != Kind::StripeApiKey {
            // Changed since the profile was pointed at it.
            return Err(named(Error::new(Reason::ValueWrongKind)));
        }
        let route = registered.route(environment, None).map_err(named)?;
        // One that Stripe has refused was perhaps replaced a moment ago.
        let is_refused = resolve.refused_version.is_some();
        let max_age = is_refused.then_some(Duration::ZERO).or(resolve.max_age);
        let read = self.reads.read(proof, &route, max_age);
        let read = read.await.map_err(named)?;
        let value = route.present(&read.document, content.format);
        let value = value.map_err(named)?;
        let settings = auth.settings(&content.stripe);
        let verdict = judge(
            content.kind,
            value.expose(),
            &settings,
            project.stripe_mode(environment),
        );
        let verdict = verdict.ok_or_else(|| Error::new(Reason::Internal))?;
        if let Some(refusal) = verdict.refusal(content.kind, None) {
            return Err(named(refusal));
        }
        Ok(Connection {
            credential: value,
            auth_method: AuthMethod::ApiKey,
            class: verdict.class,
            mode: verdict.mode,
            account: settings.account,
            context: settings.context,
            expire_time: None,
            version: read.document.version.clone(),
            age: read.age,
            vault: route.place.vault.clone(),
            definition: auth.definition.id().clone(),
            install: None,
            environment: resolve.environment.clone(),
        })
    }

    /// `None` if the profile leads to another install by now.
    async fn access_token(
        &self,
        proof: &Authorized,
        profile: &Profile,
        auth: &OauthAuth,
        need: Need<'_>,
    ) -> Result<Option<Connection>> {
        let named = |error: Error| error.with(Detail::Resource, &profile.name);
        let Some(found) = self.catalog.led_to(proof, &auth.definition).await? else {
            return Ok(None);
        };
        let uid = found.record.live()?.uid;
        let access = self.installs.access(proof, uid, need).await;
        let Some(access) = access.map_err(named)? else {
            return Ok(None);
        };
        let Access {
            token,
            version,
            mode,
            fetch_time,
            expire_time,
        } = access;
        let plain = Settings::default();
        let verdict = judge(Kind::StripeApiKey, token.expose(), &plain, None);
        let now = self.catalog.now();
        let fetch_time = fetch_time.unwrap_or(now);
        Ok(Some(Connection {
            credential: token,
            auth_method: AuthMethod::Oauth,
            class: verdict
                .as_ref()
                .map_or(Class::Unknown, |verdict| verdict.class),
            mode: mode.or(verdict.and_then(|verdict| verdict.mode)),
            // The token is for one account alone.
            account: None,
            context: None,
            expire_time,
            version,
            age: Age {
                is_remembered: true,
                fetch_time,
                age: now.duration_since(fetch_time).unwrap_or_default(),
                stale: None,
            },
            vault: Id::from_static(MANAGED),
            definition: auth.definition.id().clone(),
            install: Some(uid),
            environment: None,
        }))
    }
}

impl ApiKeyAuth {
    /// The settings of its definition, with the profile's own before them.
    pub(super) fn settings(&self, of_definition: &Settings) -> Settings {
        Settings {
            account: self.account.clone().or(of_definition.account.clone()),
            context: self.context.clone().or(of_definition.context.clone()),
            ..of_definition.clone()
        }
    }
}

/// Refuses an access token for another mode than the environment demands.
fn check_mode(demanded: Option<Mode>, found: Option<Mode>) -> Result<()> {
    match (demanded, found) {
        (Some(demanded), Some(found)) if demanded != found => {
            Err(Error::new(Reason::ValueWrongMode)
                .with(Detail::Kind, Kind::StripeOauth)
                .with(Detail::Found, found.as_str())
                .with(
                    Detail::Remedy,
                    "the environment demands the other one; name a profile that is connected in it",
                ))
        }
        _ => Ok(()),
    }
}
