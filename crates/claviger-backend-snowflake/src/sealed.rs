//! `sealed_table`: rows that are sealed before they leave. Snowflake sees ciphertext, names of
//! secrets and versions, and which key a row is sealed with.
//!
//! A version is named by the write that stored it, so that a repeat finds it whatever became of the
//! answer. `SEQUENCE` orders them, and writers race for it: the `MERGE` that stores a version also
//! changes the one it follows, which Snowflake lets one statement do at a time. The first one
//! follows none, and Snowflake lets two statements insert side by side: its writer looks for others
//! that came first, and takes its own row back unless that is the one that all would choose.
//! Nothing relies on unique keys, which Snowflake does not enforce; should two rows have one
//! number, their versions still differ, and both are whole.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use claviger_backend::{Address, ListedSecret, Reading, VersionInfo, VersionState, Write, Written};
use claviger_core::{Cause, Detail, Error, Id, Reason, Result, Uid};
use claviger_seal::key_id;
use snowflake_connector_rs::bind::Binary;

use crate::error::Failure;
use crate::session::{Query, Row};
use crate::shared::{Shared, VALUE_BYTES_MAX};
use crate::sql::{Advice, Ident};

/// The table. Not called SECRETS, which the schema may be called.
const TABLE: &str = "CLAVIGER_SEALED";

/// Tells the rows of one definition's secret from all others.
const OF_SECRET: &str = "STORE = ? AND SECRET = ? AND DEFINITION = ?";

const ENABLED: &str = "ENABLED";
const DISABLED: &str = "DISABLED";
const DESTROYED: &str = "DESTROYED";

/// Longest record: the longest value, and more than sealing adds.
const SEALED_BYTES_MAX: usize = VALUE_BYTES_MAX + 1024;

/// A sealed table.
pub(crate) struct Sealed {
    shared: Shared,
    table: String,
    store: String,
    needed: Advice,
}

/// Where the versions of a secret stand.
struct Head {
    sequence: i64,
    /// Whether the write that asks has stored its version.
    is_stored: bool,
}

impl Sealed {
    pub(crate) fn new(shared: Shared) -> Self {
        let table = format!("{}.{}", shared.place.schema, Ident(TABLE));
        let privileges = "SELECT, INSERT, UPDATE, DELETE";
        Self {
            needed: shared.place.grant(privileges, &format!("TABLE {table}")),
            store: shared.keyring.store_id().to_string(),
            table,
            shared,
        }
    }

    /// Needs no warehouse, which would be kept awake by a daemon that looks every minute.
    pub(crate) async fn check(&self) -> Result<()> {
        let sql = format!(
            "SHOW TABLES LIKE '{TABLE}' IN SCHEMA {}",
            self.shared.place.schema
        );
        let shown = self.shared.sessions.run_text(sql).await;
        let shown = shown.map_err(|failure| self.read_error(failure))?;
        match shown.is_empty() {
            true => Err(Error::new(Reason::VaultAccessDenied)
                .with(Detail::Remedy, &self.needed)
                .caused_by("there is no such table, or it is hidden from the role")),
            false => Ok(()),
        }
    }

    pub(crate) async fn read(&self, address: &Address, version: Option<&str>) -> Result<Reading> {
        let Some(version) = version.and_then(|version| Id::parse("version", version).ok()) else {
            // Claviger's own record says which version is current.
            return Err(Error::new(match version {
                Some(_) => Reason::VersionNotFound,
                None => Reason::SecretNotFound,
            }));
        };
        let row = self.row(address, &version).await?;
        match state(&row) {
            VersionState::Destroyed => return Err(Error::new(Reason::VersionDestroyed)),
            VersionState::Disabled => return Err(Error::new(Reason::VersionDisabled)),
            VersionState::Enabled => {}
        }
        let sealed = row.bytes("SEALED").unwrap_or_default();
        let record_key = self.record_key(address, version.as_str());
        let value = self.shared.keyring.open_record(&record_key, sealed)?;
        // INVARIANT: its record's key names the secret, and opens no other's.
        Ok(Reading::new(address.secret.clone(), version, value))
    }

    pub(crate) async fn write(&self, address: &Address, write: &Write<'_>) -> Result<Written> {
        let version = write.write_id.to_string();
        let written = Written::new(Id::parse("version", &version)?);
        let head = self.head(address, &version).await;
        let head = head.map_err(|failure| self.read_error(failure))?;
        if head.is_stored {
            return Ok(written);
        }
        let record_key = self.record_key(address, &version);
        let sealed = self.shared.keyring.seal(&record_key, write.value)?;
        let merged = self.merge(address, &version, sealed, head.sequence).await;
        let outcome = match merged {
            Ok(true) if head.sequence > 0 => return Ok(written),
            Ok(true) => return self.settle(address, &version).await.map(|()| written),
            Ok(false) => Error::new(Reason::WriteInProgress)
                .caused_by("another version was stored in between"),
            Err(failure) if failure.is_open() => {
                Error::new(Reason::WriteOutcomeUnknown).caused_by(failure)
            }
            Err(failure) => return Err(self.read_error(failure)),
        };
        // It may have been this very write: sent before, or its answer lost.
        match self.head(address, &version).await {
            Ok(head) if head.is_stored => Ok(written),
            Ok(_) | Err(_) => Err(outcome),
        }
    }

    /// Of several first versions the smallest stays; the writer of another one takes it back.
    async fn settle(&self, address: &Address, version: &str) -> Result<()> {
        // Stored, but whether it stays is not known: to be looked for.
        let unknown = |failure: Failure| Error::new(Reason::WriteOutcomeUnknown).caused_by(failure);
        let sql = format!(
            "SELECT MIN(VERSION) AS FIRST FROM {} WHERE {OF_SECRET} AND SEQUENCE = 1",
            self.table
        );
        let rows = self.shared.sessions.run(self.of_secret(sql, address)).await;
        let rows = rows.map_err(unknown)?;
        let first = rows.first().and_then(|row| row.text("FIRST"));
        let first =
            first.ok_or_else(|| unknown(Failure::unusable("an answer without its columns")))?;
        if first == version {
            return Ok(());
        }
        let sql = format!(
            "DELETE FROM {} WHERE {OF_SECRET} AND VERSION = ?",
            self.table
        );
        let query = self.of_secret(sql, address).bind(version.to_owned());
        self.shared.sessions.run(query).await.map_err(unknown)?;
        Err(Error::new(Reason::WriteInProgress)
            .caused_by("another first version was stored at the same time"))
    }

    pub(crate) async fn find_write(&self, address: &Address, write_id: Uid) -> Result<Option<Id>> {
        let version = write_id.to_string();
        let head = self.head(address, &version).await;
        let head = head.map_err(|failure| self.read_error(failure))?;
        head.is_stored
            .then(|| Id::parse("version", &version))
            .transpose()
    }

    pub(crate) async fn list(&self) -> Result<Vec<ListedSecret>> {
        let sql = format!(
            "SELECT SECRET AS SECRET, MAX(CASE WHEN STORE = ? THEN 1 ELSE 0 END) AS OURS, \
             MAX(CREATED_MS) AS CHANGED_MS FROM {} GROUP BY SECRET",
            self.table
        );
        let rows = self
            .run(Query::new_positional(sql).bind(self.store.clone()))
            .await?;
        let listed = rows.iter().filter_map(|row| {
            Some(ListedSecret {
                name: row.text("SECRET")?.to_owned(),
                is_ours: row.number("OURS") == Some(1),
                change_time: row.number("CHANGED_MS").and_then(time),
            })
        });
        Ok(listed.collect())
    }

    pub(crate) async fn versions(&self, address: &Address) -> Result<Vec<VersionInfo>> {
        // Grouped, because nothing keeps two rows of one write apart.
        let sql = format!(
            "SELECT VERSION AS VERSION, MIN(STATE) AS STATE, MIN(CREATED_MS) AS CREATED_MS, \
             MAX(SEQUENCE) AS SEQUENCE FROM {} WHERE {OF_SECRET} GROUP BY VERSION \
             ORDER BY SEQUENCE DESC, VERSION",
            self.table
        );
        let rows = self.run(self.of_secret(sql, address)).await?;
        Ok(rows.iter().filter_map(info).collect())
    }

    pub(crate) async fn set_state(
        &self,
        address: &Address,
        version: &Id,
        state: VersionState,
    ) -> Result<VersionInfo> {
        let info = self.info(address, version).await?;
        if info.state == state {
            return Ok(info);
        }
        if info.state == VersionState::Destroyed {
            return Err(Error::new(Reason::VersionDestroyed));
        }
        let change = match state {
            VersionState::Destroyed => "STATE = 'DESTROYED', SEALED = NULL, KEY_ID = NULL",
            VersionState::Disabled => "STATE = 'DISABLED'",
            VersionState::Enabled => "STATE = 'ENABLED'",
        };
        let sql = format!(
            "UPDATE {} SET {change} WHERE {OF_SECRET} AND VERSION = ? AND STATE <> 'DESTROYED'",
            self.table
        );
        let query = self.of_secret(sql, address).bind(version.to_string());
        let rows = self.run(query).await?;
        let changed = rows
            .first()
            .and_then(|row| row.number("number of rows updated"));
        if changed.ok_or_else(unusable)? > 0 {
            return Ok(VersionInfo { state, ..info });
        }
        // Somebody was faster: destroyed it, or took it away.
        let info = self.info(address, version).await?;
        match info.state {
            now if now == state => Ok(info),
            VersionState::Destroyed => Err(Error::new(Reason::VersionDestroyed)),
            VersionState::Enabled | VersionState::Disabled => {
                Err(Error::new(Reason::WriteInProgress).caused_by("no row was changed"))
            }
        }
    }

    async fn info(&self, address: &Address, version: &Id) -> Result<VersionInfo> {
        let row = self.row(address, version).await?;
        info(&row).ok_or_else(unusable)
    }

    /// How many rows are sealed with each key.
    pub(crate) async fn holders(&self) -> Result<BTreeMap<u32, u64>> {
        let sql = format!(
            "SELECT KEY_ID AS KEY_ID, COUNT(*) AS HELD FROM {} WHERE STORE = ? AND KEY_ID IS NOT \
             NULL GROUP BY KEY_ID",
            self.table
        );
        let rows = self
            .run(Query::new_positional(sql).bind(self.store.clone()))
            .await?;
        // Not counted, a key would be taken for one that no longer opens anything.
        let held = rows.iter().map(|row| {
            let key = row.number("KEY_ID").and_then(|key| key.try_into().ok());
            let held = row.number("HELD").and_then(|held| held.try_into().ok());
            key.zip(held).ok_or_else(unusable)
        });
        held.collect()
    }

    pub(crate) async fn purge(&self, address: &Address) -> Result<()> {
        let sql = format!(
            "DELETE FROM {} WHERE STORE = ? AND DEFINITION = ?",
            self.table
        );
        let query = Query::new_positional(sql)
            .bind(self.store.clone())
            .bind(address.owner.to_string());
        self.run(query).await.map(drop)
    }

    /// Of two rows of one write, the one that lets less be done. A row that is longer than any
    /// record of ours is not fetched, and does not open.
    async fn row(&self, address: &Address, version: &Id) -> Result<Row> {
        let sql = format!(
            "SELECT VERSION AS VERSION, STATE AS STATE, CREATED_MS AS CREATED_MS, \
             CASE WHEN OCTET_LENGTH(SEALED) <= {SEALED_BYTES_MAX} THEN SEALED END AS SEALED \
             FROM {} WHERE {OF_SECRET} AND VERSION = ? ORDER BY STATE LIMIT 1",
            self.table
        );
        let rows = self
            .run(self.of_secret(sql, address).bind(version.to_string()))
            .await?;
        let first = rows.into_iter().next();
        first.ok_or_else(|| Error::new(Reason::VersionNotFound))
    }

    async fn head(&self, address: &Address, version: &str) -> Result<Head, Failure> {
        let sql = format!(
            "SELECT COALESCE(MAX(SEQUENCE), 0) AS HEAD, COALESCE(MAX(CASE WHEN VERSION = ? THEN 1 \
             ELSE 0 END), 0) AS STORED FROM {} WHERE {OF_SECRET}",
            self.table
        );
        let query = Query::new_positional(sql)
            .bind(version.to_owned())
            .bind(self.store.clone())
            .bind(address.secret.clone())
            .bind(address.owner.to_string());
        let rows = self.shared.sessions.run(query).await?;
        let row = rows.first();
        let head = row.and_then(|row| Some((row.number("HEAD")?, row.number("STORED")?)));
        let (sequence, stored) = head.ok_or(Failure::unusable("an answer without its columns"))?;
        Ok(Head {
            sequence,
            is_stored: stored == 1,
        })
    }

    /// Stores a version if `head` is still the newest one; says whether it did.
    async fn merge(
        &self,
        address: &Address,
        version: &str,
        sealed: Vec<u8>,
        head: i64,
    ) -> Result<bool, Failure> {
        let key = key_id(&sealed).ok_or(Failure::Bug("a sealed record without a key id"))?;
        let now = self.shared.clock.now();
        let now = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let sql = format!(
            "MERGE INTO {} t USING (\
             SELECT ? AS STORE, ? AS SECRET, ? AS DEFINITION, ? AS SEQUENCE, ? AS VERSION, \
             ? AS KEY_ID, ? AS SEALED, ? AS CREATED_MS \
             UNION ALL SELECT ?, ?, ?, ?, NULL, NULL, NULL, NULL) s \
             ON t.STORE = s.STORE AND t.SECRET = s.SECRET AND t.DEFINITION = s.DEFINITION \
             AND t.SEQUENCE = s.SEQUENCE \
             WHEN MATCHED AND s.VERSION IS NULL AND t.IS_NEWEST THEN UPDATE SET IS_NEWEST = FALSE \
             WHEN NOT MATCHED AND s.VERSION IS NOT NULL THEN INSERT (STORE, SECRET, DEFINITION, \
             SEQUENCE, VERSION, KEY_ID, SEALED, CREATED_MS, STATE, IS_NEWEST) VALUES (s.STORE, \
             s.SECRET, s.DEFINITION, s.SEQUENCE, s.VERSION, s.KEY_ID, s.SEALED, s.CREATED_MS, \
             'ENABLED', TRUE)",
            self.table
        );
        let owner = address.owner.to_string();
        let query = Query::new_positional(sql)
            .bind(self.store.clone())
            .bind(address.secret.clone())
            .bind(owner.clone())
            .bind(head + 1)
            .bind(version.to_owned())
            .bind(i64::from(key))
            .bind(Binary::new(sealed))
            .bind(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
            .bind(self.store.clone())
            .bind(address.secret.clone())
            .bind(owner.clone())
            .bind(head);
        let rows = self.shared.sessions.run(query).await?;
        let inserted = rows
            .first()
            .and_then(|row| row.number("number of rows inserted"));
        match inserted {
            Some(count) => Ok(count == 1),
            None => Err(Failure::unusable("an answer without row counts")),
        }
    }

    async fn run(&self, query: Query) -> Result<Vec<Row>> {
        let rows = self.shared.sessions.run(query).await;
        rows.map_err(|failure| self.read_error(failure))
    }

    fn of_secret(&self, sql: String, address: &Address) -> Query {
        Query::new_positional(sql)
            .bind(self.store.clone())
            .bind(address.secret.clone())
            .bind(address.owner.to_string())
    }

    /// The place that a record is sealed for. The keyring binds the store's id.
    fn record_key(&self, address: &Address, version: &str) -> String {
        format!(
            "snowflake/{}/{}/{version}",
            self.shared.vault, address.owner
        )
    }

    fn read_error(&self, failure: Failure) -> Error {
        failure.into_read_error(&self.needed)
    }
}

fn unusable() -> Error {
    Error::unreachable(Cause::ServerError).caused_by("a row without its columns")
}

fn info(row: &Row) -> Option<VersionInfo> {
    Some(VersionInfo {
        version: Id::parse("version", row.text("VERSION")?).ok()?,
        state: state(row),
        create_time: row.number("CREATED_MS").and_then(time)?,
    })
}

/// A state that nobody knows is not one to serve.
fn state(row: &Row) -> VersionState {
    match row.text("STATE") {
        Some(ENABLED) => VersionState::Enabled,
        Some(DESTROYED) => VersionState::Destroyed,
        Some(DISABLED) | Some(_) | None => VersionState::Disabled,
    }
}

fn time(milliseconds: i64) -> Option<SystemTime> {
    let since = Duration::from_millis(u64::try_from(milliseconds).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since)
}
