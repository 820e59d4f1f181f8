//! What a job sends to Stripe, and what it says of an answer.

use claviger_e2e::{Home, StripeStub};
use claviger_proto::v1;
use claviger_proto::v1::secret_definition::Kind;
use serde_json::json;

use super::support::{JOBS, Worker, address, definition, empty_account, key, name, register};

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
            let ended = worker.run(
                job,
                &[
                    ("CLAVIGER_ADDRESS", &address(&daemon)),
                    ("CLAVIGER_SECRET", &name(id)),
                    ("STRIPE_API_BASE", &stripe.url()),
                ],
            );
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
    let daemon = home.start_dev();
    let stored = definition("stripe", Kind::StripeApiKey);
    register(&daemon, stored, &key("rk_test_")).await;
    let cases = [
        // The recorded answers mask a key; what is taken for none, they repeat.
        (
            401,
            json!({ "type": "invalid_request_error",
            "message": format!("Invalid API Key provided: {}", key("rk_test_")) }),
            "401",
        ),
        (
            401,
            json!({ "type": "invalid_request_error", "code": "api_key_expired",
            "message": format!("Expired API Key provided: {}", key("rk_test_")) }),
            "401 api_key_expired",
        ),
        (
            403,
            json!({ "type": "invalid_request_error",
            "message": format!("The provided key '{}' does not have the required permissions \
                for this endpoint on account 'acct_1'.", key("rk_test_")) }),
            "403",
        ),
    ];
    for (status, error, said) in cases {
        let stripe = StripeStub::start(status, &json!({ "error": error }));
        for job in JOBS {
            let ended = worker.run(
                job,
                &[
                    ("CLAVIGER_ADDRESS", &address(&daemon)),
                    ("CLAVIGER_SECRET", &name("stripe")),
                    ("STRIPE_API_BASE", &stripe.url()),
                    ("STRIPE_LOG", "debug"),
                ],
            );
            ended.assert_refused(Some(1), &["Stripe refused", said]);
            assert!(!ended.errors.contains("WXYZ"), "{ended}");
            assert_eq!(stripe.take_asked().len(), 1, "{job:?}");
        }
    }
}
