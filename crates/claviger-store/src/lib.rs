//! Claviger's own records: where they are kept and how other crates reach them.
//!
//! [`Store`] is the contract that an engine keeps; it sees keys and sealed bytes, never a record.
//! [`SqliteStore`] is the embedded engine. The other crates use [`Records`]: typed records, sealed,
//! with a bounded memory in front. Nothing here knows the meaning of a record or the caller.
//!
//! The verbs `changes` (an ordered feed) and `snapshot` of the design come with the issues that
//! need them: more than one replica, and backup.

#![forbid(unsafe_code)]

mod batch;
mod contract;
mod keyring;
mod memory;
mod notes;
mod record;
mod records;
mod sqlite;
mod stamp;
mod threads;
mod upgrade;

pub use batch::Batch;
pub use contract::{Change, Commit, Committed, Condition, Expect, OpenRefused, Row, Store};
pub use notes::Note;
pub use record::Record;
pub use records::{Records, Sealed, Stored};
pub use sqlite::SqliteStore;
pub use stamp::Stamp;
pub use upgrade::{OldRecord, Upgrade, Upgraded};
