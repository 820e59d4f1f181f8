//! The calls of a job to Stripe, and its words about an answer.

use claviger_e2e::{Home, StripeStub};
use claviger_proto::v1;
use claviger_proto::v1::secret_definition::Kind;
use serde_json::json;

use super::support::{JOBS, Worker, daemon_with_key, definition, empty_account, key, register};

#[tokio::test]
async fn account_and_context_of_the_definition_travel_with_the_key() {
    let (home, worker) = (Home::new(), Worker::new());
    let daemon = home.start_dev();
    // A context says all that an account can, so it goes alone.
    let cases = [
        ("neither", ("", ""), (None, None)),
        ("account", ("acct_1", ""), (Some("acct_1"), None)),
        ("context", ("", "acct_2"), (None, Some("acct_2"))),
        ("both", ("acct_1", "acct_2"), (None, Some("acct_2"))),
    ];
    for (id, (account, context), _) in cases {
        let stripe = v1::StripeSettings {
            account: account.to_owned(),
            context: context.to_owned(),
            ..Default::default()
        };
        let stored = v1::SecretDefinition {
            stripe: Some(stripe),
            ..definition(id, Kind::StripeApiKey)
        };
        register(&daemon, stored, &key("rk_test_")).await;
    }
    let stripe = empty_account();
    for job in JOBS {
        for (id, _, sent) in cases {
            let ended = worker.run_with(job, (&daemon, id), &stripe.url(), &[]);
            ended.assert_listed(&[]);
            let asked = stripe.take_asked();
            let [call] = asked.as_slice() else {
                panic!("{job:?}, {id}: not one call: {asked:?}");
            };
            assert_eq!(call.target(), "GET /v1/customers?limit=100");
            let headers = (call.header("stripe-account"), call.header("stripe-context"));
            assert_eq!(headers, sent, "{job:?}, {id}");
            let authorization = format!("Bearer {}", key("rk_test_"));
            assert_eq!(call.header("authorization"), Some(authorization.as_str()));
        }
    }
}

#[tokio::test]
async fn refusal_that_repeats_the_key_does_not_end_up_in_the_output() {
    let (home, worker) = (Home::new(), Worker::new());
    let daemon = daemon_with_key(&home).await;
    // The recorded answers mask a key; a text that is taken for none, they repeat.
    let expired = Some("api_key_expired");
    let lacking = "does not have the required permissions for this endpoint on account 'acct_1'.";
    let key = key("rk_test_");
    let cases = [
        (401, None, format!("Invalid API Key provided: {key}"), "401"),
        (
            401,
            expired,
            format!("Expired API Key provided: {key}"),
            "401 api_key_expired",
        ),
        (
            403,
            None,
            format!("The provided key '{key}' {lacking}"),
            "403",
        ),
    ];
    for (status, code, message, said) in cases {
        let mut error = json!({ "type": "invalid_request_error", "message": message });
        if let Some(code) = code {
            error["code"] = json!(code);
        }
        let stripe = StripeStub::start(status, &json!({ "error": error }));
        for job in JOBS {
            let ended = worker.run_with(
                job,
                (&daemon, "stripe"),
                &stripe.url(),
                &[("STRIPE_LOG", "debug")],
            );
            ended.assert_refused(Some(1), &["Stripe refused", said]);
            assert!(!ended.errors.contains("WXYZ"), "{ended}");
            assert_eq!(stripe.take_asked().len(), 1, "{job:?}");
        }
    }
}
