//! An HTTP server of ours for the tests, which plays answers that no emulator gives: recorded ones,
//! and those that come not whole or not at all.
//!
//! On bare sockets, because a proper server gives no half answers. Knows nothing of the services
//! that are played with it, but for how AWS is asked and refuses
//! ([`aws`]), how an issuer signs ([`issuer`]), and Stripe's OAuth ([`stripe_oauth`]).
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "part of the tests: whatever goes wrong here has to end the test"
)]

pub mod aws;
pub mod issuer;
mod message;
mod script;
pub mod stripe_oauth;
mod stub;

pub use message::{Reply, Request};
pub use script::{Script, next_reply};
pub use stub::Stub;
