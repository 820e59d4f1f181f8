//! How far a log goes.

/// A place in a log: what a whole log of so many records must hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mark {
    /// The number of a record.
    pub seq: u64,
    /// Its hash.
    pub head: String,
}

/// How far a log would survive a loss of power.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Synced {
    /// Its last record of those.
    pub mark: Mark,
    /// Of the commits up to this revision that carry a [note](crate::Intent::note), it has all
    /// intents.
    pub notes: u64,
}
