//! The managed vault: values in Claviger's own store, each sealed on its own.
//!
//! Knows a secret by the definition that owns it, so it is reached only through its own
//! definition. A secret has a head, which tells its newest write and its newest versions, a record
//! for each version before those, and a sealed value for each.
#![forbid(unsafe_code)]

mod stored;

use std::mem;
use std::sync::Arc;

use async_trait::async_trait;
use claviger_backend::{
    Address, Backend, Capabilities, Reading, Site, Staged, VersionInfo, VersionState, Write,
    Written,
};
use claviger_core::{Clock, Error, Id, Reason, Result, Uid};
use claviger_store::{Batch, Committed, Expect, Records, Stored};

use crate::stored::{Head, State, Version, id_of, version_id};

pub use stored::UPGRADES;

/// Longest value, in bytes: the limit of the smallest of the cloud vaults, rounded up.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Versions purged per commit.
const PURGE_BATCH: usize = 100;

/// How often a change of a version is tried again when a write came in between.
const ATTEMPTS: usize = 8;

/// Where a version is told.
enum Place {
    /// In the head.
    Head(Stored<Head>),
    /// In a record of its own, of this revision.
    Own(u64),
}

/// The backend of kind `managed`.
#[derive(Debug)]
pub struct Managed {
    records: Arc<Records>,
    clock: Arc<dyn Clock>,
}

impl Managed {
    /// The kind, as in the configuration.
    pub const KIND: &'static str = "managed";

    /// Keeps values in `records`.
    pub fn new(records: Arc<Records>, clock: Arc<dyn Clock>) -> Self {
        Self { records, clock }
    }

    async fn head(&self, address: &Address) -> Result<Option<Stored<Head>>> {
        self.records.get(&address.owner.to_string()).await
    }

    /// A version, or the newest one.
    async fn version(&self, address: &Address, version: Option<&Id>) -> Result<(Version, Place)> {
        let number = version.map(number_of).transpose()?;
        let head = self.head(address).await?;
        let number = number.or_else(|| Some(head.as_ref()?.record.newest));
        let number = number.ok_or_else(|| Error::new(Reason::SecretNotFound))?;
        if let Some((head, version)) = head.and_then(|head| {
            let version = head.record.version(number)?;
            Some((head, version))
        }) {
            return Ok((version, Place::Head(head)));
        }
        let id = version_id(address, number);
        let stored = self.records.get::<Version>(&id).await?;
        let stored = stored.ok_or_else(|| Error::new(Reason::VersionNotFound))?;
        Ok((*stored.record, Place::Own(stored.revision)))
    }

    /// A new version, or the one that this write has stored before.
    async fn staged(&self, address: &Address, write: &Write<'_>) -> Result<Staged> {
        let head = self.head(address).await?;
        let before = head.as_ref().map(|head| &*head.record);
        if let Some(before) = before.filter(|before| before.write_id == write.write_id) {
            return Ok(Staged {
                version: id_of(before.newest)?,
                replaced: None,
                batch: Batch::new(),
            });
        }
        let (after, left) = Head::after(before, write.write_id, self.clock.now());
        let newest = after.version(after.newest);
        let newest = newest.ok_or_else(|| Error::new(Reason::Internal))?;
        let revision = head.as_ref().map(|head| head.revision);
        let expect = revision.map_or(Expect::Absent, Expect::Revision);
        let mut batch = Batch::new()
            .put(&address.owner.to_string(), &after, expect)
            .put_secret(&newest.value_key(address), write.value, Expect::Absent);
        for version in left {
            let id = version_id(address, version.number);
            batch = batch.put(&id, &version, Expect::Absent);
        }
        Ok(Staged {
            version: id_of(after.newest)?,
            replaced: before.map(|before| id_of(before.newest)).transpose()?,
            batch,
        })
    }

    async fn commit(&self, batch: Batch) -> Result<()> {
        match self.records.commit(batch).await? {
            Committed::At(_) => Ok(()),
            Committed::Conflict { .. } | Committed::Ended => {
                Err(Error::new(Reason::WriteInProgress))
            }
        }
    }
}

#[async_trait]
impl Backend for Managed {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            secret: false,
            property: false,
            version: false,
            latest: false,
            list: false,
            disable_version: true,
            destroy_version: true,
            value_bytes_max: VALUE_BYTES_MAX,
        }
    }

    /// By the definition that they belong to.
    fn site(&self, _: &str) -> Option<Site> {
        None
    }

    async fn check(&self) -> Result<()> {
        self.records.health().await
    }

    async fn read(&self, address: &Address, version: Option<&str>) -> Result<Reading> {
        let version = version.map(|version| Id::parse("version", version));
        let (found, _) = self.version(address, version.transpose()?.as_ref()).await?;
        match found.state {
            State::Destroyed => Err(Error::new(Reason::VersionDestroyed)),
            State::Disabled => Err(Error::new(Reason::VersionDisabled)),
            State::Enabled => {
                let value = self.records.secret(&found.value_key(address)).await?;
                // Destroyed between the two reads.
                let (value, sealed) = value.ok_or_else(|| Error::new(Reason::VersionDestroyed))?;
                Ok(Reading {
                    // INVARIANT: its record's key names the definition, and opens no other's.
                    secret: address.secret.clone(),
                    version: id_of(found.number)?,
                    value,
                    sealed: Some(sealed),
                })
            }
        }
    }

    async fn write(&self, address: &Address, write: &Write<'_>) -> Result<Written> {
        let Staged { version, batch, .. } = self.staged(address, write).await?;
        // A commit that failed may still have been done, unless there was no disk for it.
        let unknown = |error: Error| match error.reason() == Reason::StoreUnavailable {
            true => Error::new(Reason::WriteOutcomeUnknown).caused_by(error),
            false => error,
        };
        self.commit(batch).await.map_err(unknown)?;
        Ok(Written::new(version))
    }

    async fn stage(&self, address: &Address, write: &Write<'_>) -> Result<Option<Staged>> {
        self.staged(address, write).await.map(Some)
    }

    async fn find_write(&self, address: &Address, write_id: Uid) -> Result<Option<Id>> {
        match self.head(address).await? {
            Some(head) if head.record.write_id == write_id => id_of(head.record.newest).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    async fn latest(&self, address: &Address) -> Result<Option<Id>> {
        let head = self.head(address).await?;
        head.map(|head| id_of(head.record.newest)).transpose()
    }

    async fn versions(
        &self,
        address: &Address,
        after: Option<&Id>,
        limit: usize,
    ) -> Result<Vec<VersionInfo>> {
        let Some(head) = self.head(address).await? else {
            return Ok(Vec::new());
        };
        let after = after.map(number_of).transpose()?.unwrap_or(u64::MAX);
        let told = head.record.versions();
        let mut page: Vec<_> = told
            .filter(|version| version.number < after)
            .take(limit)
            .collect();
        // What the head has handed over since then is in the page already.
        let after = version_id(address, after.min(head.record.end()));
        let prefix = format!("{}/", address.owner);
        let left = limit.saturating_sub(page.len());
        if left > 0 {
            let older = self.records.scan::<Version>(&prefix, Some(&after), left);
            page.extend(older.await?.into_iter().map(|(_, stored)| *stored.record));
        }
        page.iter().map(Version::info).collect()
    }

    async fn set_state(
        &self,
        address: &Address,
        version: &Id,
        state: VersionState,
    ) -> Result<VersionInfo> {
        let state = State::from(state);
        for _ in 0..ATTEMPTS {
            let (found, place) = self.version(address, Some(version)).await?;
            let value = found.value_key(address);
            if found.state == state {
                if state == State::Destroyed {
                    // The call that destroyed it may have failed before its value was erased.
                    self.commit(Batch::new().delete_secret(&value, Expect::Any))
                        .await?;
                }
                return found.info();
            }
            if found.state == State::Destroyed {
                return Err(Error::new(Reason::VersionDestroyed));
            }
            let changed = Version { state, ..found };
            let mut batch = match place {
                Place::Head(head) => {
                    let expect = Expect::Revision(head.revision);
                    let head = head.record.with(&changed);
                    Batch::new().put(&address.owner.to_string(), &head, expect)
                }
                Place::Own(revision) => {
                    let id = version_id(address, changed.number);
                    Batch::new().put(&id, &changed, Expect::Revision(revision))
                }
            };
            if state == State::Destroyed {
                batch = batch.delete_secret(&value, Expect::Any);
            }
            match self.commit(batch).await {
                // Another version was stored, or changed.
                Err(error) if error.reason() == Reason::WriteInProgress => {}
                committed => return committed.and_then(|()| changed.info()),
            }
        }
        Err(Error::new(Reason::WriteInProgress))
    }

    async fn purge(&self, address: &Address) -> Result<()> {
        let prefix = format!("{}/", address.owner);
        let head = self.head(address).await?;
        let told = head.iter().flat_map(|head| head.record.versions());
        let erase = |values: Batch, version: &Version| {
            values.delete_secret(&version.value_key(address), Expect::Any)
        };
        let mut values = told.fold(Batch::new(), |values, version| erase(values, &version));
        loop {
            let page = self
                .records
                .scan::<Version>(&prefix, None, PURGE_BATCH)
                .await?;
            let mut versions = Batch::new();
            for (id, stored) in &page {
                values = erase(values, &stored.record);
                versions = versions.delete::<Version>(id, Expect::Any);
            }
            if page.len() < PURGE_BATCH {
                versions = versions.delete::<Head>(&address.owner.to_string(), Expect::Any);
            }
            // A version is found again until its value is erased.
            self.commit(mem::take(&mut values)).await?;
            self.commit(versions).await?;
            if page.len() < PURGE_BATCH {
                return Ok(());
            }
        }
    }
}

/// Versions are counted from 1; `01` or `+1` would be second spellings of one version.
fn number_of(version: &Id) -> Result<u64> {
    let number = version
        .as_str()
        .parse()
        .ok()
        .filter(|number: &u64| *number > 0);
    number
        .filter(|number| number.to_string() == version.as_str())
        .ok_or_else(|| Error::new(Reason::VersionNotFound))
}
