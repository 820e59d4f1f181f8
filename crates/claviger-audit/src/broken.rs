//! The words for a log that does not hold together.

use std::fmt;
use std::io;

/// The first place where a log does not hold together.
#[derive(Debug)]
pub struct Broken {
    /// The line, counted from 1.
    pub line: u64,
    /// The fault in it.
    pub cause: BrokenCause,
}

/// The fault in a line.
#[derive(Debug)]
pub enum BrokenCause {
    /// Its bytes are not the ones that were hashed.
    Edited,
    /// It is not a record of an audit log.
    NotARecord,
    /// It is a record, but follows another one than the one before it.
    NotChained,
    /// Records before it are missing, twice there or in another order.
    OutOfOrder {
        /// The number that should come.
        expected: u64,
        /// The number that comes.
        found: u64,
    },
    /// It has no end: a crash came while it was written, or somebody cut the file.
    Torn,
    /// The log cannot be read.
    Unreadable(io::Error),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.cause)
    }
}

impl std::error::Error for Broken {}

impl fmt::Display for BrokenCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edited => f.write_str("the record was edited: its hash does not match"),
            Self::NotARecord => f.write_str("this is not an audit record"),
            Self::NotChained => f.write_str(
                "the record does not follow the one before it: the log was put together from parts",
            ),
            Self::OutOfOrder { expected, found } => write!(
                f,
                "record {expected} should be here but it is record {found}: records were dropped, repeated or moved"
            ),
            Self::Torn => f.write_str(
                "the last record is torn; if a crash did it, the next start of the daemon cuts it off",
            ),
            Self::Unreadable(error) => write!(f, "the log cannot be read: {error}"),
        }
    }
}
