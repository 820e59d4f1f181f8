//! Stripe keys that were typed into AWS's console: judged at the check and at every read, in the
//! document they are in, for one definition at a time.

use claviger_e2e::{Client, Home, Moto};
use claviger_proto::v1;
use claviger_proto::v1::secret_definition::Kind;
use claviger_proto::v1::secret_definition_service_client::SecretDefinitionServiceClient;
use serde_json::json;

use super::support::{Caller, assert_refused, definition, location, start};

/// What follows a prefix; long enough for a key.
const BODY: &str = "0123456789abcdefghijWXYZ";

/// All of it but the last four.
const SHOWN_TO_NOBODY: &str = "0123456789abcdefghij";

fn name(id: &str) -> String {
    format!("projects/dev/secrets/{id}")
}

#[tokio::test]
async fn key_typed_into_the_console_is_judged_at_every_read() {
    let (home, moto) = (Home::new(), Moto::start());
    let publishable = format!("pk_test_{BODY}");
    let good = format!("rk_test_{BODY}");
    let document = json!({
        "wrong": publishable,
        "good": good,
        "newline": format!("{good}\n"),
        "quoted": format!("\"{good}\""),
        "marked": format!("\u{feff}{good}"),
        "hook": format!("whsec_{BODY}"),
    });
    let create = json!({ "Name": "acme/stripe", "SecretString": document.to_string() });
    moto.call("CreateSecret", &create);
    let daemon = start(&home, &moto.url(), &["acme/*"]);
    let caller = Caller::of(&daemon).await;
    let client = Client::connect(&daemon.socket()).await;
    let mut definitions = SecretDefinitionServiceClient::new(client.channel());
    let cases = [
        ("wrong", "VALUE_WRONG_KIND", "publishable key (pk_)"),
        ("hook", "VALUE_WRONG_KIND", "webhook signing secret"),
        ("newline", "VALUE_MALFORMED", "line break"),
        ("quoted", "VALUE_MALFORMED", "quotes"),
        ("marked", "VALUE_MALFORMED", "byte-order mark"),
        ("good", "", ""),
    ];
    for (property, reason, remedy) in cases {
        let mut stripe = definition(&name(property), location("acme/stripe", property));
        stripe.kind = Kind::StripeApiKey.into();
        let registered = caller.put(stripe.clone()).await;
        if !reason.is_empty() {
            let status = assert_refused(registered, reason);
            assert!(status.message().contains(remedy), "{status:?}");
            assert!(
                !format!("{status:?}").contains(SHOWN_TO_NOBODY),
                "{status:?}"
            );
            let unchecked = caller.put_with(v1::PutSecretDefinitionRequest {
                definition: Some(stripe),
                skip_value_check: true,
                ..Default::default()
            });
            unchecked.await.expect("registered all the same");
        }
        let request = v1::CheckSecretDefinitionRequest {
            name: name(property),
            ..Default::default()
        };
        let checked = definitions.check_secret_definition(request).await;
        let checked = checked.expect("checked").into_inner();
        let kind = checked.kind.expect("judged");
        assert_eq!(kind.reason, reason, "{property}");
        if reason.is_empty() {
            assert_eq!(caller.text(&name(property)).await.expect("read"), good);
            assert_eq!(checked.stripe.expect("Stripe's").last_four, "WXYZ");
            continue;
        }
        assert!(kind.message.contains(remedy), "{}", kind.message);
        let status = assert_refused(caller.text(&name(property)).await, reason);
        assert!(status.message().contains(remedy), "{status:?}");
        for text in [kind.message, format!("{status:?}")] {
            assert!(!text.contains(SHOWN_TO_NOBODY), "{text}");
        }
    }
    // Who only passes a value on is told nothing of Stripe.
    let opaque = definition(&name("opaque"), location("acme/stripe", "wrong"));
    caller.put(opaque).await.expect("registered");
    let read = caller.text(&name("opaque")).await;
    assert_eq!(read.expect("read"), publishable);
}
