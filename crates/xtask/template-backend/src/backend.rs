//! The contract of `claviger-backend`, to be kept with the vault.

use std::fmt;

use async_trait::async_trait;
use claviger_backend::{
    Address, Backend, Capabilities, Reading, VersionInfo, VersionState, Write, Written,
};
use claviger_core::{Id, Result, Uid};

use crate::NewkindSettings;
use crate::error::Failure;

/// Longest value, in bytes.
const VALUE_BYTES_MAX: usize = 65_536;

/// The backend of kind `newkind`.
pub struct Newkind {
    endpoint_url: String,
}

impl Newkind {
    /// The kind, as in the configuration.
    pub const KIND: &'static str = "newkind";

    /// A vault with settings that [`NewkindSettings::problems`] finds nothing wrong with. Asks
    /// nobody: the vault may be down.
    pub fn new(settings: &NewkindSettings) -> Self {
        Self {
            endpoint_url: settings.endpoint_url.clone(),
        }
    }
}

#[async_trait]
impl Backend for Newkind {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    /// Claims only what no vault of others is without. The suite proves each claim, so make one when
    /// the call behind it is written.
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            secret: true,
            property: false,
            version: false,
            latest: true,
            list: false,
            disable_version: false,
            destroy_version: false,
            value_bytes_max: VALUE_BYTES_MAX,
        }
    }

    async fn check(&self) -> Result<()> {
        Err(Failure::NotWritten("check").into_error())
    }

    async fn read(&self, _: &Address, _: Option<&str>) -> Result<Reading> {
        Err(Failure::NotWritten("read").into_error())
    }

    async fn write(&self, _: &Address, _: &Write<'_>) -> Result<Written> {
        Err(Failure::NotWritten("write").into_error())
    }

    async fn find_write(&self, _: &Address, _: Uid) -> Result<Option<Id>> {
        Err(Failure::NotWritten("find_write").into_error())
    }

    async fn versions(
        &self,
        _: &Address,
        _after: Option<&Id>,
        _limit: usize,
    ) -> Result<Vec<VersionInfo>> {
        Err(Failure::NotWritten("versions").into_error())
    }

    async fn set_state(&self, _: &Address, _: &Id, _: VersionState) -> Result<VersionInfo> {
        Err(Failure::NotWritten("set_state").into_error())
    }

    async fn purge(&self, _: &Address) -> Result<()> {
        Err(Failure::NotWritten("purge").into_error())
    }
}

impl fmt::Debug for Newkind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Newkind")
            .field("endpoint_url", &self.endpoint_url)
            .finish_non_exhaustive()
    }
}
