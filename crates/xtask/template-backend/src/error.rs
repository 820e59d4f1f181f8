//! From the answers of the vault, or their lack, to reasons: one table, by code and never by message
//! text.
//!
//! A lost answer to a read is `VAULT_UNREACHABLE`, but a write may have been taken: that is
//! `WRITE_OUTCOME_UNKNOWN` unless the vault itself refused it.

use std::error::Error as StdError;
use std::fmt;

use claviger_core::{Detail, Error, Reason};

/// A call that brought no usable answer. Its text is for logs only.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nobody has written this call yet.
    NotWritten(&'static str),
}

impl Failure {
    /// The outcome of the call.
    pub(crate) fn into_error(self) -> Error {
        let error = match self {
            Self::NotWritten(call) => {
                Error::new(Reason::VaultCapabilityMissing).with(Detail::Capability, call)
            }
        };
        error.caused_by(self)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWritten(call) => write!(f, "{call} is not written yet"),
        }
    }
}

impl StdError for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_reason() {
        // One row per recorded answer of the vault.
        let rows = [(Failure::NotWritten("read"), Reason::VaultCapabilityMissing)];
        for (failure, reason) in rows {
            let shown = failure.to_string();
            assert_eq!(failure.into_error().reason(), reason, "{shown}");
        }
    }
}
