//! Tokens that roll, and the secret key that they roll with: in every state of an install, with every
//! answer of the provider, whose refusals repeat the token.

use std::time::Duration;

use claviger_integration::PROJECT;
use claviger_proto::v1;
use claviger_stub::stripe_oauth::{APP, CLIENT_ID, CLIENT_SECRET, Fault, Oddity, Twist};

use crate::every_rpc::shown;
use crate::room::Room;

const ACCOUNT: &str = "acct_1Leaks";

fn name() -> String {
    format!("{PROJECT}/connectionProfiles/rolling")
}

/// A put of what is pasted, or of single fields of it.
fn put(room: &mut Room, paths: &[&str]) -> v1::PutConnectionProfileRequest {
    let token = room.stripe.install(ACCOUNT, false);
    room.watch("a refresh token", token.as_bytes());
    let oauth = v1::OauthAuth {
        client_id: CLIENT_ID.to_owned(),
        client_secret: CLIENT_SECRET.to_owned(),
        refresh_token: token,
        app: APP.to_owned(),
        ..Default::default()
    };
    let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    v1::PutConnectionProfileRequest {
        profile: Some(v1::ConnectionProfile {
            name: name(),
            auth: Some(v1::connection_profile::Auth::Oauth(oauth)),
            ..Default::default()
        }),
        update_mask: (!paths.is_empty()).then_some(prost_types::FieldMask { paths }),
        ..Default::default()
    }
}

impl Room {
    async fn put_tokens(&mut self, wanted: &str, request: v1::PutConnectionProfileRequest) {
        let answer = shown(self.keeper.profiles().put_connection_profile(request).await);
        self.expect("PutConnectionProfile", wanted, answer);
    }

    /// Resolves at the end of an hour, and watches what that brought.
    async fn roll(&mut self, wanted: &str) {
        self.server.clock.advance(Duration::from_secs(60 * 60));
        let request = v1::ResolveConnectionRequest {
            name: name(),
            ..Default::default()
        };
        let answer = shown(self.keeper.profiles().resolve_connection(request).await);
        for (what, token) in [
            (
                "a rolled access token",
                self.stripe.newest_access_token(ACCOUNT),
            ),
            (
                "a rolled refresh token",
                self.stripe.newest_refresh_token(ACCOUNT),
            ),
        ] {
            if !token.is_empty() {
                self.watch(what, token.as_bytes());
            }
        }
        self.expect("ResolveConnection", wanted, answer);
        self.look().await;
    }

    /// Whatever shows the install.
    async fn look(&mut self) {
        let mut profiles = self.keeper.profiles();
        let request = v1::GetConnectionProfileRequest { name: name() };
        let got = profiles.get_connection_profile(request).await;
        let auth = got.as_ref().ok().and_then(|got| got.get_ref().auth.clone());
        self.expect("GetConnectionProfile", "", shown(got));
        let request = v1::ListConnectionProfilesRequest {
            parent: PROJECT.to_owned(),
            ..Default::default()
        };
        let listed = profiles.list_connection_profiles(request).await;
        self.expect("ListConnectionProfiles", "", shown(listed));
        let Some(v1::connection_profile::Auth::Oauth(oauth)) = auth else {
            panic!("{auth:?}");
        };
        let request = v1::CheckSecretDefinitionRequest {
            name: oauth.definition,
            live: true,
            ..Default::default()
        };
        let mut definitions = self.keeper.definitions();
        let checked = shown(definitions.check_secret_definition(request).await);
        self.note_answer("CheckSecretDefinition of an install", checked);
    }
}

/// An install from its first token to its end.
pub(crate) async fn of_rolling_tokens(room: &mut Room) {
    room.watch("a client secret", CLIENT_SECRET.as_bytes());
    let request = put(room, &[]);
    room.put_tokens("", request).await;
    room.roll("").await;
    room.roll("").await;
    let request = v1::TestConnectionRequest {
        name: name(),
        ..Default::default()
    };
    let tested = shown(room.keeper.profiles().test_connection(request).await);
    room.expect("TestConnection", "", tested);
    for twist in [
        Twist::After(Fault::Cut),
        Twist::After(Fault::Status(503)),
        Twist::Answer(Oddity::Half),
        Twist::Answer(Oddity::NotJson),
        Twist::Answer(Oddity::OtherAccount("acct_1Other".to_owned())),
    ] {
        room.stripe.twist_next([twist]);
        room.roll("RECONNECT_REQUIRED").await;
        let request = put(room, &["oauth.refresh_token"]);
        room.put_tokens("", request).await;
        room.roll("").await;
    }
    // Pasted into one another's field.
    let mut request = put(room, &["oauth.client_secret"]);
    if let Some(v1::connection_profile::Auth::Oauth(oauth)) = request
        .profile
        .as_mut()
        .and_then(|profile| profile.auth.as_mut())
    {
        std::mem::swap(&mut oauth.client_secret, &mut oauth.refresh_token);
    }
    room.put_tokens("FIELD_INVALID", request).await;
    let request = put(room, &["oauth.refresh_token"]);
    room.put_tokens("", request).await;
    room.roll("").await;
    let request = v1::DisconnectInstallRequest { name: name() };
    let ended = shown(room.keeper.profiles().disconnect_install(request).await);
    room.expect("DisconnectInstall", "", ended);
    room.look().await;
}
