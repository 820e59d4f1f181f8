//! The contract of `claviger-backend`, kept with Azure Key Vault.

use async_trait::async_trait;
use claviger_backend::{
    Address, Backend, Capabilities, ListedSecret, Listing, NameWarning, Reading, Site, VersionInfo,
    VersionState, Write, Written,
};
use claviger_core::{Cause, Error, Id, Reason, Result, Uid};
use tokio::time::timeout;

use crate::error::Failure;
use crate::name::{self, SecretName, check_version, folded};
use crate::shapes::{self, TAG_STORE, VALUE_BYTES_MAX, Version, has_tag, time};
use crate::vault::Azure;
use crate::write::check_managed;

/// Azure's quota of transactions on secrets, 4,000 in ten seconds, per vault and region.
const CALLS_PER_SECOND: u32 = 400;

#[async_trait]
impl Backend for Azure {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            secret: true,
            property: true,
            version: true,
            latest: true,
            list: true,
            disable_version: true,
            destroy_version: false,
            value_bytes_max: VALUE_BYTES_MAX,
        }
    }

    fn calls_per_second(&self) -> Option<u32> {
        Some(CALLS_PER_SECOND)
    }

    fn check_name(&self, secret: &str) -> Result<Option<NameWarning>> {
        SecretName::parse(secret).map(|_| None)
    }

    fn check_version(&self, version: &str) -> Result<()> {
        match check_version(version) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(Reason::LocationInvalid).violation(
                "location.version",
                "is not a version of Key Vault's; they have 32 characters of 0-9 a-f",
            )),
        }
    }

    fn derived_name(&self, project: &str, id: &str, hash: &str) -> String {
        name::derived(project, id, hash)
    }

    fn fold(&self, secret: &str) -> String {
        folded(secret)
    }

    fn site(&self, secret: &str) -> Option<Site> {
        Some(Site {
            system: self.client().url().to_string().to_ascii_lowercase(),
            account: None,
            secret: self.place_name(secret),
        })
    }

    fn credentials(&self) -> String {
        self.credentials().to_owned()
    }

    async fn check(&self) -> Result<()> {
        match self.client().ask().await {
            Ok(()) => Ok(()),
            // Azure denies this only to credentials that it takes: they may read single secrets.
            Err(failure) if failure.is_denied() => Ok(()),
            Err(failure) => Err(failure.into_read_error()),
        }
    }

    async fn read(&self, address: &Address, version: Option<&str>) -> Result<Reading> {
        let name = SecretName::parse(&address.secret)?;
        let version = version.map(check_version).transpose()?;
        match self.client().get(name, version).await {
            Ok(secret) => {
                let reading = shapes::reading(secret, self.now())?;
                if version.is_some_and(|version| version != reading.version.as_str()) {
                    return Err(Error::unreachable(Cause::ServerError)
                        .caused_by("Key Vault answered with another version"));
                }
                Ok(reading)
            }
            Err(failure) if failure.is_absent() => {
                Err(self.absent(name, failure, version.is_some()).await)
            }
            Err(failure) => Err(failure.into_read_error()),
        }
    }

    async fn write(&self, address: &Address, write: &Write<'_>) -> Result<Written> {
        self.store(address, write).await
    }

    async fn find_write(&self, address: &Address, write_id: Uid) -> Result<Option<Id>> {
        self.find(SecretName::parse(&address.secret)?, write_id)
            .await
    }

    async fn list(
        &self,
        is_wanted: &(dyn for<'n> Fn(&'n str) -> bool + Sync),
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListedSecret>> {
        // No promise of an order, so all pages are looked at.
        let mut found = Listing::new(is_wanted, after, limit).folding(folded);
        let listed = self.client().list(|secret| {
            let Some(name) = shapes::secret_name(secret.id.as_deref()) else {
                return;
            };
            let attributes = secret.attributes.unwrap_or_default();
            let tags = secret.tags.unwrap_or_default();
            found.add(ListedSecret {
                name: name.to_owned(),
                is_ours: has_tag(&tags, TAG_STORE, self.store_id()),
                change_time: time(attributes.updated.or(attributes.created)),
            });
        });
        let listed = listed.await;
        listed.map_err(Failure::into_read_error)?;
        Ok(found.into_page())
    }

    async fn versions(
        &self,
        address: &Address,
        after: Option<&Id>,
        limit: usize,
    ) -> Result<Vec<VersionInfo>> {
        let versions = self.all_versions(&address.secret).await?;
        let infos = versions.iter().map(Version::info).collect();
        Ok(VersionInfo::page(infos, after, limit))
    }

    async fn latest(&self, address: &Address) -> Result<Option<Id>> {
        let name = SecretName::parse(&address.secret)?;
        self.latest_of(name).await.map_err(Failure::into_read_error)
    }

    async fn replaced(&self, address: &Address, version: &Id) -> Result<Option<Vec<Id>>> {
        let name = SecretName::parse(&address.secret)?;
        // A write is settled whether this can be told or not.
        let outcome = self.outcome(name, None, version);
        let Ok(outcome) = timeout(self.timeout() / 2, outcome).await else {
            return Ok(None);
        };
        let outcome = outcome.map_err(Failure::into_read_error)?;
        Ok(outcome.map(|(replaced, _)| replaced))
    }

    async fn set_state(
        &self,
        address: &Address,
        version: &Id,
        state: VersionState,
    ) -> Result<VersionInfo> {
        let is_enabled = match state {
            VersionState::Destroyed => return Err(state.unsupported()),
            VersionState::Disabled => false,
            VersionState::Enabled => true,
        };
        let name = SecretName::parse(&address.secret)?;
        let id = check_version(version.as_str())?;
        let versions = self.all_versions(&address.secret).await?;
        let found = versions.iter().find(|one| one.id == *version);
        let found = found.ok_or_else(|| Error::new(Reason::VersionNotFound))?;
        check_managed(found.is_managed)?;
        if !self.owns(&versions, None, address) {
            return Err(Error::new(Reason::SecretNotOwned));
        }
        let enabled = self.client().enable(name, id, is_enabled).await;
        enabled.map_err(Failure::into_read_error)?;
        Ok(VersionInfo {
            state,
            ..found.info()
        })
    }

    async fn purge(&self, _: &Address) -> Result<()> {
        Ok(())
    }
}
