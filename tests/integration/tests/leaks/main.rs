//! No value and no token stands anywhere but in the reply that hands it out.
//!
//! Every RPC is called, with success and with every failure that has a value or a token in its
//! hands, each time with another canary. Then everything that came out is searched for all of them
//! in every encoding of `search.rs`: the logs of all crates at TRACE, replies, errors with details
//! and metadata, the audit log, the metrics, the data directory. A program of its own, because the subscriber
//! that hears every thread is one per process.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "helpers of tests, outside the test functions themselves"
)]

#[path = "../all/every_rpc.rs"]
#[expect(dead_code, reason = "callers that are narrowed are for the matrix")]
mod every_rpc;
mod failures;
mod oauth;
mod pasted;
#[path = "../all/raw_rpc.rs"]
mod raw_rpc;
mod room;
mod search;
mod stripe;

use std::io;
use std::sync::{Arc, Mutex};

use claviger_api::rpc;
use tracing_subscriber::filter::LevelFilter;

use crate::every_rpc::VARIANTS;
use crate::room::Room;

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn of_this_process() -> Self {
        let log = Self::default();
        let writer = log.clone();
        tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        log
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().expect("nobody panics in here").clone()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .expect("nobody panics in here")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn values_and_tokens_stand_only_in_the_reply_that_hands_them_out() {
    let log = Log::of_this_process();
    let mut room = Room::new().await;
    let plain = rpc::TABLE.iter().map(|rpc| (rpc.name, ""));
    for (method, variant) in plain.chain(VARIANTS) {
        let method = method.trim_start_matches("claviger.v1.");
        Box::pin(room.call_as_everybody(method, variant)).await;
    }
    Box::pin(stripe::of_shapes(&mut room)).await;
    Box::pin(stripe::of_a_demand_that_comes_later(&mut room)).await;
    Box::pin(oauth::of_rolling_tokens(&mut room)).await;
    Box::pin(failures::of_puts(&mut room)).await;
    Box::pin(failures::of_new_values(&mut room)).await;
    Box::pin(failures::of_vaults(&mut room)).await;
    Box::pin(pasted::into_every_text(&mut room)).await;
    Box::pin(failures::of_credentials(&mut room)).await;

    room.collect_files("running");
    let metrics = room.server.metrics().await;
    room.note("metrics", metrics.into());
    room.server.restart().await;
    room.collect_files("restarted");
    room.note("logs", log.bytes());

    // The search has found its ground: traces of the transport, our own errors, files, refusals.
    let logged = String::from_utf8_lossy(&log.bytes()).into_owned();
    for part in [
        "TRACE h2::",
        "TRACE hyper",
        "claviger_api::handler",
        "call failed",
    ] {
        assert!(logged.contains(part), "no {part} in the log");
    }
    for part in [
        "store.db",
        "audit.jsonl",
        "claviger_calls_total",
        "VALUE_WRONG_KIND",
        "VALUE_WRONG_MODE",
        "RECONNECT_REQUIRED",
        "TOKEN_INVALID",
    ] {
        assert!(room.has_seen(part), "nothing about {part}");
    }
    let leaks = room.leaks();
    assert!(
        leaks.is_empty(),
        "{} leaks:\n{}",
        leaks.len(),
        leaks.join("\n")
    );
    println!("{}", room.summary());
}
