//! What is counted and not recorded, and of whom.

use claviger_access::Principal;
use claviger_core::Resource;

/// Whose denials are counted together.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Who {
    /// Those of an authenticated caller.
    Principal(Principal),
    /// Those of all that were not authenticated and came this way, `unix` or `tcp`.
    Unknown {
        /// The way.
        peer: &'static str,
    },
    /// Those of all callers that are too many to tell apart.
    Rest,
}

/// Denials without a record of their own.
#[derive(Debug, Default)]
pub(crate) struct Unnoted {
    pub(crate) count: u64,
    /// What the first of them was about.
    pub(crate) first: Option<Resource>,
    /// What the last of them was about.
    pub(crate) last: Option<Resource>,
}
