//! Which key a job works with, and when it does not start.

use std::path::Path;

use claviger_e2e::{Client, Home, StripeMock};
use claviger_proto::v1;
use claviger_proto::v1::environment::StripeMode;
use claviger_proto::v1::secret_definition::Kind;
use serde_json::json;

use super::support::{
    BODY, CONFIGURATION, Ended, JOBS, TRY_AGAIN, Worker, daemon_with_key, definition,
    empty_account, end, key, register,
};
use crate::caller::{Caller, name};
use crate::peers::aws;
use crate::stage::{Peer, SECRET, Stage};

#[tokio::test]
async fn right_key_lists_the_customers() {
    let (home, worker, stripe) = (Home::new(), Worker::new(), StripeMock::start());
    let daemon = daemon_with_key(&home).await;
    let customers = stripe.customers();
    assert_ne!(customers, [""; 0]);
    for job in JOBS {
        let ended = worker.run_with(job, (&daemon, "stripe"), &stripe.url(), &[]);
        ended.assert_listed(&customers);
    }
}

#[tokio::test]
async fn token_from_a_file_fetches_over_tcp_and_without_the_file_the_job_does_not_start() {
    let (home, worker, stripe) = (Home::new(), Worker::new(), StripeMock::start());
    let daemon = daemon_with_key(&home).await;
    let client = Client::connect(&daemon.socket()).await;
    let token = client.runner_token().await.expect("a token");
    let file = worker.file("token");
    std::fs::write(&file, format!("{token}\n")).expect("a writable home");
    let garbled = worker.file("garbled");
    std::fs::write(&garbled, b"clv_\xff\xfe").expect("a writable home");
    let answer = worker.file("answer");
    std::fs::write(&answer, format!("{{\n  \"token\": \"{token}\"\n}}")).expect("a writable home");
    let (tcp, socket) = (
        daemon.tcp().to_string(),
        daemon.socket().display().to_string(),
    );
    let proxy = empty_account();
    for job in JOBS {
        let at = |address: &str, more: &[(&str, &str)]| {
            let more = [&[("CLAVIGER_ADDRESS", address)], more].concat();
            worker.run_with(job, (&daemon, "stripe"), &stripe.url(), &more)
        };
        let with = |file: &Path| {
            let file = file.display().to_string();
            // The proxy is of gRPC alone.
            at(
                &tcp,
                &[("CLAVIGER_TOKEN_FILE", &file), ("grpc_proxy", &proxy.url())],
            )
        };
        with(&file).assert_listed(&stripe.customers());
        let asked = proxy.take_asked();
        assert!(asked.is_empty(), "{job:?} shows the proxy its token");
        let refused = |ended: Ended, said: &str| ended.assert_refused(CONFIGURATION, &[said]);
        for file in [&garbled, &answer] {
            refused(with(file), "has to hold a token (clv_…) and nothing else");
        }
        for address in [&socket, "localhost"] {
            refused(
                at(address, &[]),
                "neither unix:/path/of/the/socket nor host",
            );
        }
        refused(at(&tcp, &[]), "CLAVIGER_TOKEN_FILE names the file");
        let missing = with(&worker.file("missing"));
        missing.assert_refused(CONFIGURATION, &["stripe-runner: ", "o such file"]);
    }
}

#[tokio::test]
async fn publishable_key_that_was_typed_into_a_console_does_not_start_the_job() {
    let worker = Worker::new();
    let stage = &Stage::start(Box::new(aws())).await;
    let (caller, peer, daemon) = (&stage.caller, &stage.peer, &stage.daemon);
    let document = json!({ "wrong": key("pk_test_"), "right": key("rk_test_") });
    peer.set(SECRET, &document.to_string());
    for property in ["wrong", "right"] {
        let registered = caller.put(v1::PutSecretDefinitionRequest {
            definition: Some(v1::SecretDefinition {
                location: Some(peer.part(SECRET, property)),
                ..definition(property, Kind::StripeApiKey)
            }),
            skip_value_check: true,
            ..Default::default()
        });
        registered.await.expect("registered");
    }
    let stripe = empty_account();
    for job in JOBS {
        let run = |id: &str| worker.run_with(job, (daemon, id), &stripe.url(), &[]);
        let remedy = [
            "projects/dev/secrets/wrong",
            "publishable key (pk_)",
            "Create restricted key",
            "WXYZ",
        ];
        run("wrong").assert_refused(CONFIGURATION, &remedy);
        assert!(stripe.take_asked().is_empty(), "{job:?}");
        // The same way with a right key leads to Stripe.
        run("right").assert_listed(&[]);
        assert_eq!(stripe.take_asked().len(), 1, "{job:?}");
    }
}

#[tokio::test]
async fn test_key_starts_the_job_in_an_environment_for_it_and_not_in_one_that_demands_live() {
    let (home, worker, stripe) = (Home::new(), Worker::new(), StripeMock::start());
    let daemon = daemon_with_key(&home).await;
    let caller = Caller::of(&daemon).await;
    caller.become_operator().await;
    let demanding = |mode: StripeMode| v1::Environment {
        stripe_mode: mode.into(),
        ..Default::default()
    };
    let (test, live) = (demanding(StripeMode::Test), demanding(StripeMode::Live));
    caller
        .put_project("dev", &[("dev", test), ("prod", live)])
        .await;
    for job in JOBS {
        let run = |environment: &str| {
            let more = [("CLAVIGER_ENVIRONMENT", environment)];
            worker.run_with(job, (&daemon, "stripe"), &stripe.url(), &more)
        };
        run("dev").assert_listed(&stripe.customers());
        run("prod").assert_refused(CONFIGURATION, &["LIVE", "WXYZ"]);
        run("").assert_refused(CONFIGURATION, &["environment"]);
    }
}

#[tokio::test]
async fn value_that_nobody_has_judged_as_a_key_does_not_start_the_job() {
    let (home, worker) = (Home::new(), Worker::new());
    let daemon = home.start_dev();
    for (id, kind, prefix) in [
        ("opaque", Kind::Opaque, "pk_test_"),
        ("hook", Kind::StripeWebhookSecret, "whsec_"),
        (
            "unusual-hook",
            Kind::StripeWebhookSecret,
            "hook_of_next_year_",
        ),
    ] {
        register(&daemon, definition(id, kind), &key(prefix)).await;
    }
    let stripe = empty_account();
    for job in JOBS {
        for id in ["opaque", "hook", "unusual-hook"] {
            let ended = worker.run_with(job, (&daemon, id), &stripe.url(), &[]);
            let remedy = [&name(id), "not of kind STRIPE_API_KEY"];
            ended.assert_refused(CONFIGURATION, &remedy);
        }
        assert!(stripe.take_asked().is_empty(), "{job:?}");
    }
}

#[tokio::test]
async fn inline_key_beside_a_definition_is_refused_and_says_which_to_remove() {
    let (home, worker) = (Home::new(), Worker::new());
    let daemon = daemon_with_key(&home).await;
    let stripe = empty_account();
    for job in JOBS {
        let inline = [("STRIPE_API_KEY", &*key("rk_test_"))];
        let ended = worker.run_with(job, (&daemon, "stripe"), &stripe.url(), &inline);
        ended.assert_refused(CONFIGURATION, &["remove STRIPE_API_KEY", &name("stripe")]);
        assert!(!ended.errors.contains("WXYZ"), "{ended}");
        assert!(stripe.take_asked().is_empty(), "{job:?}");
    }
}

#[test]
fn inline_key_alone_is_enough_on_a_laptop_without_a_daemon() {
    let (worker, stripe) = (Worker::new(), StripeMock::start());
    for job in JOBS {
        let ended = worker.run(
            job,
            &[
                ("STRIPE_API_KEY", &key("rk_test_")),
                ("STRIPE_API_BASE", &stripe.url()),
            ],
        );
        ended.assert_listed(&stripe.customers());
    }
}

#[test]
fn job_that_is_told_of_no_key_says_what_to_set() {
    let worker = Worker::new();
    for job in JOBS {
        let ended = worker.run(job, &[]);
        ended.assert_refused(CONFIGURATION, &["set CLAVIGER_SECRET"]);
    }
}

#[test]
fn job_without_a_daemon_ends_with_try_again() {
    let (worker, stripe) = (Worker::new(), empty_account());
    let socket = format!("unix:{}", worker.file("none.sock").display());
    // Each tries for some seconds: so both at once.
    let ended = std::thread::scope(|scope| {
        let start = |job| {
            let mut command = worker.job(
                job,
                &[
                    ("CLAVIGER_ADDRESS", &socket),
                    ("CLAVIGER_SECRET", &name("stripe")),
                    ("STRIPE_API_BASE", &stripe.url()),
                ],
            );
            scope.spawn(move || end(&mut command))
        };
        JOBS.map(start)
            .map(|thread| thread.join().expect("it ends"))
    });
    for ended in ended {
        ended.assert_refused(TRY_AGAIN, &["no key from projects/dev/secrets/stripe"]);
    }
    assert!(stripe.take_asked().is_empty());
}

#[test]
fn malformed_inline_key_is_not_repeated() {
    let (worker, stripe) = (Worker::new(), StripeMock::start());
    for job in JOBS {
        for malformed in [
            format!("rk_test_{BODY}\n"),
            format!("\u{feff}rk_test_{BODY}"),
        ] {
            let ended = worker.run(
                job,
                &[
                    ("STRIPE_API_KEY", &malformed),
                    ("STRIPE_API_BASE", &stripe.url()),
                ],
            );
            ended.assert_refused(Some(1), &["stripe-runner: "]);
        }
    }
}
