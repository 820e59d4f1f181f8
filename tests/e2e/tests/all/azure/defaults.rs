//! Several vaults, one of them the default of its kind: which one is meant, and under which name.

use claviger_e2e::assert_refused;
use claviger_proto::v1;
use tonic_types::StatusExt as _;

use crate::caller::{assert_told, place};
use crate::peers::{Azure, HOST, azure};
use crate::stage::{Peer, Stage, VAULT};

const OTHER: &str = "azure-us";

/// The name of the other vault in Azure.
const OTHER_HOST: &str = "other";

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
fn two(azure: &Azure) -> String {
    let other = azure.settings_of(OTHER_HOST, &azure.client_secret());
    let other = azure
        .vault_as(OTHER, ("dev", &["*"]), "")
        .replace(&azure.settings(), &other);
    azure.vault("default = true") + &other
}

fn marked() -> v1::Location {
    place("[Default]", "")
}

#[tokio::test]
async fn ids_that_differ_in_case_alone_get_two_secrets_in_the_default_vault() {
    let peer = Box::new(azure());
    let config = two(&peer);
    let stage = Stage::start_with(peer, &config).await;
    let runner = stage.runner().await;
    let Stage { caller, peer, .. } = &stage;
    let ids = ["Stripe", "stripe", "a_(b)"];
    for id in ids {
        let put = caller.created(id, marked(), id).await;
        let location = put.definition.expect("told").location.expect("there");
        assert_eq!(location.vault, "[Default]");
    }
    for id in ids {
        assert_eq!(runner.get(id, "").await.expect("read").vault, VAULT);
        assert_eq!(runner.text(id).await.expect("read"), id);
        // Another vault is named, not guessed.
        let there = format!("{id}-us");
        caller.created(&there, place(OTHER, ""), &there).await;
        assert_eq!(runner.text(&there).await.expect("read"), there);
        assert_eq!(runner.text(id).await.expect("read"), id);
    }
    for host in [HOST, OTHER_HOST] {
        let puts = peer
            .seen(host)
            .into_iter()
            .filter(|seen| seen.method == "PUT");
        let mut names: Vec<String> = puts
            .map(|put| {
                let mut segments = put.path_and_query.split(['/', '?']);
                segments.nth(2).expect("a name").to_lowercase()
            })
            .collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), ids.len(), "{names:?}");
    }
}

#[tokio::test]
async fn several_defaults_that_the_project_may_use_are_ambiguous_and_named() {
    let peer = Box::new(azure());
    let config = two(&peer) + &aws("dev");
    let Stage { caller, peer, .. } = &Stage::start_with(peer, &config).await;
    let put = caller.create("s", marked(), "v").await;
    let status = assert_refused(put, "VAULT_AMBIGUOUS");
    let details = status.get_error_details();
    let told = &details.error_info().expect("ours").metadata["vaults"];
    assert!(told.contains(VAULT) && told.contains("aws-eu"), "{told}");
    assert!(!told.contains(OTHER), "{told}");
    assert!(status.message().contains("location.vault"), "{status:?}");
    assert_eq!(peer.asked(), 0);
}

#[tokio::test]
async fn default_of_other_projects_is_none() {
    let peer = Box::new(azure());
    // Its own one there is, beside that of another project.
    let config = two(&peer);
    let stage = Stage::start_with(peer, &(config.clone() + &aws("acme"))).await;
    let put = stage.caller.create("s", marked(), "v").await;
    put.expect("the only one that it may use");
    assert_eq!(stage.caller.text("s").await.expect("read"), "v");

    let theirs = config.replacen("project = \"dev\"", "project = \"acme\"", 1);
    let Stage { caller, peer, .. } = &stage.restart(&theirs).await;
    let before = peer.asked();
    let refused = caller.create("new", marked(), "v").await;
    assert_told(refused, "VAULT_UNKNOWN", "[Default]");
    assert_refused(caller.text("s").await, "VAULT_UNKNOWN");
    assert_eq!(peer.asked(), before);
}
