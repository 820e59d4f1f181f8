//! Notes of commits: each is durable exactly when what it tells of is.
//!
//! The notes of all commits that an engine does in one go lie in one row, so that together they
//! cost one. It is an ordinary row of the store, and no record.

use std::fmt;

use claviger_core::{Error, Reason, Result, SecretBytes};
use claviger_seal::Keyring;

/// What the keys of the rows begin with.
pub(crate) const PREFIX: &str = "audit-outbox/";
/// A note is sealed before its row has a key.
const SEALED_AS: &str = "audit-outbox";
/// Rows read at a time.
pub(crate) const PAGE: usize = 64;

/// What a commit left for whoever reads the notes.
pub struct Note {
    /// Of the commit.
    pub revision: u64,
    /// As the commit was given it.
    pub bytes: SecretBytes,
}

/// The content of a row: notes, each after its commit's revision and its own length.
#[derive(Default)]
pub(crate) struct Packed {
    bytes: Vec<u8>,
    last: u64,
}

impl Packed {
    /// Takes the notes in the order of their revisions.
    pub(crate) fn push(&mut self, revision: u64, sealed: &[u8]) {
        self.last = revision;
        self.bytes.extend(revision.to_be_bytes());
        self.bytes.extend((sealed.len() as u64).to_be_bytes());
        self.bytes.extend(sealed);
    }

    /// The key of the row, which tells the last of its notes, and its content, if there are notes.
    pub(crate) fn row(self) -> Option<(String, Vec<u8>)> {
        (!self.bytes.is_empty()).then(|| (key(self.last), self.bytes))
    }
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Note")
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// From the first to the last key of the rows whose notes are all of `up_to` or before.
pub(crate) fn keys(up_to: u64) -> (String, String) {
    (key(0), key(up_to))
}

pub(crate) fn seal(keyring: &Keyring, note: &SecretBytes) -> Result<Vec<u8>> {
    keyring.seal(SEALED_AS, note)
}

/// The notes of a row.
pub(crate) fn open(keyring: &Keyring, key: &str, packed: &[u8]) -> Result<Vec<Note>> {
    let no_notes = || {
        let cause = format!("row {key} does not hold notes; restore a backup");
        Error::new(Reason::IntegrityFailure).caused_by(cause)
    };
    let open = |(revision, sealed)| {
        let bytes = keyring.open_record(SEALED_AS, sealed)?;
        Ok(Note { revision, bytes })
    };
    let sealed = unpack(packed).ok_or_else(no_notes)?;
    sealed.into_iter().map(open).collect()
}

fn key(revision: u64) -> String {
    format!("{PREFIX}{revision:020}")
}

fn unpack(mut packed: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let mut notes = Vec::new();
    while !packed.is_empty() {
        let (revision, rest) = packed.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let len = usize::try_from(u64::from_be_bytes(*len)).ok()?;
        let (sealed, rest) = rest.split_at_checked(len)?;
        notes.push((u64::from_be_bytes(*revision), sealed));
        packed = rest;
    }
    Some(notes)
}
