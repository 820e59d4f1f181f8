//! A whole server in this process, and clients that speak gRPC to it.
//!
//! [`Server`] is the daemon without its `main`: configured as an operator would, in a temporary
//! directory, on a Unix socket and on loopback TCP; with a clock that the test owns, and faulty
//! vaults and a faulty disk on demand. [`Client`] calls it; [`reason`] and
//! [`violation`] say how a call failed. Tests are in `tests/all`, one file per topic.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a harness that cannot go on is a failed test"
)]

mod client;
mod faulty;
mod held;
mod server;
mod shared;
mod watched;

use tonic::{Request, Status};
use tonic_types::StatusExt;

pub use client::{Client, data_payload, text_payload};
pub use faulty::{Fault, FaultyBackend, FaultySink, TYPED_TIME, Verb};
pub use held::Gate;
pub use server::{AuditLog, FaultyVault, Options, PROJECT, Server, own_directory, own_uid};
pub use shared::{Meanwhile, SharedBackend};
pub use watched::Watched;

/// The machine-readable cause of a failed call; empty if the answer is not one of ours.
pub fn reason(status: &Status) -> String {
    claviger_client::reason(status).unwrap_or_default()
}

/// A call with this `authorization` header, well-formed or not.
pub fn bearing<T>(header: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let header = header.parse().expect("a header");
    request.metadata_mut().insert("authorization", header);
    request
}

/// The field that a failed call blames, and the remedy.
pub fn violation(status: &Status) -> Option<(String, String)> {
    let details = status.get_error_details();
    let violation = details.bad_request()?.field_violations.first()?;
    Some((violation.field.clone(), violation.description.clone()))
}

/// How much randomised tests try: 1, or the number in `CLAVIGER_TEST_VOLUME`.
pub fn volume() -> usize {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one setting of the tests themselves"
    )]
    let volume = std::env::var("CLAVIGER_TEST_VOLUME");
    match volume {
        Ok(text) => text.parse().expect("CLAVIGER_TEST_VOLUME is a number"),
        Err(_) => 1,
    }
}
