//! How far a log goes.

/// A place in a log: what a whole log of so many records must hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mark {
    /// The number of a record.
    pub seq: u64,
    /// Its hash.
    pub head: String,
}
