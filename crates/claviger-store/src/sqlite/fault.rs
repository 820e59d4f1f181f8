use std::sync::{Arc, OnceLock};

use claviger_core::Error;
use rusqlite::ErrorCode;

use crate::contract::{OpenRefused, unavailable};

/// Why commits have stopped for good, once they have.
pub(super) type Fault = Arc<OnceLock<String>>;

/// Whether trying again later is safe: SQLite has rolled back and no write was lost.
pub(super) fn is_passing(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::OutOfMemory
                | ErrorCode::TooBig
        )
    )
}

/// A store that is not opened although it could be read.
pub(super) fn refused(text: impl Into<String>) -> Error {
    unavailable(OpenRefused(text.into()))
}

pub(super) fn sqlite(error: rusqlite::Error) -> Error {
    unavailable(error)
}
