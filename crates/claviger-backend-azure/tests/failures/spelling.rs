//! Names in another case: Key Vault takes them for the same, and so does everything of ours.

use std::sync::Arc;

use claviger_backend::{Allow, Backend as _, Limits, Vault, Vaults};
use claviger_backend_azure::{Azure, AzureSettings, Credential};
use claviger_core::{Id, ManualClock, Uid};

use crate::stub::{Reply, Stub};
use crate::support::{LONG, NOW, azure};

#[test]
fn one_secret_is_one_place_however_it_is_spelled() {
    let azure = azure(&Stub::new(Vec::new()), LONG);
    assert_eq!(azure.place_name("Stripe-API"), "stripe-api");
    let site = azure.site("stripe-api").expect("anybody's");
    assert!(site.may_be(&azure.site("Stripe-API").expect("anybody's")));
    assert!(!site.may_be(&azure.site("stripe").expect("anybody's")));
}

/// Key Vault ignores case, so no comparison of ours heeds it.
#[tokio::test]
async fn rules_and_lists_know_a_secret_however_it_is_spelled() {
    let acme = Id::from_static("acme");
    let page = r#"{"value":[
        {"id":"https://acme.vault.azure.net/secrets/Stripe-API"},
        {"id":"https://acme.vault.azure.net/secrets/adyen"},
        {"id":"https://acme.vault.azure.net/secrets/Other"}],"nextLink":null}"#;
    for patterns in [["Stripe-API", "ADYEN"], ["stripe-api", "adyen"]] {
        let stub = Stub::new(vec![("GET /secrets", vec![Reply::json(200, page)])]);
        let rule = Allow::parse_rule("acme", &patterns.map(str::to_owned));
        let vault = Vault::new(
            Id::from_static("azure"),
            Arc::new(azure(&stub, LONG)),
            &Limits::timeout(LONG),
            Allow::new(vec![rule.expect("valid")]),
        );
        for name in ["stripe-api", "STRIPE-API", "Stripe-API", "Adyen"] {
            vault.check_allowed(&acme, name).expect(name);
        }
        vault.check_allowed(&acme, "other").expect_err("no rule");
        for (after, expected) in [
            (None, vec!["adyen", "Stripe-API"]),
            (Some("ADYEN"), vec!["Stripe-API"]),
            (Some("stripe-api"), vec![]),
        ] {
            let listed = vault.list(&acme, after, 10).await.expect("listed");
            let names: Vec<_> = listed.iter().map(|secret| &*secret.name).collect();
            assert_eq!(names, expected, "{patterns:?} {after:?}");
        }
    }
}

#[test]
fn two_vaults_of_one_address_overlap_however_it_is_spelled() {
    let vault = |id: &'static str, url: &str| {
        let settings = AzureSettings {
            vault_url: url.to_owned(),
            credential: Some(Credential::AzureCli),
        };
        assert_eq!(settings.problems(), [], "{url}");
        let clock = Arc::new(ManualClock::at(NOW));
        let stub = Stub::new(Vec::new());
        let azure = Azure::with_transport(&settings, stub, Uid::random(), LONG, clock);
        let azure = Arc::new(azure.expect("set up"));
        let limits = Limits::timeout(LONG);
        Vault::new(Id::from_static(id), azure, &limits, Allow::default())
    };
    let vaults = Vaults::new([
        vault("a", "https://acme.vault.azure.net"),
        vault("b", "https://Acme.Vault.Azure.Net/"),
        vault("c", "https://acme2.vault.azure.net"),
        vault("d", "https://acme.vault.azure.cn"),
    ]);
    let overlaps = vaults.overlaps().into_iter();
    let pairs: Vec<_> = overlaps
        .map(|(one, other)| format!("{one}{other}"))
        .collect();
    assert_eq!(pairs, ["ab"]);
}
