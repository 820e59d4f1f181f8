use claviger_backend::{Freshness, Limits};

use super::*;

#[test]
fn the_vault_and_the_kind_managed_belong_together() {
    let wrong = problems("vaults.managed.kind = \"cloud\"");
    assert!(
        wrong.starts_with("c.toml:1: vaults.managed.kind: the vault `managed`"),
        "{wrong}"
    );
    assert!(
        Case::new()
            .with_file("vaults.managed.kind = \"managed\"", "")
            .is_ok()
    );
}

#[test]
fn the_managed_vault_has_no_limits_to_set() {
    let wrong = problems("[vaults.managed]\nconcurrent_calls = 5");
    let expected = "c.toml:2: vaults.managed.concurrent_calls: is not a key";
    assert!(wrong.starts_with(expected), "{wrong}");
}

#[test]
fn a_vault_lets_those_in_that_its_rules_name() {
    let text = r#"
[vaults.eu]
kind = "cloud"
timeout = "2s"
concurrent_calls = 8
calls_per_second = 1_000
max_age = "0s"
max_stale = "7d"
[[vaults.eu.allow]]
project = "acme"
names = ["acme/*"]
[[vaults.eu.allow]]
project = "any-project"
names = ["shared/*"]
"#;
    let config = Case::new().with_file(text, "").unwrap();
    let vault = &config.vaults[&Id::from_static("eu")];
    assert_eq!((vault.kind, vault.settings.is_some()), ("cloud", true));
    assert_eq!(
        vault.limits,
        Limits {
            timeout: Duration::from_secs(2),
            concurrent_calls: Some(8),
            calls_per_second: Some(1_000),
            freshness: Freshness {
                max_age: Duration::ZERO,
                max_stale: Duration::from_secs(7 * 24 * 3600),
            },
        }
    );
    let (acme, other) = (Id::from_static("acme"), Id::from_static("other"));
    assert!(vault.allow.allows(&acme, "acme/stripe"));
    assert!(!vault.allow.allows(&other, "acme/stripe"));
    assert!(vault.allow.allows(&other, "shared/stripe"));
    let managed = &config.vaults[&Id::from_static("managed")];
    assert_eq!(managed.limits, Limits::timeout(Duration::from_secs(5)));
    assert!(managed.allow.allows(&other, "anything"));
}
