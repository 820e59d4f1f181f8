//! Several vaults, one of them the default of its kind: which one is meant, and under which name.

use claviger_e2e::Home;
use claviger_proto::v1;
use tonic_types::StatusExt as _;

use super::support::{Caller, Cloud, HOST, VAULT, about_secrets, assert_refused};

const OTHER: &str = "azure-us";

/// An AWS vault that is the default of its kind; nobody asks it.
fn aws(project: &str) -> String {
    format!(
        "[vaults.aws-eu]\n\
         kind = \"aws\"\n\
         default = true\n\
         allow = [{{ project = \"{project}\", names = [\"*\"] }}]\n\
         settings = {{ region = \"eu-central-1\", endpoint_url = \"http://127.0.0.1:1\" }}\n"
    )
}

/// Two vaults; the first one is the default.
fn two(cloud: &Cloud) -> String {
    let marked = cloud.vault((VAULT, HOST), "default = true");
    marked + &cloud.vault((OTHER, "other"), "")
}

fn marked() -> v1::Location {
    v1::Location {
        vault: "[Default]".to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn ids_that_differ_in_case_alone_get_two_secrets_in_the_default_vault() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let daemon = cloud.daemon_with(&home, &two(&cloud));
    let (caller, runner) = (Caller::of(&daemon).await, Caller::runner(&daemon).await);
    let ids = ["Stripe", "stripe", "a_(b)"];
    for id in ids {
        let put = caller.put(id, marked(), Some(id)).await.expect("created");
        let location = put.definition.expect("told").location.expect("there");
        assert_eq!(location.vault, "[Default]");
    }
    for id in ids {
        let read = runner.get(id, "").await.expect("read");
        assert_eq!(read.vault, VAULT);
        assert_eq!(runner.text(id).await.expect("read"), id);
        // Another vault is named, not guessed.
        let elsewhere = v1::Location {
            vault: OTHER.to_owned(),
            ..Default::default()
        };
        let there = format!("{id}-us");
        let put = caller.put(&there, elsewhere, Some(&there)).await;
        put.expect("created");
        assert_eq!(runner.text(&there).await.expect("read"), there);
        assert_eq!(runner.text(id).await.expect("read"), id);
    }
    for host in [HOST, "other"] {
        let requests = about_secrets(&cloud.fake.vault(host)).into_iter();
        let puts = requests.filter(|seen| seen.method == "PUT");
        let mut names: Vec<String> = puts
            .map(|seen| {
                let path = seen.path_and_query;
                path.split(['/', '?'])
                    .nth(2)
                    .expect("a name")
                    .to_lowercase()
            })
            .collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), ids.len(), "{names:?}");
    }
}

#[tokio::test]
async fn several_defaults_that_the_project_may_use_are_ambiguous_and_named() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let daemon = cloud.daemon_with(&home, &(two(&cloud) + &aws("dev")));
    let caller = Caller::of(&daemon).await;
    let status = assert_refused(
        caller.put("s", marked(), Some("v")).await,
        "VAULT_AMBIGUOUS",
    );
    let details = status.get_error_details();
    let told = &details.error_info().expect("ours").metadata["vaults"];
    assert!(told.contains(VAULT) && told.contains("aws-eu"), "{told}");
    assert!(!told.contains(OTHER), "{told}");
    assert!(status.message().contains("location.vault"), "{status:?}");
    assert_eq!(about_secrets(&cloud.handle()), []);
}

#[tokio::test]
async fn default_of_other_projects_is_none() {
    let (home, cloud) = (Home::new(), Cloud::start());
    // Its own one there is, beside that of another project.
    let daemon = cloud.daemon_with(&home, &(two(&cloud) + &aws("acme")));
    let caller = Caller::of(&daemon).await;
    let put = caller.put("s", marked(), Some("v")).await;
    put.expect("the only one that it may use");
    assert_eq!(caller.text("s").await.expect("read"), "v");
    daemon.stop();

    let theirs = two(&cloud).replacen("project = \"dev\"", "project = \"acme\"", 1);
    let daemon = cloud.daemon_with(&home, &theirs);
    let caller = Caller::of(&daemon).await;
    let before = about_secrets(&cloud.handle()).len();
    let refused = caller.put("new", marked(), Some("v")).await;
    let status = assert_refused(refused, "VAULT_UNKNOWN");
    assert!(status.message().contains("[Default]"), "{status:?}");
    assert_refused(caller.text("s").await, "VAULT_UNKNOWN");
    assert_eq!(about_secrets(&cloud.handle()).len(), before);
}
