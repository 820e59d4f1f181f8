//! What deserves a look although it worked.

use std::borrow::Cow;

use claviger_backend::{NameWarning, WriteWarning, Written};
use claviger_core::Error;
use claviger_stripe::Verdict;

/// Something that was done but deserves a look. All of it is written in the code.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Warning {
    /// Machine-readable.
    pub reason: Cow<'static, str>,
    /// For people.
    pub message: Cow<'static, str>,
    /// The request field it is about.
    pub field: Cow<'static, str>,
}

impl Warning {
    pub(crate) const fn new(
        reason: &'static str,
        message: &'static str,
        field: &'static str,
    ) -> Self {
        Self {
            reason: Cow::Borrowed(reason),
            message: Cow::Borrowed(message),
            field: Cow::Borrowed(field),
        }
    }

    /// Several environments of a project resolve to one value.
    pub(crate) const ENVIRONMENTS_SHARE_VALUE: Self = Self::new(
        "ENVIRONMENTS_SHARE_VALUE",
        "several environments resolve to one location and so share one value; give them \
         locations in different vaults to keep them apart, or set environment_fallback if it is \
         meant",
        "definition.environments",
    );

    /// The value should have been rotated by now.
    pub(crate) const ROTATION_DUE: Self = Self::new(
        "ROTATION_DUE",
        "the time in rotate_by has passed; rotate the value with PutSecretValue, and set rotate_by \
         to the next time with update_mask",
        "definition.rotate_by",
    );

    /// The secret was deleted in the vault, and was brought back to be written.
    const SECRET_RECOVERED: Self = Self::new(
        "SECRET_RECOVERED",
        "the secret was deleted in the vault and could still be recovered, so it was recovered, \
         with its old versions, before it was written",
        "definition.location",
    );

    /// The value that a definition points at could not be looked at.
    pub(crate) const VALUE_NOT_CHECKED: Self = Self::new(
        "VALUE_NOT_CHECKED",
        "the value in the vault could not be read, so it was not judged; call \
         CheckSecretDefinition once it can be",
        "definition.location",
    );

    pub(crate) const VALUE_HAS_SURROUNDING_SPACE: Self = Self::new(
        "VALUE_HAS_SURROUNDING_SPACE",
        "the value begins or ends with white space, which was stored as it is",
        "payload",
    );
}

impl Warning {
    /// What deserves a look at a value that came with a field of the request, or that the field
    /// points at.
    pub(crate) fn of_verdict(verdict: &Verdict, field: &'static str) -> impl Iterator<Item = Self> {
        let found = verdict.warnings();
        found.map(move |finding| Self::new(finding.as_str(), finding.text(), field))
    }

    /// Why calls fail that this one did not have to.
    pub(crate) fn of_refusal(error: &Error, field: &'static str) -> Self {
        Self {
            reason: Cow::Borrowed(error.reason().as_str()),
            message: Cow::Owned(error.to_string()),
            field: Cow::Borrowed(field),
        }
    }

    /// What deserves a look of a write that was done.
    pub(crate) fn of_write(written: &Written) -> Vec<Self> {
        let recovered = written.recovered.then_some(Self::SECRET_RECOVERED);
        let left = written.warnings.iter().cloned().map(Self::from);
        recovered.into_iter().chain(left).collect()
    }
}

impl From<WriteWarning> for Warning {
    fn from(WriteWarning { reason, message }: WriteWarning) -> Self {
        Self {
            reason: Cow::Borrowed(reason),
            message: Cow::Owned(message),
            field: Cow::Borrowed("definition.location"),
        }
    }
}

impl From<NameWarning> for Warning {
    fn from(NameWarning { reason, message }: NameWarning) -> Self {
        Self::new(reason, message, "definition.location")
    }
}
