use std::any::Any;
use std::sync::Arc;
use std::time::SystemTime;

use claviger_core::{Error, Result, SecretBytes};
use claviger_seal::Keyring;

use crate::contract::{Change, Commit, Condition, Expect};
use crate::memory::{self, Written};
use crate::notes;
use crate::record::Record;

/// Changes that are committed together, and the terms on which they are.
#[derive(Default)]
pub struct Batch {
    changes: Vec<Unsealed>,
    conditions: Vec<Condition>,
    end: Option<SystemTime>,
    erases: bool,
    note: Option<Vec<u8>>,
    forgets_notes: Option<u64>,
}

/// A change's key, its new content and its expectation.
type Unsealed = (String, Option<Content>, Expect);

enum Content {
    Record {
        encoded: Result<SecretBytes>,
        decoded: Arc<dyn Any + Send + Sync>,
    },
    Secret(SecretBytes),
}

impl Batch {
    /// A batch without changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a record.
    #[must_use]
    pub fn put<T: Record>(self, id: &str, record: &T, expect: Expect) -> Self {
        let content = Content::Record {
            encoded: record.encode(),
            decoded: Arc::new(record.clone()),
        };
        self.change([T::KIND, id].concat(), Some(content), expect)
    }

    /// Puts secret bytes under a full key.
    #[must_use]
    pub fn put_secret(mut self, key: &str, value: &SecretBytes, expect: Expect) -> Self {
        self.erases |= expect != Expect::Absent;
        let content = Content::Secret(value.duplicate());
        self.change(key.to_owned(), Some(content), expect)
    }

    /// Deletes a record.
    #[must_use]
    pub fn delete<T: Record>(self, id: &str, expect: Expect) -> Self {
        self.change([T::KIND, id].concat(), None, expect)
    }

    /// Deletes secret bytes. The commit then returns once no file of the store holds them, or
    /// others that were deleted before.
    #[must_use]
    pub fn delete_secret(mut self, key: &str, expect: Expect) -> Self {
        self.erases = true;
        self.change(key.to_owned(), None, expect)
    }

    /// The same changes on the same terms, to be committed another time.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let changes = self.changes.iter().map(|(key, content, expect)| {
            let content = content.as_ref().map(Content::duplicate);
            (key.clone(), content, *expect)
        });
        Self {
            changes: changes.collect(),
            conditions: self.conditions.clone(),
            end: self.end,
            erases: self.erases,
            note: self.note.clone(),
            forgets_notes: self.forgets_notes,
        }
    }

    /// Commits only if this record, which the batch need not change, is as expected.
    #[must_use]
    pub fn require<T: Record>(mut self, id: &str, expect: Expect) -> Self {
        let key = [T::KIND, id].concat();
        self.conditions.push(Condition { key, expect });
        self
    }

    /// Commits only before `end`; of several ends the earliest counts.
    #[must_use]
    pub fn before(mut self, end: SystemTime) -> Self {
        self.end = Some(self.end.map_or(end, |earlier| earlier.min(end)));
        self
    }

    /// Leaves these bytes with the [notes](crate::Records::notes) if it is committed, and nothing if
    /// it is not.
    #[must_use]
    pub fn note(mut self, bytes: Vec<u8>) -> Self {
        self.note = Some(bytes);
        self
    }

    /// Forgets the notes of this revision and before, but for some that lie together with one of
    /// after it: these go with that one. Where there are many, some are left to the next time.
    #[must_use]
    pub fn forget_notes(mut self, up_to: u64) -> Self {
        self.forgets_notes = Some(up_to);
        self
    }

    /// Whether secret bytes are gone for good once this is committed.
    pub(crate) fn erases(&self) -> bool {
        self.erases
    }

    /// The commit that a store can do, and what the memory may take once it is done.
    pub(crate) fn seal(self, keyring: &Keyring) -> Result<(Commit, Vec<Written>)> {
        let mut commit = Commit {
            changes: Vec::with_capacity(self.changes.len()),
            conditions: self.conditions,
            end: self.end,
            note: self
                .note
                .map(|note| notes::seal(keyring, note))
                .transpose()?,
            forgets_notes: self.forgets_notes,
        };
        let mut written = Vec::with_capacity(self.changes.len());
        for (key, content, expect) in self.changes {
            let sealed = content.map(|content| content.seal(&key, keyring));
            let (bytes, content) = sealed.transpose()?.unzip();
            written.push(Written {
                key: key.as_str().into(),
                content,
                len: bytes.as_ref().map_or(0, Vec::len),
            });
            commit.changes.push(Change { key, bytes, expect });
        }
        Ok((commit, written))
    }

    fn change(mut self, key: String, content: Option<Content>, expect: Expect) -> Self {
        self.changes.push((key, content, expect));
        self
    }
}

impl Content {
    /// As it is stored, and as it is remembered.
    fn seal(self, key: &str, keyring: &Keyring) -> Result<(Vec<u8>, memory::Content)> {
        match self {
            Self::Record { encoded, decoded } => {
                let sealed = keyring.seal(key, &encoded?)?;
                Ok((sealed, memory::Content::Decoded(decoded)))
            }
            Self::Secret(plaintext) => {
                let sealed = keyring.seal_erasable(key, &plaintext)?;
                let opener = keyring.opener(key, &sealed)?;
                let remembered = memory::Content::Sealed(Arc::new(opener));
                Ok((sealed, remembered))
            }
        }
    }

    fn duplicate(&self) -> Self {
        match self {
            Self::Record { encoded, decoded } => {
                let encoded = encoded.as_ref().map(SecretBytes::duplicate);
                Self::Record {
                    encoded: encoded.map_err(|error| {
                        let cause = format!("{error:?}");
                        Error::new(error.reason()).caused_by(cause)
                    }),
                    decoded: Arc::clone(decoded),
                }
            }
            Self::Secret(bytes) => Self::Secret(bytes.duplicate()),
        }
    }
}
