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
}

/// A change's key, its new content and its expectation.
type Unsealed = (String, Option<Result<SecretBytes>>, Expect);

impl Batch {
    /// A batch without changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a record.
    #[must_use]
    pub fn put<T: Record>(self, id: &str, record: &T, expect: Expect) -> Self {
        self.change([T::KIND, id].concat(), Some(record.encode()), expect)
    }

    /// Puts secret bytes under a full key.
    #[must_use]
    pub fn put_secret(self, key: &str, value: &SecretBytes, expect: Expect) -> Self {
        self.change(key.to_owned(), Some(Ok(value.duplicate())), expect)
    }

    /// Deletes a record.
    #[must_use]
    pub fn delete<T: Record>(self, id: &str, expect: Expect) -> Self {
        self.change([T::KIND, id].concat(), None, expect)
    }

    /// Deletes secret bytes.
    #[must_use]
    pub fn delete_secret(self, key: &str, expect: Expect) -> Self {
        self.change(key.to_owned(), None, expect)
    }

    /// The same changes on the same terms, to be committed another time.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let changes = self.changes.iter().map(|(key, content, expect)| {
            let content = content.as_ref().map(|content| match content {
                Ok(bytes) => Ok(bytes.duplicate()),
                Err(error) => Err(Error::new(error.reason()).caused_by(format!("{error:?}"))),
            });
            (key.clone(), content, *expect)
        });
        Self {
            changes: changes.collect(),
            conditions: self.conditions.clone(),
            end: self.end,
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

    /// The commit that a store can do.
    pub(crate) fn seal(self, keyring: &Keyring) -> Result<Commit> {
        let seal = |(key, plaintext, expect): Unsealed| {
            let bytes = plaintext
                .map(|plaintext| keyring.seal(&key, &plaintext?))
                .transpose()?;
            Ok(Change { key, bytes, expect })
        };
        Ok(Commit {
            changes: self.changes.into_iter().map(seal).collect::<Result<_>>()?,
            conditions: self.conditions,
            end: self.end,
        })
    }

    fn change(
        mut self,
        key: String,
        plaintext: Option<Result<SecretBytes>>,
        expect: Expect,
    ) -> Self {
        self.changes.push((key, plaintext, expect));
        self
    }
}
