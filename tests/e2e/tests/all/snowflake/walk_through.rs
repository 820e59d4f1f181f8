//! The README on Snowflake works as it is written, with the configuration that is shown there; only
//! account, address and key are the emulator's.

use claviger_e2e::{Home, WalkThrough, assert_in_order};

use super::support::{Account, start};

/// What is typed where the README says so.
const KEYS: &str = "rk_test_typed\n";

/// What the commands print, in this order.
const PRINTED: [&str; 3] = [
    "\"ok\": true",
    "\"credentials\": \"key pair of user CLAVIGER_SVC, role CLAVIGER\"",
    "\"secret\": \"ACME_STRIPE\"",
];

#[test]
fn every_command_of_the_walk_through_snowflake_works_with_the_configuration_shown() {
    let (home, account) = (Home::new(), Account::start());
    let walk = WalkThrough::of("crates/claviger-backend-snowflake/README.md");
    let config = walk.config();
    let key = account.file("typed.p8", &account.fake.private_key_pem(None));
    let (shown_key, shown_account) = ("\"/etc/claviger/snowflake.p8\"", "\"ACME-PROD\"");
    assert!(
        config.contains(shown_key) && config.contains(shown_account),
        "{config}"
    );
    let config = config
        .replace(shown_key, &format!("{key:?}"))
        .replace(shown_account, &format!("{:?}", account.fake.account()));
    let config = format!("{config}\nbase_url = {:?}\n", account.fake.base_url());
    let daemon = start(&home, &config);

    assert_in_order(&walk.run(&home, &daemon, KEYS), &PRINTED);
    let schema = account.fake.schema();
    let stored = account.fake.secret(schema, "ACME_STRIPE");
    assert_eq!(stored.as_deref(), Some("rk_test_typed"));
    assert_eq!(account.fake.grants(schema, "ACME_STRIPE").len(), 2);
}
