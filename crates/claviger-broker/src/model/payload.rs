//! A value on its way in.

use std::collections::BTreeSet;
use std::fmt;

use claviger_core::{Detail, Error, Format, Kind, Reason, Result, SecretBytes};
use claviger_stripe::Mode;

use crate::model::content::Content;
use crate::model::warning::Warning;

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
