use std::error::Error as _;
use std::fmt;

use claviger_core::{Error, Reason};
use claviger_store::OpenRefused;

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
        let cause = error
            .source()
            .map_or_else(|| error.to_string(), ToString::to_string);
        let text = format!("{what} does not open: {cause}");
        let is_refused = error.reason() == Reason::IntegrityFailure
            || error
                .source()
                .is_some_and(|cause| cause.is::<OpenRefused>());
        match is_refused {
            true => Self::Refused(text),
            false => Self::Failed(text),
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Failed(text) | Self::Refused(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for Stop {}
