//! Names the vault in its errors.

use std::sync::Arc;

use claviger_core::{Detail, Error, Id, Result};

use crate::contract::{Address, Backend, NameWarning, Staged, Write};
use crate::layered::{Layered, Verb};

/// The vault's id.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) inner: Arc<dyn Backend>,
    pub(crate) id: Id,
}

impl Named {
    fn name<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error: Error| error.with(Detail::Vault, &self.id))
    }
}

impl Layered for Named {
    fn inner(&self) -> &dyn Backend {
        &*self.inner
    }

    async fn around<T: Send>(
        &self,
        _: Verb,
        call: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        self.name(call.await)
    }

    async fn stage(&self, address: &Address, write: &Write<'_>) -> Result<Option<Staged>> {
        self.name(self.inner.stage(address, write).await)
    }

    fn check_name(&self, secret: &str) -> Result<Option<NameWarning>> {
        self.name(self.inner.check_name(secret))
    }

    fn check_version(&self, version: &str) -> Result<()> {
        self.name(self.inner.check_version(version))
    }

    fn check_caller_version(&self, version: &Id) -> Result<()> {
        self.name(self.inner.check_caller_version(version))
    }
}
