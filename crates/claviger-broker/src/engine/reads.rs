//! The only way to a vault's values. Later the cache stands here.

use std::sync::Arc;

use claviger_access::Authorized;
use claviger_backend::Reading;
use claviger_core::Result;

use crate::engine::outside::Outside;
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
}
