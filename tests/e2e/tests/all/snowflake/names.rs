//! Names that would be statements if they were not quoted.

use claviger_e2e::Home;

use super::support::{
    Account, READABLE, SEALED, TABLE, assert_refused, location, operator, put, text,
};

const NAMES: [&str; 7] = [
    "acme",
    "ACME",
    "Acme",
    "a.b.c",
    "x\"; DROP TABLE \"BROKER\".\"SECRETS\".\"CLAVIGER_SEALED\"; --",
    "x'; DROP SECRET acme; --",
    "ü\\' $$ ? :1 %",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_name_is_its_own_secret_and_no_statement() {
    let account = Account::start();
    for settings in [SEALED, READABLE] {
        let home = Home::new();
        let daemon = account.daemon(&home, settings);
        let client = operator(&daemon).await;
        for (number, name) in NAMES.into_iter().enumerate() {
            let value = format!("value {number}");
            let put = put(&client, &format!("s{number}"), location(name), Some(&value)).await;
            put.unwrap_or_else(|status| panic!("{name}: {status:?}"));
        }
        for number in 0..NAMES.len() {
            let read = text(&client, &format!("s{number}")).await;
            assert_eq!(read.expect("read"), format!("value {number}"));
        }
        for name in ["a\nb", &"x".repeat(256)] {
            let refused = put(&client, "bad", location(name), None).await;
            assert_refused(refused, "LOCATION_INVALID");
        }
    }
    let mut names = NAMES.map(str::to_owned);
    names.sort();
    assert_eq!(account.fake.secret_names(account.fake.schema()), names);
    assert_eq!(account.fake.rows(TABLE, "TRUE"), NAMES.len());
}
