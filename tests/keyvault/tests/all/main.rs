//! Whether the fake answers as the real service was recorded to answer.
//!
//! The expectations were written down from the recordings, not from the behaviour of the fake.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "these are tests; clippy only spares functions marked as such"
)]

mod behaviours;
mod client;
mod errors;
mod lifecycle;
mod logins;
mod official_client;
mod successes;
