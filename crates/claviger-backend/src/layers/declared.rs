//! Holds calls to the capabilities that the backend declares, and answers to what was asked for, so
//! that no backend has to.

use std::sync::Arc;

use claviger_core::{Detail, Error, Id, Reason, Result};

use crate::contract::{
    Address, Backend, Reading, Staged, VersionInfo, VersionState, Write, Written,
};
use crate::layered::Layered;

/// Lets through no value of another secret than asked for, none, either way, that is longer than
/// declared, and no change of a version that is not.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) inner: Arc<dyn Backend>,
}

impl Layered for Declared {
    fn inner(&self) -> &dyn Backend {
        &*self.inner
    }

    async fn read(&self, address: &Address, version: Option<&str>) -> Result<Reading> {
        let reading = self.inner.read(address, version).await?;
        let place = |secret: &str| self.inner.place_name(secret);
        if place(&reading.secret) != place(&address.secret) {
            return Err(Error::new(Reason::SecretNotFound)
                .caused_by("the vault answered with another secret"));
        }
        self.check_len(reading.value.len(), Reason::ValueTooLong)?;
        Ok(reading)
    }

    async fn write(&self, address: &Address, write: &Write<'_>) -> Result<Written> {
        self.check_len(write.value.len(), Reason::PayloadTooLarge)?;
        self.inner.write(address, write).await
    }

    async fn stage(&self, address: &Address, write: &Write<'_>) -> Result<Option<Staged>> {
        let staged = self.inner.stage(address, write).await?;
        if staged.is_some() {
            self.check_len(write.value.len(), Reason::PayloadTooLarge)?;
        }
        Ok(staged)
    }

    async fn set_state(
        &self,
        address: &Address,
        version: &Id,
        state: VersionState,
    ) -> Result<VersionInfo> {
        let able = self.inner.capabilities();
        let is_able = match state {
            VersionState::Destroyed => able.destroy_version,
            VersionState::Disabled | VersionState::Enabled => able.disable_version,
        };
        match is_able {
            true => self.inner.set_state(address, version, state).await,
            false => Err(state.unsupported()),
        }
    }
}

impl Declared {
    fn check_len(&self, len: usize, too_long: Reason) -> Result<()> {
        let limit = self.inner.capabilities().value_bytes_max;
        match len > limit {
            true => Err(Error::new(too_long).with(Detail::Limit, limit)),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use claviger_core::{Format, SecretBytes, Uid};
    use claviger_store::Batch;

    use super::*;
    use crate::contract::Capabilities;

    /// Declares a byte, and keeps and serves whatever it gets.
    #[derive(Debug, Default)]
    struct Careless(Mutex<usize>);

    /// The secret that it serves whatever it is asked for. It ignores case.
    const SERVED: &str = "Served";

    #[async_trait]
    impl Backend for Careless {
        fn kind(&self) -> &'static str {
            "careless"
        }
        fn capabilities(&self) -> Capabilities {
            Capabilities {
                secret: false,
                property: false,
                version: false,
                latest: false,
                list: false,
                disable_version: true,
                destroy_version: false,
                value_bytes_max: 1,
            }
        }
        fn fold(&self, secret: &str) -> String {
            secret.to_ascii_lowercase()
        }
        async fn check(&self) -> Result<()> {
            Ok(())
        }
        async fn read(&self, _: &Address, _: Option<&str>) -> Result<Reading> {
            let len = *self.0.lock().expect("nobody panics with it");
            let value = SecretBytes::new(vec![b'v'; len]);
            Ok(Reading::new(SERVED.to_owned(), Id::from_static("1"), value))
        }
        async fn write(&self, _: &Address, write: &Write<'_>) -> Result<Written> {
            *self.0.lock().expect("nobody panics with it") = write.value.len();
            Ok(Written::new(Id::from_static("1")))
        }
        async fn stage(&self, _: &Address, _: &Write<'_>) -> Result<Option<Staged>> {
            Ok(Some(Staged {
                version: Id::from_static("1"),
                replaced: None,
                batch: Batch::new(),
            }))
        }
        async fn find_write(&self, _: &Address, _: Uid) -> Result<Option<Id>> {
            Ok(None)
        }
        async fn versions(
            &self,
            _: &Address,
            _: Option<&Id>,
            _: usize,
        ) -> Result<Vec<VersionInfo>> {
            Ok(Vec::new())
        }
        async fn set_state(
            &self,
            _: &Address,
            version: &Id,
            state: VersionState,
        ) -> Result<VersionInfo> {
            Ok(VersionInfo {
                version: version.clone(),
                state,
                create_time: std::time::SystemTime::UNIX_EPOCH,
            })
        }
        async fn purge(&self, _: &Address) -> Result<()> {
            Ok(())
        }
    }

    fn address() -> Address {
        Address {
            project: Id::from_static("acme"),
            owner: Uid::random(),
            secret: SERVED.to_ascii_uppercase(),
        }
    }

    async fn put(backend: &dyn Backend, value: &[u8]) -> Result<Written> {
        let write = Write {
            write_id: Uid::random(),
            value: &SecretBytes::new(value.to_vec()),
            format: Format::Text,
            adopt: false,
        };
        let staged = backend.stage(&address(), &write).await;
        let written = backend.write(&address(), &write).await;
        assert_eq!(staged.is_ok(), written.is_ok(), "one way is longer");
        written
    }

    #[tokio::test]
    async fn values_longer_than_declared_go_neither_way() {
        let careless = Arc::new(Careless::default());
        let inner = Arc::<Careless>::clone(&careless);
        let vault: &dyn Backend = &Declared { inner };
        put(vault, b"v").await.expect("as long as declared");
        let read = vault.read(&address(), None).await;
        assert_eq!(read.expect("as long as declared").value.len(), 1);

        let refused = put(vault, b"vv").await.expect_err("longer");
        assert_eq!(refused.reason(), Reason::PayloadTooLarge);
        assert_eq!(refused.detail(Detail::Limit), Some("1"));
        let kept = *careless.0.lock().expect("nobody panics with it");
        assert_eq!(kept, 1, "the vault was asked");

        put(&*careless, b"vv").await.expect("past the layer");
        let refused = vault.read(&address(), None).await.expect_err("longer");
        assert_eq!(refused.reason(), Reason::ValueTooLong);
        assert_eq!(refused.detail(Detail::Limit), Some("1"));
    }

    #[tokio::test]
    async fn value_of_another_secret_is_not_served() {
        let inner = Arc::new(Careless::default());
        let vault: &dyn Backend = &Declared { inner };
        for (secret, is_served) in [("Served", true), ("served", true), ("served-too", false)] {
            let address = Address {
                secret: secret.to_owned(),
                ..address()
            };
            let refused = vault.read(&address, None).await.err();
            let expected = (!is_served).then_some(Reason::SecretNotFound);
            assert_eq!(refused.map(|error| error.reason()), expected, "{secret}");
        }
    }

    #[tokio::test]
    async fn only_declared_changes_of_a_version_reach_the_vault() {
        let inner = Arc::new(Careless::default());
        let vault: &dyn Backend = &Declared { inner };
        let version = Id::from_static("1");
        for (state, is_able) in [
            (VersionState::Destroyed, false),
            (VersionState::Disabled, true),
            (VersionState::Enabled, true),
        ] {
            let set = vault.set_state(&address(), &version, state).await;
            let refused = set.err().map(|error| error.reason());
            let expected = (!is_able).then_some(Reason::VaultCapabilityMissing);
            assert_eq!(refused, expected, "{state:?}");
        }
    }
}
