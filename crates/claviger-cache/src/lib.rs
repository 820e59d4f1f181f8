//! Values of vaults that are remembered for a while, shared by all that may read them.
//!
//! A [`Cache`] knows nothing of vaults: whoever asks it brings the proof that it may, and the call
//! that gets the value where it is not held. One such call is under way per document, whoever waits
//! for it; it belongs to the cache and ends although everybody left.
#![forbid(unsafe_code)]

mod breaker;
mod cache;
mod entries;
mod shares;
mod slot;
mod stats;

pub use breaker::{Breaker, Ending, Pass};
pub use cache::{Cache, Lease, Places, Request, Served, Sizes};
pub use entries::{Key, Limits, Weigh};
pub use slot::{Failure, Meaning, Policy, State};
pub use stats::Stats;
