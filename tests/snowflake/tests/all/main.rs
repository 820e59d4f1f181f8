//! The promises of the emulator that other tests lean on.
//!
//! Each test has one of its own, which takes a second or two to start.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "clippy sees tests in #[test] functions only, and these files are nothing else"
)]

mod faults;
mod grammar;
mod logins;
mod official_client;
mod privileges;
mod race;
mod recorded;
mod wire;
