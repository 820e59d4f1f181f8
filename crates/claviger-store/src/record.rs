//! Records as they are stored: JSON in an envelope that names its form.

use claviger_core::{Error, Reason, Result, SecretBytes};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A type of record: a stored form, of its own and apart from the types of use cases and APIs. One
/// that was put is remembered as it is, so its form has to keep all of it.
pub trait Record: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The beginning of all keys of this type, including the last `/`; no kind begins with another.
    const KIND: &'static str;

    /// The one form that is written; counted up with every change that a stored record
    /// can show.
    const FORM: u32;

    /// The oldest form that is read as well: what it lacks of today's has a default.
    const FORM_OLDEST: u32 = Self::FORM;

    /// The bytes that are sealed and stored.
    ///
    /// # Errors
    /// `INTERNAL` if the record cannot be written as JSON.
    fn encode(&self) -> Result<SecretBytes> {
        let envelope = Envelope {
            form: Self::FORM,
            record: self,
        };
        serde_json::to_vec(&envelope)
            .map(SecretBytes::new)
            .map_err(|error| Error::new(Reason::Internal).caused_by(error))
    }

    /// The record of stored bytes; `key` is for the error.
    ///
    /// # Errors
    /// `INTEGRITY_FAILURE` if they have another form or do not read; the source says which.
    fn decode(key: &str, bytes: &[u8]) -> Result<Self> {
        let envelope: Envelope<&RawValue> = parse(key, bytes)?;
        if !(Self::FORM_OLDEST..=Self::FORM).contains(&envelope.form) {
            return Err(Error::new(Reason::IntegrityFailure).caused_by(format!(
                "record {key} has form {}, this program reads form {}",
                envelope.form,
                Self::FORM
            )));
        }
        parse(key, envelope.record.get().as_bytes())
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Envelope<T> {
    form: u32,
    record: T,
}

/// JSON of this type; `key` is for the error.
pub(crate) fn parse<'a, T: Deserialize<'a>>(key: &str, json: &'a [u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| {
        // SECURITY: the library's own text quotes content.
        Error::new(Reason::IntegrityFailure).caused_by(format!(
            "record {key} does not have the form that this program reads: {:?} error at column {}",
            error.classify(),
            error.column()
        ))
    })
}
