//! A write to Key Vault, which knows no idempotency token, no condition and no ownership: all three
//! are tags of ours on the versions.
//!
//! INVARIANT: a version is sent once. An answer that is lost is looked for by its tag, and only a
//! refusal by Key Vault itself, which has stored nothing then, is followed by another attempt.

use std::time::Duration;

use azure_security_keyvault_secrets::models::SetSecretParameters;
use claviger_backend::{Address, Write, Written};
use claviger_core::{Cause, Detail, Error, Id, Reason, Result, Uid};
use tokio::time::{Instant, timeout_at};

use crate::client::Answer;
use crate::name::SecretName;
use crate::pages::{Before, History, disabled_latest};
use crate::shapes::{
    BASE64, Content, TAG_BEFORE, TAG_DEFINITION, TAG_ENCODING, TAG_PREFIX, TAG_PROJECT, TAG_STORE,
    TAG_WRITE, Tags, Version, has_tag, version_id,
};
use crate::vault::Azure;

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

/// Most pages of a history that is looked at before a value is sent: enough for an ordinary one.
const PAGES_BEFORE: usize = 2;

/// Most pages that are searched for a mark of ours where the latest version has none.
const PAGES_SEARCHED: usize = 8;

/// Most pages that are looked at for the version that a write replaced.
const PAGES_AFTER: usize = 40;

/// The next step.
enum Plan {
    /// Nothing is to be sent, or not yet.
    Is(Step),
    /// The value is to be sent, with these versions there and this one's tags.
    Put(History, Option<Version>),
}

/// Where one attempt left it.
enum Step {
    /// The value is stored.
    Stored(Written),
    /// The secret is on its way between there and deleted; what to say if it stays so.
    Changing(Error),
}

/// The content of a write, and its place.
struct Task<'a> {
    name: SecretName<'a>,
    address: &'a Address,
    write: &'a Write<'a>,
    content: Content,
    /// When the value has to be on its way.
    send_by: Instant,
    /// When nothing more is asked.
    ask_by: Instant,
}

impl Azure {
    /// See [`claviger_backend::Backend::write`].
    pub(crate) async fn store(&self, address: &Address, write: &Write<'_>) -> Result<Written> {
        let (start, patience) = (Instant::now(), self.patience());
        let task = Task {
            name: SecretName::parse(&address.secret)?,
            address,
            write,
            content: Content::of(write)?,
            send_by: start + patience,
            ask_by: start + patience + patience / 2,
        };
        let mut pause = PAUSE_FIRST;
        let mut is_known = false;
        loop {
            // Beyond the deadline nobody could tell whether the value was sent.
            let plan = timeout_at(task.send_by, self.plan(&task, is_known)).await;
            let too_late = |_| Error::unreachable(Cause::Timeout).caused_by("nothing was sent");
            let step = match plan.map_err(too_late)?? {
                Plan::Is(step) => step,
                Plan::Put(before, model) => self.put(&task, &before, model.as_ref()).await?,
            };
            let stuck = match step {
                Step::Stored(written) => {
                    let recovered = self.recovering().remove(&task.name.folded());
                    return Ok(written.recovering(recovered));
                }
                Step::Changing(error) => error,
            };
            if Instant::now() + pause > task.send_by {
                return Err(stuck);
            }
            is_known = true;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// The version that a write stored, if it is the latest or found on few pages.
    pub(crate) async fn find(&self, name: SecretName<'_>, write_id: Uid) -> Result<Option<Id>> {
        match self.client().get(name, None).await {
            Ok(secret) => {
                let latest = Version::of_secret(secret);
                if let Some(latest) = latest.filter(|latest| latest.is_of(write_id)) {
                    return Ok(Some(latest.id));
                }
            }
            Err(failure) if failure.is_absent() || failure.is_disabled() || failure.is_denied() => {
            }
            Err(failure) => return Err(failure.into_read_error()),
        }
        let seen = self.client().history(name, PAGES_SEARCHED).await;
        let seen = seen.map_err(|failure| failure.into_read_error())?;
        Ok(stored_by(&seen.versions, write_id).map(|found| found.id.clone()))
    }

    /// Asks all that has to be known. `is_known` is a secret that an earlier attempt met, so it is
    /// not to be created.
    async fn plan(&self, task: &Task<'_>, is_known: bool) -> Result<Plan> {
        let before = self.client().history(task.name, PAGES_BEFORE).await;
        let before = before.map_err(|failure| failure.into_read_error())?;
        if let Some(done) = done_before(&before, task) {
            return Ok(done);
        }
        // Lists do not tell which version is the latest.
        match self.client().get(task.name, None).await {
            Ok(secret) => {
                let unusable = || Error::unreachable(Cause::ServerError);
                let latest = Version::of_secret(secret).ok_or_else(unusable)?;
                if latest.is_of(task.write.write_id) {
                    return Ok(stored(latest.id, None));
                }
                // It came between the two questions, back or anew.
                let is_new = !before.versions.iter().any(|one| one.id == latest.id);
                if before.is_whole && is_new {
                    return Ok(Plan::Is(Step::Changing(still_recovering())));
                }
                self.replace(task, before, Some(latest)).await
            }
            Err(failure) if failure.is_disabled() => self.replace(task, before, None).await,
            // A secret that is coming back reads like one that never was.
            Err(failure) if failure.is_absent() && !before.versions.is_empty() => {
                Ok(Plan::Is(Step::Changing(still_recovering())))
            }
            Err(failure) if failure.is_absent() => {
                self.create_or_recover(task, before, is_known).await
            }
            Err(failure) => Err(failure.into_read_error()),
        }
    }

    async fn create_or_recover(
        &self,
        task: &Task<'_>,
        before: History,
        is_known: bool,
    ) -> Result<Plan> {
        let coming_back = || Ok(Plan::Is(Step::Changing(still_recovering())));
        let (tags, is_managed) = match self.client().deleted(task.name).await {
            Ok(deleted) => (
                deleted.tags,
                deleted.managed.unwrap_or(false) || deleted.kid.is_some(),
            ),
            Err(failure) if failure.is_disabled() => {
                let listed = self.client().listed_as_deleted(task.name).await;
                let listed = listed.map_err(|failure| failure.into_read_error())?;
                match listed {
                    Some(listed) => (listed.tags, listed.managed.unwrap_or(false)),
                    // Neither its owner nor its content: it is on its way.
                    None => return coming_back(),
                }
            }
            Err(failure) if failure.is_absent() && is_known => return coming_back(),
            Err(failure) if failure.is_denied() && is_known => {
                return Err(Error::new(Reason::SecretDeleted).caused_by(failure));
            }
            // A writer that may not see deleted secrets may still create one.
            Err(failure) if failure.is_absent() || failure.is_denied() => {
                return Ok(Plan::Put(before, None));
            }
            Err(failure) => return Err(failure.into_read_error()),
        };
        check_managed(is_managed)?;
        let tags = tags.unwrap_or_default();
        check_owned(self.is_marked(&tags, task.address), task)?;
        // A secret whose write would be refused afterwards stays deleted.
        self.tags(task, Some(&tags))?;
        // Remembered first: the call may be left half-way, and the next one has to say it.
        let is_first = self.recovering().insert(task.name.folded());
        let failure = match self.client().recover(task.name).await {
            Ok(()) => return coming_back(),
            Err(failure) => failure,
        };
        if is_first && !failure.is_open() {
            self.recovering().remove(&task.name.folded());
        }
        // Another writer was quicker.
        match failure.is_absent() || failure.is_changing() {
            true => coming_back(),
            false => Err(failure.into_read_error()),
        }
    }

    async fn replace(
        &self,
        task: &Task<'_>,
        before: History,
        latest: Option<Version>,
    ) -> Result<Plan> {
        let is_told = latest
            .as_ref()
            .is_some_and(|latest| latest.tags.contains_key(TAG_STORE));
        let before = match is_told || before.is_whole {
            true => before,
            false => {
                let more = self.client().history(task.name, PAGES_SEARCHED).await;
                more.map_err(|failure| failure.into_read_error())?
            }
        };
        if let Some(done) = done_before(&before, task) {
            return Ok(done);
        }
        // SECURITY: a part of the history does not tell whose mark is the newest.
        let is_own = (is_told || before.is_whole)
            && self.owns(&before.versions, latest.as_ref(), task.address);
        let model = latest.or_else(|| disabled_latest(&before.versions).cloned());
        check_managed(model.as_ref().is_some_and(|model| model.is_managed))?;
        check_owned(is_own, task)?;
        Ok(Plan::Put(before, model))
    }

    /// Sends the value. `before` are the versions there were, `model` the one whose tags and content
    /// type go on.
    async fn put(
        &self,
        task: &Task<'_>,
        before: &History,
        model: Option<&Version>,
    ) -> Result<Step> {
        let before = &Before::of(before, model);
        let mut tags = self.tags(task, model.map(|model| &model.tags))?;
        tags.insert(TAG_BEFORE.to_owned(), before.to_tag());
        let parameters = SetSecretParameters {
            content_type: model.and_then(|version| version.content_type.clone()),
            tags: Some(tags),
            value: Some(task.content.to_text()),
            secret_attributes: None,
        };
        let unknown = match self.client().set(task.name, parameters).await {
            Ok(secret) => match version_id(secret.id.as_deref()) {
                Some(version) => return Ok(self.stored(task, before, version).await),
                None => Error::new(Reason::WriteOutcomeUnknown),
            },
            Err(failure) if failure.is_changing() => {
                return Ok(Step::Changing(failure.into_write_error()));
            }
            Err(failure) if failure.is_open() => failure.into_write_error(),
            Err(failure) => return Err(failure.into_write_error()),
        };
        let found = self.find(task.name, task.write.write_id);
        match timeout_at(task.ask_by, found).await {
            Ok(Ok(Some(version))) => Ok(self.stored(task, before, version).await),
            Ok(Ok(None) | Err(_)) | Err(_) => Err(unknown),
        }
    }

    /// The version that was stored, and what it replaced as far as that is told in time.
    async fn stored(&self, task: &Task<'_>, before: &Before, version: Id) -> Step {
        let outcome = self.outcome(task.name, Some(before), &version);
        let outcome = timeout_at(task.ask_by, outcome).await;
        let written = Written::new(version);
        Step::Stored(match outcome {
            Ok(Ok(Some((replaced, followed)))) => {
                written.replacing(Some(replaced)).followed(followed)
            }
            Ok(Ok(None) | Err(_)) | Err(_) => written,
        })
    }

    /// What `version` replaced, and whether a later one is there; `before` it were these, or those
    /// that its tag tells. `None` if it cannot be told.
    pub(crate) async fn outcome(
        &self,
        name: SecretName<'_>,
        before: Option<&Before>,
        version: &Id,
    ) -> Answer<Option<(Vec<Id>, bool)>> {
        let after = self.client().history(name, PAGES_AFTER).await?;
        let told = told_before(&after.versions, version);
        let Some(since) = before
            .or(told.as_ref())
            .and_then(|before| after.since(before, version))
        else {
            return Ok(None);
        };
        if since.others.is_empty() {
            return Ok(Some((since.replaced(None), false)));
        }
        let latest = self.latest_of(name).await?;
        let followed = latest.as_ref() != Some(version);
        Ok(Some((since.replaced(latest.as_ref()), followed)))
    }

    /// The latest version, also of those that cannot be read.
    pub(crate) async fn latest_of(&self, name: SecretName<'_>) -> Answer<Option<Id>> {
        match self.client().get(name, None).await {
            Ok(secret) => Ok(version_id(secret.id.as_deref())),
            Err(failure) if failure.is_absent() => Ok(None),
            Err(failure) if failure.is_disabled() => {
                let versions = self.client().versions(name).await?;
                Ok(disabled_latest(&versions).map(|latest| latest.id.clone()))
            }
            Err(failure) => Err(failure),
        }
    }

    /// The tags of others go on; ours name the version's definition and its write.
    fn tags(&self, task: &Task<'_>, model: Option<&Tags>) -> Result<Tags> {
        let others = model.into_iter().flatten();
        let others = others.filter(|(key, _)| !key.starts_with(TAG_PREFIX));
        let mut tags: Tags = others
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        tags.insert(TAG_STORE.to_owned(), self.store_id().to_owned());
        tags.insert(TAG_PROJECT.to_owned(), task.address.project.to_string());
        tags.insert(TAG_DEFINITION.to_owned(), task.address.owner.to_string());
        tags.insert(TAG_WRITE.to_owned(), task.write.write_id.to_string());
        if task.content.is_encoded {
            tags.insert(TAG_ENCODING.to_owned(), BASE64.to_owned());
        }
        // One more is put in when the value is sent.
        match tags.len() < TAGS_MAX {
            true => Ok(tags),
            false => Err(Error::new(Reason::VaultCapabilityMissing).with(
                Detail::Capability,
                "store more than 15 tags; take some of its own off the secret, to make room for six",
            )),
        }
    }

    /// Whether the project has written the secret, or adopted it, and no other one since. A version
    /// from the portal has no mark and changes nothing.
    pub(crate) fn owns(
        &self,
        versions: &[Version],
        latest: Option<&Version>,
        address: &Address,
    ) -> bool {
        let has_mark = |version: &&Version| version.tags.contains_key(TAG_STORE);
        if let Some(latest) = latest.filter(has_mark) {
            return self.is_marked(&latest.tags, address);
        }
        let marked: Vec<&Version> = versions.iter().filter(has_mark).collect();
        let newest = marked.iter().map(|version| version.created).max();
        let mut newest = marked
            .iter()
            .filter(|version| Some(version.created) == newest);
        !marked.is_empty() && newest.all(|version| self.is_marked(&version.tags, address))
    }

    /// Marks of before told the definition only.
    fn is_marked(&self, tags: &Tags, address: &Address) -> bool {
        let is_own = match tags.get(TAG_PROJECT) {
            Some(project) => project == address.project.as_str(),
            None => has_tag(tags, TAG_DEFINITION, &address.owner.to_string()),
        };
        is_own && has_tag(tags, TAG_STORE, self.store_id())
    }
}

/// The version that a write stored.
fn stored_by(versions: &[Version], write_id: Uid) -> Option<&Version> {
    versions.iter().find(|version| version.is_of(write_id))
}

fn done_before(before: &History, task: &Task<'_>) -> Option<Plan> {
    let version = &stored_by(&before.versions, task.write.write_id)?.id;
    let told = told_before(&before.versions, version);
    let replaced = told.and_then(|told| Some(before.since(&told, version)?.replaced(None)));
    Some(stored(version.clone(), replaced))
}

fn stored(version: Id, replaced: Option<Vec<Id>>) -> Plan {
    Plan::Is(Step::Stored(Written::new(version).replacing(replaced)))
}

/// What was there before a version, as its tag tells.
fn told_before(versions: &[Version], version: &Id) -> Option<Before> {
    let found = versions.iter().find(|one| one.id == *version)?;
    Before::parse(found.tags.get(TAG_BEFORE)?)
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
