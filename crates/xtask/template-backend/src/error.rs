//! From the answers of the vault, or none, to a reason: one table, by code and never by message
//! text.
//!
//! A lost answer to a read is `VAULT_UNREACHABLE`, but a write may have been taken: that is
//! `WRITE_OUTCOME_UNKNOWN` unless the vault itself refused it.

use std::error::Error as StdError;
use std::fmt;

use claviger_backend::upstream::refusal;
use claviger_core::{Error, Reason};

/// A call that brought no usable answer. Its text is for logs only.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nobody has written this call yet.
    NotWritten(&'static str),
}

impl Failure {
    /// The error of the call.
    pub(crate) fn into_error(self) -> Error {
        let (reason, remedy) = match self {
            Self::NotWritten(call) => (Reason::VaultCapabilityMissing, call),
        };
        refusal(reason, remedy, self)
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
