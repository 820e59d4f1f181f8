//! The conformance suite against moto, and what only AWS has: labels, tags, keys, ARNs.

#[cfg(test)]
mod live;
#[cfg(test)]
mod moto;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use aws_sdk_secretsmanager::types::Tag;
    use claviger_backend::Backend;
    use claviger_backend::testkit::{self, Console as _, address, put, read};
    use claviger_backend_aws::{Aws, AwsSettings};
    use claviger_core::{Id, Reason, SystemClock, Uid};

    use crate::moto::{CREDENTIALS, Moto};

    const TIMEOUT: Duration = Duration::from_secs(60);

    async fn aws(settings: &AwsSettings) -> Aws {
        assert_eq!(settings.problems(), []);
        let clock = Arc::new(SystemClock);
        Aws::with_credentials(settings, CREDENTIALS, Uid::random(), TIMEOUT, clock).await
    }

    #[tokio::test]
    async fn aws_keeps_the_contract() {
        let moto = Moto::start();
        let backend = Arc::new(aws(&moto.settings()).await);
        testkit::conformance(backend, Some(Arc::new(moto.console()))).await;
    }

    #[tokio::test]
    async fn every_false_claim_fails_the_suite() {
        let moto = Moto::start();
        let backend: Arc<dyn Backend> = Arc::new(aws(&moto.settings()).await);
        let console = Arc::new(moto.console());
        testkit::every_false_claim_fails(backend, Some(console)).await;
    }

    #[tokio::test]
    async fn what_is_created_has_the_configured_key_and_tags_and_ours() {
        let moto = Moto::start();
        let settings = AwsSettings {
            kms_key_id: Some("alias/claviger".to_owned()),
            tags: BTreeMap::from([("team".to_owned(), "payments".to_owned())]),
            ..moto.settings()
        };
        let aws = aws(&settings).await;
        let address = address("acme/stripe");
        put(&aws, &address, "v", false).await.expect("created");
        let console = moto.console().0;
        let secret = console.describe_secret().secret_id("acme/stripe");
        let secret = secret.send().await.expect("described");
        assert_eq!(secret.kms_key_id(), Some("alias/claviger"));
        let mut keys: Vec<_> = secret.tags().iter().filter_map(Tag::key).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "claviger:definition",
                "claviger:project",
                "claviger:store",
                "team"
            ]
        );
    }

    #[tokio::test]
    async fn adopting_keeps_the_tags_and_the_description_of_others() {
        let moto = Moto::start();
        let console = moto.console();
        let create = console.0.create_secret().name("theirs").secret_string("a");
        let create = create
            .description("do not touch")
            .tags(Tag::builder().key("cost").value("42").build());
        create.send().await.expect("created");
        let aws = aws(&moto.settings()).await;
        let address = address("theirs");
        put(&aws, &address, "b", true).await.expect("adopted");
        put(&aws, &address, "c", false).await.expect("ours");
        let secret = console.0.describe_secret().secret_id("theirs");
        let secret = secret.send().await.expect("described");
        assert_eq!(secret.description(), Some("do not touch"));
        let has_tag = |tag: &Tag| tag.key() == Some("cost") && tag.value() == Some("42");
        assert!(secret.tags().iter().any(has_tag));
    }

    #[tokio::test]
    async fn a_label_can_be_pinned_and_an_absent_one_is_an_absent_version() {
        let moto = Moto::start();
        let aws = aws(&moto.settings()).await;
        let address = address("labels");
        put(&aws, &address, "one", false).await.expect("written");
        put(&aws, &address, "two", false).await.expect("written");
        let previous = Id::from_static("AWSPREVIOUS");
        assert_eq!(
            read(&aws, &address, Some(&previous)).await.expect("read"),
            "one"
        );
        let absent = Id::from_static("AWSPENDING");
        let error = read(&aws, &address, Some(&absent)).await;
        assert_eq!(error.expect_err("absent").reason(), Reason::VersionNotFound);
        let elsewhere = testkit::address("nowhere");
        let error = read(&aws, &elsewhere, Some(&absent)).await;
        assert_eq!(error.expect_err("absent").reason(), Reason::SecretNotFound);
    }

    /// A label moved in the console is the latest version too; moto serves the old one unless
    /// the label is named.
    #[tokio::test]
    async fn the_latest_version_is_the_one_labelled_current() {
        let moto = Moto::start();
        let aws = aws(&moto.settings()).await;
        let address = address("moved");
        let first = put(&aws, &address, "one", false).await.expect("written");
        let second = put(&aws, &address, "two", false).await.expect("written");
        let console = moto.console().0;
        let moved = console.update_secret_version_stage().secret_id("moved");
        let moved = moved
            .version_stage("AWSCURRENT")
            .move_to_version_id(first.version.as_str())
            .remove_from_version_id(second.version.as_str());
        moved.send().await.expect("moved");
        assert_eq!(read(&aws, &address, None).await.expect("read"), "one");
    }

    #[tokio::test]
    async fn nothing_is_written_to_a_secret_of_another_account_than_the_settings_name() {
        let moto = Moto::start();
        let address = address("acme/stripe");
        put(&aws(&moto.settings()).await, &address, "own", false)
            .await
            .expect("created");
        for (account_id, is_it) in [("123456789012", true), ("210987654321", false)] {
            let settings = AwsSettings {
                account_id: Some(account_id.to_owned()),
                ..moto.settings()
            };
            let aws = aws(&settings).await;
            let written = put(&aws, &address, "new", true).await;
            if is_it {
                written.expect("the account's own");
                continue;
            }
            let error = written.expect_err("another account's");
            assert_eq!(error.reason(), Reason::LocationInvalid);
            let text = error.to_string();
            assert!(text.contains("account_id"), "{text}");
            assert!(!text.contains("123456789012"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_secret_is_found_by_its_full_arn_where_the_arn_says() {
        let moto = Moto::start();
        let here = aws(&moto.settings()).await;
        put(&here, &address("prod-stripe"), "here", false)
            .await
            .expect("written");
        put(&here, &address("prod"), "prod", false)
            .await
            .expect("written");
        let console = moto.console().0;
        let secret = console.describe_secret().secret_id("prod-stripe");
        let secret = secret.send().await.expect("described");
        let arn = secret.arn().expect("has one");
        let elsewhere = AwsSettings {
            region: "us-east-1".to_owned(),
            ..moto.settings()
        };
        let elsewhere = aws(&elsewhere).await;
        let by_name = read(&elsewhere, &address("prod-stripe"), None).await;
        assert_eq!(
            by_name.expect_err("not in this region").reason(),
            Reason::SecretNotFound
        );
        for vault in [&here, &elsewhere] {
            let read = read(vault, &address(arn), None).await;
            assert_eq!(read.expect("read"), "here");
        }
        assert_eq!(
            read(&here, &address("prod"), None).await.expect("read"),
            "prod"
        );
        assert_eq!(here.check_name(arn).expect("valid"), None);
        let warning = elsewhere.check_name(arn).expect("valid");
        assert_eq!(warning.expect("warns").reason, "SECRET_IN_OTHER_REGION");
    }

    #[tokio::test]
    async fn what_a_rotation_replaced_behind_our_back_is_told() {
        let moto = Moto::start();
        let aws = aws(&moto.settings()).await;
        let address = address("rotated");
        let first = put(&aws, &address, "one", false).await.expect("written");
        moto.console().put("rotated", "console").await;
        let second = put(&aws, &address, "two", false).await.expect("written");
        let [replaced] = second.replaced.expect("told").try_into().expect("one");
        assert_ne!(replaced, first.version);
        let replaced = read(&aws, &address, Some(&replaced)).await;
        assert_eq!(replaced.expect("read"), "console");
    }
}
