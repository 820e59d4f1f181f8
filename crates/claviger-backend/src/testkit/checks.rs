//! The promises that every vault has to prove.

use std::pin::pin;
use std::task::Poll;

use claviger_core::{Format, Id, Reason, Uid};

use super::suite::{CANARY, Suite};
use crate::contract::{Address, VersionState};

/// How far a write is let run before it is dropped, in polls.
const POLLS_BEFORE_DROP: usize = 8;

impl Suite {
    pub(super) async fn absent_secrets_and_versions_have_their_own_reasons(&self) {
        let address = self.fresh();
        let absent = Id::parse("version", &Uid::random().to_string()).expect("an id");
        let able = self.backend.capabilities();
        if able.latest {
            self.read_fails(&address, None, Reason::SecretNotFound)
                .await;
        }
        assert_eq!(self.versions(&address).await, vec![], "of an absent secret");
        assert_eq!(self.found(&address, Uid::random()).await, None);
        self.write(&address, "one").await;
        self.read_fails(&address, Some(&absent), Reason::VersionNotFound)
            .await;
        for (is_able, state) in [
            (able.disable_version, VersionState::Disabled),
            (able.destroy_version, VersionState::Destroyed),
        ] {
            let set = self.backend.set_state(&address, &absent, state).await;
            let reason = match is_able {
                true => Reason::VersionNotFound,
                false => Reason::VaultCapabilityMissing,
            };
            assert_eq!(set.expect_err("absent").reason(), reason);
        }
    }

    pub(super) async fn what_was_written_is_read_by_version(&self) {
        let address = self.fresh();
        let written = self.write(&address, "one\0\n\"\u{1f511}").await;
        assert_eq!(
            self.read(&address, Some(&written)).await.expect("text"),
            "one\0\n\"\u{1f511}"
        );
        let binary: Vec<u8> = (0..=255).collect();
        let written = self.put(&address, Uid::random(), &binary, false).await;
        let written = written.expect("bytes are taken").version;
        assert_eq!(
            self.read_bytes(&address, Some(&written))
                .await
                .expect("binary"),
            binary
        );
        self.a_document_is_a_value_as_any_other().await;
    }

    async fn a_document_is_a_value_as_any_other(&self) {
        let address = self.fresh();
        for document in [
            format!(r#" {{ "{CANARY}" : 1.10e+2, "a":[ null ], "a": "\ud800" }} "#),
            format!("\u{feff}{{\"{CANARY}\":{{}}}}\r\n"),
        ] {
            for format in [Format::Text, Format::Binary] {
                let (write_id, bytes) = (Uid::random(), document.as_bytes());
                let written = self.put_as(format, &address, write_id, bytes, false).await;
                let version = written.expect("a document is taken").version;
                let read = self.read_bytes(&address, Some(&version)).await;
                assert_eq!(read.expect("read"), bytes, "{format:?}");
            }
        }
    }

    pub(super) async fn a_repeated_write_stores_nothing(&self) {
        let address = self.fresh();
        let write_id = Uid::random();
        assert_eq!(
            self.found(&address, write_id).await,
            None,
            "a write that never came is found"
        );
        for is_first in [true, false] {
            // Once for a secret that is not there yet, once for one that is.
            let write_id = if is_first { write_id } else { Uid::random() };
            let once = self.put(&address, write_id, CANARY.as_bytes(), false).await;
            let once = once.expect("a write is taken");
            let again = self.put(&address, write_id, CANARY.as_bytes(), false).await;
            let again = again.expect("a repeat is taken");
            assert_eq!(once, again, "a repeat is answered otherwise");
            assert_eq!(
                self.found(&address, write_id).await.as_ref(),
                Some(&once.version),
                "the write is not found"
            );
        }
        let expected = if self.keeps_versions() { 2 } else { 1 };
        assert_eq!(
            self.versions(&address).await.len(),
            expected,
            "a repeat made another version"
        );
    }

    pub(super) async fn versions_are_listed_newest_first_and_in_pages(&self) {
        let address = self.fresh();
        let mut written = Vec::new();
        for n in 0..12 {
            written.push(self.write(&address, &n.to_string()).await);
        }
        let listed = self.backend.versions(&address, None, 100).await;
        let listed = listed.expect("listed");
        let mut paged: Vec<Id> = Vec::new();
        loop {
            let page = self.backend.versions(&address, paged.last(), 5).await;
            let page = page.expect("listed");
            assert!(page.len() <= 5, "a page is longer than asked");
            if page.is_empty() {
                break;
            }
            paged.extend(page.into_iter().map(|info| info.version));
        }
        let whole: Vec<Id> = listed.iter().map(|info| info.version.clone()).collect();
        assert_eq!(paged, whole, "the pages are not the whole list");
        // Nothing orders versions of the same moment, and some vaults count in seconds.
        let order: Vec<_> = listed
            .iter()
            .map(|info| {
                let number = written.iter().position(|version| *version == info.version);
                (
                    info.create_time,
                    number.expect("a version was never written"),
                )
            })
            .collect();
        let is_newest_first = order
            .iter()
            .zip(order.iter().skip(1))
            .all(|(newer, older)| {
                newer.0 > older.0 && newer.1 > older.1 || newer.0 == older.0 && newer.1 != older.1
            });
        assert!(is_newest_first, "versions are not newest first: {order:?}");
        if self.keeps_versions() {
            assert_eq!(listed.len(), written.len(), "versions are missing");
        } else {
            let listed: Vec<&Id> = listed.iter().map(|info| &info.version).collect();
            assert_eq!(listed, [written.last().expect("one")], "not the newest");
        }
    }

    pub(super) async fn secrets_have_names_as_declared(&self) {
        let one = self.fresh();
        let other = Address {
            secret: format!("{}-other", one.secret),
            ..one.clone()
        };
        let write_id = Uid::random();
        let written = self.put(&one, write_id, CANARY.as_bytes(), false).await;
        written.expect("a write is taken");
        assert_eq!(
            self.found(&other, write_id).await.is_none(),
            self.backend.capabilities().secret,
            "a secret is known by its name only where that is declared"
        );
    }

    /// Two spellings are one secret exactly where the vault says so.
    pub(super) async fn names_are_compared_as_declared(&self) {
        let able = self.backend.capabilities();
        if !able.secret || !able.latest {
            return;
        }
        let address = self.fresh();
        self.write(&address, "spelled").await;
        let swapped = address.secret.chars().map(|letter| match letter {
            'a'..='z' => letter.to_ascii_uppercase(),
            letter => letter.to_ascii_lowercase(),
        });
        let other = Address {
            secret: swapped.collect(),
            ..address.clone()
        };
        let both = [&address, &other].map(|one| self.backend.place_name(&one.secret));
        let is_one = both[0] == both[1];
        let sites = [&address, &other].map(|one| self.backend.site(&one.secret));
        let [Some(one), Some(other_site)] = sites else {
            panic!("a secret with a name of its own is somewhere");
        };
        assert_eq!(one.may_be(&other_site), is_one, "places and sites differ");
        match is_one {
            true => {
                let read = self.read(&other, None).await;
                assert_eq!(read.expect("one secret"), "spelled");
            }
            false => self.read_fails(&other, None, Reason::SecretNotFound).await,
        }
    }

    pub(super) async fn pinning_works_as_declared(&self) {
        let able = self.backend.capabilities();
        let address = self.fresh();
        let first = self.write(&address, "one").await;
        let second = self.write(&address, "two").await;
        assert_ne!(first, second, "two writes have one version");
        assert_eq!(
            self.read(&address, Some(&second)).await.expect("newest"),
            "two"
        );
        let older = self.read(&address, Some(&first)).await;
        // Where Claviger's record decides which version is current, every version has to be
        // readable.
        if able.version || !able.latest {
            assert_eq!(older.expect("an older version is read"), "one");
        } else {
            older.expect_err("an older version is read although pinning is not declared");
        }
        assert!(
            able.latest || !able.version,
            "a location can be pinned only where it follows the vault otherwise"
        );
    }

    pub(super) async fn latest_is_served_as_declared(&self) {
        let address = self.fresh();
        self.write(&address, "one").await;
        if !self.backend.capabilities().latest && !self.stages(&address).await {
            self.read_fails(&address, None, Reason::SecretNotFound)
                .await;
            return;
        }
        self.write(&address, "two").await;
        assert_eq!(self.read(&address, None).await.expect("latest"), "two");
    }

    pub(super) async fn what_was_replaced_is_told_as_declared(&self) {
        let address = self.fresh();
        let mut before = Vec::new();
        for _ in 0..3 {
            let written = self.put(&address, Uid::random(), CANARY.as_bytes(), false);
            let written = written.await.expect("a write is taken");
            let expected = self.backend.capabilities().property.then_some(before);
            assert_eq!(written.replaced, expected, "what the write replaced");
            before = vec![written.version];
        }
    }

    pub(super) async fn values_are_as_long_as_declared(&self) {
        let address = self.fresh();
        let limit = self.backend.capabilities().value_bytes_max;
        let longest = vec![b'x'; limit];
        let written = self.put(&address, Uid::random(), &longest, false).await;
        let written = written.expect("the longest value is taken").version;
        let read = self.read_bytes(&address, Some(&written)).await;
        assert!(read.expect("the longest value is read") == longest);
        // By the layer that is around every vault.
        let longer = vec![b'x'; limit + 1];
        let refused = self.put(&address, Uid::random(), &longer, false).await;
        let refused = refused.expect_err("a longer value than declared is taken");
        assert_eq!(refused.reason(), Reason::PayloadTooLarge);
    }

    pub(super) async fn disabling_works_as_declared(&self) {
        let address = self.fresh();
        let version = self.write(&address, "one").await;
        let disabled = self.set(&address, &version, VersionState::Disabled).await;
        if !self.backend.capabilities().disable_version {
            let error = disabled.expect_err("disabling works although it is not declared");
            assert_eq!(error.reason(), Reason::VaultCapabilityMissing);
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

    pub(super) async fn destroying_works_as_declared(&self) {
        let address = self.fresh();
        let version = self.write(&address, "one").await;
        let destroyed = self.set(&address, &version, VersionState::Destroyed).await;
        if !self.backend.capabilities().destroy_version {
            let error = destroyed.expect_err("destroying works although it is not declared");
            assert_eq!(error.reason(), Reason::VaultCapabilityMissing);
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

    pub(super) async fn purge_forgets_everything(&self) {
        let address = self.fresh();
        let version = self.write(&address, "one").await;
        self.write(&address, "two").await;
        for _ in 0..2 {
            self.backend.purge(&address).await.expect("purged");
        }
        let is_own = !self.backend.capabilities().latest;
        assert_eq!(
            self.versions(&address).await.is_empty(),
            is_own,
            "only a vault of Claviger's own forgets"
        );
        if is_own {
            self.read_fails(&address, Some(&version), Reason::VersionNotFound)
                .await;
        }
    }

    pub(super) async fn a_dropped_write_leaves_nothing_half_done(&self) {
        for polls in 1..=POLLS_BEFORE_DROP {
            let address = self.fresh();
            let write_id = Uid::random();
            let bytes = format!("{CANARY}dropped");
            {
                let mut write = pin!(self.put(&address, write_id, bytes.as_bytes(), false));
                let mut left = polls;
                std::future::poll_fn(|cx| {
                    left -= 1;
                    match write.as_mut().poll(cx) {
                        Poll::Pending if left > 0 => Poll::Pending,
                        Poll::Pending | Poll::Ready(_) => Poll::Ready(()),
                    }
                })
                .await;
            }
            let version = loop {
                let repeat = self.put(&address, write_id, bytes.as_bytes(), false).await;
                match repeat {
                    Ok(written) => break written.version,
                    // The dropped write may still be on its way in the vault.
                    Err(error) if error.reason() == Reason::WriteInProgress => {}
                    Err(error) => panic!("the repeat of a dropped write is refused: {error:?}"),
                }
            };
            assert_eq!(
                self.read(&address, Some(&version)).await.expect("whole"),
                "dropped"
            );
            assert_eq!(
                self.versions(&address).await,
                [version],
                "the dropped write and its repeat are two versions"
            );
        }
    }
}
