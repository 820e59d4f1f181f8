//! Where things are in Snowflake, and the grants that an administrator has to make there.

use claviger_core::Uid;
use claviger_seal::{hex, sha256};

use crate::SnowflakeSettings;
use crate::sql::{Advice, Ident};

/// A schema, and all that belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// `"DB"."SCHEMA"`.
    pub(crate) schema: String,
    /// The schema of the reader procedures.
    pub(crate) readers: Option<String>,
    /// Whose the reader procedures are.
    store: Uid,
    /// The integration that they need.
    pub(crate) integration: String,
    /// The role that Claviger is, quoted.
    pub(crate) role: String,
}

impl Place {
    pub(crate) fn of(settings: &SnowflakeSettings, store: Uid) -> Self {
        let database = Ident(&settings.database);
        let reader = settings.reader.as_ref();
        Self {
            schema: format!("{database}.{}", Ident(&settings.schema)),
            store,
            readers: reader.map(|reader| format!("{database}.{}", Ident(&reader.schema))),
            integration: reader
                .map(|reader| Ident(&reader.integration).to_string())
                .unwrap_or_default(),
            role: Ident(&settings.role).to_string(),
        }
    }

    /// The whole name of something in the schema.
    pub(crate) fn qualified(&self, name: &str) -> String {
        format!("{}.{}", self.schema, Ident(name))
    }

    /// The whole name of a secret's reader procedure. Other stores, and vaults with other schemas,
    /// may keep theirs in the same one: no two secrets have one name there, or one would be read
    /// for the other.
    pub(crate) fn reader(&self, secret: &str) -> Option<String> {
        let readers = self.readers.as_ref()?;
        let store = self.store.to_string();
        let mut parts = Vec::new();
        for part in [&store, &self.schema, secret] {
            parts.extend_from_slice(&(part.len() as u64).to_be_bytes());
            parts.extend_from_slice(part.as_bytes());
        }
        let name = format!("CLAVIGER_{}", hex(&sha256(&parts)).to_ascii_uppercase());
        Some(format!("{readers}.{}", Ident(&name)))
    }

    /// The statement that an administrator has to run for Claviger's role.
    pub(crate) fn grant(&self, privileges: &str, on: &str) -> Advice {
        let role = &self.role;
        Advice(format!(
            "as an administrator run GRANT {privileges} ON {on} TO ROLE {role} \
             (deploy/snowflake/setup.sql has all of them)"
        ))
    }
}
