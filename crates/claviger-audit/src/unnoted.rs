//! What is counted and not recorded, and of whom.

use claviger_access::Principal;
use claviger_core::Resource;

use crate::fields::Fields;

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

impl Who {
    pub(crate) fn write(&self, fields: &mut Fields<'_>) {
        match self {
            Self::Principal(principal) => fields.text("principal", principal),
            Self::Unknown { peer } => fields.text("peer", peer),
            Self::Rest => {}
        }
    }
}

/// What is counted of a record that callers cause without end, though they may do nothing.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) has_grants: bool,
    /// What it was about.
    pub(crate) resource: Option<Resource>,
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

impl Unnoted {
    pub(crate) fn write(&self, fields: &mut Fields<'_>) {
        fields.number("unnoted", self.count);
        fields.some("unnoted_first", self.first.as_ref());
        fields.some("unnoted_last", self.last.as_ref());
    }
}
