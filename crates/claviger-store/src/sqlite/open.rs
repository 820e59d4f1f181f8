//! Files and connections: all that is done once, before the first record.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use claviger_core::Result;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, MAIN_DB, OpenFlags};

use crate::contract::unavailable;
use crate::sqlite::fault::{refused, sqlite};
use crate::sqlite::schema;

/// SECURITY: the schema is checked once, at open; another program may still add to it later. With
/// these nothing that is added runs.
const SETTINGS: [(DbConfig, bool); 4] = [
    (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
    (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
];

/// Keeps a second process out: each would trust its own memory of records.
pub(super) fn lock(path: &Path) -> Result<File> {
    // SECURITY: a file of its own. Closing any handle of the database file would drop the locks
    // that SQLite has on it.
    let mut lock_path = OsString::from(path);
    lock_path.push(".lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(lock_path)
        .map_err(unavailable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(refused(
            "another clavigerd has this store open; stop it, or name another directory",
        )),
        Err(TryLockError::Error(error)) => Err(unavailable(error)),
    }
}

/// The one connection that writes, and the last revision.
pub(super) fn writer(path: &Path) -> Result<(Connection, i64)> {
    create_file(path).map_err(unavailable)?;
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(sqlite)?;
    // SQLite opens a file that it may not write to all the same.
    if connection.is_readonly(MAIN_DB).map_err(sqlite)? {
        let why = "the file may not be written";
        let error = io::Error::new(io::ErrorKind::PermissionDenied, why);
        return Err(unavailable(error));
    }
    schema::prepare(&mut connection)?;
    let set_up = |connection: &Connection| {
        let mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "secure_delete", "ON")?;
        let revision = connection.query_row("SELECT revision FROM meta", [], |row| row.get(0))?;
        Ok((mode, revision))
    };
    let (mode, revision) = set_up(&connection).map_err(sqlite)?;
    if mode != "wal" {
        return Err(refused(
            "the file system does not support a write-ahead log; use a local one",
        ));
    }
    Ok((connection, revision))
}

/// A connection that is opened when it is first needed, so that no start waits for it; where that
/// fails, when it is needed again.
pub(super) struct Later {
    path: PathBuf,
    open: fn(&Path) -> rusqlite::Result<Connection>,
    connection: Option<Connection>,
}

impl Later {
    pub(super) fn reader(path: &Path) -> Self {
        Self::new(path, reader)
    }

    pub(super) fn checkpointer(path: &Path) -> Self {
        Self::new(path, checkpointer)
    }

    pub(super) fn get(&mut self) -> rusqlite::Result<&Connection> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => (self.open)(&self.path)?,
        };
        Ok(self.connection.insert(connection))
    }

    fn new(path: &Path, open: fn(&Path) -> rusqlite::Result<Connection>) -> Self {
        Self {
            path: path.to_path_buf(),
            open,
            connection: None,
        }
    }
}

/// Whether there is a write-ahead log with anything in it.
pub(super) fn has_log(path: &Path) -> bool {
    let mut log_path = OsString::from(path);
    log_path.push("-wal");
    Path::new(&log_path)
        .metadata()
        .is_ok_and(|log| log.len() > 0)
}

fn reader(path: &Path) -> rusqlite::Result<Connection> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn checkpointer(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // Short, because commits wait while it waits for readers.
    connection.busy_timeout(Duration::from_millis(100))?;
    // A connection that has read nothing does not know of the log, and would copy nothing.
    connection.query_row("SELECT revision FROM meta", [], |_| Ok(()))?;
    Ok(connection)
}

fn connect(path: &Path, mode: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    for (setting, is_on) in SETTINGS {
        connection.set_db_config(setting, is_on)?;
    }
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

fn create_file(path: &Path) -> io::Result<()> {
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match created {
        Ok(_) => {
            let directory = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One connection of each sort, to a file to which another program has added a view.
    fn connections(directory: &tempfile::TempDir) -> [Connection; 3] {
        let path = directory.path().join("store.db");
        let (writer, _) = writer(&path).expect("opens");
        let connections = [
            writer,
            reader(&path).expect("opens"),
            checkpointer(&path).expect("opens"),
        ];
        let other_program = Connection::open(&path).expect("opens");
        let view = "CREATE VIEW planted AS SELECT revision FROM meta";
        other_program.execute_batch(view).expect("runs");
        connections
    }

    #[test]
    fn every_connection_distrusts_the_schema() {
        let directory = tempfile::tempdir().expect("a directory");
        for connection in connections(&directory) {
            for (setting, is_on) in SETTINGS {
                assert_eq!(connection.db_config(setting), Ok(is_on), "{setting:?}");
            }
            let refusal = |sql: &str| {
                let error = connection.execute_batch(sql).expect_err("must be refused");
                error.to_string()
            };
            let view = refusal("SELECT revision FROM planted");
            assert!(
                view.contains("access to view \"planted\" prohibited"),
                "{view}"
            );
            let schema = "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema";
            let schema = refusal(schema);
            assert!(schema.contains("may not be modified"), "{schema}");
        }
    }
}
