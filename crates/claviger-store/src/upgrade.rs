//! The way from a store of format 1, whose records have no envelope, to the present one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use claviger_core::{Error, Reason, Result, SecretBytes};
use claviger_seal::Keyring;
use serde::de::DeserializeOwned;

use crate::contract::{Change, Expect, Row, Store};
use crate::notes;
use crate::record::{Record, parse};

/// Rows read at a time.
const PAGE: usize = 256;

/// A kind of record in the form it had in format 1; read once, never written.
pub trait OldRecord: DeserializeOwned {
    /// The beginning of all their keys, including the last `/`.
    const KIND: &'static str;

    /// The records that take the place of this one: one, several, none, under any id.
    ///
    /// # Errors
    /// `INTEGRITY_FAILURE` if there is no such record; the store then stays as it is.
    fn upgrade(self, id: &str) -> Result<Vec<Upgraded>>;
}

/// A record that takes the place of an old one.
pub struct Upgraded {
    key: String,
    bytes: SecretBytes,
}

/// The upgrade of one kind. All kinds of a store have to be in the table of upgrades.
#[derive(Clone, Copy)]
pub struct Upgrade {
    kind: &'static str,
    /// `None` for secrets.
    run: Option<Run>,
}

/// Takes the id and the JSON of an old record.
type Run = fn(&str, &[u8]) -> Result<Vec<Upgraded>>;

impl Upgraded {
    /// This record under this id.
    ///
    /// # Errors
    /// `INTERNAL` if it cannot be written as JSON.
    pub fn new<T: Record>(id: &str, record: &T) -> Result<Self> {
        Ok(Self {
            key: [T::KIND, id].concat(),
            bytes: record.encode()?,
        })
    }
}

impl Upgrade {
    /// Records that become others.
    pub const fn of<T: OldRecord>() -> Self {
        Self {
            kind: T::KIND,
            run: Some(|id, json| parse::<T>(&[T::KIND, id].concat(), json)?.upgrade(id)),
        }
    }

    /// Records that read as they always did, and only get an envelope.
    pub const fn unchanged<T: Record>() -> Self {
        Self {
            kind: T::KIND,
            run: Some(|id, json| {
                let record: T = parse(&[T::KIND, id].concat(), json)?;
                Ok(vec![Upgraded::new(id, &record)?])
            }),
        }
    }

    /// Secret bytes, which have no form: they stay as they are.
    pub const fn secrets(kind: &'static str) -> Self {
        Self { kind, run: None }
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// The changes that take all records of a store but `except` to this format; to be committed
/// together.
pub(crate) async fn changes(
    store: &dyn Store,
    keyring: &Keyring,
    upgrades: &[Upgrade],
    except: &str,
) -> Result<Vec<Change>> {
    let mut changes = BTreeMap::new();
    let mut written = Vec::new();
    let mut after = String::new();
    loop {
        let page = store.scan("", Some(&after), PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        after.clone_from(last);
        for (key, row) in page.iter().filter(|(key, _)| key != except) {
            if let Some(upgraded) = upgrade(keyring, upgrades, key, row)? {
                changes.insert(key.clone(), (None, Expect::Revision(row.revision)));
                written.extend(upgraded);
            }
        }
    }
    for Upgraded { key, bytes } in written {
        let sealed = keyring.seal(&key, &bytes)?;
        match changes.entry(key) {
            Entry::Vacant(new) => {
                new.insert((Some(sealed), Expect::Absent));
            }
            Entry::Occupied(mut old) if old.get().0.is_none() => old.get_mut().0 = Some(sealed),
            Entry::Occupied(twice) => {
                let why = format!("two old records become {}", twice.key());
                return Err(Error::new(Reason::Internal).caused_by(why));
            }
        }
    }
    let change = |(key, (bytes, expect))| Change { key, bytes, expect };
    Ok(changes.into_iter().map(change).collect())
}

/// The records that take the place of this row; `None` if it stays, as notes do.
fn upgrade(
    keyring: &Keyring,
    upgrades: &[Upgrade],
    key: &str,
    row: &Row,
) -> Result<Option<Vec<Upgraded>>> {
    if key.starts_with(notes::PREFIX) {
        return Ok(None);
    }
    for Upgrade { kind, run } in upgrades {
        if let Some(id) = key.strip_prefix(kind) {
            let Some(run) = run else { return Ok(None) };
            let json = keyring.open_record(key, &row.bytes)?;
            return run(id, json.expose()).map(Some);
        }
    }
    Err(Error::new(Reason::IntegrityFailure)
        .caused_by(format!("row {key} is of a kind that is not known here")))
}
