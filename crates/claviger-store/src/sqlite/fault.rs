use std::sync::{Arc, OnceLock};

use rusqlite::ErrorCode;

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
