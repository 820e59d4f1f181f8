//! The README's sections on Azure and Snowflake work as they are written: the commands that an operator
//! types, with the configuration that is shown there; only account, address and key are the
//! emulator's.

use claviger_e2e::{Home, WalkThrough, assert_in_order};

use crate::peers::{azure, objects};
use crate::stage::Peer;

/// Printed by the commands, in this order.
const AZURE_PRINTED: [&str; 10] = [
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

/// Printed by the commands, in this order.
const SNOWFLAKE_PRINTED: [&str; 3] = [
    "\"ok\": true",
    "\"credentials\": \"key pair of user CLAVIGER_SVC, role CLAVIGER\"",
    "\"secret\": \"ACME_STRIPE\"",
];

#[test]
fn every_command_of_the_walk_through_azure_works_with_the_configuration_shown() {
    let (home, peer, walk) = (
        Home::new(),
        azure(),
        WalkThrough::of("crates/claviger-backend-azure/README.md"),
    );
    // The vault whose URL is in the README.
    let vault = peer.fake.vault("acme-eu");
    let document = "{\"apiKey\":\"rk_test_portal\",\"note\":\"nightly\"}";
    vault.set("stripe", document, &[]);
    let config = walk.config();
    assert!(config.contains(&vault.url()), "{config}");
    let daemon = home.start(&mut peer.command(&home, &config));

    let printed = walk.run(&home, &daemon, "pa$$ word\nrk_test_adopted\n");
    assert_in_order(&printed, &AZURE_PRINTED);
    let latest = |secret| vault.versions(secret).pop().expect("there").1;
    assert_eq!(latest("warehouse"), "pa$$ word");
    let adopted = document.replace("rk_test_portal", "rk_test_adopted");
    assert_eq!(latest("stripe"), adopted);
}

#[test]
fn every_command_of_the_walk_through_snowflake_works_with_the_configuration_shown() {
    let (home, peer, walk) = (
        Home::new(),
        objects(),
        WalkThrough::of("crates/claviger-backend-snowflake/README.md"),
    );
    let key = peer.file("typed.p8", &peer.fake.private_key_pem(None));
    let mut config = format!("{}\nbase_url = {:?}\n", walk.config(), peer.fake.base_url());
    for (shown, used) in [
        ("\"/etc/claviger/snowflake.p8\"", format!("{key:?}")),
        ("\"ACME-PROD\"", format!("{:?}", peer.fake.account())),
    ] {
        assert!(config.contains(shown), "{config}");
        config = config.replace(shown, &used);
    }
    let daemon = home.start(&mut peer.command(&home, &config));

    let printed = walk.run(&home, &daemon, "rk_test_typed\n");
    assert_in_order(&printed, &SNOWFLAKE_PRINTED);
    assert_eq!(peer.value("ACME_STRIPE").as_deref(), Some("rk_test_typed"));
    let grants = peer.fake.grants(peer.fake.schema(), "ACME_STRIPE");
    assert_eq!(grants.len(), 2);
}
