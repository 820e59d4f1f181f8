//! The README on Azure works as it is written, with the configuration that is shown there.

use claviger_e2e::{Home, WalkThrough, assert_in_order};

use super::support::Cloud;

/// The vault whose URL is in the README.
const HOST: &str = "acme-eu";

/// What is typed where the README says so, in this order.
const KEYS: &str = "pa$$ word\nrk_test_adopted\n";

/// What the commands print, in this order.
const PRINTED: [&str; 10] = [
    "\"ok\": true",
    "\"credentials\": \"managed identity of this machine\"",
    "\"secret\": \"stripe\"",
    "\"vault\": \"[Default]\"",
    "\"existence\": {\n    \"ok\": true",
    "\"format\": {\n    \"ok\": true",
    "\"text\": \"rk_test_portal\"",
    "\"vault\": \"azure-eu\"",
    "\"secret\": \"warehouse\"",
    "\"version\": ",
];

#[test]
fn every_command_of_the_walk_through_azure_works_with_the_configuration_shown() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let vault = cloud.fake.vault(HOST);
    let document = "{\"apiKey\":\"rk_test_portal\",\"note\":\"nightly\"}";
    vault.set("stripe", document, &[]);
    let walk = WalkThrough::of("crates/claviger-backend-azure/README.md");
    let config = walk.config();
    assert!(config.contains(&vault.url()), "{config}");
    let daemon = cloud.daemon_with(&home, &config);

    assert_in_order(&walk.run(&home, &daemon, KEYS), &PRINTED);
    let latest = |secret| vault.versions(secret).pop().expect("there").1;
    assert_eq!(latest("warehouse"), "pa$$ word");
    let adopted = document.replace("rk_test_portal", "rk_test_adopted");
    assert_eq!(latest("stripe"), adopted);
}
