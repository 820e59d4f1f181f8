//! Between Key Vault's shapes and those of the contract.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::SystemTime;

use azure_core::base64;
use azure_core::time::OffsetDateTime;
use azure_security_keyvault_secrets::models::{Secret, SecretAttributes, SecretProperties};
use claviger_backend::{Reading, VersionInfo, VersionState, Write};
use claviger_core::{Cause, Detail, Error, Format, Id, Reason, Result, SecretBytes, Uid};

/// Tags of a version.
pub(crate) type Tags = HashMap<String, String>;

/// Longest value, in bytes.
pub(crate) const VALUE_BYTES_MAX: usize = 25_600;

/// The start of the names of our own tags.
pub(crate) const TAG_PREFIX: &str = "claviger-";

/// Which store a version belongs to.
pub(crate) const TAG_STORE: &str = "claviger-store";

/// Which project of that store.
pub(crate) const TAG_PROJECT: &str = "claviger-project";

/// Which definition has stored the version; for people.
pub(crate) const TAG_DEFINITION: &str = "claviger-definition";

/// Which write stored the version.
pub(crate) const TAG_WRITE: &str = "claviger-write";

/// What was there when the version was sent: Key Vault has seconds only, and no condition, so this
/// tells afterwards what came in between.
pub(crate) const TAG_BEFORE: &str = "claviger-before";

/// How the value is written where it is not the value itself: Key Vault has text only.
pub(crate) const TAG_ENCODING: &str = "claviger-encoding";

/// The one such way.
pub(crate) const BASE64: &str = "base64";

/// A value as Key Vault stores it.
pub(crate) struct Content {
    pub(crate) text: SecretBytes,
    pub(crate) is_encoded: bool,
}

impl Content {
    /// # Errors
    /// `PAYLOAD_TOO_LARGE`, `VALUE_NOT_TEXT`.
    pub(crate) fn of(write: &Write<'_>) -> Result<Self> {
        let bytes = write.value.expose();
        let (text, is_encoded) = match write.format {
            Format::Binary => (SecretBytes::new(base64::encode(bytes).into_bytes()), true),
            Format::Text if std::str::from_utf8(bytes).is_err() => {
                return Err(Error::new(Reason::ValueNotText));
            }
            Format::Text => (write.value.duplicate(), false),
        };
        // The declared length is that of a text; bytes grow.
        if is_encoded && text.len() > VALUE_BYTES_MAX {
            let limit = VALUE_BYTES_MAX / 4 * 3;
            return Err(Error::new(Reason::PayloadTooLarge).with(Detail::Limit, limit));
        }
        Ok(Self { text, is_encoded })
    }

    /// A copy for the SDK, which keeps values as text.
    pub(crate) fn to_text(&self) -> String {
        String::from_utf8_lossy(self.text.expose()).into_owned()
    }
}

/// A version without its value.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) id: Id,
    pub(crate) created: SystemTime,
    pub(crate) is_enabled: bool,
    /// Belongs to a certificate.
    pub(crate) is_managed: bool,
    pub(crate) tags: Tags,
    pub(crate) content_type: Option<String>,
}

impl Version {
    /// `None` for an entry without a usable id: not an answer of Key Vault's.
    pub(crate) fn of(listed: SecretProperties) -> Option<Self> {
        let attributes = listed.attributes.unwrap_or_default();
        Some(Self {
            id: version_id(listed.id.as_deref())?,
            created: time(attributes.created)?,
            is_enabled: attributes.enabled.unwrap_or(true),
            is_managed: listed.managed.unwrap_or(false),
            tags: listed.tags.unwrap_or_default(),
            content_type: listed.content_type,
        })
    }

    /// The same of a version that was read.
    pub(crate) fn of_secret(secret: Secret) -> Option<Self> {
        let attributes = secret.attributes.unwrap_or_default();
        Some(Self {
            id: version_id(secret.id.as_deref())?,
            created: time(attributes.created)?,
            is_enabled: attributes.enabled.unwrap_or(true),
            is_managed: secret.managed.unwrap_or(false) || secret.kid.is_some(),
            tags: secret.tags.unwrap_or_default(),
            content_type: secret.content_type,
        })
    }

    /// Whether this write stored it.
    pub(crate) fn is_of(&self, write_id: Uid) -> bool {
        has_tag(&self.tags, TAG_WRITE, &write_id.to_string())
    }

    pub(crate) fn info(&self) -> VersionInfo {
        VersionInfo {
            version: self.id.clone(),
            state: match self.is_enabled {
                true => VersionState::Enabled,
                false => VersionState::Disabled,
            },
            create_time: self.created,
        }
    }
}

/// Newest first. Key Vault counts in seconds and lists by id: within a second there is no order.
pub(crate) fn sort(versions: &mut [Version]) {
    versions.sort_by(|a, b| (Reverse(a.created), &a.id).cmp(&(Reverse(b.created), &b.id)));
}

/// # Errors
/// `VERSION_DISABLED`, `VALUE_EXPIRED`, `VALUE_NOT_YET_VALID`: Key Vault serves a value whatever its
/// dates say. `INTEGRITY_FAILURE` for a value that is not written as its tag says.
pub(crate) fn reading(secret: Secret, now: SystemTime) -> Result<Reading> {
    let unusable = || Error::unreachable(Cause::ServerError).caused_by("an answer without a value");
    let id = secret.id.as_deref();
    let name = secret_name(id).ok_or_else(unusable)?.to_owned();
    let version = version_id(id).ok_or_else(unusable)?;
    check_dates(&secret.attributes.unwrap_or_default(), now)?;
    let value = SecretBytes::new(secret.value.ok_or_else(unusable)?.into_bytes());
    let encoding = secret.tags.as_ref().and_then(|tags| tags.get(TAG_ENCODING));
    let value = match encoding.map(String::as_str) {
        Some(BASE64) => {
            let decoded = base64::decode(value.expose());
            SecretBytes::new(decoded.map_err(|_| Error::new(Reason::IntegrityFailure))?)
        }
        Some(_) | None => value,
    };
    Ok(Reading::new(name, version, value))
}

fn check_dates(attributes: &SecretAttributes, now: SystemTime) -> Result<()> {
    let reason = if attributes.enabled == Some(false) {
        Reason::VersionDisabled
    } else if time(attributes.expires).is_some_and(|end| end <= now) {
        Reason::ValueExpired
    } else if time(attributes.not_before).is_some_and(|start| start > now) {
        Reason::ValueNotYetValid
    } else {
        return Ok(());
    };
    Err(Error::new(reason))
}

/// The name in the id of a secret: `https://VAULT/secrets/NAME[/VERSION]`.
pub(crate) fn secret_name(id: Option<&str>) -> Option<&str> {
    segments(id?).next()
}

/// The version in the id of a version.
pub(crate) fn version_id(id: Option<&str>) -> Option<Id> {
    let version = segments(id?).nth(1)?;
    Id::parse("version", version).ok()
}

/// The parts after the collection: `secrets`, or `deletedsecrets`.
fn segments(id: &str) -> impl Iterator<Item = &str> {
    // Scheme, nothing, host, collection.
    id.split('/').skip(4)
}

pub(crate) fn has_tag(tags: &Tags, key: &str, value: &str) -> bool {
    tags.get(key).is_some_and(|found| found == value)
}

pub(crate) fn time(time: Option<OffsetDateTime>) -> Option<SystemTime> {
    time.map(SystemTime::from)
}
