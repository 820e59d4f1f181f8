//! A value on its way in.

use std::fmt;

use claviger_core::{Detail, Error, Format, Reason, Result, SecretBytes};
use claviger_stripe::Verdict;

use crate::model::document::{Part, is_document};
use crate::model::registered::Registered;
use crate::model::route::Route;
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
    /// Checks the value against what the definition says it is and where it goes, and brings it into
    /// stored form.
    ///
    /// # Errors
    /// `PAYLOAD_*`, `PROPERTY_REQUIRED`, `VALUE_WRONG_KIND`, `VALUE_MALFORMED`, each with the field
    /// and the remedy.
    pub(crate) fn admit(
        self,
        registered: Registered<'_>,
        route: &Route,
    ) -> Result<(SecretBytes, Vec<Warning>)> {
        let definition = registered.definition;
        let content = &definition.content;
        let (kind, format) = (content.kind, content.format);
        let field = match self.format {
            Format::Binary => "payload.data",
            Format::Text => "payload.text",
        };
        self.check(field, format, route.vault.capabilities().value_bytes_max)?;
        let modes = registered.stripe_modes(&route.place);
        let demanded = modes.first().copied();
        let (value, verdict) = claviger_stripe::admit(kind, self.value, &content.stripe, demanded);
        // Environments that share one place may demand different things of it.
        let others = modes.iter().skip(1);
        let others = others.filter_map(|mode| content.judge(&value, Some(*mode)));
        let verdicts: Vec<Verdict> = verdict.into_iter().chain(others).collect();
        let mut refusals = verdicts
            .iter()
            .filter_map(|verdict| verdict.refusal(kind, Some(field)));
        if let Some(refusal) = refusals.next() {
            return Err(refusal);
        }
        if matches!(route.part(format), Part::Property(None)) && is_document(&value) {
            return Err(Error::new(Reason::PropertyRequired)
                .with(Detail::Resource, &definition.name)
                .violation(
                    field,
                    "is a JSON object, of which a read would return a part; name the key that the \
                     value belongs to in location.property, or set location.whole to store it and \
                     read it as it is",
                ));
        }
        let warnings = Warning::of_value((kind, format), &value, &verdicts, "payload");
        Ok((value, warnings))
    }

    fn check(&self, field: &'static str, format: Format, bytes_max: usize) -> Result<()> {
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
        Ok(())
    }
}
