//! The contract every vault backend keeps, and the layers around it.
//!
//! A backend moves bytes and reports failures by reason. It never tries again but with a fresh token or session,
//! never caches, logs a value, checks access or sees the caller: those are done once, for all of them. Its log
//! lines, and its SDK's, lie in the span of the call it works for. What it can do is declared in
//! [`Capabilities`] and proved by the suite in `testkit`.
#![forbid(unsafe_code)]

mod allow;
mod contract;
mod kind;
mod layered;
mod layers;
mod limits;
mod listing;
pub mod private_file;
#[cfg(test)]
mod silent;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod upstream;
mod vault;
mod vaults;

pub use allow::{Allow, NamePattern, Rule};
pub use contract::{
    Address, Backend, Capabilities, ListedSecret, NameWarning, Reading, Site, Staged, VersionInfo,
    VersionState, Write, WriteWarning, Written,
};
pub use kind::{BackendKind, BackendSettings, Opening};
pub use layered::{Layered, Verb};
#[cfg(feature = "testkit")]
pub use layers::requests_of;
pub use layers::{Counts, count_request};
pub use limits::{CONCURRENT_CALLS_DEFAULT, Freshness, Limits};
pub use listing::Listing;
pub use vault::Vault;
pub use vaults::Vaults;
