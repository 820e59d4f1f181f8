//! For tests: a vault that hangs.

use async_trait::async_trait;
use claviger_core::{Id, Result, Uid};

use crate::contract::{
    Address, Backend, Capabilities, Reading, Site, VersionInfo, VersionState, Write, Written,
};

/// Never answers, and can do nothing.
#[derive(Debug, Default)]
pub(crate) struct Silent {
    account: Option<String>,
}

impl Silent {
    /// In this account.
    pub(crate) fn of(account: Option<String>) -> Self {
        Self { account }
    }
}

#[async_trait]
impl Backend for Silent {
    fn kind(&self) -> &'static str {
        "silent"
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            secret: false,
            property: false,
            version: false,
            latest: false,
            list: false,
            disable_version: false,
            destroy_version: false,
            value_bytes_max: 1,
        }
    }
    fn plain_name<'a>(&self, secret: &'a str) -> Option<&'a str> {
        (!secret.starts_with("arn:")).then_some(secret)
    }
    fn site(&self, secret: &str) -> Option<Site> {
        Some(Site {
            system: "silent".to_owned(),
            account: self.account.clone(),
            secret: secret.to_owned(),
        })
    }
    async fn check(&self) -> Result<()> {
        std::future::pending().await
    }
    async fn read(&self, _: &Address, _: Option<&str>) -> Result<Reading> {
        std::future::pending().await
    }
    async fn write(&self, _: &Address, _: &Write<'_>) -> Result<Written> {
        std::future::pending().await
    }
    async fn find_write(&self, _: &Address, _: Uid) -> Result<Option<Id>> {
        std::future::pending().await
    }
    async fn versions(&self, _: &Address, _: Option<&Id>, _: usize) -> Result<Vec<VersionInfo>> {
        std::future::pending().await
    }
    async fn set_state(&self, _: &Address, _: &Id, _: VersionState) -> Result<VersionInfo> {
        std::future::pending().await
    }
    async fn purge(&self, _: &Address) -> Result<()> {
        std::future::pending().await
    }
}
