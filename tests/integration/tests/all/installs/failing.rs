//! A store that cannot be written between an answer and its commit.

use claviger_core::Reason;
use claviger_integration::{Fault, reason};
use claviger_proto::v1;
use claviger_stub::stripe_oauth::Rules;
use v1::install::State;

use super::{ACCOUNT, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_cannot_be_stored_are_handed_out_once_they_are() {
    for fault in [
        Fault::Fail(Reason::StoreNotWritable),
        Fault::Fail(Reason::StoreUnavailable),
        // Stored, and nobody knows.
        Fault::LoseAnswer,
    ] {
        let (scene, _) = Scene::used(Rules::default()).await;
        let call = scene.waiting().await;
        scene.gate.fail(fault);
        scene.stripe.release();
        let refused = call.await.expect("no panic").expect_err("not stored");
        let wanted = match fault {
            Fault::Fail(wanted) => wanted,
            Fault::Hang | Fault::LoseAnswer | Fault::None => Reason::StoreUnavailable,
        };
        assert_eq!(reason(&refused), wanted.as_str());
        if matches!(fault, Fault::Fail(_)) {
            assert!(!scene.server.broker().are_installs_well());
            let again = scene.resolve().await.expect_err("still not");
            assert_eq!(reason(&again), wanted.as_str());
        }
        scene.gate.fail(Fault::None);
        // Nobody asks, and it is stored all the same.
        scene.server.changes_ended().await;
        assert!(scene.server.broker().are_installs_well());
        assert_eq!(scene.install().await.state(), State::Connected);
        let got = scene.resolve().await.expect("resolved");
        assert_eq!(got.credential, scene.stripe.newest_access_token(ACCOUNT));
        assert_eq!(scene.stripe.refreshes(ACCOUNT), 2, "{fault:?}");
    }
}
