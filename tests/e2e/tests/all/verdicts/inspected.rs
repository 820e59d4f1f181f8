//! The same verdicts before there is a definition.

use std::collections::BTreeSet;

use claviger_proto::v1::secret_definition::Kind;
use serde_json::json;

use super::support::{EXTERNAL, LAST_FOUR, MANAGED, Room, WITH_PROPERTIES, key, key_at, unchecked};
use crate::caller::name;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secret_is_judged_before_its_registration_as_it_is_then() {
    let room = Room::start().await;
    let mut fingerprints = BTreeSet::new();
    for vault in EXTERNAL {
        room.type_in(vault, "stripe", &key("pk", "test")).await;
        let found = room.inspect((vault, "stripe"), "").await.expect(vault);
        assert_eq!(found.judged_as(), Kind::StripeApiKey, "{vault}");
        let shown = found.stripe.expect(vault);
        let shown = (&*shown.class, &*shown.mode, &*shown.last_four);
        assert_eq!(shown, ("PUBLISHABLE", "TEST", LAST_FOUR), "{vault}");
        assert!(found.age.is_some(), "{vault}");

        let id = format!("key-in-{vault}");
        let put = key_at(&id, (vault, "stripe"), "");
        let refused = room.register(put.clone()).await.expect_err(vault);
        room.register(unchecked(&put)).await.expect(vault);
        let red = room.check(&id, "").await.red.expect(vault);
        assert_eq!(red, (refused.reason, refused.message), "{vault}");
        let verdict = found.kind.expect(vault);
        let message = red.1.replace(&name(&id), "stripe");
        let told = (verdict.reason, verdict.message);
        assert_eq!(told, (red.0, message), "{vault}");
        fingerprints.insert(found.fingerprint);
    }
    assert_eq!(fingerprints.len(), 1, "one value, wherever it is");
    let managed = room.inspect((MANAGED, "stripe"), "").await;
    let managed = managed.expect_err("reached through its definition only");
    assert_eq!(managed.reason, "VAULT_CAPABILITY_MISSING");
    room.assert_nothing_leaked();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn document_shows_its_keys_and_one_of_them_is_judged() {
    let room = Room::start().await;
    let (good, wrong) = (key("rk", "live"), key("pk", "test"));
    let document = json!({ "apiKey": good, "other": wrong, "note": "n" }).to_string();
    for vault in EXTERNAL {
        room.type_in(vault, "document", &document).await;
        let found = room.inspect((vault, "document"), "").await.expect(vault);
        assert_eq!(found.properties, ["apiKey", "note", "other"], "{vault}");
    }
    for vault in WITH_PROPERTIES {
        for (property, class) in [("apiKey", "RESTRICTED"), ("other", "PUBLISHABLE")] {
            let found = room.inspect((vault, "document"), property).await;
            let found = found.expect(vault).stripe.expect(vault);
            assert_eq!(found.class, class, "{vault}");
        }
        let found = room.inspect((vault, "document"), "none").await;
        let format = found.expect(vault).format.expect(vault);
        assert_eq!(format.reason, "PROPERTY_NOT_FOUND", "{vault}");
    }
    // The check that nothing leaked wants a refusal and a check to have been written.
    room.read("nobody", "").await.expect_err("not registered");
    let put = key_at("document", (WITH_PROPERTIES[0], "document"), "apiKey");
    room.register(put).await.expect("registered");
    assert_eq!(room.check("document", "").await.red, None);
    room.assert_nothing_leaked();
}
