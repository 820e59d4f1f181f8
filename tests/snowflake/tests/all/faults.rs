//! Failures that are asked for happen, and no others.

use std::thread;

use claviger_snowflake_fake::{Fault, Snowflake};
use serde_json::json;

use crate::wire::Wire;

const QUERY: &str = "/queries/v1/query-request?requestId=1";

#[test]
fn fault_meets_as_many_matching_statements_as_asked_for() {
    let snowflake = Snowflake::start();
    let wire = Wire::new(&snowflake);
    let faults = [
        (
            Fault::insufficient_privileges("schema", "SECRETS"),
            "003001",
            "42501",
        ),
        (Fault::missing_object(), "002043", "02000"),
        (Fault::suspended_warehouse(), "000606", "57P03"),
        (Fault::error("123456", "XX000", "text"), "123456", "XX000"),
    ];
    for (fault, code, state) in faults {
        snowflake.fault("as met", 2, fault);
        assert_eq!(wire.run("SELECT 1 AS OTHER").refusal(), None);
        assert_eq!(wire.run("SELECT 1 AS MET").refusal(), Some((code, state)));
        assert_eq!(wire.run("SELECT 1 AS MET").refusal(), Some((code, state)));
        assert_eq!(wire.run("SELECT 1 AS MET").refusal(), None);
    }
    for code in ["390104", "390111", "390112", "390114"] {
        snowflake.fault("", 1, Fault::session(code));
        assert_eq!(wire.run("SELECT 1 AS A").refusal(), Some((code, "")));
    }
    for status in [429, 503] {
        snowflake.fault("", 1, Fault::Status(status));
        let body = json!({"sqlText": "SELECT 1 AS A"});
        assert_eq!(wire.post(QUERY, &body).0, status);
    }
    assert_eq!(snowflake.statements("as met"), 12);
}

#[test]
fn answer_is_cut_before_or_after_the_statement_has_run() {
    let snowflake = Snowflake::start();
    let wire = Wire::new(&snowflake);
    snowflake.console("CREATE TABLE CUT (N NUMBER)");
    let insert = json!({"sqlText": "INSERT INTO CUT SELECT 1"});
    snowflake.fault("insert", 1, Fault::CutBefore);
    assert_eq!(wire.raw(QUERY, &insert).unwrap(), "");
    assert_eq!(snowflake.rows("CUT", "TRUE"), 0);
    snowflake.fault("insert", 1, Fault::CutAfter);
    assert_eq!(wire.raw(QUERY, &insert).unwrap(), "");
    assert_eq!(snowflake.rows("CUT", "TRUE"), 1);
    snowflake.fault("insert", 1, Fault::HalfBody);
    let half = wire.raw(QUERY, &insert).unwrap();
    let (head, body) = half.split_once("\r\n\r\n").unwrap();
    let promised = head.split("Content-Length: ").nth(1).unwrap();
    let promised: usize = promised.lines().next().unwrap().parse().unwrap();
    assert_eq!(body.len(), promised / 2);
    assert_eq!(snowflake.rows("CUT", "TRUE"), 2);
}

#[tokio::test]
async fn held_statement_runs_before_or_after_it_is_released() {
    let snowflake = Snowflake::start();
    let wire = Wire::new(&snowflake);
    snowflake.console("CREATE TABLE HELD (N NUMBER)");
    for (fault, rows_while_held, rows_after) in [(Fault::Hang, 0, 1), (Fault::HangAfter, 2, 2)] {
        snowflake.fault("insert into held", 1, fault);
        let wire = Wire::new(&snowflake);
        let held = thread::spawn(move || wire.run("INSERT INTO HELD SELECT 1").status());
        snowflake.held(1).await;
        assert_eq!(snowflake.rows("HELD", "TRUE"), rows_while_held);
        snowflake.release();
        assert_eq!(held.join().unwrap(), "1");
        assert_eq!(snowflake.rows("HELD", "TRUE"), rows_after);
    }
    snowflake.executed("insert into held", 2).await;
    snowflake.fault("", 1, Fault::Status(503));
    snowflake.release();
    assert_eq!(wire.run("SELECT 1 AS A").refusal(), None);
}

#[test]
fn suspended_warehouse_stops_what_computes_and_nothing_else() {
    let snowflake = Snowflake::start();
    let wire = Wire::new(&snowflake);
    wire.run("CREATE TABLE COMPUTED (N NUMBER)").status();
    snowflake.suspend_warehouse();
    for sql in [
        "SELECT 1 AS A",
        "INSERT INTO COMPUTED SELECT 1",
        "MERGE INTO COMPUTED T USING (SELECT 1 AS N) S ON T.N = S.N \
         WHEN NOT MATCHED THEN INSERT (N) VALUES (S.N)",
        "CALL READERS.R()",
    ] {
        assert_eq!(wire.run(sql).refusal(), Some(("000606", "57P03")), "{sql}");
    }
    let free = [
        "SHOW SECRETS",
        "CREATE SECRET W TYPE = GENERIC_STRING SECRET_STRING = 'w'",
    ];
    for sql in free {
        assert_eq!(wire.run(sql).refusal(), None, "{sql}");
    }
    snowflake.resume_warehouse();
    assert_eq!(wire.run("SELECT 1 AS A").refusal(), None);
}

#[test]
fn requests_are_kept_as_they_came() {
    let snowflake = Snowflake::start();
    let wire = Wire::new(&snowflake);
    wire.run_with("SELECT ? AS A", &["canary"]).rows();
    snowflake.console("SELECT 'not a request' AS A");
    let requests = snowflake.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].path, QUERY);
    assert!(requests[0].body.contains("canary"));
    assert_eq!(snowflake.statements(""), 1);
}

#[test]
fn console_swaps_cells_of_two_rows() {
    let snowflake = Snowflake::start();
    snowflake.console("CREATE TABLE SWAPPED (NAME VARCHAR, SEALED BINARY, KEPT NUMBER)");
    for (name, bytes, kept) in [("a", "AA", 1), ("b", "BB", 2)] {
        snowflake.console(&format!(
            "INSERT INTO SWAPPED SELECT '{name}', TO_BINARY('{bytes}', 'HEX'), {kept}"
        ));
    }
    snowflake.swap("SWAPPED", &["SEALED"], "NAME = 'a'", "NAME = 'b'");
    let rows = snowflake.console("SELECT NAME, SEALED, KEPT FROM SWAPPED ORDER BY NAME");
    let cell = |text: &str| Some(text.to_owned());
    assert_eq!(rows[0], [cell("a"), cell("BB"), cell("1")]);
    assert_eq!(rows[1], [cell("b"), cell("AA"), cell("2")]);
}
