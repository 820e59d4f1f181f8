//! Reading a whole log and saying whether it is the one that was written.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use crate::broken::{Broken, BrokenCause};
use crate::chain::{FIRST_PREV, Link};

/// Longest line that is looked at. The longest record is well under it: every field is bounded.
pub(crate) const LINE_BYTES_MAX: u64 = 16 * 1024;

/// A log that holds together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verified {
    /// How many records there are.
    pub records: u64,
    /// The number of the first: 1 unless the files with those before it are elsewhere.
    pub first_seq: u64,
    /// Hash of the last record, or zeros if there is none.
    pub head: String,
    /// When the first record was written, as it says itself.
    pub first_time: Option<String>,
    /// When the last record was written, as it says itself.
    pub last_time: Option<String>,
}

/// Checks every record of a log, or of one of its files, and its place in the chain.
///
/// Finds lines that were edited, dropped, added, repeated, moved or taken from another log. Cannot
/// see that lines before the first or after the last are missing, nor that everything from some
/// line on was written anew, until heads are signed: compare the head with one that was noted
/// elsewhere.
///
/// # Errors
/// The first line that is wrong, and how.
pub fn verify(reader: impl BufRead) -> Result<Verified, Broken> {
    let mut verified = Verified::nothing();
    verified.follow(reader)?;
    Ok(verified)
}

/// As [`verify`], of several files that follow one another.
///
/// # Errors
/// The first file that is wrong, and its first line that is.
pub fn verify_files(files: &[PathBuf]) -> Result<Verified, (PathBuf, Broken)> {
    let mut verified = Verified::nothing();
    for path in files {
        let unreadable = |error| Broken {
            line: 1,
            cause: BrokenCause::Unreadable(error),
        };
        let file = File::open(path).map_err(unreadable);
        file.and_then(|file| verified.follow(BufReader::new(file)))
            .map_err(|broken| (path.clone(), broken))?;
    }
    Ok(verified)
}

impl Verified {
    fn nothing() -> Self {
        Self {
            records: 0,
            first_seq: 1,
            head: FIRST_PREV.to_owned(),
            first_time: None,
            last_time: None,
        }
    }

    /// Goes on with the records of `reader`.
    fn follow(&mut self, mut reader: impl BufRead) -> Result<(), Broken> {
        let mut buffer = Vec::new();
        for line in 1.. {
            let broken = |cause| Broken { line, cause };
            buffer.clear();
            (&mut reader)
                .take(LINE_BYTES_MAX)
                .read_until(b'\n', &mut buffer)
                .map_err(|error| broken(BrokenCause::Unreadable(error)))?;
            if buffer.is_empty() {
                break;
            }
            let link = self.next(&buffer).map_err(broken)?;
            if self.records == 0 {
                self.first_seq = link.seq;
                self.first_time = Some(link.time.clone());
            }
            self.records += 1;
            self.head = link.hash;
            self.last_time = Some(link.time);
        }
        Ok(())
    }

    /// Reads the record that must come next.
    fn next(&self, line: &[u8]) -> Result<Link, BrokenCause> {
        let Some(line) = line.strip_suffix(b"\n") else {
            return Err(if line.len() as u64 == LINE_BYTES_MAX {
                BrokenCause::NotARecord
            } else {
                BrokenCause::Torn
            });
        };
        let link = Link::read(line)?;
        // What came before the first is in another file.
        let is_first = self.records == 0 && link.seq > 1;
        let expected = self.first_seq + self.records;
        if !is_first && link.seq != expected {
            return Err(BrokenCause::OutOfOrder {
                expected,
                found: link.seq,
            });
        }
        if !is_first && link.prev != self.head {
            return Err(BrokenCause::NotChained);
        }
        Ok(link)
    }
}
