//! The common ground of the tests of the built daemon: starting it, ending it, calling it.
//!
//! `cargo xtask e2e` builds the daemon, installs its foreign peers and says in environment
//! variables where they are ([`tools`]). A [`Home`] holds everything a daemon keeps, so that it can
//! be started again on the same data; a [`Daemon`] is ended with its value. Knows nothing of what a
//! single test looks at.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "part of the tests: whatever goes wrong here has to end the test"
)]

mod aws_stub;
mod client;
mod daemon;
mod gate;
mod moto;
mod stripe_mock;
mod stripe_stub;
pub mod tools;
mod walk_through;

pub use aws_stub::{AwsReply, AwsRequest, AwsStub};
pub use client::{Client, assert_refused, payload, reason, seen, text_of};
pub use daemon::{Daemon, Home};
pub use gate::Gate;
pub use moto::{Console, Moto, REGION};
pub use stripe_mock::StripeMock;
pub use stripe_stub::{SilentStripe, StripeStub};
pub use walk_through::{WalkThrough, assert_in_order, output_of, type_all};
