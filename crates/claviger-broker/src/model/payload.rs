//! A value on its way in.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use claviger_backend::{NameWarning, WriteWarning, Written};
use claviger_core::{Detail, Error, Format, Kind, Reason, Result, SecretBytes};
use claviger_stripe::{Mode, Verdict};

use serde::{Deserialize, Serialize};

use crate::Content;

/// A value as the caller sent it.
pub struct Payload {
    /// Which arm carried it.
    pub format: Format,
    /// The bytes.
    pub value: SecretBytes,
    /// Their CRC-32C, if the caller sent one.
    pub crc32c: Option<u32>,
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl Payload {
    /// Checks the value against what the definition says it is and brings it into stored form.
    ///
    /// # Errors
    /// `PAYLOAD_*`, `VALUE_WRONG_KIND`, `VALUE_MALFORMED`, each with the field and the remedy.
    pub(crate) fn admit(
        self,
        content: &Content,
        modes: &BTreeSet<Mode>,
        bytes_max: usize,
    ) -> Result<(SecretBytes, Vec<Warning>)> {
        let (kind, format) = (content.kind, content.format);
        let field = match self.format {
            Format::Binary => "payload.data",
            Format::Text => "payload.text",
        };
        if self.format != format {
            let (field, remedy) = match format {
                Format::Text => (
                    "payload.text",
                    "is missing: the definition's format is TEXT, so use text instead of data",
                ),
                Format::Binary => (
                    "payload.data",
                    "is missing: the definition's format is BINARY, so use data (base64 in JSON) instead of text",
                ),
            };
            return Err(Error::new(Reason::PayloadFormatMismatch).violation(field, remedy));
        }
        if self.value.is_empty() {
            return Err(
                Error::new(Reason::PayloadEmpty).violation(field, "is empty; send the value")
            );
        }
        if self.value.len() > bytes_max {
            return Err(Error::new(Reason::PayloadTooLarge)
                .with(Detail::Limit, bytes_max)
                .at(field));
        }
        if self.crc32c.is_some_and(|crc| crc != self.value.crc32c()) {
            return Err(Error::new(Reason::PayloadCrcMismatch).at("payload.crc32c"));
        }
        let has_surrounding_space = self.value.expose().trim_ascii().len() != self.value.len();
        let demanded = modes.first().copied();
        let (value, verdict) = claviger_stripe::admit(kind, self.value, &content.stripe, demanded);
        // Environments that share one place may demand different things of it.
        let others = modes.iter().skip(1);
        let others = others.filter_map(|mode| content.judge(&value, Some(*mode)));
        let mut warnings = Vec::new();
        for verdict in verdict.into_iter().chain(others) {
            if let Some(refusal) = verdict.refusal(kind, Some(field)) {
                return Err(refusal);
            }
            warnings.extend(Warning::of_verdict(&verdict, "payload"));
        }
        if kind == Kind::Password && has_surrounding_space {
            warnings.push(Warning::VALUE_HAS_SURROUNDING_SPACE);
        }
        warnings.dedup();
        Ok((value, warnings))
    }
}

/// Something that was done but deserves a look. All of it is written in the code.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
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

    const VALUE_HAS_SURROUNDING_SPACE: Self = Self::new(
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
