//! What an administrator does past Claviger.

use std::sync::Arc;

use async_trait::async_trait;
use claviger_backend::testkit::Console;
use claviger_core::Uid;

use crate::support::{Account, reader_name};

/// An administrator.
pub(crate) struct SnowflakeConsole {
    fake: Arc<claviger_snowflake_fake::Snowflake>,
    store: Uid,
}

impl SnowflakeConsole {
    pub(crate) fn of(account: &Account) -> Self {
        Self {
            fake: Arc::clone(&account.fake),
            store: account.store(),
        }
    }
}

#[async_trait]
impl Console for SnowflakeConsole {
    async fn put(&self, secret: &str, text: &str) {
        let fake = &self.fake;
        fake.put_secret(fake.schema(), secret, text);
        // What `setup.sql` tells administrators to do for secrets of theirs.
        let reader = reader_name(self.store, fake.database(), fake.schema(), secret);
        let reader = fake.qualified(fake.readers_schema(), &reader);
        let name = fake.qualified(fake.schema(), secret);
        fake.console(&format!(
            "CREATE OR REPLACE PROCEDURE {reader}() RETURNS VARCHAR LANGUAGE PYTHON \
             RUNTIME_VERSION = '3.12' PACKAGES = ('snowflake-snowpark-python') HANDLER = 'read' \
             EXTERNAL_ACCESS_INTEGRATIONS = ({}) SECRETS = ('value' = {name}) AS $$
import _snowflake

def read(session):
    return _snowflake.get_generic_secret_string('value')
$$",
            fake.integration()
        ));
        fake.console(&format!(
            "GRANT USAGE ON PROCEDURE {reader}() TO ROLE {}",
            fake.role()
        ));
    }

    async fn delete(&self, secret: &str) {
        self.fake.drop_secret(self.fake.schema(), secret);
    }

    fn can_restore(&self) -> bool {
        false
    }
}
