//! The kind as the daemon sees it, which looks into the files before it starts.

use std::sync::Arc;

use async_trait::async_trait;
use claviger_backend::{Allow, Backend, BackendKind, BackendSettings, Opening};
use claviger_core::Result;
use claviger_settings::{SettingsProblem, Table};

use crate::key::{Key, KeyProblem};
use crate::{Snowflake, SnowflakeSettings};

/// A Snowflake schema.
pub const KIND: BackendKind = BackendKind {
    name: Snowflake::KIND,
    read: |table| Box::new(read(table)),
};

/// Files are looked into when all else is right.
fn read(table: &mut Table<'_>) -> SnowflakeSettings {
    let settings = SnowflakeSettings::read(table);
    if settings.problems().is_empty() {
        table.report(settings.file_problems());
    }
    settings
}

#[async_trait]
impl BackendSettings for SnowflakeSettings {
    fn warnings(&self, _: &Allow) -> Vec<SettingsProblem> {
        self.warnings()
    }

    async fn open(&self, opening: Opening) -> Result<Arc<dyn Backend>> {
        let Opening {
            id,
            keyring,
            timeout,
            clock,
        } = opening;
        Ok(Arc::new(Snowflake::new(id, self, keyring, timeout, clock)?))
    }
}

impl SnowflakeSettings {
    /// Problems with the files that hold the key; for a daemon that is about to start. They are
    /// read again at every login, so that they can be replaced.
    pub fn file_problems(&self) -> Vec<SettingsProblem> {
        let password = self.private_key_password_file.as_deref();
        let found = Key::read(&self.private_key_file, password).err();
        let problem = |found: KeyProblem| SettingsProblem {
            key: found.setting,
            remedy: found.remedy,
        };
        found.into_iter().map(problem).collect()
    }
}
