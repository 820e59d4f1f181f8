//! The only way to a vault's values. Later the cache stands here.

use std::sync::Arc;

use claviger_access::Authorized;
use claviger_backend::Reading;
use claviger_core::{Error, Id, Reason, Result};

use crate::engine::outside::Outside;
use crate::model::definition::Definition;
use crate::model::document::Document;
use crate::model::route::Route;

/// The owner of the way to values.
#[derive(Debug)]
pub(crate) struct Reads {
    outside: Arc<Outside>,
}

impl Reads {
    pub(crate) fn new(outside: Arc<Outside>) -> Self {
        Self { outside }
    }

    /// The document that a route leads to. The managed vault answers from memory, at once.
    ///
    /// # Errors
    /// What the vault says.
    pub(crate) async fn read(&self, proof: &Authorized, route: &Route) -> Result<Document> {
        let version = route.version.as_deref();
        self.read_version(proof, route, version).await
    }

    /// As [`Self::read`], of another version than the route's; `None` is the latest.
    ///
    /// # Errors
    /// What the vault says.
    pub(crate) async fn read_version(
        &self,
        proof: &Authorized,
        route: &Route,
        version: Option<&str>,
    ) -> Result<Document> {
        let reading = match route.vault.is_remote() {
            false => route.vault.read(&route.address, version).await,
            true => {
                let (vault, address) = (Arc::clone(&route.vault), route.address.clone());
                let version = version.map(str::to_owned);
                let read = async move { vault.read(&address, version.as_deref()).await };
                self.outside.call(proof.call().id, read).await
            }
        };
        let Reading { version, value, .. } = reading?;
        Ok(Document { version, value })
    }

    /// The version that a read of the definition gets that names none, also while it cannot be
    /// read: the pinned one, else the vault's latest where others write to it as well, else ours.
    /// `None` if there is none.
    ///
    /// # Errors
    /// What the vault says.
    pub(crate) async fn current(
        &self,
        proof: &Authorized,
        definition: &Definition,
        route: &Route,
    ) -> Result<Option<Id>> {
        match &route.pin {
            // It may be another name of a version.
            Some(pin) => match self.read_version(proof, route, Some(pin)).await {
                Ok(document) => Ok(Some(document.version)),
                // Nor does a list need the right to read values.
                Err(error)
                    if is_unreadable(&error) || error.reason() == Reason::VaultAccessDenied =>
                {
                    Ok(Id::parse("version", pin).ok())
                }
                Err(error) if is_absent(&error) => Ok(None),
                Err(error) => Err(error),
            },
            None if route.vault.capabilities().latest => self.latest(proof, route).await,
            None => Ok(definition.current(&route.place).cloned()),
        }
    }

    /// The vault's latest version, also while it cannot be read.
    ///
    /// # Errors
    /// What the vault says.
    pub(crate) async fn latest(&self, proof: &Authorized, route: &Route) -> Result<Option<Id>> {
        let (vault, address) = (Arc::clone(&route.vault), route.address.clone());
        let asked = async move { vault.latest(&address).await };
        self.outside.call(proof.call().id, asked).await
    }

    /// Up to `limit` versions before this one, newest first.
    ///
    /// # Errors
    /// What the vault says.
    pub(crate) async fn older(
        &self,
        proof: &Authorized,
        route: &Route,
        version: &Id,
        limit: usize,
    ) -> Result<Vec<Id>> {
        let (vault, address) = (Arc::clone(&route.vault), route.address.clone());
        let version = version.clone();
        let asked = async move { vault.versions(&address, Some(&version), limit).await };
        let older = self.outside.call(proof.call().id, asked).await?.into_iter();
        Ok(older.map(|info| info.version).collect())
    }
}

/// Whether there is a version, and its value is not given out.
pub(crate) fn is_unreadable(error: &Error) -> bool {
    matches!(
        error.reason(),
        Reason::IntegrityFailure
            | Reason::ValueExpired
            | Reason::ValueNotReadable
            | Reason::ValueNotYetValid
            | Reason::ValueTooLong
            | Reason::VersionDestroyed
            | Reason::VersionDisabled
    )
}

/// Whether there is no such version, or none at all.
pub(crate) fn is_absent(error: &Error) -> bool {
    matches!(
        error.reason(),
        Reason::SecretDeleted | Reason::SecretNotFound | Reason::VersionNotFound
    )
}
