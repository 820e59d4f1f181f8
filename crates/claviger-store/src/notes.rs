//! Notes of commits: each is durable exactly when what it tells of is.
//!
//! The notes of all commits that an engine does in one go lie in one row, so that together they
//! cost one. It is an ordinary row of the store, and no record.

use claviger_core::{Error, Reason, Result, SecretBytes};
use claviger_seal::Keyring;

/// What the keys of the rows begin with.
pub(crate) const PREFIX: &str = "audit-outbox/";
/// A note is sealed before its row has a key.
const SEALED_AS: &str = "audit-outbox";
/// Rows read at a time.
pub(crate) const PAGE: usize = 64;
/// Rows that one commit deletes: all others wait for it meanwhile.
pub(crate) const FORGOTTEN_MAX: u32 = 4096;

/// What a commit left for whoever reads the notes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    /// Of its commit, or of another one with a note that was done in one go with it.
    pub revision: u64,
    /// As the commit was given it.
    pub bytes: Vec<u8>,
}

/// The content of a row: sealed notes, each after its length.
#[derive(Default)]
pub(crate) struct Packed {
    bytes: Vec<u8>,
    last: i64,
}

impl Packed {
    /// Takes the notes in the order of their revisions.
    pub(crate) fn push(&mut self, revision: i64, sealed: &[u8]) {
        self.last = revision;
        self.bytes.extend((sealed.len() as u64).to_be_bytes());
        self.bytes.extend(sealed);
    }

    /// The revision of the row, which is that of the last of its notes, and its content; if there
    /// are notes.
    pub(crate) fn row(self) -> Option<(i64, Vec<u8>)> {
        (!self.bytes.is_empty()).then_some((self.last, self.bytes))
    }
}

/// The key of the row whose last note is of this revision.
pub(crate) fn key(revision: u64) -> String {
    format!("{PREFIX}{revision:020}")
}

pub(crate) fn seal(keyring: &Keyring, note: Vec<u8>) -> Result<Vec<u8>> {
    keyring.seal(SEALED_AS, &SecretBytes::new(note))
}

/// The notes of a row.
pub(crate) fn open(keyring: &Keyring, key: &str, packed: &[u8]) -> Result<Vec<Vec<u8>>> {
    let no_notes = || {
        let cause = format!("row {key} does not hold notes; restore a backup");
        Error::new(Reason::IntegrityFailure).caused_by(cause)
    };
    let open = |sealed| {
        let note = keyring.open_record(SEALED_AS, sealed)?;
        Ok(note.expose().to_vec())
    };
    let sealed = unpack(packed).ok_or_else(no_notes)?;
    sealed.into_iter().map(open).collect()
}

fn unpack(mut packed: &[u8]) -> Option<Vec<&[u8]>> {
    let mut notes = Vec::new();
    while !packed.is_empty() {
        let (len, rest) = packed.split_first_chunk()?;
        let len = usize::try_from(u64::from_be_bytes(*len)).ok()?;
        let (sealed, rest) = rest.split_at_checked(len)?;
        notes.push(sealed);
        packed = rest;
    }
    Some(notes)
}
