//! Snowflake does it, and its answer is lost.

use claviger_e2e::{Home, reason};
use claviger_snowflake_fake::Fault;
use uuid::Uuid;

use super::support::{
    Account, READABLE, SEALED, VAULT, assert_refused, location, operator, put, start,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_whose_answer_was_cut_is_known_and_a_repeat_stores_nothing_more() {
    let account = Account::start();
    for (settings, statement) in [(SEALED, "MERGE"), (READABLE, "ALTER SECRET")] {
        let home = Home::new();
        let daemon = account.daemon(&home, settings);
        let client = operator(&daemon).await;
        put(&client, "s", location("s"), Some("0"))
            .await
            .expect("created");
        let times = || match settings {
            SEALED => account.rows(),
            _ => account.fake.times_set(account.fake.schema(), "s"),
        };
        for fault in [Fault::CutAfter, Fault::HalfBody] {
            let before = times();
            let (request_id, value) = (Uuid::new_v4(), format!("{fault:?}"));
            account.fake.fault(statement, 1, fault);
            let put = client.rotate("s", &value, request_id).await;
            if let Err(status) = &put {
                assert_eq!(reason(status).as_deref(), Some("WRITE_OUTCOME_UNKNOWN"));
            }
            let again = client
                .rotate("s", &value, request_id)
                .await
                .expect("repeated");
            assert_eq!(put.unwrap_or_else(|_| again.clone()), again);
            assert_eq!(times(), before + 1, "{settings}");
            let read = client.read("s", "").await.expect("read");
            assert_eq!(read, (again, value));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_that_cannot_be_looked_for_either_is_unknown_until_it_is_repeated() {
    let (home, account) = (Home::new(), Account::start());
    let daemon = start(&home, &account.vault(VAULT, "timeout = \"4s\"", SEALED));
    let client = operator(&daemon).await;
    put(&client, "s", location("s"), Some("0"))
        .await
        .expect("created");
    let request_id = Uuid::new_v4();
    account.fake.fault("MERGE", 1, Fault::HangAfter);
    let outage = async {
        account.fake.held(1).await;
        account.fake.fault("SELECT", usize::MAX, Fault::Status(503));
    };
    let (put, ()) = tokio::join!(client.rotate("s", "1", request_id), outage);
    assert_refused(put, "WRITE_OUTCOME_UNKNOWN");
    assert_eq!(account.rows(), 2);
    account.fake.release();
    // Until the first has had its time, it counts as under way.
    let again = loop {
        match client.rotate("s", "1", request_id).await {
            Ok(version) => break version,
            Err(status) => assert_eq!(reason(&status).as_deref(), Some("WRITE_IN_PROGRESS")),
        }
    };
    assert_eq!(account.rows(), 2);
    assert_eq!(
        client.read("s", "").await.expect("read"),
        (again, "1".to_owned())
    );
}
