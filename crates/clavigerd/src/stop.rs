use std::error::Error as _;
use std::fmt;
use std::io;

use claviger_core::{Error, Reason};
use claviger_store::OpenRefused;

use crate::owner::own_uid;

/// Why the daemon does not run.
#[derive(Debug)]
pub enum Stop {
    /// A failure of its own.
    Failed(String),
    /// Configuration, key or directory: starting again does not help.
    Refused(String),
}

impl Stop {
    /// A failure of its own.
    pub fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    /// A refusal.
    pub fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }

    /// A part that does not open. The daemon's own operator may read the cause.
    pub(crate) fn opening(what: &str, error: &Error) -> Self {
        let source = error.source();
        let cause = source.map_or_else(|| error.to_string(), ToString::to_string);
        let text = format!("{what} does not open: {cause}");
        let io: Option<&io::Error> = source.and_then(|source| source.downcast_ref());
        if error.reason() == Reason::StoreNotWritable || io.is_some_and(is_of_files) {
            return Self::Refused(format!("{text}; {}", writable_remedy()));
        }
        let is_refused = error.reason() == Reason::IntegrityFailure
            || source.is_some_and(|source| source.is::<OpenRefused>());
        match is_refused {
            true => Self::Refused(text),
            false => Self::Failed(text),
        }
    }
}

/// What to do about a file, directory or disk that cannot be written.
pub(crate) fn writable_remedy() -> String {
    format!(
        "the user with uid {} has to be able to write there (chown, chmod), on a disk that has \
        room and is not mounted read-only",
        own_uid()
    )
}

/// Whether it is the state of a file, directory or disk, which the next start would meet again.
fn is_of_files(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::PermissionDenied
            | Kind::ReadOnlyFilesystem
            | Kind::StorageFull
            | Kind::QuotaExceeded
            | Kind::FileTooLarge
            | Kind::NotFound
            | Kind::NotADirectory
            | Kind::IsADirectory
    )
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Failed(text) | Self::Refused(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for Stop {}
