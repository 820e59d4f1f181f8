//! The end of a connection, at Stripe's side too.

use std::sync::Arc;

use claviger_access::{Call, Permission};
use claviger_audit::Facts;
use claviger_core::{Detail, Error, ProfileName, Reason, Result};
use claviger_stripe::oauth::{Disconnect, DisconnectFailure, Flavor};

use crate::broker::Broker;
use crate::engine::found::{Asked, OnProfile};
use crate::model::install::Install;
use crate::model::profile::{Auth, OauthAuth, Profile};
use crate::profiles::conflict;

impl Broker {
    /// Ends the connection of the app or platform to the account.
    ///
    /// # Errors
    /// See the RPC `DisconnectInstall`.
    pub async fn disconnect_install(
        self: &Arc<Self>,
        call: &Arc<Call>,
        name: &ProfileName,
    ) -> Result<Install> {
        let permissions = &[Permission::ProfilesDisconnect];
        let asked = self
            .catalog
            .ask_profile(call, permissions, name, None)
            .await?;
        let facts = |_: &Install| Facts::default();
        self.finish_detached(asked, facts, |broker, asked| async move {
            broker.disconnect_install_asked(&asked).await
        })
        .await
    }

    async fn disconnect_install_asked(&self, asked: &Asked<OnProfile>) -> Result<Install> {
        let profile = asked.found.live()?;
        let Auth::Oauth(auth) = &profile.content.auth else {
            return Err(Error::new(Reason::FieldInvalid).violation(
                "name",
                "names a profile with an API key, which is no connection that could be ended; \
                 revoke the key: Developers → API keys",
            ));
        };
        let found = self.catalog.led_to(&asked.proof, &auth.definition).await?;
        let uid = found.map(|found| found.record.uid);
        let stored = match uid {
            Some(uid) => self.installs.find(uid).await?.map(|stored| (uid, stored)),
            None => None,
        };
        let (uid, stored) = stored.ok_or_else(|| conflict(&profile.name))?;
        let install = &stored.record;
        if install.profiles.iter().any(|name| *name != profile.name) {
            // The jobs of other profiles connect with it too.
            asked.proof.claim_everywhere()?;
        }
        let what = what(auth, install)?;
        let secrets = self.installs.secrets(uid).await?;
        let about = Facts {
            install: Some(uid),
            ..Facts::default()
        };
        self.audit.intent(&asked.proof, about).await?;
        let asking = self.installs.client();
        match asking.disconnect(&what, &secrets.client_secret).await {
            Ok(()) => {}
            // It had ended without us, or app and account are not those of the tokens. A token that
            // has ended by itself does not tell.
            Err(DisconnectFailure::NotFound)
                if install
                    .expire_time
                    .is_none_or(|end| self.catalog.now() < end)
                    && self.installs.is_over(&secrets).await => {}
            Err(failure) => return Err(refused(profile, failure)),
        }
        let ended = self.installs.revoke(&asked.proof, uid, &install.pasted);
        let ended = ended.await?;
        ended.ok_or_else(|| conflict(&profile.name))
    }
}

fn what<'a>(auth: &'a OauthAuth, install: &'a Install) -> Result<Disconnect<'a>> {
    let invalid = |remedy: &'static str| Error::new(Reason::FieldInvalid).violation("name", remedy);
    // SECURITY: an account that was only typed may be anybody's.
    let account = install.account.as_deref().filter(|_| install.is_claimed);
    let account = account.ok_or_else(|| {
        invalid(
            "names a profile whose install is not bound to an account by an exchange of its own; call \
             TestConnection first, and see what it says",
        )
    })?;
    match auth.flavor {
        Flavor::Apps => {
            let app = auth.app.as_deref().ok_or_else(|| {
                invalid(
                    "names a profile without oauth.app, which Stripe needs to find the install; \
                     set it with PutConnectionProfile (app_…, from the app's settings)",
                )
            })?;
            Ok(Disconnect::Apps { app, account })
        }
        Flavor::Connect => Ok(Disconnect::Connect {
            client_id: &auth.client_id,
            account,
        }),
    }
}

fn refused(profile: &Profile, failure: DisconnectFailure) -> Error {
    let reason = match failure {
        DisconnectFailure::Overloaded | DisconnectFailure::Unreachable => Reason::StripeUnreachable,
        DisconnectFailure::ClientRejected
        | DisconnectFailure::NotConfigured
        | DisconnectFailure::NotFound
        | DisconnectFailure::Unexpected => Reason::StripeRefused,
    };
    Error::new(reason)
        .with(Detail::Resource, &profile.name)
        .with(Detail::Remedy, failure)
}
