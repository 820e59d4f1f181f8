//! The same suite against a real account, for anyone who asks for it: `deploy/live/snowflake.sh`.
//!
//! Ignored unless asked for by name, and then it wants an account. Keeps to a database of its own
//! and drops what it made. So that it works on the day it is needed, every run of the tests tries it
//! on the emulator.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use claviger_backend::Backend as _;
use claviger_backend::testkit::{self, Console};
use claviger_backend_snowflake::{Reader, Snowflake, SnowflakeSettings, Storage};
use claviger_core::{Id, SystemClock, Uid};
use claviger_seal::{Keyring, RootKey};
use snowflake_connector_rs::{
    AuthConfig, CellValue, Client, ClientConfig, DynamicRow, EndpointConfig, KeyPairConfig,
    Session, SessionConfig,
};

use crate::support::{Account, TIMEOUT, reader_name};

const ACCOUNT: &str = "CLAVIGER_LIVE_SNOWFLAKE_ACCOUNT";
const KEY: &str = "CLAVIGER_LIVE_SNOWFLAKE_KEY";

/// How the names of the suite begin.
const PREFIX: &str = "CONFORMANCE_";

/// The account, as the role itself uses it.
struct Live {
    settings: SnowflakeSettings,
    store: Uid,
    session: Session,
}

impl Live {
    async fn log_in(settings: SnowflakeSettings, store: Uid) -> Self {
        let pem = std::fs::read_to_string(&settings.private_key_file).expect("a key");
        let session = SessionConfig::new()
            .with_role(settings.role.as_str())
            .with_warehouse(settings.warehouse.clone().expect("one"))
            .with_database(settings.database.as_str())
            .with_schema(settings.schema.as_str());
        let auth = AuthConfig::key_pair(KeyPairConfig::from_pem(pem));
        let config = ClientConfig::new(settings.user.as_str(), settings.account.as_str(), auth);
        let config = match settings.base_url.as_deref() {
            Some(url) => {
                config.with_endpoint(EndpointConfig::custom_base_url(url.parse().expect("a URL")))
            }
            None => config,
        };
        let client = Client::new(config.with_session(session)).expect("set up");
        Self {
            session: client.create_session().await.expect("logged in"),
            settings,
            store,
        }
    }

    async fn run(&self, sql: String) -> Vec<DynamicRow> {
        let cursor = self.session.query(sql).await.expect("executed");
        cursor.collect().await.expect("read")
    }

    fn qualified(&self, schema: &str, name: &str) -> String {
        format!("\"{}\".\"{schema}\".\"{name}\"", self.settings.database)
    }

    fn secret(&self, name: &str) -> String {
        self.qualified(&self.settings.schema, name)
    }

    /// The whole name of a secret's reader procedure.
    fn procedure(&self, secret: &str) -> String {
        let (database, schema) = (&self.settings.database, &self.settings.schema);
        let name = reader_name(self.store, database, schema, secret);
        self.qualified(&self.reader().schema, &name)
    }

    fn reader(&self) -> &Reader {
        self.settings.reader.as_ref().expect("one")
    }

    async fn secrets(&self) -> Vec<String> {
        let (database, schema) = (&self.settings.database, &self.settings.schema);
        let rows = self
            .run(format!(
                "SHOW SECRETS IN SCHEMA \"{database}\".\"{schema}\""
            ))
            .await;
        let names = rows.iter().map(|row| {
            let name = row.value("name").expect("a name");
            let CellValue::String(name) = name else {
                panic!("no name: {name:?}")
            };
            name.clone()
        });
        names.collect()
    }

    /// Drops what the suite made.
    async fn clean(&self) {
        for name in self.secrets().await {
            if name.starts_with(PREFIX) {
                self.delete(&name).await;
                let procedure = self.procedure(&name);
                self.run(format!("DROP PROCEDURE IF EXISTS {procedure}()"))
                    .await;
            }
        }
        let table = self.secret("CLAVIGER_SEALED");
        self.run(format!(
            "DELETE FROM {table} WHERE STARTSWITH(SECRET, '{PREFIX}')"
        ))
        .await;
    }
}

#[async_trait]
impl Console for Live {
    async fn put(&self, secret: &str, text: &str) {
        let name = self.secret(secret);
        if self.secrets().await.iter().any(|known| known == secret) {
            self.run(format!("ALTER SECRET {name} SET SECRET_STRING = '{text}'"))
                .await;
            return;
        }
        self.run(format!(
            "CREATE SECRET {name} TYPE = GENERIC_STRING SECRET_STRING = '{text}'"
        ))
        .await;
        let procedure = self.procedure(secret);
        self.run(format!(
            "CREATE OR REPLACE PROCEDURE {procedure}() RETURNS VARCHAR LANGUAGE PYTHON \
             RUNTIME_VERSION = '3.12' PACKAGES = ('snowflake-snowpark-python') HANDLER = 'read' \
             EXTERNAL_ACCESS_INTEGRATIONS = (\"{}\") SECRETS = ('value' = {name}) AS $$
import _snowflake

def read(session):
    return _snowflake.get_generic_secret_string('value')
$$",
            self.reader().integration
        ))
        .await;
    }

    async fn delete(&self, secret: &str) {
        self.run(format!("DROP SECRET {}", self.secret(secret)))
            .await;
    }

    fn can_restore(&self) -> bool {
        false
    }
}

async fn keeps_the_contract(settings: SnowflakeSettings) {
    let keyring = Arc::new(
        Keyring::generate(&RootKey::generate())
            .expect("a keyring")
            .0,
    );
    let live = Arc::new(Live::log_in(settings.clone(), keyring.store_id()).await);
    let vault = |storage| {
        let settings = SnowflakeSettings {
            storage: Some(storage),
            reader: settings
                .reader
                .clone()
                .filter(|_| storage == Storage::SecretObjects),
            ..settings.clone()
        };
        assert_eq!(settings.problems(), []);
        let (id, keyring) = (Id::from_static("live"), Arc::clone(&keyring));
        Snowflake::new(id, &settings, keyring, TIMEOUT, Arc::new(SystemClock)).expect("set up")
    };
    for storage in [Storage::SealedTable, Storage::SecretObjects] {
        let vault = Arc::new(vault(storage));
        let listed = vault.list(&|_| true, None, 1).await.expect("listed");
        assert!(listed.is_empty(), "{storage:?}: the schema is not empty");
        let console = match storage {
            Storage::SealedTable => None,
            Storage::SecretObjects => Some(Arc::clone(&live) as Arc<dyn Console>),
        };
        let outcome = testkit::outcome(vault, console).await;
        live.clean().await;
        outcome.expect("the contract is kept");
    }
    assert_eq!(live.secrets().await, [""; 0], "left behind");
}

#[tokio::test]
#[ignore = "asks a real account: deploy/live/snowflake.sh"]
async fn a_real_account_keeps_the_contract() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the environment rule is the daemon's"
    )]
    let given = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    keeps_the_contract(SnowflakeSettings {
        account: given(ACCOUNT),
        user: "CLAVIGER_SVC".to_owned(),
        private_key_file: PathBuf::from(given(KEY)),
        role: "CLAVIGER".to_owned(),
        warehouse: Some("CLAVIGER_WH".to_owned()),
        database: "CLAVIGER_LIVE".to_owned(),
        reader: Some(Reader {
            schema: "READERS".to_owned(),
            integration: "CLAVIGER_EAI".to_owned(),
        }),
        ..SnowflakeSettings::default()
    })
    .await;
}

#[tokio::test]
async fn the_live_test_works_on_the_emulator_and_leaves_nothing() {
    let account = Account::start();
    let settings = SnowflakeSettings {
        grantee: None,
        ..account.readable()
    };
    keeps_the_contract(settings).await;
    assert_eq!(account.fake.secret_names("SECRETS"), [""; 0]);
    assert_eq!(account.fake.procedure_names("READERS"), [""; 0]);
    assert_eq!(
        account
            .fake
            .rows("\"BROKER\".\"SECRETS\".\"CLAVIGER_SEALED\"", "TRUE"),
        0
    );
}
