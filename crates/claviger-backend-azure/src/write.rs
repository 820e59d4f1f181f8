//! A write to Key Vault, which knows no idempotency token, no condition and no ownership: all three
//! are tags of ours on the versions.
//!
//! INVARIANT: a version is sent once. An answer that is lost is looked for by its tag, and only a
//! refusal by Key Vault itself, which has stored nothing then, is followed by another attempt.

use std::time::Duration;

use azure_security_keyvault_secrets::models::SetSecretParameters;
use claviger_backend::{Address, Write, Written};
use claviger_core::{Detail, Error, Id, Reason, Result, Uid};

use crate::backend::Azure;
use crate::name::SecretName;
use crate::shapes::{
    BASE64, Content, TAG_DEFINITION, TAG_ENCODING, TAG_PREFIX, TAG_STORE, TAG_WRITE, Tags, Version,
    has_tag, version_id,
};

/// First pause while a secret comes back; each one is twice the last.
const PAUSE_FIRST: Duration = Duration::from_millis(100);

/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// When a caller should look again at a secret that is still coming back.
const COME_BACK: Duration = Duration::from_secs(10);

/// Most tags of a version.
const TAGS_MAX: usize = 15;

const CERTIFICATE: &str = "belongs to a certificate of this vault, and only Key Vault writes it; choose \
                           another secret, or renew the certificate there";

/// Where one attempt left it.
enum Step {
    /// The value is stored.
    Stored(Written),
    /// The secret was deleted; it is coming back.
    Recovering,
    /// The secret is on its way between there and deleted; what to say if it stays so.
    Changing(Error),
}

/// What a write stores, and where.
struct Task<'a> {
    name: SecretName<'a>,
    owner: Uid,
    write: &'a Write<'a>,
    content: Content,
}

impl Azure {
    /// See [`claviger_backend::Backend::write`].
    pub(crate) async fn store(&self, address: &Address, write: &Write<'_>) -> Result<Written> {
        let task = Task {
            name: SecretName::parse(&address.secret)?,
            owner: address.owner,
            write,
            content: Content::of(write)?,
        };
        let mut recovered = false;
        let mut pause = PAUSE_FIRST;
        let mut patience = self.patience();
        let mut is_known = false;
        loop {
            let stuck = match self.attempt(&task, is_known).await? {
                Step::Stored(written) => {
                    return Ok(Written {
                        recovered,
                        ..written
                    });
                }
                Step::Recovering => {
                    recovered = true;
                    still_recovering()
                }
                Step::Changing(error) => error,
            };
            patience = match patience.checked_sub(pause) {
                Some(left) => left,
                None => return Err(stuck),
            };
            is_known = true;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// `is_known` is a secret that an earlier attempt met, so it is not to be created.
    async fn attempt(&self, task: &Task<'_>, is_known: bool) -> Result<Step> {
        let versions = self.client().versions(task.name).await;
        let versions = versions.map_err(|failure| failure.into_read_error())?;
        if let Some(version) = stored_by(&versions, task.write.write_id) {
            return Ok(Step::Stored(Written {
                version: version.id.clone(),
                replaced: only_predecessor(&versions, version),
                recovered: false,
            }));
        }
        // Lists do not tell which version is the latest.
        match self.client().get(task.name, None).await {
            Ok(secret) => {
                let unusable = || Error::new(Reason::VaultUnreachable);
                let latest = Version::of_secret(secret).ok_or_else(unusable)?;
                // It came between the two questions, back or anew.
                if !versions.iter().any(|version| version.id == latest.id) {
                    return Ok(Step::Changing(still_recovering()));
                }
                self.replace(task, &versions, Some(&latest)).await
            }
            Err(failure) if failure.is_disabled() => self.replace(task, &versions, None).await,
            // A secret that is coming back reads like one that never was.
            Err(failure) if failure.is_absent() && !versions.is_empty() => {
                Ok(Step::Changing(still_recovering()))
            }
            Err(failure) if failure.is_absent() => self.create_or_recover(task, is_known).await,
            Err(failure) => Err(failure.into_read_error()),
        }
    }

    async fn create_or_recover(&self, task: &Task<'_>, is_known: bool) -> Result<Step> {
        let (tags, is_managed) = match self.client().deleted(task.name).await {
            Ok(deleted) => (
                deleted.tags,
                deleted.managed.unwrap_or(false) || deleted.kid.is_some(),
            ),
            Err(failure) if failure.is_disabled() => {
                let listed = self.client().listed_as_deleted(task.name).await;
                let listed = listed.map_err(|failure| failure.into_read_error())?;
                let listed = listed.unwrap_or_default();
                (listed.tags, listed.managed.unwrap_or(false))
            }
            Err(failure) if failure.is_absent() && is_known => {
                return Ok(Step::Changing(still_recovering()));
            }
            Err(failure) if failure.is_denied() && is_known => {
                return Err(Error::new(Reason::SecretDeleted).caused_by(failure));
            }
            // Who may not see deleted secrets may still create one.
            Err(failure) if failure.is_absent() || failure.is_denied() => {
                return self.put(task, &[], None).await;
            }
            Err(failure) => return Err(failure.into_read_error()),
        };
        check_managed(is_managed)?;
        let is_own = tags.is_some_and(|tags| self.is_marked(&tags, task.owner));
        check_owned(is_own, task)?;
        match self.client().recover(task.name).await {
            Ok(()) => Ok(Step::Recovering),
            // Another writer was quicker.
            Err(failure) if failure.is_absent() || failure.is_changing() => {
                Ok(Step::Changing(still_recovering()))
            }
            Err(failure) => Err(failure.into_read_error()),
        }
    }

    async fn replace(
        &self,
        task: &Task<'_>,
        versions: &[Version],
        latest: Option<&Version>,
    ) -> Result<Step> {
        let shown = latest.or_else(|| versions.first());
        check_managed(shown.is_some_and(|version| version.is_managed))?;
        check_owned(self.owns(versions, latest, task.owner), task)?;
        self.put(task, versions, shown).await
    }

    /// Sends the value. `before` are the versions there were, `model` the one whose tags and content
    /// type go on.
    async fn put(
        &self,
        task: &Task<'_>,
        before: &[Version],
        model: Option<&Version>,
    ) -> Result<Step> {
        let parameters = SetSecretParameters {
            content_type: model.and_then(|version| version.content_type.clone()),
            tags: Some(self.tags(task, model)?),
            value: Some(task.content.to_text()),
            secret_attributes: None,
        };
        let failure = match self.client().set(task.name, parameters).await {
            Ok(secret) => match version_id(secret.id.as_deref()) {
                Some(version) => return self.stored(task, before, model, Some(version)).await,
                None => None,
            },
            Err(failure) if failure.is_changing() => {
                return Ok(Step::Changing(failure.into_write_error()));
            }
            Err(failure) if failure.is_open() => Some(failure),
            Err(failure) => return Err(failure.into_write_error()),
        };
        match self.stored(task, before, model, None).await {
            Ok(step) => Ok(step),
            Err(unknown) => Err(failure.map_or(unknown, |failure| failure.into_write_error())),
        }
    }

    /// What was stored and what it replaced. Without an answer that says so, `version` is looked for.
    async fn stored(
        &self,
        task: &Task<'_>,
        before: &[Version],
        model: Option<&Version>,
        version: Option<Id>,
    ) -> Result<Step> {
        let after = self.client().versions(task.name).await.ok();
        let after = after.unwrap_or_default();
        let found = stored_by(&after, task.write.write_id).map(|found| found.id.clone());
        let version = version
            .or(found)
            .ok_or_else(|| Error::new(Reason::WriteOutcomeUnknown))?;
        // Exact only if nobody else wrote since the latest version was asked for.
        let is_only = after.len() == before.len() + 1
            && after
                .iter()
                .all(|now| now.id == version || before.iter().any(|earlier| earlier.id == now.id));
        let replaced = model.filter(|_| is_only);
        Ok(Step::Stored(Written {
            version,
            replaced: replaced.map(|model| model.id.clone()),
            recovered: false,
        }))
    }

    /// The tags of others go on; ours say whose the version is and what stored it.
    fn tags(&self, task: &Task<'_>, model: Option<&Version>) -> Result<Tags> {
        let others = model.into_iter().flat_map(|version| &version.tags);
        let others = others.filter(|(key, _)| !key.starts_with(TAG_PREFIX));
        let mut tags: Tags = others
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        tags.insert(TAG_STORE.to_owned(), self.store_id().to_owned());
        tags.insert(TAG_DEFINITION.to_owned(), task.owner.to_string());
        tags.insert(TAG_WRITE.to_owned(), task.write.write_id.to_string());
        if task.content.is_encoded {
            tags.insert(TAG_ENCODING.to_owned(), BASE64.to_owned());
        }
        match tags.len() <= TAGS_MAX {
            true => Ok(tags),
            false => Err(Error::new(Reason::VaultCapabilityMissing).with(
                Detail::Capability,
                "store more than 15 tags; take some of its own off the secret, to make room for four",
            )),
        }
    }

    /// Whether the definition has written the secret, or adopted it, and no other one since. A
    /// version from the portal has no mark and changes nothing.
    pub(crate) fn owns(&self, versions: &[Version], latest: Option<&Version>, owner: Uid) -> bool {
        let has_mark = |version: &&Version| version.tags.contains_key(TAG_STORE);
        if let Some(latest) = latest.filter(has_mark) {
            return self.is_marked(&latest.tags, owner);
        }
        let marked: Vec<&Version> = versions.iter().filter(has_mark).collect();
        let newest = marked.iter().map(|version| version.created).max();
        let mut newest = marked
            .iter()
            .filter(|version| Some(version.created) == newest);
        !marked.is_empty() && newest.all(|version| self.is_marked(&version.tags, owner))
    }

    fn is_marked(&self, tags: &Tags, owner: Uid) -> bool {
        has_tag(tags, TAG_STORE, self.store_id())
            && has_tag(tags, TAG_DEFINITION, &owner.to_string())
    }
}

/// The version that a write stored.
pub(crate) fn stored_by(versions: &[Version], write_id: Uid) -> Option<&Version> {
    let write_id = write_id.to_string();
    let mut versions = versions.iter();
    versions.find(|version| has_tag(&version.tags, TAG_WRITE, &write_id))
}

/// The version that was the latest before this one, if its second tells it from all others.
pub(crate) fn only_predecessor(versions: &[Version], version: &Version) -> Option<Id> {
    let others = versions.iter().filter(|other| other.id != version.id);
    let mut earlier = others.filter(|other| other.created <= version.created);
    let newest = earlier.next()?;
    match earlier.next() {
        Some(next) if next.created == newest.created => None,
        Some(_) | None => Some(newest.id.clone()),
    }
}

pub(crate) fn check_managed(is_managed: bool) -> Result<()> {
    match is_managed {
        true => Err(Error::new(Reason::LocationInvalid).violation("location.secret", CERTIFICATE)),
        false => Ok(()),
    }
}

fn check_owned(is_own: bool, task: &Task<'_>) -> Result<()> {
    match is_own || task.write.adopt {
        true => Ok(()),
        false => Err(Error::new(Reason::SecretNotOwned)),
    }
}

fn still_recovering() -> Error {
    Error::new(Reason::WriteInProgress)
        .retry_after(COME_BACK)
        .caused_by("the secret was deleted and is still coming back")
}
