//! The limits of one vault: callers that leave give back the places they took, and those that are too many
//! are told so.

use claviger_e2e::assert_refused;
use tokio::task::JoinSet;

use crate::peers::aws;
use crate::stage::{Peer, SECRET, Stage};

/// Calls that the vault takes at a time.
const PLACES: usize = 2;

/// Calls that may wait for them.
const WAITING: usize = 16 * PLACES;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_whose_callers_left_take_nobodys_place() {
    let peer = Box::new(aws());
    for secret in [SECRET, "quick"] {
        peer.set(secret, secret);
    }
    peer.play(|request| (request.secret() == SECRET).then_some(claviger_e2e::AwsReply::Hang));
    let config = peer.vault(&format!("timeout = \"25s\"\nconcurrent_calls = {PLACES}"));
    let Stage { caller, peer, .. } = &Stage::start_with(peer, &config).await;
    for (id, secret) in [("slow", SECRET), ("quick", "quick")] {
        caller.registered(id, peer.place(secret)).await;
    }

    let mut hanging = JoinSet::new();
    // More than fit are refused at once, while nobody before them is answered.
    for _ in 0..=PLACES + WAITING {
        let caller = caller.clone();
        hanging.spawn(async move { caller.text("slow").await });
    }
    let full = hanging.join_next().await.expect("one of them");
    assert_refused(full.expect("no panic"), "OVERLOADED");

    hanging.shutdown().await;
    // Their ends reach the daemon a little later than the next call may.
    let text = loop {
        match caller.text("quick").await {
            Ok(text) => break text,
            Err(status) => drop(assert_refused(Err::<(), _>(status), "OVERLOADED")),
        }
    };
    assert_eq!(text, "quick");
}
