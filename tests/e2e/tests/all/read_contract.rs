//! What jobs can rely on at the top of the hour: one call to the vault for all of them, and an
//! answer, which says how old it is, while the vault fails.

use std::time::Duration;

use claviger_e2e::{AwsReply, Daemon, assert_refused, reason, tools};
use claviger_keyvault_fake::{Behaviour, Recorded};
use claviger_proto::v1;
use claviger_proto::v1::freshness::Source;
use claviger_snowflake_fake::Fault;
use claviger_stub::aws::refusal;
use serde_json::json;
use tokio::task::JoinSet;
use tonic::Status;

use crate::caller::Caller;
use crate::peers::{Aws, Azure, Snowflake, aws, azure, objects, on, reads};
use crate::stage::{Peer, SECRET, Stage};

/// Readers at once, and the connections that they share.
const HERD: usize = 300;
const CONNECTIONS: usize = 8;

/// Values are soon too old.
const SHORT: &str = "max_age = \"1s\"\ntimeout = \"20s\"";

/// And calls that hang are over before the test is.
const SHORT_CALLS: &str = "max_age = \"1s\"\ntimeout = \"5s\"";

/// Calls to a vault that fails until a test has seen enough of it.
const FAILURES: usize = 3;

type Answer = Result<v1::GetSecretResponse, Status>;

/// Runners of `projects/dev`, each on a connection of its own.
async fn runners(daemon: &Daemon, count: usize) -> Vec<Caller> {
    let caller = Caller::of(daemon).await;
    let token = caller.token("dev", &[v1::Role::Runner]).await;
    let mut runners = Vec::new();
    for _ in 0..count {
        runners.push(Caller::with_token(daemon, &token).await);
    }
    runners
}

/// So many reads at once.
fn herd(runners: &[Caller], readers: usize, id: impl Fn(usize) -> String) -> JoinSet<Answer> {
    let mut herd = JoinSet::new();
    for (index, runner) in runners.iter().cycle().take(readers).enumerate() {
        let (runner, id) = (runner.clone(), id(index));
        herd.spawn(async move { runner.get(&id, "").await });
    }
    herd
}

fn of_secret(_: usize) -> String {
    SECRET.to_owned()
}

fn freshness(answer: &v1::GetSecretResponse) -> &v1::Freshness {
    answer.freshness.as_ref().expect("always there")
}

fn age(answer: &v1::GetSecretResponse) -> Duration {
    let age = freshness(answer).age.expect("always there");
    age.try_into().expect("not negative")
}

/// A value that was read before the vault failed, and those that read it.
struct Before {
    runners: Vec<Caller>,
    answer: v1::GetSecretResponse,
}

impl Before {
    async fn of(daemon: &Daemon) -> Self {
        let runners = runners(daemon, CONNECTIONS).await;
        let answer = runners[0].get(SECRET, "").await.expect("read");
        assert!(!freshness(&answer).stale);
        Self { runners, answer }
    }

    /// Reads until the value has become too old, which is served all the same.
    async fn grows_stale(&self) {
        loop {
            let answer = self.runners[0].get(SECRET, "").await.expect("served");
            let freshness = freshness(&answer);
            assert_eq!(freshness.fetch_time, self.fetch_time());
            if freshness.stale {
                return;
            }
        }
    }

    /// Reads until the vault is asked again.
    async fn grows_fresh(&self) {
        loop {
            let answer = self.runners[0].get(SECRET, "").await.expect("served");
            let freshness = freshness(&answer);
            if !freshness.stale {
                assert_ne!(freshness.fetch_time, self.fetch_time());
                assert_eq!(freshness.stale_reason, "");
                return;
            }
        }
    }

    /// All of a herd are served with what there was, and told why; returns the ages.
    async fn serves_all(&self, reason: &str) -> (Duration, Duration) {
        let answers = herd(&self.runners, HERD, of_secret).join_all().await;
        assert_eq!(answers.len(), HERD);
        let answers = answers.into_iter().map(|answer| answer.expect("served"));
        let ages = answers.map(|answer| {
            let told = freshness(&answer);
            assert!(told.stale);
            assert!(
                told.stale_reason.starts_with(reason),
                "{}, not {reason}",
                told.stale_reason
            );
            assert_eq!(told.fetch_time, self.fetch_time());
            assert_eq!(told.served_from(), Source::Cache);
            let age = age(&answer);
            assert_eq!(answer.value, self.answer.value);
            age
        });
        let mut ages: Vec<Duration> = ages.collect();
        ages.sort();
        (ages[0], ages[HERD - 1])
    }

    /// While the vault fails with this reason, all are served, and it is asked once per step of the
    /// back-off. `asked` counts the calls since it fails.
    async fn outlasts(&self, reason: &str, asked: impl Fn() -> usize) {
        self.grows_stale().await;
        let mut oldest = Duration::ZERO;
        loop {
            let calls = asked();
            let (youngest, age) = self.serves_all(reason).await;
            assert!(youngest >= oldest, "ages grow: {youngest:?}, {oldest:?}");
            oldest = age;
            // Told by the daemon's own clock: these calls came before it told the age.
            let steps = [1, 2, 4, 8, 12].map(Duration::from_secs);
            let due = steps.iter().filter(|step| **step <= youngest).count();
            assert!(calls <= due, "{calls} calls by {youngest:?}");
            if calls >= FAILURES {
                return;
            }
        }
    }

    fn fetch_time(&self) -> Option<prost_types::Timestamp> {
        freshness(&self.answer).fetch_time
    }
}

/// A daemon in front of it that remembers its values, and one of them.
async fn prepared<P: Peer + ?Sized>(peer: Box<P>, more: &str) -> Stage<P> {
    let config = peer.remembered(more);
    let stage = Stage::start_with(peer, &config).await;
    let place = stage.peer.place(SECRET);
    stage.caller.created(SECRET, place, "kept").await;
    stage
}

on!(a_herd_makes_one_call_and_later_readers_none: aws azure objects sealed);
async fn a_herd_makes_one_call_and_later_readers_none(peer: Box<dyn Peer>) {
    let stage = prepared(peer, "timeout = \"20s\"").await;
    let runners = runners(&stage.daemon, CONNECTIONS).await;
    let before = stage.peer.asked();
    stage.peer.hang();
    let waiting = herd(&runners, HERD, of_secret);
    stage.peer.held().await;
    stage.peer.mend();
    for answer in waiting.join_all().await {
        let answer = answer.expect("served");
        assert!(!freshness(&answer).stale);
        assert_eq!(answer.value, Some(text("kept")));
    }
    for answer in herd(&runners, HERD, of_secret).join_all().await {
        let answer = answer.expect("served");
        assert_eq!(freshness(&answer).served_from(), Source::Cache);
    }
    assert_eq!(stage.peer.asked() - before, 1);
}

fn text(text: &str) -> v1::get_secret_response::Value {
    v1::get_secret_response::Value::Text(text.to_owned())
}

on!(all_are_served_and_told_while_the_vault_is_away: aws azure objects sealed);
async fn all_are_served_and_told_while_the_vault_is_away(peer: Box<dyn Peer>) {
    let stage = prepared(peer, SHORT).await;
    let before = Before::of(&stage.daemon).await;
    let _files = stage.peer.end();
    before.grows_stale().await;
    // Each stand-in ends in its own way, some behind a proxy that answers for them.
    before.serves_all("VAULT_UNREACHABLE/").await;
}

/// The daemon in front of AWS, which fails each read like this.
async fn outage_of_aws(reason: &str, failure: AwsReply) {
    let stage = prepared(Box::new(aws()), SHORT).await;
    let before = Before::of(&stage.daemon).await;
    let aws: &Aws = &stage.peer;
    let calls = aws.count("GetSecretValue");
    aws.play(move |request| (request.operation == "GetSecretValue").then(|| failure.clone()));
    let asked = || aws.count("GetSecretValue") - calls;
    before.outlasts(reason, asked).await;
    aws.mend();
    before.grows_fresh().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_are_served_while_aws_throttles() {
    let failure = refusal(400, "ThrottlingException", "Rate exceeded");
    outage_of_aws("VAULT_UNREACHABLE/THROTTLED", failure).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_are_served_while_aws_answers_503() {
    let failure = refusal(503, "ServiceUnavailable", "");
    outage_of_aws("VAULT_UNREACHABLE/SERVER_ERROR", failure).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_are_served_while_our_own_credentials_have_expired() {
    let failure = refusal(
        400,
        "ExpiredTokenException",
        "The security token is expired",
    );
    outage_of_aws("VAULT_CREDENTIALS_REJECTED", failure).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_are_served_while_aws_hangs() {
    let stage = prepared(Box::new(aws()), SHORT_CALLS).await;
    let before = Before::of(&stage.daemon).await;
    let calls = stage.peer.count("GetSecretValue");
    stage.peer.hang();
    let asked = || stage.peer.count("GetSecretValue") - calls;
    before.outlasts("VAULT_UNREACHABLE/TIMEOUT", asked).await;
    stage.peer.mend();
    before.grows_fresh().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_are_served_while_a_firewall_of_azure_keeps_us_out() {
    let stage = prepared(Box::new(azure()), SHORT).await;
    let before = Before::of(&stage.daemon).await;
    let azure: &Azure = &stage.peer;
    let calls = azure.asked();
    let refused = Behaviour::Recorded(Recorded::ForbiddenByFirewall);
    azure
        .fake
        .next(reads("/secrets/stripe/"), usize::MAX, refused);
    before
        .outlasts("VAULT_UNREACHABLE/FIREWALL", || azure.asked() - calls)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_are_served_while_snowflake_answers_503() {
    let stage = prepared(Box::new(objects()), SHORT).await;
    let before = Before::of(&stage.daemon).await;
    let snowflake: &Snowflake = &stage.peer;
    let calls = snowflake.fake.statements("CALL");
    snowflake.fake.fault("CALL", usize::MAX, Fault::Status(503));
    let asked = || snowflake.fake.statements("CALL") - calls;
    before
        .outlasts("VAULT_UNREACHABLE/SERVER_ERROR", asked)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_served_what_the_vault_has_denied_since() {
    let stage = prepared(Box::new(aws()), SHORT).await;
    let before = Before::of(&stage.daemon).await;
    let aws: &Aws = &stage.peer;
    aws.play(|request| {
        let is_read = request.operation == "GetSecretValue";
        is_read.then(|| refusal(400, "AccessDeniedException", "no"))
    });
    let refused = loop {
        let answer = before.runners[0].get(SECRET, "").await;
        if answer.is_err() {
            break answer;
        }
    };
    assert_refused(refused, "VAULT_ACCESS_DENIED");
    aws.play(|request| {
        let is_read = request.operation == "GetSecretValue";
        is_read.then(|| refusal(503, "ServiceUnavailable", ""))
    });
    let refused = loop {
        let answer = before.runners[0].get(SECRET, "").await;
        let refused = answer.expect_err("nothing is left");
        if reason(&refused).as_deref() != Some("VAULT_ACCESS_DENIED") {
            break refused;
        }
    };
    assert_refused::<()>(Err(refused), "VAULT_UNREACHABLE");
}

/// Secrets that all are read at the top of the hour.
const SECRETS: usize = 100;

/// Reads of them in the largest volume, and of those that there are always.
const READS_MAX: usize = 10_000;
const READS: usize = 500;

/// The daemon in front of an AWS that has every secret, of which some are registered.
async fn full_aws() -> Stage<Aws> {
    let aws = Box::new(aws());
    aws.play(|request| {
        (request.operation == "GetSecretValue").then(|| {
            let found = json!({
                "ARN": "", "Name": request.secret(), "SecretString": request.secret(),
                "VersionId": "11111111-2222-4333-8444-555555555555",
                "VersionStages": ["AWSCURRENT"],
            });
            AwsReply::json(200, &found.to_string())
        })
    });
    let config = aws.remembered("timeout = \"20s\"");
    let stage = Stage::start_with(aws, &config).await;
    for index in 0..SECRETS {
        let id = secret(index);
        let place = stage.peer.place(&id);
        stage.caller.registered(&id, place).await;
    }
    stage
}

fn secret(index: usize) -> String {
    format!("key-{}", index % SECRETS)
}

/// Each of so many connections, in turn, reads one of the secrets: all are served, with a call each.
#[expect(clippy::print_stdout, reason = "a size is told, not judged")]
async fn assert_one_call_each(connections: usize, readers: usize) {
    let stage = full_aws().await;
    let runners = runners(&stage.daemon, connections).await;
    let before = stage.peer.count("GetSecretValue");
    let answers = herd(&runners, readers, secret).join_all().await;
    let served = answers.iter().filter(|answer| answer.is_ok()).count();
    let refused = answers.iter().find_map(|answer| answer.as_ref().err());
    assert_eq!(served, readers, "{refused:?}");
    assert_eq!(stage.peer.count("GetSecretValue") - before, SECRETS);
    println!(
        "{connections} connections, {readers} reads: {} KiB",
        stage.daemon.memory_kib("VmRSS:")
    );
}

/// As many as the volume asks for.
fn readers() -> usize {
    let times = usize::try_from(tools::volume()).expect("a small number");
    READS.saturating_mul(times).min(READS_MAX)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_on_connections_of_their_own_make_one_call_per_secret() {
    assert_one_call_each(readers(), readers()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_share_connections_make_one_call_per_secret() {
    assert_one_call_each(64, readers()).await;
}
