//! Jobs that hold no secret of their own: what their platform says of them is proof enough.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use claviger_e2e::{Daemon, Home, StripeStub};
use claviger_proto::v1;
use claviger_proto::v1::secret_definition::Kind;
use claviger_raw::Authority;
use claviger_stub::issuer::Key;
use claviger_stub::{Reply, Stub};
use serde_json::{Value, json};

use super::support::{
    CONFIGURATION, Ended, JOBS, Job, TRY_AGAIN, Worker, definition, empty_account, end, examples,
    key, register,
};
use crate::caller::{Caller, name};

const CLUSTER: &str = "https://kubernetes.default.svc.cluster.local";
const GITHUB: &str = "https://token.actions.githubusercontent.com";
const AUDIENCE: &str = "claviger.acme.example";

/// Opens GitHub's endpoint to the job.
const REQUEST_TOKEN: &str = "request-token-of-the-job";

/// A daemon that believes a cluster and GitHub, and a job there.
struct World {
    home: Home,
    daemon: Daemon,
    worker: Worker,
    stripe: StripeStub,
    /// Signs for both.
    issuer: Key,
    ca_file: String,
}

impl World {
    async fn new() -> Self {
        let (home, issuer) = (Home::new(), Key::ec());
        let authority = Authority::new("ours", Duration::from_secs(now()));
        let pair = authority.server(&["127.0.0.1"]);
        let write = |name: &str, text: &str| {
            let file = home.path().join(name);
            fs::write(&file, text).expect("a writable home");
            fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("ours");
            file
        };
        let ca_file = write("ca.crt", &authority.pem());
        let certificate = write("tls.crt", &pair.certificate);
        let private_key = write("tls.key", &pair.key);
        let keys = json!({ "keys": [issuer.public("k")] });
        let keys = write("jwks.json", &keys.to_string());
        let rest =
            format!("audience = {AUDIENCE:?}\nalgorithms = [\"ES256\"]\njwks_file = {keys:?}\n");
        let config = format!(
            "[tls]\ncertificate_file = {certificate:?}\nprivate_key_file = {private_key:?}\n\
             [identity.cluster]\nkind = \"kubernetes\"\nissuer = {CLUSTER:?}\n{rest}\
             [identity.github]\nkind = \"github\"\n{rest}"
        );
        let daemon = home.start(&mut home.configured(&config));
        let stored = definition("stripe", Kind::StripeApiKey);
        register(&daemon, stored, &key("rk_test_")).await;
        Self {
            home,
            daemon,
            worker: Worker::new(),
            stripe: empty_account(),
            issuer,
            ca_file: ca_file.display().to_string(),
        }
    }

    /// Lets a principal read.
    async fn grant(&self, principal: &str) {
        let grant = v1::Grant {
            principal: principal.to_owned(),
            role: v1::Role::Runner.into(),
            resource: "projects/dev".to_owned(),
            ..Default::default()
        };
        let request = v1::PutGrantRequest { grant: Some(grant) };
        let mut access = Caller::of(&self.daemon).await.access();
        access.put_grant(request).await.expect("given");
    }

    /// A token of the platform that is good for so long.
    fn token(&self, issuer: &str, seconds: u64, more: &Value) -> String {
        let now = now();
        let mut claims = json!({
            "iss": issuer, "aud": [AUDIENCE], "iat": now, "nbf": now, "exp": now + seconds,
        });
        let own = claims.as_object_mut().expect("an object");
        own.extend(more.as_object().expect("an object").clone());
        self.issuer.token("k", &claims)
    }

    /// The token of a service account of the cluster.
    fn of_account(&self, uid: &str, seconds: u64) -> String {
        let account = json!({ "name": "stripe", "uid": uid });
        let more = json!({
            "sub": "system:serviceaccount:runners:stripe",
            "kubernetes.io": { "namespace": "runners", "serviceaccount": account },
        });
        self.token(CLUSTER, seconds, &more)
    }

    /// The token of a workflow's job, as GitHub's endpoint gives it.
    fn of_workflow(&self) -> String {
        let more = json!({
            "sub": "repo:acme/etl:environment:prod",
            "repository_owner_id": "1",
            "repository_id": "22",
            "environment": "prod",
            "ref": "refs/heads/main",
        });
        self.token(GITHUB, 300, &more)
    }

    /// Puts a token where the cluster does, and tells the proof that it is.
    fn project(&self, token: &str) -> String {
        let file = self.worker.file("projected");
        fs::write(&file, token).expect("a writable home");
        format!("file:{}", file.display())
    }

    /// Runs a job with these variables, over TLS.
    fn run(&self, job: Job, more: &[(&str, &str)]) -> Ended {
        let (address, name) = (self.daemon.tcp().to_string(), name("stripe"));
        let stripe = self.stripe.url();
        let own = [
            ("CLAVIGER_ADDRESS", address.as_str()),
            ("CLAVIGER_CA_FILE", &self.ca_file),
            ("CLAVIGER_SECRET", &name),
            ("STRIPE_API_BASE", &stripe),
        ];
        self.worker.run(job, &[&own, more].concat())
    }

    /// The principals of the exchanges that were made.
    fn exchanges(&self) -> Vec<String> {
        let log = fs::read_to_string(self.home.audit_log()).expect("a log");
        let records = log
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"));
        let made = records.filter(|one: &Value| {
            one["rpc"] == "claviger.v1.AccessService/ExchangeToken" && one["phase"] == "INTENT"
        });
        let principals = made.map(|one| one["principal"].as_str().unwrap_or_default().to_owned());
        principals.collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "the daemon has no other clock")]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO).as_secs()
}

/// GitHub's endpoint, which answers so.
fn endpoint(reply: Reply) -> (Stub, String) {
    let stub = Stub::always(reply);
    let url = format!("{}/token?api-version=2.0", stub.url());
    (stub, url)
}

#[tokio::test]
async fn projected_token_of_a_service_account_fetches_the_key() {
    let world = World::new().await;
    world.grant("oidc:cluster#runners/stripe/uid-1").await;
    let proof = world.project(&world.of_account("uid-1", 600));
    for job in JOBS {
        world
            .run(job, &[("CLAVIGER_PROOF", &proof)])
            .assert_listed(&[]);
    }
    // The same name with another uid is another account.
    let proof = world.project(&world.of_account("uid-2", 600));
    for job in JOBS {
        let ended = world.run(job, &[("CLAVIGER_PROOF", &proof)]);
        ended.assert_refused(CONFIGURATION, &["no key from", "(P"]);
    }
}

#[tokio::test]
async fn daemon_that_another_authority_vouches_for_is_shown_nothing() {
    let world = World::new().await;
    let others = world.worker.file("others.crt");
    let other = Authority::new("another", Duration::from_secs(now()));
    fs::write(&others, other.pem()).expect("a writable home");
    let proof = world.project(&world.of_account("uid-1", 600));
    for job in JOBS {
        let variables = [
            ("CLAVIGER_PROOF", proof.as_str()),
            ("CLAVIGER_CA_FILE", &others.display().to_string()),
        ];
        world
            .run(job, &variables)
            .assert_refused(TRY_AGAIN, &["no key from"]);
    }
    assert!(world.exchanges().is_empty());
}

#[tokio::test]
async fn token_of_a_workflow_fetches_the_key() {
    let world = World::new().await;
    world.grant("oidc:github#1/22/environment/prod").await;
    let token = world.of_workflow();
    let (stub, url) = endpoint(Reply::json(200, &json!({ "count": 1, "value": token })));
    let proof = format!("github:{AUDIENCE}");
    for job in JOBS {
        let variables = [
            ("CLAVIGER_PROOF", proof.as_str()),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", &url),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN),
        ];
        world.run(job, &variables).assert_listed(&[]);
        let asked = stub.take_asked();
        let [request] = asked.as_slice() else {
            panic!("{job:?}: not one request: {asked:?}");
        };
        let target = format!("GET /token?api-version=2.0&audience={AUDIENCE}");
        assert_eq!(request.target(), target);
        let bearer = format!("Bearer {REQUEST_TOKEN}");
        assert_eq!(request.header("authorization"), Some(bearer.as_str()));
    }
}

#[tokio::test]
async fn without_a_proof_the_job_says_how_there_will_be_one() {
    let world = World::new().await;
    let garbled = world.project("root:x:0:0:root:/root:/bin/sh");
    let missing = "file:/nowhere/token";
    let lacks = "write `permissions: id-token: write` into its workflow";
    for (proof, said) in [
        (garbled.as_str(), "leads to no token of a platform"),
        (missing, "o such file"),
        ("file:", "neither file:/path/of/a/token nor github:AUDIENCE"),
        (
            "/run/token",
            "neither file:/path/of/a/token nor github:AUDIENCE",
        ),
        ("github:a", lacks),
    ] {
        for job in JOBS {
            let ended = world.run(job, &[("CLAVIGER_PROOF", proof)]);
            ended.assert_refused(CONFIGURATION, &[said]);
            assert!(!ended.errors.contains("root:x"), "{ended}");
        }
    }
    for (reply, code, said) in [
        (
            Reply::text(403, "canary"),
            CONFIGURATION,
            "gives no token: 403",
        ),
        (Reply::text(503, "canary"), TRY_AGAIN, "gives no token: 503"),
        (
            Reply::text(200, "canary"),
            TRY_AGAIN,
            "no answer that can be read",
        ),
        (Reply::Reset, TRY_AGAIN, "no answer that can be read"),
        (
            Reply::json(200, "{}"),
            CONFIGURATION,
            "leads to no token of a platform",
        ),
    ] {
        let (_stub, url) = endpoint(reply);
        for job in JOBS {
            let variables = [
                ("CLAVIGER_PROOF", "github:a"),
                ("ACTIONS_ID_TOKEN_REQUEST_URL", &url),
                ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN),
            ];
            let ended = world.run(job, &variables);
            ended.assert_refused(code, &[said]);
            for hidden in ["canary", REQUEST_TOKEN] {
                assert!(!ended.errors.contains(hidden), "{ended}");
            }
        }
    }
    let both = [
        ("CLAVIGER_PROOF", missing),
        ("CLAVIGER_TOKEN_FILE", "/nowhere"),
    ];
    for job in JOBS {
        world
            .run(job, &both)
            .assert_refused(CONFIGURATION, &["remove one of them"]);
    }
}

#[tokio::test]
async fn short_token_serves_until_shortly_before_its_end_and_the_proof_is_read_anew() {
    let world = World::new().await;
    world.grant("oidc:cluster#runners/stripe/uid-1").await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/exchange_twice.py");
    let (file, next) = (world.worker.file("token"), world.worker.file("next"));
    for (seconds, printed) in [(600, "same\n"), (20, "another\n")] {
        for (file, seconds) in [(&file, seconds), (&next, 600)] {
            fs::write(file, world.of_account("uid-1", seconds)).expect("a writable home");
        }
        let mut command = world.worker.script(&script);
        command.env("CLAVIGER_CA_FILE", &world.ca_file);
        command.arg(examples()).arg(world.daemon.tcp().to_string());
        let ended = end(command.args([&file, &next]));
        assert_eq!(ended.printed, printed, "{ended}");
    }
    assert_eq!(world.exchanges(), ["oidc:cluster#runners/stripe/uid-1"; 3]);
}
