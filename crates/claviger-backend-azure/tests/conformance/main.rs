//! The conformance suite against our Key Vault, under real host names and with the SDK's checks on;
//! and what only Azure has: tags, deleted secrets, dates, logins.

#[cfg(test)]
mod support;

#[cfg(test)]
mod environment;
#[cfg(test)]
mod live;
#[cfg(test)]
mod logins;
#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use claviger_backend::testkit::{self, address, put, read};
    use claviger_backend::{Backend, VersionState, requests_of};
    use claviger_core::{Detail, Format, Id, Reason, SecretBytes, Uid};
    use claviger_keyvault_fake::{Behaviour, Filter, Recorded, TokenFault};

    use crate::support::{AzureConsole, Cloud};

    #[tokio::test]
    async fn azure_keeps_the_contract() {
        let cloud = Cloud::start();
        let fake = &cloud.fake;
        let backend = Arc::new(cloud.azure("acme"));
        let console = AzureConsole(fake.vault("acme"));
        testkit::conformance(backend, Some(Arc::new(console))).await;
        assert_eq!(fake.vault("acme").purges(), 0);
    }

    #[tokio::test]
    async fn every_false_claim_fails_the_suite() {
        let cloud = Cloud::start();
        let fake = &cloud.fake;
        let backend: Arc<dyn Backend> = Arc::new(cloud.azure("acme"));
        let console = Arc::new(AzureConsole(fake.vault("acme")));
        testkit::every_false_claim_fails(backend, Some(console)).await;
    }

    #[tokio::test]
    async fn tags_of_others_go_on_and_ours_say_whose_the_version_is() {
        let cloud = Cloud::start();
        let fake = &cloud.fake;
        let azure = cloud.azure("acme");
        let vault = fake.vault("acme");
        vault.set("theirs", "a", &[("cost", "42"), ("claviger-write", "old")]);
        let address = address("theirs");
        put(&azure, &address, "b", true).await.expect("adopted");
        let (_, value, tags) = vault.versions("theirs").pop().expect("two");
        assert_eq!(value, "b");
        let keys: Vec<&str> = tags.keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "claviger-before",
                "claviger-definition",
                "claviger-project",
                "claviger-store",
                "claviger-write",
                "cost"
            ]
        );
        assert_eq!(tags["cost"], "42");
        assert_eq!(tags["claviger-definition"], address.owner.to_string());
        assert_ne!(tags["claviger-write"], "old");
    }

    #[tokio::test]
    async fn secret_with_too_many_tags_for_ours_is_refused() {
        let cloud = Cloud::start();
        let fake = &cloud.fake;
        let azure = cloud.azure("acme");
        let tags: Vec<String> = (0..13).map(|n| format!("t{n}")).collect();
        let tags: Vec<(&str, &str)> = tags.iter().map(|tag| (tag.as_str(), "x")).collect();
        fake.vault("acme").set("full", "a", &tags);
        let error = put(&azure, &address("full"), "b", true).await;
        let error = error.expect_err("no room");
        assert_eq!(error.reason(), Reason::VaultCapabilityMissing);
        assert_eq!(fake.vault("acme").versions("full").len(), 1);
    }

    /// Bytes that are not text come back as they were, which the suite proves; nobody else sees
    /// more than text.
    #[tokio::test]
    async fn binary_is_stored_as_text_that_says_so() {
        let cloud = Cloud::start();
        let fake = &cloud.fake;
        let azure = cloud.azure("acme");
        let value = SecretBytes::new(vec![0xff, 0x00]);
        let write = claviger_backend::Write {
            write_id: Uid::random(),
            value: &value,
            format: Format::Binary,
            adopt: false,
        };
        let written = azure.write(&address("binary"), &write).await;
        written.expect("written");
        let (_, value, tags) = fake.vault("acme").versions("binary").remove(0);
        assert_eq!(
            (value.as_str(), tags["claviger-encoding"].as_str()),
            ("/wA=", "base64")
        );
    }

    #[tokio::test]
    async fn disabled_latest_version_is_said_and_can_be_replaced() {
        let cloud = Cloud::start();
        let azure = cloud.azure("acme");
        let address = address("off");
        let first = put(&azure, &address, "one", false).await.expect("written");
        let disabled = VersionState::Disabled;
        let off = azure.set_state(&address, &first.version, disabled).await;
        off.expect("disabled");
        let error = read(&azure, &address, None).await.expect_err("off");
        assert_eq!(error.reason(), Reason::VersionDisabled);
        let second = put(&azure, &address, "two", false).await.expect("written");
        assert_eq!(second.replaced, Some(vec![first.version]));
        assert_eq!(read(&azure, &address, None).await.expect("read"), "two");
    }

    #[tokio::test]
    async fn latest_version_out_of_its_dates_is_told_and_can_be_replaced() {
        let cloud = Cloud::start();
        let azure = cloud.azure("acme");
        let vault = cloud.fake.vault("acme");
        let address = address("dated");
        let mut before = put(&azure, &address, "v", false).await.expect("written");
        for (not_before, expires, reason) in [
            (None, Some(1), Reason::ValueExpired),
            (Some(i64::from(i32::MAX)), None, Reason::ValueNotYetValid),
        ] {
            vault.set_attributes("dated", not_before, expires);
            let error = read(&azure, &address, None).await.expect_err("dated");
            assert_eq!(error.reason(), reason);
            let latest = azure.latest(&address).await.expect("told");
            assert_eq!(latest.as_ref(), Some(&before.version));
            let next = put(&azure, &address, "w", false).await.expect("written");
            assert_eq!(next.replaced, Some(vec![before.version]));
            before = next;
        }
    }

    /// Marks of before tell the definition and no project.
    #[tokio::test]
    async fn mark_without_a_project_is_its_definitions_own_until_the_next_write() {
        let cloud = Cloud::start();
        let azure = cloud.azure("acme");
        let vault = cloud.fake.vault("acme");
        let own = address("old");
        put(&azure, &own, "a", false).await.expect("written");
        let (_, _, tags) = vault.versions("old").remove(0);
        let ours = ["claviger-store", "claviger-definition"].map(|key| (key, tags[key].as_str()));
        vault.set("old", "b", &ours);
        let beside = || address("old");
        let refused = put(&azure, &beside(), "c", false).await;
        assert_eq!(
            refused.expect_err("no project").reason(),
            Reason::SecretNotOwned
        );
        put(&azure, &own, "c", false).await.expect("its own");
        let written = put(&azure, &beside(), "d", false).await;
        written.expect("the project's now");
    }

    #[tokio::test]
    async fn deleted_secret_of_another_is_recovered_only_when_adopted() {
        let cloud = Cloud::start();
        let fake = &cloud.fake;
        let azure = cloud.azure("acme");
        let vault = fake.vault("acme");
        let theirs = vault.set("gone", "theirs", &[]);
        vault.delete("gone");
        let refused = put(&azure, &address("gone"), "b", false).await;
        assert_eq!(
            refused.expect_err("theirs").reason(),
            Reason::SecretNotOwned
        );
        let is_write = |seen: &claviger_keyvault_fake::Seen| seen.method != "GET";
        assert!(!vault.requests().iter().any(is_write), "it was touched");
        let written = put(&azure, &address("gone"), "b", true).await;
        let written = written.expect("adopted");
        assert!(written.recovered);
        let theirs = Id::parse("version", &theirs).expect("an id");
        assert_eq!(written.replaced, Some(vec![theirs]));
    }

    /// The service then answers 403 where it would tell whose the secret is.
    #[tokio::test]
    async fn deleted_secret_that_is_disabled_too_is_recovered_by_its_owner() {
        let cloud = Cloud::start();
        let fake = &cloud.fake;
        let azure = cloud.azure("acme");
        let vault = fake.vault("acme");
        let address = address("gone");
        let first = put(&azure, &address, "one", false).await.expect("written");
        vault.disable("gone", first.version.as_str());
        vault.delete("gone");
        let error = read(&azure, &address, None).await.expect_err("gone");
        assert_eq!(error.reason(), Reason::SecretDeleted);
        let second = put(&azure, &address, "two", false).await.expect("written");
        assert!(second.recovered);
        assert_eq!(vault.versions("gone").len(), 2);
    }

    #[tokio::test]
    async fn puts_that_race_for_a_deleted_secret_both_end_well_and_purge_nothing() {
        let cloud = Cloud::start();
        let fake = &cloud.fake;
        let vault = fake.vault("acme");
        let azure = cloud.azure("acme");
        let address = address("raced");
        put(&azure, &address, "old", false).await.expect("written");
        vault.delete("raced");
        let (one, two) = tokio::join!(
            put(&azure, &address, "one", false),
            put(&azure, &address, "two", false)
        );
        let (one, two) = (one.expect("written"), two.expect("written"));
        assert!(
            one.recovered || two.recovered,
            "nobody says that it was deleted"
        );
        assert_ne!(one.version, two.version);
        let values: Vec<String> = vault
            .versions("raced")
            .into_iter()
            .map(|one| one.1)
            .collect();
        assert_eq!(values.len(), 3, "{values:?}");
        let latest = read(&azure, &address, None).await.expect("read");
        assert_eq!(Some(&latest), values.last());
        assert_eq!(vault.purges(), 0);
    }

    #[tokio::test]
    async fn write_whose_answer_is_cut_off_is_stored_once_and_known() {
        let cloud = Cloud::start();
        let fake = &cloud.fake;
        let azure = cloud.azure("acme");
        let vault = fake.vault("acme");
        for (name, cut) in [
            ("cut", Behaviour::CutAfterExecuting),
            ("half", Behaviour::HalfBody),
        ] {
            let puts = Filter {
                method: Some("PUT"),
                path_contains: "/secrets/",
            };
            fake.next(puts, 1, cut);
            let written = put(&azure, &address(name), "v", false).await;
            let written = written.expect("found by its tag");
            let versions = vault.versions(name);
            assert_eq!(versions.len(), 1);
            assert_eq!(versions[0].0, written.version.as_str());
        }
    }

    #[tokio::test]
    async fn recorded_refusals_come_to_their_reasons() {
        let cloud = Cloud::start();
        let fake = &cloud.fake;
        let azure = cloud.azure("acme");
        let address = address("refused");
        put(&azure, &address, "v", false).await.expect("written");
        for (recorded, reason) in [
            (Recorded::AccessDenied, Reason::VaultAccessDenied),
            (Recorded::ForbiddenByConnection, Reason::VaultUnreachable),
            (Recorded::ForbiddenByFirewall, Reason::VaultUnreachable),
            (Recorded::ForbiddenByPerimeter, Reason::VaultUnreachable),
            (Recorded::ForbiddenByPolicy, Reason::VaultAccessDenied),
            (Recorded::ForbiddenByRbac, Reason::VaultAccessDenied),
            (Recorded::NotFound, Reason::SecretNotFound),
            (Recorded::SecretDisabled, Reason::VersionDisabled),
            (
                Recorded::Throttled { retry_after: None },
                Reason::VaultUnreachable,
            ),
            (
                Recorded::Unauthorized(TokenFault::Issuer),
                Reason::VaultCredentialsRejected,
            ),
            (
                Recorded::Unauthorized(TokenFault::Audience),
                Reason::VaultCredentialsRejected,
            ),
        ] {
            // A refused token is tried twice, and a 404 is followed by other questions.
            let is_tried_twice = matches!(recorded, Recorded::Unauthorized(_));
            let times = if is_tried_twice { 2 } else { 1 };
            let reads = Filter {
                method: Some("GET"),
                path_contains: "/secrets/refused/?",
            };
            fake.next(reads, times, Behaviour::Recorded(recorded));
            let error = read(&azure, &address, None).await.expect_err("refused");
            assert_eq!(error.reason(), reason, "{recorded:?}");
            assert_eq!(read(&azure, &address, None).await.expect("used up"), "v");
        }
    }

    #[tokio::test]
    async fn certificate_of_a_stranger_is_a_matter_of_tls() {
        let (cloud, other) = (Cloud::start(), Cloud::start());
        let azure = cloud.azure_trusting(other.fake.ca_pem(), "acme");
        let error = azure.check().await.expect_err("not trusted");
        assert_eq!(error.detail(Detail::Cause), Some("TLS"), "{error:?}");
    }

    #[tokio::test]
    async fn hostile_link_leads_nowhere() {
        let cloud = Cloud::start();
        let fake = &cloud.fake;
        fake.terminate("evil.example");
        let azure = cloud.azure("acme");
        let link = "https://evil.example/secrets?api-version=2025-07-01".to_owned();
        let lists = Filter {
            method: Some("GET"),
            path_contains: "/secrets?",
        };
        fake.next(lists, 1, Behaviour::NextLink(link));
        let error = azure.list(&|_| true, None, 10).await.expect_err("hostile");
        assert_eq!(error.reason(), Reason::VaultUnreachable);
        assert!(fake.other_hosts().is_empty(), "{:?}", fake.other_hosts());
    }

    #[tokio::test]
    async fn many_pages_are_read_to_their_end() {
        let cloud = Cloud::start();
        let fake = &cloud.fake;
        let azure = cloud.azure("acme");
        let vault = fake.vault("acme");
        for n in 0..60 {
            vault.set(&format!("s{n:02}"), "v", &[]);
            vault.set("one", &n.to_string(), &[]);
        }
        let before = vault.requests().len();
        let listing = requests_of(async {
            let listed = azure.list(&|_| true, Some("s09"), 1_000).await;
            assert_eq!(listed.expect("listed").len(), 50);
        });
        let counted = usize::try_from(listing.await).expect("a small number");
        // Each page counts.
        assert!(counted > 2, "{counted}");
        assert_eq!(counted, vault.requests().len() - before);
        let versions = azure.versions(&address("one"), None, 1_000).await;
        assert_eq!(versions.expect("listed").len(), 60);
    }

    #[tokio::test]
    async fn two_vaults_are_two_and_names_differ_although_case_is_ignored() {
        let cloud = Cloud::start();
        let (one, two) = (cloud.azure("acme"), cloud.azure("other"));
        let upper = address(&one.derived_name("acme", "Stripe", "0123456789"));
        let lower = address(&one.derived_name("acme", "stripe", "9876543210"));
        put(&one, &upper, "upper", false).await.expect("written");
        put(&one, &lower, "lower", false).await.expect("written");
        put(&two, &upper, "two", false).await.expect("written");
        assert_eq!(read(&one, &upper, None).await.expect("read"), "upper");
        assert_eq!(read(&one, &lower, None).await.expect("read"), "lower");
        assert_eq!(read(&two, &upper, None).await.expect("read"), "two");
    }

    /// One that hangs holds up nobody: not the other vault, not the other secrets.
    #[tokio::test]
    async fn hanging_vault_holds_up_no_other() {
        let cloud = Cloud::start();
        let fake = &cloud.fake;
        let (slow, quick) = (cloud.azure("slow"), cloud.azure("quick"));
        put(&slow, &address("s"), "slow", false)
            .await
            .expect("written");
        put(&quick, &address("s"), "quick", false)
            .await
            .expect("written");
        let hanging = Filter {
            method: Some("GET"),
            path_contains: "slow.vault.azure.net/secrets/s/",
        };
        fake.next(hanging, 1, Behaviour::Hang);
        let address = address("s");
        let stuck = read(&slow, &address, None);
        let others = async {
            fake.held(1).await;
            for _ in 0..100 {
                assert_eq!(read(&quick, &address, None).await.expect("read"), "quick");
            }
            fake.release();
        };
        let (stuck, ()) = tokio::join!(stuck, others);
        assert_eq!(stuck.expect("let go"), "slow");
    }
}
