//! The promises of a vault that others use too: they are listed, respected, and seen.

use claviger_core::{Id, Reason, Uid};

use super::console::Console;
use super::suite::{CANARY, Suite};
use crate::contract::{Address, ListedSecret};

/// Longest listing the suite reads.
const LISTED_MAX: usize = 10_000;

/// Every name is wanted.
const ANY: fn(&str) -> bool = |_| true;

impl Suite {
    pub(super) async fn listing_works_as_declared(&self) {
        let before = self.backend.list(&ANY, None, LISTED_MAX).await;
        if !self.backend.capabilities().list {
            let error = before.expect_err("listing works although it is not declared");
            assert_eq!(error.reason(), Reason::VaultCapabilityMissing);
            return;
        }
        let before = before.expect("listing is declared");
        let mut expected: Vec<String> = before.into_iter().map(|secret| secret.name).collect();
        for _ in 0..12 {
            let address = self.fresh();
            self.write(&address, "one").await;
            expected.push(address.secret);
        }
        expected.sort();
        for page_size in [1, 5, LISTED_MAX] {
            let listed = self.listed_in_pages(page_size, ANY).await;
            assert!(
                listed.iter().all(|secret| secret.is_ours),
                "a secret of ours is listed as foreign"
            );
            let names: Vec<String> = listed.into_iter().map(|secret| secret.name).collect();
            assert_eq!(names, expected, "secrets are missing or not sorted");
        }
        let last = expected.pop().unwrap_or_default();
        let listed = self.listed_in_pages(1, |name| name == last).await;
        let names: Vec<String> = listed.into_iter().map(|secret| secret.name).collect();
        assert_eq!(
            names,
            [last],
            "a page holds what is not wanted, or less than it could"
        );
    }

    async fn listed_in_pages(
        &self,
        page_size: usize,
        is_wanted: impl Fn(&str) -> bool + Sync,
    ) -> Vec<ListedSecret> {
        let mut listed: Vec<ListedSecret> = Vec::new();
        loop {
            let after = listed.last().map(|secret| secret.name.as_str());
            let page = self.backend.list(&is_wanted, after, page_size).await;
            let page = page.expect("listed");
            assert!(page.len() <= page_size, "a page is longer than asked");
            if page.is_empty() {
                return listed;
            }
            listed.extend(page);
        }
    }

    pub(super) async fn others_are_respected(&self, console: &dyn Console) {
        self.foreign_secret_is_written_only_when_adopted(console)
            .await;
        self.definitions_of_one_project_write_one_secret_and_other_projects_do_not()
            .await;
        self.what_the_console_stores_is_served_and_said_to_be_replaced(console)
            .await;
        self.others_may_write_at_any_moment(console).await;
        if console.can_restore() {
            self.deleted_secret_is_not_absent_and_written_only_if_brought_back(console)
                .await;
        } else {
            self.deleted_secret_is_absent_and_created_anew(console)
                .await;
        }
    }

    async fn is_listed_as_ours(&self, name: &str) -> Option<bool> {
        let listed = self.backend.list(&ANY, None, LISTED_MAX).await;
        let mut listed = listed.expect("listed").into_iter();
        let found = listed.find(|secret| secret.name == name);
        found.map(|secret| secret.is_ours)
    }

    async fn foreign_secret_is_written_only_when_adopted(&self, console: &dyn Console) {
        let address = self.fresh();
        console
            .put(&address.secret, &format!("{CANARY}theirs"))
            .await;
        let can_list = self.backend.capabilities().list;
        if can_list {
            assert_eq!(self.is_listed_as_ours(&address.secret).await, Some(false));
        }
        assert_eq!(self.read(&address, None).await.expect("read"), "theirs");

        let write_id = Uid::random();
        let refused = self.put(&address, write_id, CANARY.as_bytes(), false).await;
        let refused = refused.expect_err("a foreign secret is written");
        assert_eq!(refused.reason(), Reason::SecretNotOwned);
        assert_eq!(self.found(&address, write_id).await, None, "it was written");
        assert_eq!(self.read(&address, None).await.expect("read"), "theirs");

        let adopted = self.put(&address, write_id, CANARY.as_bytes(), true).await;
        adopted.expect("an adopted secret is written");
        assert_eq!(self.read(&address, None).await.expect("read"), "");
        self.write(&address, "ours now").await;
        if can_list {
            assert_eq!(self.is_listed_as_ours(&address.secret).await, Some(true));
        }
    }

    /// The definition in the mark is for people: two of one project take turns, and one that was
    /// made anew goes on.
    async fn definitions_of_one_project_write_one_secret_and_other_projects_do_not(&self) {
        let address = self.fresh();
        self.write(&address, "one").await;
        let beside = Address {
            owner: Uid::random(),
            ..address.clone()
        };
        for turn in 0..10 {
            let writer = if turn % 2 == 0 { &beside } else { &address };
            self.write(writer, &turn.to_string()).await;
            let read = self.read(&address, None).await.expect("read");
            assert_eq!(read, turn.to_string());
        }
        let other = another_project(&address);
        let refused = self.put(&other, Uid::random(), CANARY.as_bytes(), false);
        let refused = refused
            .await
            .expect_err("another project's secret is written");
        assert_eq!(refused.reason(), Reason::SecretNotOwned);
        assert_eq!(self.read(&address, None).await.expect("read"), "9");

        let adopted = self.put(&other, Uid::random(), CANARY.as_bytes(), true);
        adopted.await.expect("adopted");
        let refused = self.put(&address, Uid::random(), CANARY.as_bytes(), false);
        let refused = refused.await.expect_err("it is the other project's now");
        assert_eq!(refused.reason(), Reason::SecretNotOwned);
    }

    async fn what_the_console_stores_is_served_and_said_to_be_replaced(
        &self,
        console: &dyn Console,
    ) {
        let address = self.fresh();
        let first = self.write(&address, "ours").await;
        console
            .put(&address.secret, &format!("{CANARY}rotated"))
            .await;
        assert_eq!(self.read(&address, None).await.expect("read"), "rotated");
        let written = self.put(&address, Uid::random(), CANARY.as_bytes(), false);
        let written = written.await.expect("a write is taken");
        if self.backend.capabilities().property {
            let versions = self.versions(&address).await;
            let rotated = versions
                .iter()
                .find(|version| **version != first && **version != written.version);
            let rotated = rotated.map(|rotated| vec![rotated.clone()]);
            assert_eq!(written.replaced, rotated, "what was replaced");
        }
    }

    async fn deleted_secret_is_absent_and_created_anew(&self, console: &dyn Console) {
        let address = self.fresh();
        let version = self.write(&address, "one").await;
        console.delete(&address.secret).await;
        for version in [None, Some(&version)] {
            self.read_fails(&address, version, Reason::SecretNotFound)
                .await;
        }
        assert_eq!(self.versions(&address).await, [], "of a deleted secret");
        self.write(&address, "two").await;
        assert_eq!(self.read(&address, None).await.expect("anew"), "two");
    }

    async fn deleted_secret_is_not_absent_and_written_only_if_brought_back(
        &self,
        console: &dyn Console,
    ) {
        let address = self.fresh();
        let version = self.write(&address, "one").await;
        console.delete(&address.secret).await;
        for version in [None, Some(&version)] {
            self.read_fails(&address, version, Reason::SecretDeleted)
                .await;
        }
        if self.backend.capabilities().list {
            assert_eq!(self.is_listed_as_ours(&address.secret).await, None);
        }
        let other = another_project(&address);
        let refused = self.put(&other, Uid::random(), CANARY.as_bytes(), false);
        refused.await.expect_err("another's secret is written");
        for adopt in [false, true] {
            let put = self.put(&address, Uid::random(), CANARY.as_bytes(), adopt);
            match put.await {
                Ok(written) => {
                    assert_eq!(written.recovered, !adopt, "brought back once");
                    assert_eq!(self.read(&address, None).await.expect("back"), "");
                    let old = self.read(&address, Some(&version)).await;
                    assert_eq!(old.expect("what was deleted is back too"), "one");
                }
                Err(refused) => assert_eq!(refused.reason(), Reason::SecretDeleted),
            }
        }
    }
}

/// The same definition and secret, if they were of another project.
fn another_project(address: &Address) -> Address {
    Address {
        project: Id::from_static("others"),
        ..address.clone()
    }
}
