//! The calls that all checks are made of.

use std::sync::Arc;

use claviger_core::{Format, Id, Reason, Result, SecretBytes, Uid};

use crate::contract::{Address, Backend, VersionState, Write, Written};

/// Appears in every value the suite stores, and must appear in no `Debug` and no error.
pub(super) const CANARY: &str = "canary-7f3a";

/// One run. Each check uses secrets of its own.
pub(super) struct Suite {
    pub(super) backend: Arc<dyn Backend>,
}

impl Suite {
    pub(super) fn fresh(&self) -> Address {
        let owner = Uid::random();
        let secret = self
            .backend
            .derived_name("conformance", &owner.to_string(), "0123456789");
        Address {
            project: Id::from_static("conformance"),
            owner,
            secret,
        }
    }

    pub(super) async fn put(
        &self,
        address: &Address,
        write_id: Uid,
        bytes: &[u8],
        adopt: bool,
    ) -> Result<Written> {
        let format = match std::str::from_utf8(bytes) {
            Ok(_) => Format::Text,
            Err(_) => Format::Binary,
        };
        self.put_as(format, address, write_id, bytes, adopt).await
    }

    pub(super) async fn put_as(
        &self,
        format: Format,
        address: &Address,
        write_id: Uid,
        bytes: &[u8],
        adopt: bool,
    ) -> Result<Written> {
        let value = SecretBytes::new(bytes.to_vec());
        let write = Write {
            write_id,
            value: &value,
            format,
            adopt,
        };
        let shown = format!("{write:?}");
        assert!(!shown.contains(CANARY), "a value is in a Debug: {shown}");
        let result = self.backend.write(address, &write).await;
        let shown = format!("{result:?}");
        assert!(!shown.contains(CANARY), "a value is in an error: {shown}");
        result
    }

    /// Whether the vault lives in Claviger's own store.
    pub(super) async fn stages(&self, address: &Address) -> bool {
        let write = Write {
            write_id: Uid::random(),
            value: &SecretBytes::new(CANARY.into()),
            format: Format::Text,
            adopt: false,
        };
        let staged = self.backend.stage(address, &write).await;
        let shown = format!("{staged:?}");
        assert!(!shown.contains(CANARY), "a value is in a Debug: {shown}");
        staged.expect("nothing is asked").is_some()
    }

    pub(super) async fn write(&self, address: &Address, text: &str) -> Id {
        let bytes = format!("{CANARY}{text}");
        let written = self
            .put(address, Uid::random(), bytes.as_bytes(), false)
            .await;
        written.expect("a write is taken").version
    }

    pub(super) async fn read(&self, address: &Address, version: Option<&Id>) -> Result<String> {
        let bytes = self.read_bytes(address, version).await?;
        let text = String::from_utf8(bytes).expect("stored as UTF-8");
        Ok(text
            .strip_prefix(CANARY)
            .expect("stored by this suite")
            .to_owned())
    }

    pub(super) async fn read_bytes(
        &self,
        address: &Address,
        version: Option<&Id>,
    ) -> Result<Vec<u8>> {
        let asked = version.map(Id::as_str);
        let result = self.backend.read(address, asked).await;
        let shown = format!("{result:?}");
        assert!(
            !shown.contains(CANARY),
            "a value is in a Debug or an error: {shown}"
        );
        let reading = result?;
        if let Some(version) = version {
            assert_eq!(
                &reading.version, version,
                "another version was read than asked for"
            );
        }
        Ok(reading.value.into_exposed())
    }

    pub(super) async fn read_fails(&self, address: &Address, version: Option<&Id>, reason: Reason) {
        match self.read(address, version).await {
            Ok(_) => panic!("a read that should fail with {reason} returned a value"),
            Err(error) => assert_eq!(error.reason(), reason),
        }
    }

    pub(super) async fn versions(&self, address: &Address) -> Vec<Id> {
        let listed = self.backend.versions(address, None, 100).await;
        let listed = listed.expect("versions are listed");
        listed.into_iter().map(|info| info.version).collect()
    }

    /// Whether older versions are there: to be pinned, or because Claviger's record decides.
    pub(super) fn keeps_versions(&self) -> bool {
        let able = self.backend.capabilities();
        able.version || !able.latest
    }

    pub(super) async fn found(&self, address: &Address, write_id: Uid) -> Option<Id> {
        let found = self.backend.find_write(address, write_id).await;
        found.expect("asked for a write")
    }

    pub(super) async fn set(
        &self,
        address: &Address,
        version: &Id,
        state: VersionState,
    ) -> Result<()> {
        let info = self.backend.set_state(address, version, state).await?;
        assert_eq!(
            (&info.version, info.state),
            (version, state),
            "another state than asked for"
        );
        Ok(())
    }
}
