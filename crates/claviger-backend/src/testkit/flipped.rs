//! The suite's own test: a backend that makes a false claim about itself has to fail it.

use std::sync::Arc;

use async_trait::async_trait;
use claviger_core::{Id, Result, Uid};

use super::{Console, outcome};
use crate::{
    Address, Backend, Capabilities, ListedSecret, Reading, VersionInfo, VersionState, Write,
    Written,
};

/// Every way of getting one capability wrong.
fn flips(able: Capabilities) -> Vec<(&'static str, Capabilities)> {
    // Taken apart, so that a new capability cannot be forgotten here.
    let Capabilities {
        secret,
        property,
        version,
        latest,
        list,
        disable_version,
        destroy_version,
        value_bytes_max,
    } = able;
    let flip = |change: fn(&mut Capabilities, bool), was: bool| {
        let mut flipped = able;
        change(&mut flipped, !was);
        flipped
    };
    let resize = |value_bytes_max| Capabilities {
        value_bytes_max,
        ..able
    };
    vec![
        ("secret", flip(|able, is| able.secret = is, secret)),
        ("property", flip(|able, is| able.property = is, property)),
        ("version", flip(|able, is| able.version = is, version)),
        ("latest", flip(|able, is| able.latest = is, latest)),
        ("list", flip(|able, is| able.list = is, list)),
        (
            "disable_version",
            flip(|able, is| able.disable_version = is, disable_version),
        ),
        (
            "destroy_version",
            flip(|able, is| able.destroy_version = is, destroy_version),
        ),
        ("value_bytes_max, more", resize(value_bytes_max + 1)),
        ("value_bytes_max, less", resize(value_bytes_max - 1)),
    ]
}

/// Runs the suite on a backend once for every false claim it could make; each has to fail.
pub async fn every_false_claim_fails(backend: Arc<dyn Backend>, console: Option<Arc<dyn Console>>) {
    for (name, claimed) in flips(backend.capabilities()) {
        let flipped = Flipped {
            backend: Arc::clone(&backend),
            claimed,
        };
        let outcome = outcome(Arc::new(flipped), console.clone()).await;
        assert!(
            outcome.is_err_and(|error| error.is_panic()),
            "the suite is green although `{name}` is a false claim"
        );
    }
}

/// A backend that claims other capabilities than it has.
#[derive(Debug)]
struct Flipped {
    /// The honest one.
    backend: Arc<dyn Backend>,
    /// What it claims.
    claimed: Capabilities,
}

#[async_trait]
impl Backend for Flipped {
    fn kind(&self) -> &'static str {
        self.backend.kind()
    }
    fn capabilities(&self) -> Capabilities {
        self.claimed
    }
    fn derived_name(&self, project: &str, id: &str, hash: &str) -> String {
        self.backend.derived_name(project, id, hash)
    }
    async fn check(&self) -> Result<()> {
        self.backend.check().await
    }
    async fn read(&self, address: &Address, version: Option<&str>) -> Result<Reading> {
        self.backend.read(address, version).await
    }
    async fn write(&self, address: &Address, write: &Write<'_>) -> Result<Written> {
        self.backend.write(address, write).await
    }
    async fn find_write(&self, address: &Address, write_id: Uid) -> Result<Option<Id>> {
        self.backend.find_write(address, write_id).await
    }
    async fn list(
        &self,
        is_wanted: &(dyn for<'n> Fn(&'n str) -> bool + Sync),
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListedSecret>> {
        self.backend.list(is_wanted, after, limit).await
    }
    async fn versions(
        &self,
        address: &Address,
        after: Option<&Id>,
        limit: usize,
    ) -> Result<Vec<VersionInfo>> {
        self.backend.versions(address, after, limit).await
    }
    async fn set_state(
        &self,
        address: &Address,
        version: &Id,
        state: VersionState,
    ) -> Result<VersionInfo> {
        self.backend.set_state(address, version, state).await
    }
    async fn purge(&self, address: &Address) -> Result<()> {
        self.backend.purge(address).await
    }
}
