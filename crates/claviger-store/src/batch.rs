use std::time::SystemTime;

use claviger_core::{Error, Result, SecretBytes};
use claviger_seal::Keyring;

use crate::contract::{Change, Commit, Condition, Expect};
use crate::record::Record;

/// Changes that are committed together, and the terms on which they are.
#[derive(Default)]
pub struct Batch {
    changes: Vec<Unsealed>,
    conditions: Vec<Condition>,
    end: Option<SystemTime>,
    erases: bool,
}

/// A change's key, its new content and its expectation.
type Unsealed = (String, Option<Content>, Expect);

enum Content {
    Record(Result<SecretBytes>),
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
        self.change(
            [T::KIND, id].concat(),
            Some(Content::Record(record.encode())),
            expect,
        )
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
            let content = content.as_ref().map(|content| match content {
                Content::Secret(bytes) => Content::Secret(bytes.duplicate()),
                Content::Record(Ok(bytes)) => Content::Record(Ok(bytes.duplicate())),
                Content::Record(Err(error)) => {
                    let cause = format!("{error:?}");
                    Content::Record(Err(Error::new(error.reason()).caused_by(cause)))
                }
            });
            (key.clone(), content, *expect)
        });
        Self {
            changes: changes.collect(),
            conditions: self.conditions.clone(),
            end: self.end,
            erases: self.erases,
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

    /// Whether secret bytes are gone for good once this is committed.
    pub(crate) fn erases(&self) -> bool {
        self.erases
    }

    /// The commit that a store can do.
    pub(crate) fn seal(self, keyring: &Keyring) -> Result<Commit> {
        let seal = |(key, content, expect): Unsealed| {
            let bytes = content.map(|content| match content {
                Content::Record(plaintext) => keyring.seal(&key, &plaintext?),
                Content::Secret(plaintext) => keyring.seal_erasable(&key, &plaintext),
            });
            let bytes = bytes.transpose()?;
            Ok(Change { key, bytes, expect })
        };
        Ok(Commit {
            changes: self.changes.into_iter().map(seal).collect::<Result<_>>()?,
            conditions: self.conditions,
            end: self.end,
        })
    }

    fn change(mut self, key: String, content: Option<Content>, expect: Expect) -> Self {
        self.changes.push((key, content, expect));
        self
    }
}
