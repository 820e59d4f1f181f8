//! Reading a whole log and saying whether it is the one that was written.

use std::fmt;
use std::io::{self, BufRead, Read};

use crate::chain::{FIRST_PREV, Link};

/// Longest line that is looked at. The longest record is well under it: every field is bounded.
const LINE_BYTES_MAX: u64 = 16 * 1024;

/// A log that holds together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verified {
    /// How many records there are.
    pub records: u64,
    /// Hash of the last record, or zeros if there is none.
    pub head: String,
    /// When the first record was written, as it says itself.
    pub first_time: Option<String>,
    /// When the last record was written, as it says itself.
    pub last_time: Option<String>,
}

/// The first place where a log does not hold together.
#[derive(Debug)]
pub struct Broken {
    /// The line, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub cause: BrokenCause,
}

/// What is wrong with a line.
#[derive(Debug)]
pub enum BrokenCause {
    /// Its bytes are not the ones that were hashed.
    Edited,
    /// It is no record of an audit log.
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

/// Checks every record and its place in the chain.
///
/// Finds lines that were edited, dropped, added, repeated, moved or taken from another log. Cannot
/// see that the tail is missing, nor that everything from some line on was written anew, until
/// heads are signed: compare the head with one that was noted elsewhere.
///
/// # Errors
/// The first line that is wrong, and how.
pub fn verify(mut reader: impl BufRead) -> Result<Verified, Broken> {
    let mut verified = Verified {
        records: 0,
        head: FIRST_PREV.to_owned(),
        first_time: None,
        last_time: None,
    };
    let mut buffer = Vec::new();
    loop {
        let line = verified.records + 1;
        let broken = |cause| Broken { line, cause };
        buffer.clear();
        (&mut reader)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut buffer)
            .map_err(|error| broken(BrokenCause::Unreadable(error)))?;
        if buffer.is_empty() {
            return Ok(verified);
        }
        let link = follow(&buffer, line, &verified.head).map_err(broken)?;
        verified.records = line;
        verified.head = link.hash;
        if verified.first_time.is_none() {
            verified.first_time = Some(link.time.clone());
        }
        verified.last_time = Some(link.time);
    }
}

/// Reads the record that must be number `seq` and follow `head`.
fn follow(line: &[u8], seq: u64, head: &str) -> Result<Link, BrokenCause> {
    let Some(line) = line.strip_suffix(b"\n") else {
        return Err(if line.len() as u64 == LINE_BYTES_MAX {
            BrokenCause::NotARecord
        } else {
            BrokenCause::Torn
        });
    };
    let link = Link::read(line)?;
    if link.seq != seq {
        return Err(BrokenCause::OutOfOrder {
            expected: seq,
            found: link.seq,
        });
    }
    if link.prev != head {
        return Err(BrokenCause::NotChained);
    }
    Ok(link)
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
