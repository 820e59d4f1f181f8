//! The conformance suite: what every backend has to prove, run against the real thing or its
//! emulator by `tests/conformance.rs` of each backend crate.
//!
//! Each check panics with a sentence that says which promise is broken.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed check is a failed test"
)]

mod calls;
mod checks;
mod conformance;
mod console;
mod flipped;
mod hostile;
mod live;
mod races;
mod shared;
mod suite;

pub use calls::{address, put, put_as, read};
pub use conformance::{conformance, outcome};
pub use console::Console;
pub use flipped::every_false_claim_fails;
pub use hostile::{Facing, Lie, hostile_answers};
pub use live::{Live, LiveConsole, ignored_test};
