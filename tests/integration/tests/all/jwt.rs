//! JWTs as the bearer's token: whom they make a caller, and what is written down of those that do not.

use std::fs;
use std::time::{Duration, SystemTime};

use claviger_core::Clock as _;
use claviger_integration::{Client, Options, PROJECT, Server, own_directory, own_uid};
use claviger_proto::v1;
use claviger_stub::issuer::Key;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::Code;

use crate::support::{denied, fails, give, runner, secret, take_back, who_am_i};

const ISSUER: &str = "https://ci.acme.example";
const AUDIENCE: &str = "claviger.acme.example";

/// A server that believes an issuer, whose keys are in a file.
struct World {
    server: Server,
    operator: Client,
    key: Key,
    dir: TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = own_directory();
        let key = Key::ec();
        let config = format!(
            "[identity.ci]\nkind = \"generic\"\nissuer = {ISSUER:?}\naudience = {AUDIENCE:?}\n\
             algorithms = [\"ES256\"]\njwks_file = {:?}\n",
            dir.path().join("jwks.json")
        );
        let keys = dir.path().join("jwks.json");
        fs::write(&keys, json!({"keys": [key.public("k")]}).to_string()).unwrap();
        let options = Options {
            config: config.leak(),
            ..Options::default()
        };
        let (server, operator) = Server::prepared(options).await;
        Self {
            server,
            operator,
            key,
            dir,
        }
    }

    /// The claims of a token that is good for ten minutes.
    fn claims(&self) -> Value {
        let now = self.server.clock.now();
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let (iat, exp) = (now.as_secs(), now.as_secs() + 600);
        json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "etl", "iat": iat, "exp": exp})
    }

    async fn bearing(&self, token: &str) -> Client {
        self.server.tcp().await.with_token(token)
    }

    /// What the audit log says of the last call that was refused.
    fn refused(&self) -> Value {
        let lines = self.server.audit_lines();
        let mut lines = lines.into_iter().rev();
        lines
            .find(|line| line["outcome"] == "DENIED")
            .expect("a refusal")
    }
}

#[tokio::test]
async fn the_bearer_of_a_jwt_is_the_caller_that_its_claims_name() {
    let world = World::new().await;
    let name = secret("stripe");
    world.operator.put(&name, "1").await.unwrap();
    let job = world.bearing(&world.key.token("k", &world.claims())).await;
    let me = who_am_i(&job).await;
    assert_eq!(me.principal, "oidc:ci#etl");
    let end = me.expire_time.unwrap().seconds;
    assert_eq!(Some(end), world.claims()["exp"].as_i64());
    denied(job.get(&name).await);

    let grant = give(&world.operator, runner("oidc:ci#etl", PROJECT)).await;
    let grant = grant.unwrap();
    assert_eq!(job.text(&name).await, "1");
    let read = world.server.audit_lines().pop().unwrap();
    assert_eq!(read["principal"], "oidc:ci#etl");
    take_back(&world.operator, &grant).await.unwrap();
    denied(job.get(&name).await);
}

#[tokio::test]
async fn a_jwt_is_exchanged_for_a_token_that_each_of_its_ends_ends() {
    let mut world = World::new().await;
    let name = secret("stripe");
    world.operator.put(&name, "1").await.unwrap();
    let grant = give(&world.operator, runner("oidc:ci#etl", PROJECT)).await;
    let job = world.bearing(&world.key.token("k", &world.claims())).await;
    let exchange = async || {
        let request = v1::ExchangeTokenRequest { ttl: None };
        let reply = job.access().exchange_token(request).await;
        reply.expect("exchanged").into_inner()
    };
    let (revoked, other) = (exchange().await, exchange().await);
    // The JWT has less than a quarter of an hour left.
    let end = revoked.expire_time.unwrap().seconds;
    assert_eq!(Some(end), world.claims()["exp"].as_i64());
    let holder = world.bearing(&revoked.token).await;
    assert_eq!(holder.text(&name).await, "1");
    let me = who_am_i(&holder).await;
    assert_eq!(me.principal, who_am_i(&job).await.principal);
    assert_eq!(
        (me.identity.as_str(), &me.token_name),
        ("ci", &revoked.name)
    );
    let again = v1::ExchangeTokenRequest { ttl: None };
    let again = holder.access().exchange_token(again).await;
    fails(again, Code::FailedPrecondition, "PROOF_REQUIRED");

    let revoke = v1::RevokeTokenRequest {
        name: revoked.name,
        cascade: false,
    };
    world.operator.access().revoke_token(revoke).await.unwrap();
    let refused = holder.get(&name).await;
    fails(refused, Code::Unauthenticated, "TOKEN_REVOKED");
    let holder = world.bearing(&other.token).await;
    assert_eq!(holder.text(&name).await, "1");
    take_back(&world.operator, &grant.unwrap()).await.unwrap();
    denied(holder.get(&name).await);

    give(&world.operator, runner("oidc:ci#etl", PROJECT))
        .await
        .unwrap();
    world.server.restart().await;
    assert_eq!(world.bearing(&other.token).await.text(&name).await, "1");
    world
        .server
        .restart_with(|options| options.config = "")
        .await;
    let refused = world.bearing(&other.token).await.get(&name).await;
    fails(refused, Code::Unauthenticated, "TOKEN_REVOKED");
}

#[tokio::test]
async fn a_jwt_that_does_not_count_is_refused_and_the_audit_log_alone_has_the_cause() {
    let world = World::new().await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut claims = world.claims();
        change(&mut claims);
        world.key.token("k", &claims)
    };
    let (good, none) = (world.claims(), json!({"alg": "none"}).to_string());
    for (token, reason, cause) in [
        (
            with(&|c| c["aud"] = json!(["others"])),
            "TOKEN_INVALID",
            "JWT_AUDIENCE",
        ),
        (
            with(&|c| c["iss"] = json!(format!("{ISSUER}/"))),
            "TOKEN_INVALID",
            "JWT_ISSUER",
        ),
        (
            with(&|c| c["exp"] = json!("9999999999")),
            "TOKEN_INVALID",
            "JWT_CLAIM_TYPE",
        ),
        (
            with(&|c| c["exp"] = json!(1)),
            "TOKEN_EXPIRED",
            "JWT_EXPIRED",
        ),
        (
            Key::ec().token("k", &good),
            "TOKEN_INVALID",
            "JWT_SIGNATURE",
        ),
        (
            world.key.token("other", &good),
            "TOKEN_INVALID",
            "JWT_KEY_UNKNOWN",
        ),
        (
            Key::rsa().token("k", &good),
            "TOKEN_INVALID",
            "JWT_ALGORITHM",
        ),
        (
            world.key.sign(&none, &good.to_string()),
            "TOKEN_INVALID",
            "JWT_ALGORITHM",
        ),
        (
            // It would be kept in whatever it makes.
            with(&|c| c["sub"] = json!("sk_test_0123456789abcdef")),
            "TOKEN_INVALID",
            "",
        ),
        ("a.b".to_owned(), "TOKEN_INVALID", "JWT_MALFORMED"),
    ] {
        let caller = world.bearing(&token).await;
        let answer = caller.access().who_am_i(v1::WhoAmIRequest {}).await;
        fails(answer, Code::Unauthenticated, reason);
        let noted = world.refused();
        assert_eq!(noted["reason"], reason);
        assert_eq!(noted["cause"].as_str().unwrap_or_default(), cause);
    }
}

#[tokio::test]
async fn a_jwt_counts_until_its_end_or_until_its_issuer_is_no_longer_configured() {
    let mut world = World::new().await;
    let token = world.key.token("k", &world.claims());
    let runner = world.bearing(&token).await;
    who_am_i(&runner).await;
    world.server.clock.advance(Duration::from_secs(600));
    let late = runner.access().who_am_i(v1::WhoAmIRequest {}).await;
    fails(late, Code::Unauthenticated, "TOKEN_EXPIRED");

    let token = world.key.token("k", &world.claims());
    who_am_i(&world.bearing(&token).await).await;
    world
        .server
        .restart_with(|options| options.config = "")
        .await;
    let runner = world.bearing(&token).await;
    let gone = runner.access().who_am_i(v1::WhoAmIRequest {}).await;
    fails(gone, Code::Unauthenticated, "TOKEN_INVALID");
    assert_eq!(world.refused()["cause"], "JWT_ISSUER");
}

#[tokio::test]
async fn a_jwt_of_an_issuer_whose_keys_cannot_be_had_may_come_again() {
    let world = World::new().await;
    fs::remove_file(world.dir.path().join("jwks.json")).unwrap();
    let runner = world.bearing(&world.key.token("k", &world.claims())).await;
    let answer = runner.access().who_am_i(v1::WhoAmIRequest {}).await;
    fails(answer, Code::Unavailable, "IDENTITY_UNAVAILABLE");
    assert_eq!(world.refused()["cause"], "JWT_KEYS_UNAVAILABLE");
    let own = who_am_i(&world.operator).await;
    assert_eq!(own.principal, format!("unix:{}", own_uid()));
}
