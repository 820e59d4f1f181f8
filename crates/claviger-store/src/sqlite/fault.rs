use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use claviger_core::Error;
use rusqlite::{ErrorCode, ffi};

use crate::contract::{OpenRefused, not_writable, unavailable};

/// Why commits have stopped for good, once they have.
pub(super) type Fault = Arc<OnceLock<String>>;

/// Whether there was no disk for the last commit.
pub(super) type Stuck = Arc<AtomicBool>;

/// Whether trying again later is safe: SQLite has rolled back and no write was lost.
pub(super) fn is_passing(error: &rusqlite::Error) -> bool {
    let is_busy = matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::OutOfMemory
                | ErrorCode::TooBig
        )
    );
    is_busy || is_for_want_of_disk(error)
}

/// Whether the system took no more bytes: the disk is full, over a quota or read-only. For each but
/// the first SQLite says only which step failed; one that syncs is not among them, because bytes
/// that had been taken may be lost then.
fn is_for_want_of_disk(error: &rusqlite::Error) -> bool {
    let Some(error) = error.sqlite_error() else {
        return false;
    };
    error.code == ErrorCode::DiskFull
        || matches!(
            error.extended_code,
            ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_IOERR_TRUNCATE | ffi::SQLITE_IOERR_SHMSIZE
        )
}

/// A store that is not opened although it could be read.
pub(super) fn refused(text: impl Into<String>) -> Error {
    unavailable(OpenRefused(text.into()))
}

/// Why a store is not opened. What is wrong with its files is so at the next start too.
pub(super) fn sqlite(error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            refused(format!("{error}; restore a backup"))
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            unavailable(io::Error::new(io::ErrorKind::PermissionDenied, error))
        }
        _ => Failure::of(&error).to_error(),
    }
}

/// What several callers get to hear of.
#[derive(Clone)]
pub(super) struct Failure {
    pub(super) is_for_want_of_disk: bool,
    pub(super) text: String,
}

impl Failure {
    pub(super) fn of(error: &rusqlite::Error) -> Self {
        Self {
            is_for_want_of_disk: is_for_want_of_disk(error),
            text: error.to_string(),
        }
    }

    pub(super) fn to_error(&self) -> Error {
        match self.is_for_want_of_disk {
            true => not_writable(self.text.as_str()),
            false => unavailable(self.text.as_str()),
        }
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Self {
        Self {
            is_for_want_of_disk: false,
            text: text.to_owned(),
        }
    }
}
