//! An issuer as others run one (Node's oidc-provider), whose keys are rotated while callers come.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime};

use claviger_core::Clock as _;
use claviger_integration::{Options, Server};
use claviger_proto::v1;
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::support::fails;

/// The variable with the modules of Node, set by `cargo xtask ci`.
const MODULES: &str = "CLAVIGER_TEST_NODE_MODULES";

/// The algorithms of the keys that the issuer begins with.
const KEYS: [&str; 3] = ["RS256", "ES256", "EdDSA"];

/// The issuer, until it is dropped.
struct Issuer {
    process: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
    address: String,
}

impl Issuer {
    fn start(now: SystemTime) -> Self {
        #[expect(clippy::disallowed_methods, reason = "told to the test run")]
        let modules = std::env::var(MODULES).expect("run by cargo xtask ci, which sets it");
        let mut process = Command::new("node")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/node/issuer.mjs"))
            .arg(modules)
            .arg(seconds(now).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node runs");
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        let mut issuer = Self {
            asks: process.stdin.take().expect("piped"),
            process,
            answers,
            address: String::new(),
        };
        issuer.address = issuer.heard();
        issuer.with_keys(&KEYS);
        issuer
    }

    fn ask(&mut self, what: &Value) -> String {
        writeln!(self.asks, "{what}").expect("it listens");
        self.heard()
    }

    fn heard(&mut self) -> String {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line).expect("it answers");
        assert!(read > 0, "the issuer has ended");
        line.trim_end().to_owned()
    }

    /// Has these keys from now on, and no others.
    fn with_keys(&mut self, names: &[&str]) {
        self.ask(&json!({"keys": names}));
    }

    fn token(&mut self, key: &str) -> String {
        self.ask(&json!({"token": key}))
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

struct World {
    issuer: Issuer,
    server: Server,
}

impl World {
    async fn new() -> Self {
        let server = Server::start(Options::default()).await;
        let issuer = Issuer::start(server.clock.now());
        let config = format!(
            "[identity.ci]\nkind = \"generic\"\nissuer = {:?}\naudience = \"claviger.acme.example\"\n\
             algorithms = [\"RS256\", \"ES256\", \"EdDSA\"]\n",
            issuer.address
        );
        let mut world = Self { issuer, server };
        let restart = world
            .server
            .restart_with(|options| options.config = config.leak());
        restart.await;
        world
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
        old = world.issuer.token(key);
        let caller = world.caller(&old).await;
        assert_eq!(caller.unwrap(), format!("oidc:ci#{key}"));
    }

    world.issuer.with_keys(&["RS256", "ES256-2"]);
    let new = world.issuer.token("ES256-2");
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
    let known = world.issuer.token("ES256");
    world.caller(&known).await.unwrap();
    world.issuer.with_keys(&["ES256", "ES256-2"]);
    world.advance(Duration::from_secs(3600));
    let (known, unknown) = (world.issuer.token("ES256"), world.issuer.token("ES256-2"));
    world.issuer.process.kill().unwrap();
    world.issuer.process.wait().unwrap();

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
