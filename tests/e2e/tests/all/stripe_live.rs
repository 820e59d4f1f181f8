//! `CheckSecretDefinition` with `live`: Stripe is asked, and of its answer only a verdict is kept.

use std::fs;
use std::time::Duration;

use claviger_e2e::{Daemon, Home, SilentStripe, StripeMock, StripeStub, assert_refused};
use claviger_proto::v1;
use claviger_proto::v1::secret_definition::Kind;
use claviger_proto::v1::stripe_live_verdict::Outcome;
use serde_json::{Value, json};
use tonic::Status;

use crate::caller::{Caller, put_of};

/// The part after a prefix; long enough for a key.
const BODY: &str = "0123456789abcdefghijWXYZ";

/// All of it but the last four.
const SHOWN_TO_NOBODY: &str = "0123456789abcdefghij";

/// Words of Stripe's answers, which stand nowhere else.
const STRIPES_WORDS: [&str; 4] = [
    "API Key provided",
    "required permissions",
    "acct_1",
    "invalid_request_error",
];

/// The name of the definition.
const NAME: &str = "projects/dev/secrets/stripe";

/// A daemon with one key, which asks a Stripe of the test's.
struct Stage {
    home: Home,
    daemon: Daemon,
    caller: Caller,
}

impl Stage {
    async fn with(url: &str, settings: &str, kind: Kind) -> Self {
        Self::on_a_host(url, settings, kind, &[]).await
    }

    /// A daemon that sees these variables.
    async fn on_a_host(url: &str, settings: &str, kind: Kind, variables: &[(&str, &str)]) -> Self {
        let home = Home::new();
        let config = format!(
            "[stripe]\nbase_url = \"{url}\"\nhosts = [\"127.0.0.1\"]\n{settings}\n\
             [log]\nfilter = \"debug\"\n"
        );
        let mut command = home.configured(&config);
        let daemon = home.start(command.envs(variables.iter().copied()));
        let caller = Caller::of(&daemon).await;
        let definition = v1::SecretDefinition {
            name: NAME.to_owned(),
            kind: kind.into(),
            ..Default::default()
        };
        let key = format!("rk_test_{BODY}");
        let put = caller.put(put_of(definition, Some(&key))).await;
        put.expect("registered");
        Self {
            home,
            daemon,
            caller,
        }
    }

    async fn asking(url: &str) -> Self {
        Self::with(url, "", Kind::StripeApiKey).await
    }

    async fn check(&self) -> Result<v1::CheckSecretDefinitionResponse, Status> {
        self.check_within(Duration::from_secs(60)).await
    }

    async fn check_within(
        &self,
        deadline: Duration,
    ) -> Result<v1::CheckSecretDefinitionResponse, Status> {
        let mut request = tonic::Request::new(v1::CheckSecretDefinitionRequest {
            name: NAME.to_owned(),
            live: true,
            ..Default::default()
        });
        request.set_timeout(deadline);
        let mut definitions = self.caller.definitions();
        let checked = definitions.check_secret_definition(request).await;
        checked.map(tonic::Response::into_inner)
    }

    async fn live(&self) -> v1::StripeLiveVerdict {
        let checked = self.check().await.expect("checked");
        assert_says_nothing(&format!("{checked:?}"));
        checked.live.expect("asked for")
    }

    /// Ends the daemon and looks at all that it has written.
    fn assert_nothing_leaked(self) {
        assert!(self.daemon.stop().success());
        for written in [self.home.log(), read(&self.home.audit_log())] {
            assert!(!written.is_empty());
            assert_says_nothing(&written);
        }
    }
}

#[track_caller]
fn assert_says_nothing(text: &str) {
    for hidden in STRIPES_WORDS.iter().chain([&SHOWN_TO_NOBODY]) {
        assert!(!text.contains(hidden), "{hidden} is in {text}");
    }
}

fn read(file: &std::path::Path) -> String {
    fs::read_to_string(file).expect("it is there")
}

/// A Stripe that takes every key.
fn working() -> StripeStub {
    StripeStub::start(200, &json!({ "object": "balance", "livemode": false }))
}

fn refusal(code: Option<&str>, message: &str) -> Value {
    json!({ "error": { "type": "invalid_request_error", "code": code, "message": message } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stripe_mock_takes_a_key() {
    let mock = StripeMock::start();
    let stage = Stage::asking(&mock.url()).await;
    let live = stage.live().await;
    let told = (live.outcome(), live.mode.as_str());
    assert_eq!(told, (Outcome::Works, "TEST"), "{live:?}");
    stage.assert_nothing_leaked();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_of_stripes_has_its_outcome_and_remedy_and_none_of_its_words() {
    let repeated = format!("Invalid API Key provided: rk_test_{BODY}");
    let lacking = "The provided key 'rk_test_***WXYZ' does not have the required permissions for \
                   this endpoint on account 'acct_1'. Having the 'rak_balance_read' permission \
                   would allow this request to continue.";
    #[rustfmt::skip]
    let rows = [
        (401, refusal(None, &repeated), Outcome::Revoked, "", "Create restricted key"),
        (401, refusal(Some("api_key_expired"), "x"), Outcome::Expired, "", "PutSecretValue"),
        (403, refusal(None, lacking), Outcome::Limited, "balance_read", "Edit"),
        (403, refusal(Some("account_invalid"), "x"), Outcome::WrongAccount, "", "stripe.account"),
        (500, refusal(None, &repeated), Outcome::Unreachable, "", "try again"),
    ];
    for (status, body, outcome, permission, remedy) in rows {
        let stub = StripeStub::start(status, &body);
        let stage = Stage::asking(&stub.url()).await;
        let live = stage.live().await;
        let told = (live.outcome(), &*live.missing_permission);
        assert_eq!(told, (outcome, permission));
        assert!(live.message.contains(remedy), "{live:?}");
        let asked = stub.take_asked();
        let targets: Vec<&str> = asked.iter().map(|request| request.target()).collect();
        assert_eq!(targets, ["GET /v1/balance"], "once, and no retry");
        stage.assert_nothing_leaked();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_takes_the_key_nowhere() {
    let elsewhere = working();
    let stub = StripeStub::moved_to(&format!("{}/v1/balance", elsewhere.url()));
    let stage = Stage::asking(&stub.url()).await;
    assert_eq!(stage.live().await.outcome(), Outcome::Unexpected);
    assert_eq!(stub.take_asked().len(), 1);
    assert_eq!(elsewhere.take_asked().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stripe_that_hangs_is_left_after_the_timeout_of_the_configuration() {
    let stripe = SilentStripe::start();
    let stage = Stage::with(&stripe.url(), "timeout = \"10ms\"", Kind::StripeApiKey).await;
    // Less than the timeout that holds without a configuration.
    let checked = stage.check_within(Duration::from_secs(4)).await;
    let live = checked.expect("before the deadline").live.expect("asked");
    assert_eq!(live.outcome(), Outcome::Unreachable);
    stripe.await_hang_up();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stripe_that_hangs_holds_nobody_past_the_callers_deadline() {
    let stripe = SilentStripe::start();
    let stage = Stage::with(&stripe.url(), "timeout = \"20s\"", Kind::StripeApiKey).await;
    let checked = stage.check_within(Duration::from_millis(500)).await;
    checked.expect_err("nobody answers");
    stripe.await_hang_up();
    assert!(stage.daemon.stop().success());
    // It was the deadline that ended it: a check that Stripe's timeout ends is answered.
    let audit = read(&stage.home.audit_log());
    let records = audit
        .lines()
        .filter(|line| line.contains("/CheckSecretDefinition"));
    let records = records.map(|line| serde_json::from_str(line).expect("JSON"));
    let records: Vec<Value> = records.collect();
    let phases: Vec<_> = records.iter().map(|record| &record["phase"]).collect();
    assert_eq!(phases, ["INTENT", "OUTCOME"], "{records:?}");
    assert_eq!(records[1]["reason"], "CANCELLED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_checks_than_a_minute_has_do_not_reach_stripe() {
    let stub = working();
    let stage = Stage::with(&stub.url(), "checks_per_minute = 1", Kind::StripeApiKey).await;
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        outcomes.push(stage.live().await.outcome());
    }
    let asked = stub.take_asked().len();
    let works = |outcome: &&Outcome| **outcome == Outcome::Works;
    let worked = outcomes.iter().filter(works).count();
    assert_eq!(asked, worked, "{outcomes:?}");
    assert!(outcomes.contains(&Outcome::Overloaded), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stripe_is_asked_about_api_keys_only() {
    let stub = working();
    let stage = Stage::with(&stub.url(), "", Kind::Opaque).await;
    assert_refused(stage.check().await, "FIELD_INVALID");
    assert_eq!(stub.take_asked().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_without_certificates_of_authorities_starts_and_says_that_it_cannot_ask() {
    let stub = working();
    let variables = [("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/nowhere")];
    let stage = Stage::on_a_host(&stub.url(), "", Kind::StripeApiKey, &variables).await;
    let checked = stage.check().await.expect("all else is told");
    assert!(checked.kind.expect("judged").ok);
    let live = checked.live.expect("asked for");
    assert_eq!(live.outcome(), Outcome::CannotAsk);
    assert!(live.message.contains("ca-certificates"), "{live:?}");
    assert_eq!(stub.take_asked().len(), 0);
}
