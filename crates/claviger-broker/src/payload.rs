//! A value on its way in.

use std::fmt;

use claviger_core::{Detail, Error, Format, Kind, Reason, Result, SecretBytes, Trimmed};

use serde::{Deserialize, Serialize};

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
        kind: Kind,
        format: Format,
        bytes_max: usize,
    ) -> Result<(SecretBytes, Vec<Warning>)> {
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
        let (value, trimmed) = kind
            .admit(self.value, field)
            .map_err(|error| error.with(Detail::Kind, kind))?;
        let warning = match (trimmed, kind) {
            (Trimmed::Yes, _) => Some(Warning::ValueTrimmed),
            (Trimmed::No, Kind::Password) if has_surrounding_space => {
                Some(Warning::ValueHasSurroundingSpace)
            }
            (Trimmed::No, _) => None,
        };
        Ok((value, warning.into_iter().collect()))
    }
}

/// Something that was done but deserves a look.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Warning {
    /// Several environments of the project resolve to one value.
    EnvironmentsShareValue,
    /// White space at its ends is part of it now.
    ValueHasSurroundingSpace,
    /// White space at its ends was removed.
    ValueTrimmed,
}

impl Warning {
    /// The name on the wire.
    pub fn reason(self) -> &'static str {
        match self {
            Self::EnvironmentsShareValue => "ENVIRONMENTS_SHARE_VALUE",
            Self::ValueHasSurroundingSpace => "VALUE_HAS_SURROUNDING_SPACE",
            Self::ValueTrimmed => "VALUE_TRIMMED",
        }
    }

    /// For people.
    pub fn message(self) -> &'static str {
        match self {
            Self::EnvironmentsShareValue => {
                "several environments resolve to one location and so share one value; give them \
                 locations in different vaults to keep them apart, or set environment_fallback if \
                 it is meant"
            }
            Self::ValueHasSurroundingSpace => {
                "the value begins or ends with white space, which was stored as it is"
            }
            Self::ValueTrimmed => "white space around the value was removed before it was stored",
        }
    }

    /// The request field it is about.
    pub fn field(self) -> &'static str {
        match self {
            Self::EnvironmentsShareValue => "definition.environments",
            Self::ValueHasSurroundingSpace | Self::ValueTrimmed => "payload",
        }
    }
}
