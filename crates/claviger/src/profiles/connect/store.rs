use claviger_client::Client;
use claviger_proto::v1::connection_profile::Auth;
use claviger_proto::v1::{
    ConnectionProfile, OauthAuth, PutConnectionProfileRequest, PutConnectionProfileResponse,
};
use prost_types::FieldMask;
use uuid::Uuid;

use super::exchange::Granted;
use super::wanted::Wanted;
use crate::ask::Asking;
use crate::output::{show, tell, warn};
use crate::patience::patiently;
use crate::stop::Stop;

/// Where the refresh token goes.
pub(super) struct Store<'a> {
    pub(super) asking: &'a Asking,
    pub(super) name: String,
    pub(super) before: Option<ConnectionProfile>,
    pub(super) wanted: Wanted,
    pub(super) client_secret: String,
}

impl Store<'_> {
    /// Has the daemon check everything but the token, with another in its place: a token that it would
    /// not take in the end is lost.
    pub(super) async fn rehearse(&self, daemon: &Client) -> Result<(), Stop> {
        let mut request = self.request(&Granted {
            refresh_token: format!("rt_{}", Uuid::new_v4().simple()),
            account: self.wanted.account.clone(),
        });
        request.validate_only = true;
        daemon.profiles().put_connection_profile(request).await?;
        Ok(())
    }

    /// Puts the token, again and again while the daemon is away.
    pub(super) async fn put(&self, granted: Granted) -> Result<(), Stop> {
        let mut request = self.request(&granted);
        // The same for all attempts: one of which only the answer was lost is repeated for it.
        request.request_id = Uuid::new_v4().to_string();
        let put = patiently(self.asking.patience, async || self.try_put(&request).await);
        let answer = put.await;
        let answer = answer.map_err(|stop| self.lost(&stop, &granted.account))?;
        warn(&answer.warnings);
        show(self.asking.is_json, &answer, || {
            let mode = self.wanted.mode.as_str_name();
            format!("{}, connected to {} ({mode})\n", self.name, granted.account)
        })?;
        tell(
            "claviger profile test exchanges the token for the first time, so that no job has to.",
        );
        Ok(())
    }

    async fn try_put(
        &self,
        request: &PutConnectionProfileRequest,
    ) -> Result<PutConnectionProfileResponse, Stop> {
        let mut profiles = self.asking.client().await?.profiles();
        let answer = profiles.put_connection_profile(request.clone()).await?;
        Ok(answer.into_inner())
    }

    fn lost(&self, stop: &Stop, account: &str) -> Stop {
        Stop::failed(format!(
            "Stripe made the connection to {account}, and its refresh token is not known to be \
            stored ({stop}); nobody else has it. See claviger profile test: if it does not work, \
            start again, which takes the place of this connection"
        ))
    }

    fn request(&self, granted: &Granted) -> PutConnectionProfileRequest {
        let wanted = &self.wanted;
        let oauth = OauthAuth {
            flavor: wanted.flavor.into(),
            client_id: wanted.client_id.clone(),
            client_secret: self.client_secret.clone(),
            refresh_token: granted.refresh_token.clone(),
            account: granted.account.clone(),
            mode: wanted.mode.into(),
            app: wanted.app.clone(),
            ..Default::default()
        };
        // No etag: what somebody changes of the rest meanwhile must not cost the token.
        let paths = vec!["oauth".to_owned()];
        PutConnectionProfileRequest {
            profile: Some(ConnectionProfile {
                name: self.name.clone(),
                auth: Some(Auth::Oauth(oauth)),
                ..Default::default()
            }),
            update_mask: self.before.is_some().then_some(FieldMask { paths }),
            ..Default::default()
        }
    }
}
