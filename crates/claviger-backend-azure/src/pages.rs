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

/// Versions of a secret, newest first.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) versions: Vec<Version>,
    /// Whether these are all there are.
    pub(crate) is_whole: bool,
}

impl History {
    /// The version that was the latest before this one, if its second tells it from all others.
    pub(crate) fn predecessor(&self, version: &Version) -> Option<Id> {
        let others = self.versions.iter().filter(|other| other.id != version.id);
        let mut earlier = others.filter(|other| other.created <= version.created);
        let newest = earlier.next().filter(|_| self.is_whole)?;
        match earlier.next() {
            Some(next) if next.created == newest.created => None,
            Some(_) | None => Some(newest.id.clone()),
        }
    }
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
