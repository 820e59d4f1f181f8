//! The lists of a vault, which come in pages and have to end: one that does not is an error, or is
//! cut where that is enough.

use std::collections::HashSet;

use azure_security_keyvault_secrets::models::{
    DeletedSecretProperties, SecretClientListDeletedSecretPropertiesOptions,
    SecretClientListSecretPropertiesOptions, SecretClientListSecretPropertiesVersionsOptions,
    SecretProperties,
};
use claviger_core::{Cause, Id};
use futures_util::TryStreamExt as _;

use crate::client::{Answer, Client};
use crate::error::Failure;
use crate::name::{SecretName, folded};
use crate::shapes::{self, Version};

/// Most entries that Key Vault gives per page.
const PAGE: i32 = 25;

/// Most pages of any list: 100,000 entries if they are full.
const PAGES_MAX: usize = 4_000;

/// How much of an id stands in a tag: no two of a secret have one start.
const ID_START: usize = 8;

/// Most versions in a tag, which has 256 characters.
const TIED_MAX: usize = 24;

/// Stands for no version.
const NONE: &str = "-";

/// Stands for too many.
const MANY: &str = "?";

/// Versions of a secret, newest first.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) versions: Vec<Version>,
    /// Whether these are all there are.
    pub(crate) is_whole: bool,
}

impl History {
    /// What was stored since `before`, but for `version` itself. `None` if that is not told.
    pub(crate) fn since(&self, before: &Before, version: &Id) -> Option<Since<'_>> {
        let find = |start: &String| {
            let mut versions = self.versions.iter();
            versions.find(|one| one.id.as_str().starts_with(start))
        };
        let latest = match &before.latest {
            Some(start) => Some(find(start)?),
            None => None,
        };
        let is_told = |other: &Version| match latest {
            Some(latest) => before.tied.is_some() || other.created != latest.created,
            None => true,
        };
        let was_there = |other: &Version| {
            let is_older = latest.is_some_and(|latest| other.created < latest.created);
            let mut tied = before.tied.iter().flatten();
            is_older || tied.any(|start| other.id.as_str().starts_with(start))
        };
        let known = [Some(version), latest.map(|latest| &latest.id)];
        let others = self.versions.iter();
        let others = others.filter(|other| !known.contains(&Some(&other.id)) && !was_there(other));
        let others: Vec<&Version> = others.collect();
        let is_told = self.is_whole && others.iter().all(|other| is_told(other));
        is_told.then(|| Since {
            latest,
            others,
            own: self.versions.iter().find(|one| one.id == *version),
        })
    }
}

/// The versions that were there when a value was sent, as its tag tells: the starts of their ids.
pub(crate) struct Before {
    /// The latest one, if there was any.
    latest: Option<String>,
    /// Others of the same second. `None` if they were too many to look at.
    tied: Option<Vec<String>>,
}

impl Before {
    pub(crate) fn of(history: &History, latest: Option<&Version>) -> Self {
        let start = |version: &Version| version.id.as_str().chars().take(ID_START).collect();
        let is_tied = |other: &&Version| {
            latest.is_some_and(|latest| other.id != latest.id && other.created >= latest.created)
        };
        let tied: Vec<String> = history.versions.iter().filter(is_tied).map(start).collect();
        Self {
            latest: latest.map(start),
            tied: Some(tied).filter(|tied| history.is_whole && tied.len() <= TIED_MAX),
        }
    }

    pub(crate) fn parse(tag: &str) -> Option<Self> {
        let mut starts = tag.split(' ').map(str::to_owned);
        let latest = starts.next()?;
        let tied: Vec<String> = starts.collect();
        Some(Self {
            latest: Some(latest).filter(|latest| latest != NONE),
            tied: Some(tied).filter(|tied| tied.first().is_none_or(|first| first != MANY)),
        })
    }

    pub(crate) fn to_tag(&self) -> String {
        let latest = self.latest.as_deref().unwrap_or(NONE).to_owned();
        match &self.tied {
            Some(tied) => [&[latest], tied.as_slice()].concat().join(" "),
            None => format!("{latest} {MANY}"),
        }
    }
}

/// What was stored since a value was about to be sent.
pub(crate) struct Since<'h> {
    /// The latest version before.
    latest: Option<&'h Version>,
    /// By others, newest first.
    pub(crate) others: Vec<&'h Version>,
    /// By the write itself, if it is listed yet.
    own: Option<&'h Version>,
}

impl Since<'_> {
    /// The versions of which one was the latest just before the write. Nothing orders those of its
    /// second, unless the write is the `latest` by now.
    pub(crate) fn replaced(&self, latest: Option<&Id>) -> Vec<Id> {
        let ids = |versions: &[&Version]| versions.iter().map(|one| one.id.clone()).collect();
        let is_last = self.own.is_some_and(|own| latest == Some(&own.id));
        let others = self.others.iter().copied();
        let others = others.filter(|other| {
            let is_later = self.own.is_some_and(|own| other.created > own.created);
            !is_later && latest != Some(&other.id)
        });
        let (same, earlier): (Vec<&Version>, Vec<&Version>) =
            others.partition(|other| self.own.is_none_or(|own| other.created == own.created));
        let mut replaced: Vec<Id> = ids(&same);
        if is_last && !replaced.is_empty() {
            return replaced;
        }
        match earlier.first() {
            Some(first) => {
                let newest = earlier.iter().filter(|one| one.created == first.created);
                replaced.extend(newest.map(|one| one.id.clone()));
            }
            None => replaced.extend(self.latest.map(|latest| latest.id.clone())),
        }
        replaced
    }
}

/// The latest of these, newest first, where Key Vault says that it is disabled and not which it is.
pub(crate) fn disabled_latest(versions: &[Version]) -> Option<&Version> {
    let first = versions.first()?;
    let mut newest = versions
        .iter()
        .take_while(|one| one.created == first.created);
    newest.find(|one| !one.is_enabled).or(Some(first))
}

/// The pages that were turned.
#[derive(Default)]
struct Turned(HashSet<String>);

impl Turned {
    /// Whether there is another page behind this link.
    fn goes_on(&mut self, link: Option<String>) -> Answer<bool> {
        let Some(link) = link.filter(|link| !link.is_empty()) else {
            return Ok(false);
        };
        if self.0.len() >= PAGES_MAX || !self.0.insert(link) {
            return Err(Failure::Lost(
                Cause::ServerError,
                "the list does not end".to_owned(),
            ));
        }
        Ok(true)
    }
}

impl Client {
    /// Every version; none of a secret that is not there.
    pub(crate) async fn versions(&self, name: SecretName<'_>) -> Answer<Vec<Version>> {
        Ok(self.history(name, PAGES_MAX).await?.versions)
    }

    /// The versions on the first pages, which are no particular ones.
    pub(crate) async fn history(&self, name: SecretName<'_>, pages_max: usize) -> Answer<History> {
        let options = SecretClientListSecretPropertiesVersionsOptions {
            maxresults: Some(PAGE),
            ..SecretClientListSecretPropertiesVersionsOptions::default()
        };
        let sdk = self.sdk();
        let listed = sdk.list_secret_properties_versions(name.as_str(), Some(options))?;
        let mut pages = listed.into_pages();
        let mut turned = Turned::default();
        let mut history = History::default();
        for _ in 0..pages_max {
            let page = match pages.try_next().await.map_err(Failure::from) {
                Ok(Some(page)) => page.into_model()?,
                Ok(None) => break,
                Err(failure) if failure.is_absent() => {
                    history = History::default();
                    history.is_whole = true;
                    break;
                }
                Err(failure) => return Err(failure),
            };
            let versions = page.value.into_iter();
            history.versions.extend(versions.filter_map(Version::of));
            history.is_whole = !turned.goes_on(page.next_link)?;
            if history.is_whole {
                break;
            }
        }
        shapes::sort(&mut history.versions);
        Ok(history)
    }

    /// Hands each secret to `take`.
    pub(crate) async fn list(&self, mut take: impl FnMut(SecretProperties)) -> Answer<()> {
        let options = SecretClientListSecretPropertiesOptions {
            maxresults: Some(PAGE),
            ..SecretClientListSecretPropertiesOptions::default()
        };
        let mut pages = self
            .sdk()
            .list_secret_properties(Some(options))?
            .into_pages();
        let mut turned = Turned::default();
        while let Some(page) = pages.try_next().await? {
            let page = page.into_model()?;
            page.value.into_iter().for_each(&mut take);
            if !turned.goes_on(page.next_link)? {
                break;
            }
        }
        Ok(())
    }

    /// The rest of a deleted secret, from the list, which also has those whose newest version is
    /// disabled.
    pub(crate) async fn listed_as_deleted(
        &self,
        name: SecretName<'_>,
    ) -> Answer<Option<DeletedSecretProperties>> {
        let options = SecretClientListDeletedSecretPropertiesOptions {
            maxresults: Some(PAGE),
            ..SecretClientListDeletedSecretPropertiesOptions::default()
        };
        let listed = self.sdk().list_deleted_secret_properties(Some(options))?;
        let mut pages = listed.into_pages();
        let mut turned = Turned::default();
        while let Some(page) = pages.try_next().await? {
            let page = page.into_model()?;
            let found = page.value.into_iter().find(|secret| {
                let found = shapes::secret_name(secret.id.as_deref());
                found.is_some_and(|found| folded(found) == name.folded())
            });
            if found.is_some() {
                return Ok(found);
            }
            if !turned.goes_on(page.next_link)? {
                break;
            }
        }
        Ok(None)
    }
}
