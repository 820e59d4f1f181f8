//! Tokens that roll at a server which revokes the connection when a spent one comes back (Node's
//! oidc-provider): what nobody may ever send it, and what is lost with an answer.
//!
//! The one stranger among the tests of OAuth; Stripe's own ways are played by a stand-in of ours. How
//! a client shows who it is differs between the two, see the script.

use std::time::Duration;

use claviger_core::Clock as _;
use claviger_integration::{Client, Options, Server};
use claviger_proto::v1;
use claviger_proto::v1::install::{ReconnectReason, State};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::node::{Node, seconds};
use crate::profiles::{app, connecting, get, masked, profile_name, put};
use crate::support::fails;

/// The life of an access token there.
const LIFE: Duration = Duration::from_secs(60 * 60);
/// So long before its end another one is fetched.
const BEFORE: Duration = Duration::from_secs(90);

struct World {
    provider: Node,
    server: Server,
    client: Client,
}

impl World {
    /// With a profile whose refresh token was not used yet.
    async fn new() -> Self {
        let (mut server, _) = Server::prepared(Options::default()).await;
        let provider = Node::start("rotating.mjs", server.clock.now());
        let address = &provider.address;
        let stripe = format!("base_url = {address:?}, refresh_token_reuse = \"revokes\"");
        let restart = server.restart_with(|options| options.stripe = stripe);
        restart.await;
        let client = server.unix();
        let mut world = Self {
            provider,
            server,
            client,
        };
        let refresh_token = world.connect();
        world.put(refresh_token, &[]).await;
        world
    }

    /// The owner of the account connects it to the app; the refresh token.
    fn connect(&mut self) -> String {
        self.provider.ask(&json!({"connect": "acct_1"}))
    }

    async fn put(&self, refresh_token: String, mask: &[&str]) {
        let auth = v1::OauthAuth {
            client_secret: "sk_test_ofTheRotatingServer0123".to_owned(),
            refresh_token,
            ..app()
        };
        let mut request = connecting(&profile_name("strict"), auth);
        if !mask.is_empty() {
            request = masked(request, mask);
        }
        put(&self.client, request).await.expect("put");
    }

    async fn resolve(&self) -> Result<v1::ResolveConnectionResponse, Status> {
        resolve(self.client.clone()).await
    }

    async fn install(&self) -> v1::Install {
        let found = get(&self.client, &profile_name("strict")).await;
        found.expect("there").install.expect("with OAuth")
    }

    fn advance(&mut self, time: Duration) {
        self.server.clock.advance(time);
        let now = seconds(self.server.clock.now());
        self.provider.ask(&json!({"now": now}));
    }

    /// Checks how many exchanges there were, and that none brought a spent token.
    #[track_caller]
    fn assert_exchanged(&mut self, times: u64) {
        let seen: Value = serde_json::from_str(&self.provider.ask(&json!({}))).expect("JSON");
        let wanted = json!({"calls": times, "rolled": times, "spent": 0, "revoked": 0});
        assert_eq!(seen, wanted);
    }
}

async fn resolve(client: Client) -> Result<v1::ResolveConnectionResponse, Status> {
    let request = v1::ResolveConnectionRequest {
        name: profile_name("strict"),
        ..Default::default()
    };
    let reply = client.profiles().resolve_connection(request).await;
    reply.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn each_access_token_is_fetched_once_and_with_the_newest_refresh_token() {
    let mut world = World::new().await;
    let mut last = String::new();
    for exchanges in 1..=3 {
        let access = world.resolve().await.unwrap();
        assert_ne!(access.credential, last);
        world.advance(LIFE - BEFORE - Duration::from_secs(1));
        let same = world.resolve().await.unwrap();
        assert_eq!(same.credential, access.credential);
        assert_eq!(same.version, access.version);
        world.assert_exchanged(exchanges);
        world.advance(Duration::from_secs(1));
        last = access.credential;
    }
    assert_eq!(world.install().await.state(), State::Connected);
}

#[tokio::test]
async fn after_a_lost_answer_the_spent_token_is_never_sent_and_a_person_is_asked() {
    let mut world = World::new().await;
    world.resolve().await.unwrap();
    world.advance(LIFE);
    world.provider.ask(&json!({"cut": true}));
    let lost = world.resolve().await;
    let status = fails(lost, Code::FailedPrecondition, "RECONNECT_REQUIRED");
    assert!(status.message().contains("connect the app"), "{status:?}");
    world.assert_exchanged(2);

    world.server.restart().await;
    world.client = world.server.unix();
    for _ in 0..2 {
        let again = world.resolve().await;
        fails(again, Code::FailedPrecondition, "RECONNECT_REQUIRED");
        let install = world.install().await;
        assert_eq!(install.state(), State::ReconnectRequired);
        assert_eq!(install.reconnect_reason(), ReconnectReason::AnswerLost);
        world.advance(31 * 24 * LIFE);
    }
    world.assert_exchanged(2);

    let refresh_token = world.connect();
    world.put(refresh_token, &["oauth.refresh_token"]).await;
    world.resolve().await.unwrap();
    assert_eq!(world.install().await.state(), State::Connected);
    world.assert_exchanged(3);
}

#[tokio::test]
async fn twenty_jobs_at_the_end_of_an_access_token_cost_one_exchange() {
    let mut world = World::new().await;
    let old = world.resolve().await.unwrap();
    world.advance(LIFE);
    let mut jobs = JoinSet::new();
    for _ in 0..20 {
        jobs.spawn(resolve(world.client.clone()));
    }
    let answers = jobs.join_all().await;
    let new = answers[0].as_ref().unwrap();
    assert_ne!(new.credential, old.credential);
    for answer in &answers {
        assert_eq!(answer.as_ref().unwrap().credential, new.credential);
    }
    world.assert_exchanged(2);
}
