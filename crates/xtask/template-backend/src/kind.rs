//! The kind as the daemon sees it.

use std::sync::Arc;

use async_trait::async_trait;
use claviger_backend::{Backend, BackendKind, BackendSettings, Opening};
use claviger_core::Result;

use crate::{Newkind, NewkindSettings};

/// Name the system here.
pub const KIND: BackendKind = BackendKind {
    name: Newkind::KIND,
    read: |table| Box::new(NewkindSettings::read(table)),
};

#[async_trait]
impl BackendSettings for NewkindSettings {
    async fn open(&self, _: Opening) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(Newkind::new(self)))
    }
}
