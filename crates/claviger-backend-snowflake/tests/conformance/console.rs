//! What an administrator does past Claviger.

use std::sync::Arc;

use async_trait::async_trait;
use claviger_backend::testkit::Console;

/// An administrator.
pub(crate) struct SnowflakeConsole(pub(crate) Arc<claviger_snowflake_fake::Snowflake>);

#[async_trait]
impl Console for SnowflakeConsole {
    async fn put(&self, secret: &str, text: &str) {
        let fake = &self.0;
        fake.put_secret(fake.schema(), secret, text);
        // What `setup.sql` tells administrators to do for secrets of theirs.
        let reader = fake.qualified(fake.readers_schema(), secret);
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
        self.0.drop_secret(self.0.schema(), secret);
    }

    fn can_restore(&self) -> bool {
        false
    }
}
