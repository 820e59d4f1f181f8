//! The kind as the daemon sees it.

use std::sync::Arc;

use async_trait::async_trait;
use claviger_backend::{Allow, Backend, BackendKind, BackendSettings, Opening};
use claviger_core::Result;
use claviger_settings::SettingsProblem;

use crate::{Aws, AwsSettings};

/// AWS Secrets Manager.
pub const KIND: BackendKind = BackendKind {
    name: Aws::KIND,
    read: |table| Box::new(AwsSettings::read(table)),
};

#[async_trait]
impl BackendSettings for AwsSettings {
    fn warnings(&self, allow: &Allow) -> Vec<SettingsProblem> {
        self.warnings(allow)
    }

    async fn open(&self, opening: Opening) -> Result<Arc<dyn Backend>> {
        let store_id = opening.keyring.store_id();
        Ok(Arc::new(
            Aws::new(self, store_id, opening.timeout, opening.clock).await,
        ))
    }
}
