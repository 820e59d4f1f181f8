//! Tokens that roll: what jobs get, and what is left of an install, whatever happens to an exchange.
//! Against a stand-in of ours for Stripe (`tests/stub/src/stripe_oauth.rs`).

mod ended;
mod failing;
mod joined;
mod lost;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use claviger_integration::{Client, Gate, Options, PROJECT, Server};
use claviger_proto::v1;
use claviger_stub::stripe_oauth::{CLIENT_ID, CLIENT_SECRET, Hold, Rules, StripeOauth};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tonic::Status;
use v1::install::{ReconnectReason, State};

/// The account of most tests.
const ACCOUNT: &str = "acct_1One";

/// A minute before the end of an access token's hour.
const NEARLY_AN_HOUR: Duration = Duration::from_secs(59 * 60);

/// A daemon, and where it exchanges tokens.
struct Scene {
    gate: Gate,
    server: Server,
    client: Client,
    stripe: Arc<StripeOauth>,
    /// What was pasted into the profile at first.
    first_token: String,
}

impl Scene {
    async fn start(rules: Rules) -> Self {
        let stripe = Arc::new(StripeOauth::start(rules));
        let reuse = match rules.revokes_on_reuse {
            true => "revokes",
            false => "tolerated",
        };
        let gate = Gate::default();
        let options = Options {
            gate: gate.clone(),
            stripe: format!(
                "base_url = \"{0}\", connect_url = \"{0}\", refresh_token_reuse = \"{reuse}\", timeout = \"20s\"",
                stripe.url()
            ),
            ..Options::default()
        };
        let (server, client) = Server::prepared(options).await;
        Self {
            gate,
            server,
            client,
            stripe,
            first_token: String::new(),
        }
    }

    /// One with a profile `stripe` that was never used.
    async fn connected(rules: Rules) -> Self {
        let mut scene = Self::start(rules).await;
        scene.first_token = scene.stripe.install(ACCOUNT, false);
        let put = scene
            .put(profile("stripe", oauth(&scene.first_token)))
            .await;
        put.expect("put");
        scene
    }

    /// One that was used a moment ago.
    async fn used(rules: Rules) -> (Self, v1::ResolveConnectionResponse) {
        let scene = Self::connected(rules).await;
        let first = scene.resolve().await.expect("resolved");
        (scene, first)
    }

    /// Installs the app in the account, and puts a profile with what that yields.
    async fn connect(&self, id: &str, account: &str) -> v1::ConnectionProfile {
        let token = self.stripe.install(account, false);
        let put = self.put(profile(id, oauth(&token))).await;
        put.expect("put")
    }

    async fn put(&self, profile: v1::ConnectionProfile) -> Result<v1::ConnectionProfile, Status> {
        let request = v1::PutConnectionProfileRequest {
            profile: Some(profile),
            ..Default::default()
        };
        let put = self.client.profiles().put_connection_profile(request).await;
        Ok(put?.into_inner().profile.expect("echoed"))
    }

    /// Puts another refresh token into the profile.
    async fn reconnect(&self, token: &str) -> v1::ConnectionProfile {
        let put = self.mask(oauth(token), &["oauth.refresh_token"]).await;
        put.expect("put")
    }

    /// Puts another client secret into the profile.
    async fn put_secret(&self, secret: &str) {
        let oauth = v1::OauthAuth {
            client_secret: secret.to_owned(),
            ..Default::default()
        };
        let put = self.mask(oauth, &["oauth.client_secret"]).await;
        put.expect("put");
    }

    /// Puts fields of the profile.
    async fn mask(
        &self,
        oauth: v1::OauthAuth,
        paths: &[&str],
    ) -> Result<v1::ConnectionProfile, tonic::Status> {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let request = v1::PutConnectionProfileRequest {
            profile: Some(profile("stripe", oauth)),
            update_mask: Some(prost_types::FieldMask { paths }),
            ..Default::default()
        };
        let put = self.client.profiles().put_connection_profile(request).await;
        put.map(|put| put.into_inner().profile.expect("echoed"))
    }

    /// Has an exchange begin that a caller waits for, and whose answer is held.
    async fn waiting(&self) -> JoinHandle<Result<v1::ResolveConnectionResponse, Status>> {
        self.server.clock.advance(NEARLY_AN_HOUR);
        self.stripe.hold(Hold::BeforeAnswer);
        let client = self.client.clone();
        let call = Handle::current().spawn(async move { resolve(&client, "stripe", "").await });
        self.watch(|stripe| stripe.await_held(1)).await;
        call
    }

    async fn resolve(&self) -> Result<v1::ResolveConnectionResponse, Status> {
        resolve(&self.client, "stripe", "").await
    }

    async fn install(&self) -> v1::Install {
        self.install_of("stripe").await
    }

    async fn install_of(&self, id: &str) -> v1::Install {
        let request = v1::GetConnectionProfileRequest { name: name(id) };
        let got = self.client.profiles().get_connection_profile(request).await;
        let got = got.expect("got").into_inner();
        got.install.expect("of OAuth")
    }

    /// Its state, and why a person is needed.
    async fn state(&self) -> (State, ReconnectReason) {
        let install = self.install().await;
        (install.state(), install.reconnect_reason())
    }

    /// Calls what waits for the stand-in, while everything else goes on.
    async fn watch(&self, wait: impl FnOnce(&StripeOauth) + Send + 'static) {
        let stripe = Arc::clone(&self.stripe);
        let waiting = tokio::task::spawn_blocking(move || wait(&stripe));
        waiting.await.expect("no panic");
    }
}

fn name(id: &str) -> String {
    format!("{PROJECT}/connectionProfiles/{id}")
}

fn oauth(refresh_token: &str) -> v1::OauthAuth {
    v1::OauthAuth {
        client_id: CLIENT_ID.to_owned(),
        client_secret: CLIENT_SECRET.to_owned(),
        refresh_token: refresh_token.to_owned(),
        ..Default::default()
    }
}

fn profile(id: &str, oauth: v1::OauthAuth) -> v1::ConnectionProfile {
    v1::ConnectionProfile {
        name: name(id),
        auth: Some(v1::connection_profile::Auth::Oauth(oauth)),
        ..Default::default()
    }
}

async fn resolve(
    client: &Client,
    id: &str,
    refused_version: &str,
) -> Result<v1::ResolveConnectionResponse, Status> {
    let request = v1::ResolveConnectionRequest {
        name: name(id),
        refused_version: refused_version.to_owned(),
        ..Default::default()
    };
    let resolved = client.profiles().resolve_connection(request).await;
    resolved.map(tonic::Response::into_inner)
}
