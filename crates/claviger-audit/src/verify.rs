//! Reading a whole log and saying whether it is the one that was written.

use std::io::{BufRead, Read};

use crate::broken::{Broken, BrokenCause};
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
