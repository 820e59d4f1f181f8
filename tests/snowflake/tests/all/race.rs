//! Many sessions change one row by MERGE.

use std::sync::Barrier;
use std::thread;

use claviger_snowflake_fake::Snowflake;
use serde_json::json;

use crate::wire::Wire;

const SESSIONS: usize = 8;

/// How many times a small number of rounds is run.
fn volume() -> usize {
    #[expect(
        clippy::disallowed_methods,
        reason = "the environment rule is the daemon's; this is the one variable of the test run"
    )]
    let volume = std::env::var("CLAVIGER_TEST_VOLUME");
    volume.map_or(1, |volume| volume.parse().unwrap())
}

const MERGE: &str = "MERGE INTO RACE T USING (SELECT ? AS NAME, ? AS VERSION, ? AS EXPECTED) S \
     ON T.NAME = S.NAME \
     WHEN MATCHED AND T.VERSION = S.EXPECTED THEN UPDATE SET VERSION = S.VERSION \
     WHEN NOT MATCHED THEN INSERT (NAME, VERSION) VALUES (S.NAME, S.VERSION)";

#[test]
fn each_round_of_a_merge_race_has_one_winner_without_a_primary_key() {
    let rounds = 10 * volume();
    println!("{SESSIONS} sessions, {rounds} rounds");
    let snowflake = Snowflake::start();
    snowflake.console("CREATE TABLE RACE (NAME VARCHAR, VERSION NUMBER(18))");
    let barrier = Barrier::new(SESSIONS);
    let race = || {
        let wire = Wire::new(&snowflake);
        (0..rounds)
            .map(|round| {
                barrier.wait();
                let number = |value: usize| json!({"type": "FIXED", "value": value.to_string()});
                let binds = json!({
                    "1": {"type": "TEXT", "value": "one"},
                    "2": number(round + 1),
                    "3": number(round),
                });
                let outcome = wire.bound(MERGE, &binds);
                // A panic here would leave the others at the barrier.
                if outcome.refusal().is_some() {
                    return Err(outcome.message().to_owned());
                }
                let rows = outcome.rows();
                let changed = rows[0].iter().flatten().filter(|count| *count == "1");
                Ok(changed.count())
            })
            .collect::<Vec<_>>()
    };
    let won = thread::scope(|scope| {
        let racers = [(); SESSIONS].map(|()| scope.spawn(race));
        racers.map(|racer| racer.join().unwrap())
    });
    for round in 0..rounds {
        let winners: Result<usize, _> = won.iter().map(|session| session[round].clone()).sum();
        assert_eq!(winners, Ok(1), "round {round}");
    }
    assert_eq!(snowflake.rows("RACE", "TRUE"), 1);
    assert_eq!(snowflake.rows("RACE", &format!("VERSION = {rounds}")), 1);
    assert_eq!(snowflake.statements("merge into race"), SESSIONS * rounds);
}
