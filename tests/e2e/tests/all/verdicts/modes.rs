//! A key for real money where play money is demanded.

use claviger_e2e::payload;
use claviger_proto::v1;
use claviger_proto::v1::environment::StripeMode;

use super::support::{ALL, EXTERNAL, LAST_FOUR, MANAGED, Refusal, Room, key, key_at, unchecked};

const REMEDY: &str = "open a sandbox or turn on test mode in the dashboard";

/// Makes the project's one environment demand keys of this mode.
async fn demand(room: &Room, mode: StripeMode) {
    let environment = v1::Environment {
        stripe_mode: mode.into(),
        ..Default::default()
    };
    room.caller
        .put_project("dev", &[("nightly", environment)])
        .await;
}

#[track_caller]
fn assert_wrong_mode(refusal: &Refusal, at: &str) {
    assert_eq!(refusal.reason, "VALUE_WRONG_MODE", "{at}: {refusal:?}");
    assert_eq!(refusal.finding, "LIVE_KEY", "{at}: {refusal:?}");
    assert!(refusal.message.contains(REMEDY), "{at}: {refusal:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_key_is_refused_at_put_check_and_read_of_every_vault_once_test_is_demanded() {
    let room = Room::start().await;
    let (live, test) = (key("rk", "live"), key("rk", "test"));
    demand(&room, StripeMode::Unspecified).await;
    for vault in ALL {
        // The managed vault has no console: there the key comes before the demand.
        match vault {
            MANAGED => {
                let mut put = key_at(vault, (vault, ""), "");
                put.payload = Some(payload(&live));
                room.register(put).await.expect("nothing is demanded");
            }
            _ => {
                room.type_in(vault, "stripe", &live).await;
                let put = key_at(vault, (vault, "stripe"), "");
                room.register(put).await.expect("nothing is demanded");
            }
        }
        let (value, _) = room.read(vault, "nightly").await.expect("it may be live");
        assert_eq!(value, live, "{vault}");
    }

    demand(&room, StripeMode::Test).await;
    let shown = ["RESTRICTED", "LIVE", LAST_FOUR].map(str::to_owned);
    let mut messages = Vec::new();
    for vault in ALL {
        let checked = room.check(vault, "nightly").await;
        assert_eq!(checked.shown.as_ref(), Some(&shown), "{vault}");
        let refused = room.read(vault, "nightly").await.expect_err(vault);
        assert_wrong_mode(&refused, vault);
        let red = (refused.reason, refused.message.clone());
        assert_eq!(checked.red, Some(red), "{vault}");
        messages.push(refused.message);

        let mut put = key_at(&format!("new-in-{vault}"), (vault, "new"), "");
        put.payload = Some(payload(&live));
        let refused = room.register(put).await.expect_err(vault);
        assert_wrong_mode(&refused, vault);
        messages.push(refused.message);
        let refused = room.put_value((vault, vault), "nightly", &live).await;
        let refused = refused.expect_err(vault);
        assert_wrong_mode(&refused, vault);
        messages.push(refused.message);
    }
    for vault in EXTERNAL {
        let id = format!("late-in-{vault}");
        let put = key_at(&id, (vault, "stripe"), "");
        let refused = room.register(put.clone()).await.expect_err(vault);
        assert_wrong_mode(&refused, vault);
        messages.push(refused.message);
        room.register(unchecked(&put)).await.expect("not looked at");
        let refused = room.read(&id, "nightly").await.expect_err(vault);
        assert_wrong_mode(&refused, vault);
    }
    messages.dedup();
    assert_eq!(messages.len(), 1, "{messages:?}");

    for vault in ALL {
        let put = room.put_value((vault, vault), "nightly", &test).await;
        assert_eq!(put.expect("a test key"), [""; 0], "{vault}");
        let (value, stripe) = room.read(vault, "nightly").await.expect("a test key");
        assert_eq!(value, test, "{vault}");
        let stripe = stripe.expect("Stripe's");
        assert_eq!(stripe, ["RESTRICTED", "TEST"].map(str::to_owned), "{vault}");
        assert_eq!(room.check(vault, "nightly").await.red, None, "{vault}");
    }
    room.assert_nothing_leaked();
}
