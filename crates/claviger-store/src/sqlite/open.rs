//! Files, connections and schema: everything that is done once, before the first record.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use claviger_core::Result;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::contract::{OpenRefused, unavailable};

/// "CLAV", so that no other program's file is taken for a store.
const APPLICATION_ID: i64 = 0x434c_4156;
const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE meta (only INTEGER PRIMARY KEY CHECK (only = 1), revision INTEGER NOT NULL) STRICT;
    INSERT INTO meta VALUES (1, 0);
    CREATE TABLE records (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, bytes BLOB NOT NULL)
        STRICT, WITHOUT ROWID;";

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
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    prepare_schema(&mut connection)?;
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

pub(super) fn reader(path: &Path) -> Result<Connection> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

pub(super) fn checkpointer(path: &Path) -> Result<Connection> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let set_up = || {
        // Short, because commits wait while it waits for readers.
        connection.busy_timeout(Duration::from_millis(100))?;
        // A connection that has read nothing does not know of the log, and would copy nothing.
        connection.query_row("SELECT revision FROM meta", [], |_| Ok(()))
    };
    set_up().map_err(sqlite)?;
    Ok(connection)
}

fn connect(path: &Path, mode: OpenFlags) -> Result<Connection> {
    let open = || {
        let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        Ok(connection)
    };
    open().map_err(sqlite)
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

/// Makes the schema in an empty file, and refuses a file that is not ours before touching it.
fn prepare_schema(connection: &mut Connection) -> Result<()> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(sqlite)?;
    let number = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let tables = transaction
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| {
            row.get::<_, i64>(0)
        })
        .map_err(sqlite)?;
    let application = number("application_id").map_err(sqlite)?;
    let version = number("user_version").map_err(sqlite)?;
    match (application, version, tables) {
        (APPLICATION_ID, SCHEMA_VERSION, _) => Ok(()),
        (APPLICATION_ID, _, _) => Err(refused(format!(
            "the store has schema version {version}, this program knows {SCHEMA_VERSION}"
        ))),
        (0, 0, 0) => create_schema(transaction).map_err(sqlite),
        _ => Err(refused("the file is a database of another program")),
    }
}

fn create_schema(transaction: Transaction<'_>) -> rusqlite::Result<()> {
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.execute_batch(SCHEMA)?;
    transaction.commit()
}

fn refused(text: impl Into<String>) -> claviger_core::Error {
    unavailable(OpenRefused(text.into()))
}

fn sqlite(error: rusqlite::Error) -> claviger_core::Error {
    unavailable(error)
}
