//! The keyring's row: made in an empty store, opened, and renewed when the store is upgraded.

use claviger_core::{Error, Reason, Result};
use claviger_seal::{Keyring, RootKey};

use crate::contract::{Change, Commit, Committed, Expect, Row, Store};
use crate::upgrade::{self, Upgrade};

const KEY: &str = "keyring";

/// Opens the keyring of a store of the present format; makes one in an empty store and upgrades an
/// older one.
pub(crate) async fn open(
    store: &dyn Store,
    root: &RootKey,
    upgrades: &[Upgrade],
) -> Result<Keyring> {
    let Some(row) = store.get(KEY).await? else {
        return create(store, root).await;
    };
    let keyring = Keyring::open(root, &row.bytes)?;
    if keyring.format() == Keyring::FORMAT {
        return Ok(keyring);
    }
    upgrade(store, root, upgrades, &keyring, &row).await
}

async fn create(store: &dyn Store, root: &RootKey) -> Result<Keyring> {
    if !store.scan("", None, 1).await?.is_empty() {
        // A new keyring here would bury the records for good.
        return Err(
            Error::new(Reason::IntegrityFailure).caused_by("the store has records but no keyring")
        );
    }
    let (keyring, record) = Keyring::generate(root)?;
    commit(store, Vec::new(), record, Expect::Absent).await?;
    Ok(keyring)
}

/// Nothing is changed unless everything can be: until then the program that wrote the store can
/// still open it. The renewed keyring, in the same commit, keeps that program out from then on.
async fn upgrade(
    store: &dyn Store,
    root: &RootKey,
    upgrades: &[Upgrade],
    keyring: &Keyring,
    row: &Row,
) -> Result<Keyring> {
    let changes = upgrade::changes(store, keyring, upgrades, KEY).await?;
    let record = Keyring::renew(root, &row.bytes)?;
    let renewed = Keyring::open(root, &record)?;
    commit(store, changes, record, Expect::Revision(row.revision)).await?;
    Ok(renewed)
}

async fn commit(
    store: &dyn Store,
    mut changes: Vec<Change>,
    record: Vec<u8>,
    expect: Expect,
) -> Result<()> {
    changes.push(Change {
        key: KEY.to_owned(),
        bytes: Some(record),
        expect,
    });
    let commit = Commit {
        changes,
        ..Commit::default()
    };
    match store.commit(commit).await? {
        Committed::At(_) => Ok(()),
        Committed::Conflict { .. } | Committed::Ended => Err(Error::new(Reason::Conflict)
            .caused_by("another process changed the store while it was opened")),
    }
}
