//! How a line hangs on the line before it.
//!
//! A line ends in `,"prev":"<hash of the line before>","hash":"<hash>"}`; the hash is SHA-256 over
//! the line's bytes before `,"hash":"`, so that it can be checked without a JSON parser.

use std::io::Write as _;

use claviger_seal::{hex, sha256};
use serde::Deserialize;

use crate::broken::BrokenCause;
use crate::fields::Fields;
use crate::mark::Mark;

/// How every record begins; its number follows.
pub(crate) const RECORD_START: &[u8] = br#"{"seq":"#;

/// The `prev` of the first record.
pub(crate) const FIRST_PREV: &str =
    "0000000000000000000000000000000000000000000000000000000000000000";

/// Stands between the hashed bytes and their hash.
const HASH_KEY: &[u8] = br#","hash":""#;

/// Where the next line goes.
#[derive(Clone, Debug)]
pub(crate) struct Chain(Mark);

impl Chain {
    /// The chain of an empty log.
    pub(crate) fn empty() -> Self {
        Self::after(Mark {
            seq: 0,
            head: FIRST_PREV.to_owned(),
        })
    }

    /// The chain that goes on behind a record.
    pub(crate) fn after(mark: Mark) -> Self {
        Self(mark)
    }

    /// The chain that ends in `line`, whose own hash must be right.
    pub(crate) fn ending_in(line: &[u8]) -> Result<Self, BrokenCause> {
        let link = Link::read(line)?;
        Ok(Self::after(Mark {
            seq: link.seq,
            head: link.hash,
        }))
    }

    /// Its last record.
    pub(crate) fn mark(&self) -> &Mark {
        &self.0
    }

    /// Appends the next line to `buffer`, with these fields.
    pub(crate) fn append(&mut self, time: &str, fields: [&[u8]; 3], buffer: &mut Vec<u8>) {
        let start = buffer.len();
        self.0.seq += 1;
        buffer.extend_from_slice(RECORD_START);
        write!(buffer, "{}", self.0.seq).ok();
        let mut line = Fields(buffer);
        line.plain("time", time);
        fields.iter().for_each(|fields| line.raw(fields));
        line.plain("prev", &self.0.head);
        self.0.head = hex(&sha256(buffer.get(start..).unwrap_or_default()));
        buffer.extend_from_slice(HASH_KEY);
        buffer.extend_from_slice(self.0.head.as_bytes());
        buffer.extend_from_slice(b"\"}\n");
    }
}

/// The part of a line that makes the chain, its hash already checked.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) seq: u64,
    pub(crate) time: String,
    pub(crate) prev: String,
    pub(crate) hash: String,
}

impl Link {
    /// Reads a line without its line feed.
    pub(crate) fn read(line: &[u8]) -> Result<Self, BrokenCause> {
        #[derive(Deserialize)]
        struct Fields {
            seq: u64,
            time: String,
            prev: String,
            hash: String,
        }

        let (body, hash) = line
            .strip_suffix(b"\"}")
            .and_then(|rest| rest.split_last_chunk::<64>())
            .and_then(|(rest, hash)| Some((rest.strip_suffix(HASH_KEY)?, hash)))
            .ok_or(BrokenCause::NotARecord)?;
        if hex(&sha256(body)).as_bytes() != hash {
            return Err(BrokenCause::Edited);
        }
        let fields: Fields = serde_json::from_slice(line).map_err(|_| BrokenCause::NotARecord)?;
        Ok(Self {
            seq: fields.seq,
            time: fields.time,
            prev: fields.prev,
            hash: fields.hash,
        })
    }
}
