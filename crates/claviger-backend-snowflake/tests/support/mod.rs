//! A Snowflake of ours with its table, and vaults in it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use claviger_backend::{Address, Written, testkit};
use claviger_backend_snowflake::{Grantee, Reader, Snowflake, SnowflakeSettings, Storage};
use claviger_core::{Id, Result, SystemClock, Uid};
use claviger_seal::{Keyring, RootKey};
use tempfile::TempDir;

pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// What an administrator runs.
const SETUP: &str = include_str!("../../../../deploy/snowflake/setup.sql");

/// An account with a key on disk.
pub(crate) struct Account {
    pub(crate) fake: Arc<claviger_snowflake_fake::Snowflake>,
    directory: TempDir,
    keyring: Arc<Keyring>,
}

impl Account {
    pub(crate) fn start() -> Self {
        let fake = claviger_snowflake_fake::Snowflake::start();
        let directory = tempfile::tempdir().expect("a directory");
        let account = Self {
            keyring: Arc::new(
                Keyring::generate(&RootKey::generate())
                    .expect("a keyring")
                    .0,
            ),
            fake: Arc::new(fake),
            directory,
        };
        account.write("key.pem", &account.fake.private_key_pem(None));
        let statements = SETUP.split(";\n");
        let table = statements.filter_map(|text| Some(text.split_once("CREATE TABLE ")?.1));
        for rest in table {
            account.fake.console(&format!("CREATE TABLE {rest}"));
        }
        account
    }

    /// Which Claviger the vaults are of.
    pub(crate) fn store(&self) -> Uid {
        self.keyring.store_id()
    }

    /// Writes a file that only its owner may read.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
        path
    }

    pub(crate) fn settings(&self, storage: Storage) -> SnowflakeSettings {
        let fake = &self.fake;
        SnowflakeSettings {
            account: fake.account().to_owned(),
            base_url: Some(fake.base_url()),
            user: fake.user().to_owned(),
            private_key_file: self.directory.path().join("key.pem"),
            role: fake.role().to_owned(),
            warehouse: Some(fake.warehouse().to_owned()),
            database: fake.database().to_owned(),
            schema: fake.schema().to_owned(),
            storage: Some(storage),
            ..SnowflakeSettings::default()
        }
    }

    /// Secret objects that are read back.
    pub(crate) fn readable(&self) -> SnowflakeSettings {
        SnowflakeSettings {
            reader: Some(Reader {
                schema: self.fake.readers_schema().to_owned(),
                integration: self.fake.integration().to_owned(),
            }),
            grantee: Some(Grantee::Application(self.fake.application().to_owned())),
            ..self.settings(Storage::SecretObjects)
        }
    }

    pub(crate) fn vault(&self, settings: &SnowflakeSettings) -> Snowflake {
        self.vault_with(settings, TIMEOUT)
    }

    pub(crate) fn vault_with(&self, settings: &SnowflakeSettings, timeout: Duration) -> Snowflake {
        assert_eq!(settings.problems(), []);
        let id = Id::from_static("snow");
        let keyring = Arc::clone(&self.keyring);
        Snowflake::new(id, settings, keyring, timeout, Arc::new(SystemClock)).expect("set up")
    }
}

/// The name of the reader procedure of a secret.
pub(crate) fn reader_name(store: Uid, database: &str, schema: &str, secret: &str) -> String {
    let mut parts = Vec::new();
    let quoted = format!("\"{database}\".\"{schema}\"");
    for part in [store.to_string().as_str(), &quoted, secret] {
        parts.extend((part.len() as u64).to_be_bytes());
        parts.extend(part.as_bytes());
    }
    let hash = claviger_seal::hex(&claviger_seal::sha256(&parts));
    format!("CLAVIGER_{}", hash.to_ascii_uppercase())
}

pub(crate) async fn put(vault: &Snowflake, address: &Address, text: &str) -> Result<Written> {
    testkit::put(vault, address, text, false).await
}
