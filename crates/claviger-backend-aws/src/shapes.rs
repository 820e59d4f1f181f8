//! Between AWS's shapes and those of the contract.

use std::time::SystemTime;

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use aws_sdk_secretsmanager::primitives::{Blob, DateTime};
use aws_sdk_secretsmanager::types::{SecretVersionsListEntry, Tag};
use claviger_backend::{Reading, VersionInfo, VersionState, Write};
use claviger_core::{Cause, Error, Format, Id, Reason, Result, SecretBytes};

use crate::name::SecretName;

/// Which store a secret belongs to.
pub(crate) const TAG_STORE: &str = "claviger:store";

/// The label of the version that readers get.
pub(crate) const CURRENT: &str = "AWSCURRENT";

/// The label of the one it replaced.
pub(crate) const PREVIOUS: &str = "AWSPREVIOUS";

/// A value in the arm of the request that fits its format.
pub(crate) struct Content {
    pub(crate) text: Option<String>,
    pub(crate) binary: Option<Blob>,
}

impl Content {
    /// # Errors
    /// `VALUE_NOT_TEXT`.
    pub(crate) fn of(write: &Write<'_>) -> Result<Self> {
        let bytes = write.value.expose().to_vec();
        match write.format {
            Format::Binary => Ok(Self {
                text: None,
                binary: Some(Blob::new(bytes)),
            }),
            Format::Text => Ok(Self {
                text: Some(String::from_utf8(bytes).map_err(|_| Error::new(Reason::ValueNotText))?),
                binary: None,
            }),
        }
    }
}

/// AWS's ids of versions have 32 to 64 characters; anything else that is pinned is a label.
pub(crate) fn may_be_version_id(version: &str) -> bool {
    (32..=64).contains(&version.len())
}

pub(crate) fn reading(name: SecretName<'_>, found: GetSecretValueOutput) -> Result<Reading> {
    // A success that does not say of what is not an answer of AWS's.
    let secret = name.answered(found.arn(), found.name());
    let secret = secret.ok_or_else(unusable)?.to_owned();
    let version = stored_version(found.version_id(), unusable)?;
    let text = found.secret_string.map(String::into_bytes);
    let value = text.or_else(|| found.secret_binary.map(Blob::into_inner));
    // A version that a rotation has begun and not filled.
    let value = value.ok_or_else(|| Error::new(Reason::SecretNotFound))?;
    Ok(Reading::new(secret, version, SecretBytes::new(value)))
}

/// An answer that is none of AWS's.
pub(crate) fn unusable() -> Error {
    Error::unreachable(Cause::ServerError)
}

/// A success without a usable version is not an answer of AWS's.
pub(crate) fn stored_version(version: Option<&str>, otherwise: fn() -> Error) -> Result<Id> {
    let version = version.unwrap_or_default();
    Id::parse("version", version).map_err(|error| otherwise().caused_by(error))
}

pub(crate) fn version_info(entry: &SecretVersionsListEntry) -> Option<VersionInfo> {
    Some(VersionInfo {
        version: Id::parse("version", entry.version_id()?).ok()?,
        state: VersionState::Enabled,
        create_time: time(entry.created_date()).unwrap_or(SystemTime::UNIX_EPOCH),
    })
}

pub(crate) fn labelled<'a>(secret: &'a DescribeSecretOutput, label: &str) -> Option<&'a str> {
    let mut versions = secret.version_ids_to_stages()?.iter();
    let found = versions.find(|(_, labels)| labels.iter().any(|found| found == label));
    found.map(|(version, _)| version.as_str())
}

pub(crate) fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

pub(crate) fn has_tag(tags: &[Tag], key: &str, value: &str) -> bool {
    tags.iter()
        .any(|tag| tag.key() == Some(key) && tag.value() == Some(value))
}

pub(crate) fn time(date: Option<&DateTime>) -> Option<SystemTime> {
    SystemTime::try_from(*date?).ok()
}
