//! What is browsed: in pages, and within the vault's own origin.

use claviger_e2e::Home;
use claviger_keyvault_fake::Behaviour;
use claviger_proto::v1;
use tonic::Status;

use super::support::{Caller, Cloud, VAULT, assert_refused, location, name, reads};

async fn browse(caller: &Caller, page_size: i32) -> Result<Vec<v1::VaultSecret>, Status> {
    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListVaultSecretsRequest {
            parent: format!("vaults/{VAULT}"),
            project: "projects/dev".to_owned(),
            page_size,
            page_token,
        };
        let page = caller.vaults().list_vault_secrets(request).await?;
        let page = page.into_inner();
        listed.extend(page.secrets);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(listed);
        }
    }
}

#[tokio::test]
async fn names_to_pick_from_are_complete_in_order_and_marked_if_ours() {
    let (home, cloud) = (Home::new(), Cloud::start());
    for number in 0..60 {
        cloud.handle().set(&format!("s{number:02}"), "v", &[]);
    }
    let daemon = cloud.daemon(&home);
    let caller = Caller::of(&daemon).await;
    let put = caller.put("mine", location("mine", ""), Some("v")).await;
    put.expect("created");
    for page_size in [7, 1000] {
        let listed = browse(&caller, page_size).await.expect("listed");
        let listed = listed.iter().map(|one| (one.secret.as_str(), one.ours));
        let names: Vec<String> = (0..60).map(|number| format!("s{number:02}")).collect();
        let theirs = names.iter().map(|name| (name.as_str(), false));
        assert!(listed.eq(std::iter::once(("mine", true)).chain(theirs)));
    }
}

#[tokio::test]
async fn hostile_link_to_a_next_page_is_not_followed_and_no_token_leaves() {
    let (home, cloud) = (Home::new(), Cloud::start());
    cloud.fake.terminate("evil.example");
    let other = cloud.fake.vault("other");
    let vault = cloud.handle();
    let daemon = cloud.daemon(&home);
    let caller = Caller::of(&daemon).await;
    let put = caller.put("s", location("s", ""), Some("v")).await;
    put.expect("created");
    let page = "secrets?api-version=2025-07-01&$skiptoken=x";
    for link in [
        format!("https://evil.example/{page}"),
        format!("//evil.example/{page}"),
        format!("http://acme.vault.azure.net/{page}"),
        format!("https://acme.vault.azure.net:8443/{page}"),
        format!("https://acme.vault.azure.net@evil.example/{page}"),
        format!("https://acme.vault.azure.net.evil.example/{page}"),
        format!("https://other.vault.azure.net/{page}"),
    ] {
        // The daemon's own look at the vault asks for fewer results.
        let lists = reads("/secrets?api-version=2025-07-01&maxresults=25");
        cloud.fake.next(lists, 1, Behaviour::NextLink(link.clone()));
        let asked = vault.requests().len();
        assert_refused(browse(&caller, 10).await, "VAULT_UNREACHABLE");
        assert!(vault.requests().len() > asked, "{link}: the page was read");

        let versions = reads("/secrets/s/versions");
        cloud.fake.next(versions, 1, Behaviour::NextLink(link));
        let request = v1::ListSecretVersionsRequest {
            parent: name("s"),
            ..Default::default()
        };
        let listed = caller.secrets().list_secret_versions(request).await;
        assert_refused(listed, "VAULT_UNREACHABLE");
    }
    assert_eq!(cloud.fake.other_hosts(), []);
    assert_eq!(other.requests(), []);
    let listed = browse(&caller, 10).await.expect("all is well again");
    assert_eq!(listed.len(), 1);
}
