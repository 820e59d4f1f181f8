//! dlt, Meltano and a Singer tap, started by `claviger run`.

use std::path::PathBuf;

use claviger_e2e::{Home, StripeMock, output_of};

use super::support::{address, copied, holds, page, program, said, texts};

/// A key that is found again wherever it is.
const KEY: &str = "rk_test_canary7c1eABCDEFGHIJKL";

#[test]
fn dlt_loads_the_customers_with_the_key_that_the_page_hands_over() {
    let (home, work, stripe) = (Home::new(), Home::new(), StripeMock::start());
    let daemon = home.start_dev();
    let data = work.path().join("data");
    let mut page = page(&work, &daemon, "dlt");
    page.env("DLT_DATA_DIR", &data)
        .env("SOURCES__STRIPE__BASE_URL", format!("{}/v1/", stripe.url()));
    let (printed, complaints) = said(&mut page, KEY);
    assert!(printed.contains("contains no failed jobs"), "{printed}");

    let select = "import duckdb; print(*duckdb.connect('dlt/stripe_customers.duckdb').sql('select id \
        from stripe.customers').fetchall())";
    let mut python = program(&work, PathBuf::from("python"), &["-c", select]);
    let (loaded, _) = said(&mut python, "");
    for customer in stripe.customers() {
        assert!(loaded.contains(&customer), "{loaded}");
    }
    assert!(!format!("{printed}{complaints}").contains(KEY));
    assert!(data.exists() && !holds(work.path(), KEY));
}

#[test]
fn meltano_and_a_tap_get_the_key_that_the_page_hands_over() {
    let (home, work, stripe) = (Home::new(), Home::new(), StripeMock::start());
    let daemon = home.start_dev();
    let mut page = page(&work, &daemon, "meltano");
    let page = page.env("TAP_STRIPE_API_BASE", stripe.url());
    let (printed, complaints) = said(page, KEY);
    for customer in stripe.customers() {
        let customer = format!("\"id\":\"{customer}\"");
        let records = printed.lines().filter(|line| line.contains(&customer));
        // Of Meltano, and of the tap alone.
        assert_eq!(records.count(), 2, "{printed}\n{complaints}");
    }
    assert!(!format!("{printed}{complaints}").contains(KEY));
    assert!(!holds(work.path(), KEY));
}

#[test]
fn pipeline_without_its_key_is_not_started_and_the_remedy_is_said() {
    let (home, work) = (Home::new(), Home::new());
    let daemon = home.start_dev();
    let place = copied(work.path(), "dlt");
    let line = "claviger run --env SOURCES__STRIPE__API_KEY=stripe-dlt -- python pipeline.py";
    let mut bash = program(&work, PathBuf::from("bash"), &["-c", line]);
    bash.current_dir(place)
        .env("CLAVIGER_ADDRESS", address(&daemon))
        .env("CLAVIGER_PROJECT", "dev")
        .env("DLT_DATA_DIR", work.path().join("data"));
    let output = output_of(&mut bash, "");
    assert_eq!(output.status.code(), Some(125));
    let (printed, complaints) = texts(&output);
    assert_eq!(printed, "");
    assert!(
        complaints.contains("[DEFINITION_NOT_FOUND]"),
        "{complaints}"
    );
    assert!(!work.path().join("data").exists());
}
