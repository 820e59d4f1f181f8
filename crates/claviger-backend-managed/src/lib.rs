//! The managed vault: values in Claviger's own store, each sealed on its own.
//!
//! Knows a secret by the definition that owns it, so it is reached only through its own
//! definition. Three records per secret: the head (which write came last), one info per version,
//! one sealed value per version.
#![forbid(unsafe_code)]

mod stored;

use std::sync::Arc;

use async_trait::async_trait;
use claviger_backend::{
    Address, Backend, Capabilities, Reading, Site, Staged, VersionInfo, VersionState, Write,
    Written,
};
use claviger_core::{Clock, Error, Id, Reason, Result, Uid};
use claviger_store::{Batch, Committed, Expect, Records, Stored};

use crate::stored::{Head, State, Version, id_of, value_key, version_id};

pub use stored::UPGRADES;

/// Longest value, in bytes: the limit of the smallest of the cloud vaults, rounded up.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Versions purged per commit.
const PURGE_BATCH: usize = 100;

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

    async fn version(&self, address: &Address, version: &Id) -> Result<(u64, Stored<Version>)> {
        let number = number_of(version)?;
        let stored = self
            .records
            .get::<Version>(&version_id(address, number))
            .await?;
        stored
            .map(|stored| (number, stored))
            .ok_or_else(|| Error::new(Reason::VersionNotFound))
    }

    /// A new version, or the one that this write has stored before.
    async fn staged(&self, address: &Address, write: &Write<'_>) -> Result<Staged> {
        let write_id = write.write_id;
        let head_id = address.owner.to_string();
        let head = self.records.get::<Head>(&head_id).await?;
        let (newest, expect) = match &head {
            Some(head) if head.record.write_id == write_id => {
                return Ok(Staged {
                    version: id_of(head.record.newest)?,
                    batch: Batch::new(),
                });
            }
            Some(head) => (head.record.newest, Expect::Revision(head.revision)),
            None => (0, Expect::Absent),
        };
        let number = newest + 1;
        let head = Head {
            newest: number,
            write_id,
        };
        let version = Version {
            number,
            state: State::Enabled,
            create_time: self.clock.now(),
        };
        let batch = Batch::new()
            .put(&head_id, &head, expect)
            .put(&version_id(address, number), &version, Expect::Absent)
            .put_secret(&value_key(address, number), write.value, Expect::Absent);
        let version = id_of(number)?;
        Ok(Staged { version, batch })
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
        let version = version.ok_or_else(|| Error::new(Reason::SecretNotFound))?;
        let version = Id::parse("version", version)?;
        let (number, stored) = self.version(address, &version).await?;
        match stored.record.state {
            State::Destroyed => Err(Error::new(Reason::VersionDestroyed)),
            State::Disabled => Err(Error::new(Reason::VersionDisabled)),
            State::Enabled => {
                let value = self.records.secret(&value_key(address, number)).await?;
                // Destroyed between the two reads.
                let value = value.ok_or_else(|| Error::new(Reason::VersionDestroyed))?;
                Ok(Reading {
                    // INVARIANT: its record's key names the definition, and opens no other's.
                    secret: address.secret.clone(),
                    version,
                    value,
                })
            }
        }
    }

    async fn write(&self, address: &Address, write: &Write<'_>) -> Result<Written> {
        let Staged { version, batch } = self.staged(address, write).await?;
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
        match self.records.get::<Head>(&address.owner.to_string()).await? {
            Some(head) if head.record.write_id == write_id => id_of(head.record.newest).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    async fn versions(
        &self,
        address: &Address,
        after: Option<&Id>,
        limit: usize,
    ) -> Result<Vec<VersionInfo>> {
        let after = after
            .map(number_of)
            .transpose()?
            .map(|number| version_id(address, number));
        let prefix = format!("{}/", address.owner);
        let page = self
            .records
            .scan::<Version>(&prefix, after.as_deref(), limit)
            .await?;
        page.into_iter()
            .map(|(_, stored)| stored.record.info())
            .collect()
    }

    async fn set_state(
        &self,
        address: &Address,
        version: &Id,
        state: VersionState,
    ) -> Result<VersionInfo> {
        let (number, stored) = self.version(address, version).await?;
        let value = value_key(address, number);
        let state = State::from(state);
        if stored.record.state == state {
            if state == State::Destroyed {
                // The call that destroyed it may have failed before its value was erased.
                self.commit(Batch::new().delete_secret(&value, Expect::Any))
                    .await?;
            }
            return stored.record.info();
        }
        if stored.record.state == State::Destroyed {
            return Err(Error::new(Reason::VersionDestroyed));
        }
        let changed = Version {
            number,
            state,
            create_time: stored.record.create_time,
        };
        let mut batch = Batch::new().put(
            &version_id(address, number),
            &changed,
            Expect::Revision(stored.revision),
        );
        if state == State::Destroyed {
            batch = batch.delete_secret(&value, Expect::Any);
        }
        self.commit(batch).await?;
        changed.info()
    }

    async fn purge(&self, address: &Address) -> Result<()> {
        let prefix = format!("{}/", address.owner);
        loop {
            let page = self
                .records
                .scan::<Version>(&prefix, None, PURGE_BATCH)
                .await?;
            let mut values = Batch::new();
            let mut versions = Batch::new();
            for (id, stored) in &page {
                let value = value_key(address, stored.record.number);
                values = values.delete_secret(&value, Expect::Any);
                versions = versions.delete::<Version>(id, Expect::Any);
            }
            if page.len() < PURGE_BATCH {
                versions = versions.delete::<Head>(&address.owner.to_string(), Expect::Any);
            }
            // A version is found again until its value is erased.
            self.commit(values).await?;
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
