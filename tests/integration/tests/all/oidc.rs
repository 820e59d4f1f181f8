//! An issuer as others run one (Node's oidc-provider), whose keys are rotated while callers come.

use std::time::Duration;

use claviger_core::Clock as _;
use claviger_integration::{Options, Server};
use claviger_proto::v1;
use serde_json::json;
use tonic::{Code, Status};

use crate::node::{Node, seconds};
use crate::support::fails;

/// The algorithms of the keys that the issuer begins with.
const KEYS: [&str; 3] = ["RS256", "ES256", "EdDSA"];

struct World {
    issuer: Node,
    server: Server,
}

impl World {
    async fn new() -> Self {
        let server = Server::start(Options::default()).await;
        let issuer = Node::start("issuer.mjs", server.clock.now());
        let config = format!(
            "[identity.ci]\nkind = \"generic\"\nissuer = {:?}\naudience = \"claviger.acme.example\"\n\
             algorithms = [\"RS256\", \"ES256\", \"EdDSA\"]\n",
            issuer.address
        );
        let mut world = Self { issuer, server };
        world.with_keys(&KEYS);
        let restart = world
            .server
            .restart_with(|options| options.config = config.leak());
        restart.await;
        world
    }

    /// The issuer has these keys from now on, and no others.
    fn with_keys(&mut self, names: &[&str]) {
        self.issuer.ask(&json!({"keys": names}));
    }

    fn token(&mut self, key: &str) -> String {
        self.issuer.ask(&json!({"token": key}))
    }

    fn advance(&mut self, time: Duration) {
        self.server.clock.advance(time);
        let now = seconds(self.server.clock.now());
        self.issuer.ask(&json!({"now": now}));
    }

    /// Whom the daemon takes the bearer for.
    async fn caller(&self, token: &str) -> Result<String, Status> {
        let caller = self.server.tcp().await.with_token(token);
        let answer = caller.access().who_am_i(v1::WhoAmIRequest {}).await;
        Ok(answer?.into_inner().principal)
    }
}

#[tokio::test]
async fn tokens_of_each_algorithm_are_taken_and_those_of_a_rotated_key_within_one_question() {
    let mut world = World::new().await;
    let mut old = String::new();
    for key in KEYS {
        old = world.token(key);
        let caller = world.caller(&old).await;
        assert_eq!(caller.unwrap(), format!("oidc:ci#{key}"));
    }

    world.with_keys(&["RS256", "ES256-2"]);
    let new = world.token("ES256-2");
    // The issuer was asked less than a minute ago: an unknown key asks nobody.
    fails(
        world.caller(&new).await,
        Code::Unauthenticated,
        "TOKEN_INVALID",
    );
    assert_eq!(world.caller(&old).await.unwrap(), "oidc:ci#EdDSA");

    world.advance(Duration::from_secs(60));
    assert_eq!(world.caller(&new).await.unwrap(), "oidc:ci#ES256-2");
    // Not remembered either, though its own end has not come.
    fails(
        world.caller(&old).await,
        Code::Unauthenticated,
        "TOKEN_INVALID",
    );
}

#[tokio::test]
async fn while_the_issuer_is_down_known_keys_go_on_and_unknown_ones_are_refused() {
    let mut world = World::new().await;
    let known = world.token("ES256");
    world.caller(&known).await.unwrap();
    world.with_keys(&["ES256", "ES256-2"]);
    world.advance(Duration::from_secs(3600));
    let (known, unknown) = (world.token("ES256"), world.token("ES256-2"));
    world.issuer.end();

    assert_eq!(world.caller(&known).await.unwrap(), "oidc:ci#ES256");
    fails(
        world.caller(&unknown).await,
        Code::Unauthenticated,
        "TOKEN_INVALID",
    );

    // A daemon that has not seen its keys cannot judge.
    world.server.restart().await;
    fails(
        world.caller(&known).await,
        Code::Unavailable,
        "IDENTITY_UNAVAILABLE",
    );
}
