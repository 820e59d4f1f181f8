//! The conformance suite: what every backend has to prove, run against the real thing or its
//! emulator by `tests/conformance.rs` of each backend crate.
//!
//! Each check panics with a sentence that says which promise is broken.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed check is a failed test"
)]

use std::sync::Arc;

use claviger_core::{Id, Reason, Result, SecretBytes, Uid};

use crate::{Address, Backend, CallContext, VersionState};

/// Appears in every value the suite stores, and must appear in no `Debug` and no error.
const CANARY: &str = "canary-7f3a";

/// Runs every check against `backend`, each on a secret of its own.
pub async fn conformance(backend: Arc<dyn Backend>) {
    let suite = Suite {
        backend,
        cx: CallContext {
            call_id: Uid::random(),
        },
    };
    suite
        .backend
        .check(&suite.cx)
        .await
        .expect("a fresh vault is well");
    suite
        .absent_secrets_and_versions_have_their_own_reasons()
        .await;
    suite.what_was_written_is_read_by_version().await;
    suite.a_repeated_write_stores_nothing().await;
    suite.versions_are_listed_newest_first_and_in_pages().await;
    suite.latest_is_served_as_declared().await;
    suite.disabling_works_as_declared().await;
    suite.destroying_works_as_declared().await;
    suite.purge_forgets_everything().await;
    suite.a_dropped_write_leaves_nothing_half_done().await;
}

struct Suite {
    backend: Arc<dyn Backend>,
    cx: CallContext,
}

impl Suite {
    fn fresh(&self) -> Address {
        let owner = Uid::random();
        Address {
            owner,
            secret: format!("conformance-{owner}"),
        }
    }

    async fn write(&self, address: &Address, text: &str) -> Id {
        let value = SecretBytes::new(format!("{CANARY}{text}").into_bytes());
        self.backend
            .write(&self.cx, address, Uid::random(), &value)
            .await
            .expect("a write is taken")
    }

    async fn read(&self, address: &Address, version: Option<&Id>) -> Result<String> {
        let result = self.backend.read(&self.cx, address, version).await;
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
        let text = String::from_utf8(reading.value.expose().to_vec()).expect("stored as UTF-8");
        Ok(text
            .strip_prefix(CANARY)
            .expect("stored by this suite")
            .to_owned())
    }

    async fn read_fails(&self, address: &Address, version: Option<&Id>, reason: Reason) {
        match self.read(address, version).await {
            Ok(_) => panic!("a read that should fail with {reason} returned a value"),
            Err(error) => assert_eq!(error.reason(), reason),
        }
    }

    async fn absent_secrets_and_versions_have_their_own_reasons(&self) {
        let address = self.fresh();
        let absent = Id::from_static("999999");
        if self.backend.capabilities().latest {
            self.read_fails(&address, None, Reason::SecretNotFound)
                .await;
        }
        let versions = self.backend.versions(&self.cx, &address, None, 10).await;
        assert_eq!(versions.expect("listing an absent secret works"), vec![]);
        self.write(&address, "one").await;
        self.read_fails(&address, Some(&absent), Reason::VersionNotFound)
            .await;
        let state = self
            .backend
            .set_state(&self.cx, &address, &absent, VersionState::Disabled)
            .await;
        if self.backend.capabilities().disable_version {
            assert_eq!(state.expect_err("absent").reason(), Reason::VersionNotFound);
        }
    }

    async fn what_was_written_is_read_by_version(&self) {
        let address = self.fresh();
        let first = self.write(&address, "one\0\n\"").await;
        let second = self.write(&address, "two").await;
        assert_ne!(first, second, "two writes have one version");
        assert_eq!(
            self.read(&address, Some(&first)).await.expect("first"),
            "one\0\n\""
        );
        assert_eq!(
            self.read(&address, Some(&second)).await.expect("second"),
            "two"
        );
    }

    async fn a_repeated_write_stores_nothing(&self) {
        let address = self.fresh();
        let write_id = Uid::random();
        let value = SecretBytes::new(CANARY.into());
        let found = self.backend.find_write(&self.cx, &address, write_id).await;
        assert_eq!(
            found.expect("asked"),
            None,
            "a write that never came is found"
        );
        let mut versions = Vec::new();
        for _ in 0..2 {
            let write = self
                .backend
                .write(&self.cx, &address, write_id, &value)
                .await;
            versions.push(write.expect("a write is taken"));
        }
        assert_eq!(
            versions.first(),
            versions.last(),
            "a repeat made a second version"
        );
        let found = self.backend.find_write(&self.cx, &address, write_id).await;
        assert_eq!(
            found.expect("asked").as_ref(),
            versions.first(),
            "the write is not found"
        );
        let listed = self
            .backend
            .versions(&self.cx, &address, None, 10)
            .await
            .expect("listed");
        assert_eq!(listed.len(), 1, "a repeat made a second version");
    }

    async fn versions_are_listed_newest_first_and_in_pages(&self) {
        let address = self.fresh();
        let mut written = Vec::new();
        for n in 0..12 {
            written.push(self.write(&address, &n.to_string()).await);
        }
        written.reverse();
        let mut listed: Vec<Id> = Vec::new();
        loop {
            let page = self
                .backend
                .versions(&self.cx, &address, listed.last(), 5)
                .await;
            let page = page.expect("listed");
            assert!(page.len() <= 5, "a page is longer than asked");
            if page.is_empty() {
                break;
            }
            listed.extend(page.into_iter().map(|info| info.version));
        }
        assert_eq!(listed, written, "versions are missing or not newest first");
    }

    async fn latest_is_served_as_declared(&self) {
        if !self.backend.capabilities().latest {
            return;
        }
        let address = self.fresh();
        self.write(&address, "one").await;
        self.write(&address, "two").await;
        assert_eq!(self.read(&address, None).await.expect("latest"), "two");
    }

    async fn disabling_works_as_declared(&self) {
        let address = self.fresh();
        let version = self.write(&address, "one").await;
        let disabled = self.set(&address, &version, VersionState::Disabled).await;
        if !self.backend.capabilities().disable_version {
            disabled.expect_err("disabling works although it is not declared");
            return;
        }
        disabled.expect("disabling is declared");
        self.read_fails(&address, Some(&version), Reason::VersionDisabled)
            .await;
        self.set(&address, &version, VersionState::Disabled)
            .await
            .expect("disabled again");
        self.set(&address, &version, VersionState::Enabled)
            .await
            .expect("enabled");
        assert_eq!(
            self.read(&address, Some(&version)).await.expect("enabled"),
            "one"
        );
    }

    async fn destroying_works_as_declared(&self) {
        let address = self.fresh();
        let version = self.write(&address, "one").await;
        let destroyed = self.set(&address, &version, VersionState::Destroyed).await;
        if !self.backend.capabilities().destroy_version {
            destroyed.expect_err("destroying works although it is not declared");
            return;
        }
        destroyed.expect("destroying is declared");
        self.read_fails(&address, Some(&version), Reason::VersionDestroyed)
            .await;
        self.set(&address, &version, VersionState::Destroyed)
            .await
            .expect("destroyed again");
        let enabled = self.set(&address, &version, VersionState::Enabled).await;
        assert_eq!(
            enabled.expect_err("destroyed").reason(),
            Reason::VersionDestroyed
        );
    }

    async fn set(&self, address: &Address, version: &Id, state: VersionState) -> Result<()> {
        let info = self
            .backend
            .set_state(&self.cx, address, version, state)
            .await?;
        assert_eq!(
            (&info.version, info.state),
            (version, state),
            "another state than asked for"
        );
        Ok(())
    }

    async fn purge_forgets_everything(&self) {
        let address = self.fresh();
        let version = self.write(&address, "one").await;
        self.write(&address, "two").await;
        for _ in 0..2 {
            self.backend
                .purge(&self.cx, &address)
                .await
                .expect("purged");
        }
        let left = self
            .backend
            .versions(&self.cx, &address, None, 10)
            .await
            .expect("listed");
        let is_own = !self.backend.capabilities().latest;
        assert_eq!(
            left.is_empty(),
            is_own,
            "only a vault of Claviger's own forgets"
        );
        if is_own {
            self.read_fails(&address, Some(&version), Reason::VersionNotFound)
                .await;
        }
    }

    async fn a_dropped_write_leaves_nothing_half_done(&self) {
        let address = self.fresh();
        let write_id = Uid::random();
        let value = SecretBytes::new(format!("{CANARY}dropped").into_bytes());
        {
            let mut write = self.backend.write(&self.cx, &address, write_id, &value);
            // Polled once, so that it has begun, then dropped.
            let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(write.as_mut().poll(cx)));
            drop(polled.await);
        }
        let version = self
            .backend
            .write(&self.cx, &address, write_id, &value)
            .await;
        let version = version.expect("the repeat of a dropped write is taken");
        assert_eq!(
            self.read(&address, Some(&version)).await.expect("whole"),
            "dropped"
        );
        let listed = self
            .backend
            .versions(&self.cx, &address, None, 10)
            .await
            .expect("listed");
        assert_eq!(
            listed.len(),
            1,
            "the dropped write and its repeat are two versions"
        );
    }
}
