//! Installs: the tokens that roll.
//!
//! The only owner of their records. Whoever puts or ends a profile takes the changes from here into
//! its own commit; whoever wants a credential for a job asks [`Installs::access`].

use std::sync::Arc;

use claviger_access::Authorized;
use claviger_core::{Error, Reason, Result, Uid};
use claviger_store::{Batch, Expect, Stored};

use crate::engine::catalog::Catalog;
use crate::engine::catalog::commit::ATTEMPTS;
use crate::engine::forms::{InstallKey, Secrets, install_value};
use crate::engine::found::expect;
use crate::model::install::Install;

/// The owner of the installs.
#[derive(Debug)]
pub(crate) struct Installs {
    catalog: Arc<Catalog>,
}

impl Installs {
    pub(crate) fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog }
    }

    /// The install that is the value of the definition with this uid.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`.
    pub(crate) async fn find(&self, definition: Uid) -> Result<Option<Stored<Install>>> {
        self.catalog.get_own(&definition.to_string()).await
    }

    /// Its secrets.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTEGRITY_FAILURE`, also where there are none.
    pub(crate) async fn secrets(&self, definition: Uid) -> Result<Secrets> {
        let found = self.catalog.secret_own(&install_value(definition)).await?;
        let bytes = found.ok_or_else(|| Error::new(Reason::IntegrityFailure))?;
        Secrets::decode(&bytes)
    }

    /// Adds to a commit that an install is made or replaced, with its secrets. What was stored in
    /// their place is erased.
    ///
    /// # Errors
    /// `INTERNAL` for secrets that are not text.
    pub(crate) fn put(
        &self,
        batch: Batch,
        definition: Uid,
        install: &Install,
        secrets: &Secrets,
        found: Option<&Stored<Install>>,
    ) -> Result<Batch> {
        let value = match found {
            Some(_) => Expect::Any,
            None => Expect::Absent,
        };
        let batch = batch.put(&definition.to_string(), install, expect(found));
        Ok(batch.put_secret(&install_value(definition), &secrets.encode()?, value))
    }

    /// Adds to a commit that an install is gone, with its secrets.
    pub(crate) fn delete(&self, batch: Batch, definition: Uid, found: &Stored<Install>) -> Batch {
        let batch = batch
            .delete::<Install>(&definition.to_string(), expect(Some(found)))
            .delete_secret(&install_value(definition), Expect::Any);
        match self.key_of(&found.record) {
            // Another project's key stays its own.
            Some(key) if found.record.is_claimed => batch.delete::<InstallKey>(&key, Expect::Any),
            Some(_) | None => batch,
        }
    }

    /// Ends the install of a definition that is marked, if it has one.
    ///
    /// # Errors
    /// `CONFLICT`, `STORE_UNAVAILABLE`; a repeat goes on.
    pub(crate) async fn end(&self, _: &Authorized, definition: Uid) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let Some(found) = self.find(definition).await? else {
                return Ok(());
            };
            let batch = self.delete(Batch::new(), definition, &found);
            if self.catalog.commit_own(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(Error::new(Reason::Conflict))
    }

    /// The key under which no two projects have the same install; `None` before it is known.
    fn key_of(&self, install: &Install) -> Option<String> {
        let account = install.account.as_deref()?;
        let mode = install.mode?;
        let parts = [
            install.flavor.as_str(),
            &install.client_id,
            account,
            mode.as_str(),
        ];
        let key = self.catalog.mac("install", &parts.map(str::as_bytes));
        Some(claviger_seal::hex(&key))
    }
}
