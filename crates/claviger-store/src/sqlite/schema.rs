//! The tables of a store, and the refusal of a file that has anything else.

use std::fmt;

use claviger_core::Result;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::sqlite::fault::{refused, sqlite};

/// "CLAV", so that no other program's file is taken for a store.
const APPLICATION_ID: i64 = 0x434c_4156;
const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE meta (only INTEGER PRIMARY KEY CHECK (only = 1), revision INTEGER NOT NULL) STRICT;
    INSERT INTO meta VALUES (1, 0);
    CREATE TABLE records (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, bytes BLOB NOT NULL)
        STRICT, WITHOUT ROWID;";

/// A table, index, trigger or view, as SQLite describes it.
#[derive(PartialEq)]
struct Object {
    kind: String,
    name: String,
    table: String,
    sql: Option<String>,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind, self.name)
    }
}

/// Makes the schema in an empty file, and refuses a file that is not ours before touching it.
pub(super) fn prepare(connection: &mut Connection) -> Result<()> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(sqlite)?;
    let number = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = number("application_id").map_err(sqlite)?;
    let version = number("user_version").map_err(sqlite)?;
    let found = objects(&transaction).map_err(sqlite)?;
    match (application, version) {
        (APPLICATION_ID, SCHEMA_VERSION) => refuse_other(&found),
        (APPLICATION_ID, _) => Err(refused(format!(
            "the store has schema version {version}, this program knows {SCHEMA_VERSION}"
        ))),
        (0, 0) if found.is_empty() => create(transaction).map_err(sqlite),
        _ => Err(refused("the file is a database of another program")),
    }
}

fn create(transaction: Transaction<'_>) -> rusqlite::Result<()> {
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.execute_batch(SCHEMA)?;
    transaction.commit()
}

/// SECURITY: a planted trigger could bring back each grant that is revoked.
fn refuse_other(found: &[Object]) -> Result<()> {
    let ours = || {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(SCHEMA)?;
        objects(&connection)
    };
    let ours = ours().map_err(sqlite)?;
    let foreign = found.iter().find(|object| !ours.contains(object));
    let missing = ours.iter().find(|object| !found.contains(object));
    match (foreign, missing) {
        (None, None) => Ok(()),
        (Some(object), _) => Err(refused(format!(
            "the store has {object}, which this program did not make; restore a backup"
        ))),
        (None, Some(object)) => Err(refused(format!("the store lacks {object}"))),
    }
}

fn objects(connection: &Connection) -> rusqlite::Result<Vec<Object>> {
    connection
        .prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema")?
        .query_map([], |row| {
            Ok(Object {
                kind: row.get(0)?,
                name: row.get(1)?,
                table: row.get(2)?,
                sql: row.get(3)?,
            })
        })?
        .collect()
}
