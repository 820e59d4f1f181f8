//! What deserves a look although it worked.

use std::borrow::Cow;

use claviger_backend::{NameWarning, WriteWarning, Written};
use claviger_core::{Error, Format, Kind, SecretBytes};
use claviger_stripe::Verdict;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

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

    /// Jobs got a credential by a profile within the last day.
    pub(crate) const PROFILE_IN_USE: Self = Self::new(
        "PROFILE_IN_USE",
        "callers resolved this profile within the last day (GetConnectionProfile names the last ones); \
         their next resolve fails, unless UndeleteConnectionProfile brings it back, which it cannot \
         after a purge",
        "name",
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

    const fn byte_order_mark(field: &'static str) -> Self {
        Self::new(
            "VALUE_HAS_BYTE_ORDER_MARK",
            "the value begins with a byte-order mark, as some editors write it, which is handed out \
             with it and keeps a JSON document from being taken for one; store it again without, \
             unless it is meant",
            field,
        )
    }

    const fn surrounding_space(field: &'static str) -> Self {
        Self::new(
            "VALUE_HAS_SURROUNDING_SPACE",
            "the value begins or ends with white space or a line break, which is handed out with it; \
             store it again without, unless it is meant",
            field,
        )
    }
}

impl Warning {
    /// What deserves a look at a value, wherever it is met: with a field of the request that brings
    /// it or points at it, or, without one, in its vault.
    pub(crate) fn of_value<'a>(
        (kind, format): (Kind, Format),
        value: &SecretBytes,
        verdicts: impl IntoIterator<Item = &'a Verdict>,
        field: &'static str,
    ) -> Vec<Self> {
        let value = value.expose();
        // Kinds that are judged have findings of their own for both.
        let has_mark = value.starts_with(BYTE_ORDER_MARK) && format == Format::Text;
        let mark = (has_mark && !kind.is_stripe()).then(|| Self::byte_order_mark(field));
        let has_space = value.trim_ascii().len() != value.len();
        let space = has_space && kind == Kind::Password;
        let space = space.then(|| Self::surrounding_space(field));
        let found = verdicts.into_iter().flat_map(Verdict::warnings);
        let found = found.map(|finding| Self::new(finding.as_str(), finding.text(), field));
        let mut warnings: Vec<Self> = found.chain(mark).chain(space).collect();
        warnings.dedup();
        warnings
    }

    /// What deserves a look at the name of a secret.
    pub(crate) fn of_name(warning: NameWarning, field: &'static str) -> Self {
        Self::new(warning.reason, warning.message, field)
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
