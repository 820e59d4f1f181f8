//! The key that the guide told somebody to copy: it is in the vault's console, and no job gets it as
//! a key.

use claviger_proto::v1::secret_definition::Kind;

use super::support::{EXTERNAL, LAST_FOUR, Room, defined, key, typed, unchecked};

const REMEDY: &str = "this is a publishable key (pk_); create a restricted key: Developers → API keys → Create restricted key";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishable_key_ends_at_the_definition_that_wants_another_and_at_no_other_one() {
    let room = Room::start().await;
    let publishable = key("pk", "test");
    for vault in EXTERNAL {
        room.type_in(vault, "stripe", &publishable).await;
        let (id, opaque) = (format!("key-in-{vault}"), format!("opaque-in-{vault}"));
        let put = defined(&opaque, (vault, "stripe"));
        let registered = room.register(typed(put, Kind::Opaque, None, "")).await;
        assert_eq!(registered.expect("not judged"), [""; 0], "{vault}");

        let put = typed(
            defined(&id, (vault, "stripe")),
            Kind::StripeApiKey,
            None,
            "",
        );
        let refused = room.register(put.clone()).await.expect_err(vault);
        assert_eq!(refused.reason, "VALUE_WRONG_KIND", "{vault}");
        assert!(refused.message.contains(REMEDY), "{vault}: {refused:?}");
        let absent = room.read(&id, "").await.expect_err(vault);
        assert_eq!(absent.reason, "DEFINITION_NOT_FOUND", "{vault}");

        let registered = room.register(unchecked(&put)).await;
        registered.expect("not looked at");
        let checked = room.check(&id, "").await;
        let (reason, message) = checked.red.expect("red");
        assert_eq!(reason, "VALUE_WRONG_KIND", "{vault}");
        assert!(message.contains(REMEDY), "{vault}: {message}");
        let shown = ["PUBLISHABLE", "TEST", LAST_FOUR].map(str::to_owned);
        assert_eq!(checked.shown, Some(shown), "{vault}");
        let refused = room.read(&id, "").await.expect_err(vault);
        assert_eq!(refused.reason, "VALUE_WRONG_KIND", "{vault}");
        assert!(refused.message.contains(REMEDY), "{vault}: {refused:?}");

        let read = room.read(&opaque, "").await.expect("it is no key to it");
        assert_eq!(read, (publishable.clone(), None), "{vault}");
        assert_eq!(room.check(&opaque, "").await.red, None, "{vault}");
    }
    room.assert_nothing_leaked();
}
