//! The faults that reading a log finds.

use crate::support::{authorize, memory_audit};
use claviger_audit::{Broken, BrokenCause, verify};
use claviger_core::{Reason, Uid};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// A log of nine records.
fn log() -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (audit, sink) = memory_audit();
        for uid in [1, 1, 0, 0] {
            drop(authorize(&audit, uid).await);
        }
        for peer in ["tcp", "unix", "tcp"] {
            audit
                .refuse_unauthenticated(
                    Uid::random(),
                    "service/Rpc",
                    peer,
                    Reason::TokenInvalid,
                    None,
                )
                .await
                .expect("written");
        }
        drop(audit);
        sink.text()
    })
}

fn broken(lines: &[&str]) -> Broken {
    verify(lines.concat().as_bytes()).expect_err("broken")
}

fn split(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the volume and the seed of a test run are chosen from outside"
)]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn a_whole_log_is_verified() {
    let text = log();
    let verified = verify(text.as_bytes()).expect("whole");
    assert_eq!(verified.records, 9);
    assert!(text.ends_with(&format!("\"hash\":\"{}\"}}\n", verified.head)));
    assert_eq!(
        verified.first_time.as_deref(),
        Some("2026-11-22T04:00:00.000000Z")
    );
    assert_eq!(verified.first_time, verified.last_time);
    let empty = verify(&b""[..]).expect("nothing is wrong with it");
    assert_eq!((empty.records, empty.last_time), (0, None));
}

#[test]
fn any_changed_added_or_removed_byte_is_found() {
    let volume = setting("CLAVIGER_TEST_VOLUME").unwrap_or(1);
    let seed = setting("CLAVIGER_TEST_SEED")
        .unwrap_or_else(|| u64::from_le_bytes(claviger_seal::random_bytes()));
    let cases = 1000 * u32::try_from(volume).expect("a small factor");
    println!("seed {seed}, {cases} mutations");
    let mut runner = TestRunner::new(Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    });
    let text = log();
    let strategy = (0..text.len(), any::<u8>(), 0..3_u8);
    let found = runner.run(&strategy, |(at, byte, how)| {
        let mut bytes = text.clone().into_bytes();
        match how {
            0 => bytes[at] ^= byte.max(1),
            1 => bytes.insert(at, byte),
            _ => drop(bytes.remove(at)),
        }
        prop_assert!(verify(&*bytes).is_err());
        Ok(())
    });
    found.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
}

#[test]
fn every_dropped_doubled_and_swapped_line_is_found_where_it_is() {
    let text = log();
    let lines = split(&text);
    for at in 1..lines.len() - 1 {
        let number = at as u64 + 1;
        let mut dropped = lines.clone();
        dropped.remove(at);
        let mut doubled = lines.clone();
        doubled.insert(at, lines[at]);
        let mut swapped = lines.clone();
        swapped.swap(at, at + 1);
        for (lines, line) in [(dropped, number), (doubled, number + 1), (swapped, number)] {
            let broken = broken(&lines);
            assert_eq!(broken.line, line);
            assert!(matches!(broken.cause, BrokenCause::OutOfOrder { .. }));
        }
    }
}

#[test]
fn a_later_part_holds_together_and_says_where_it_begins() {
    let text = log();
    let lines = split(&text);
    for from in 0..lines.len() {
        let part = verify(lines[from..].concat().as_bytes()).expect("whole");
        assert_eq!(part.first_seq, from as u64 + 1);
        assert_eq!(part.records, (lines.len() - from) as u64);
    }
}

#[test]
fn a_line_of_another_log_is_found_though_its_number_fits() {
    let (text, other) = (log(), log());
    let mut lines = split(&text);
    lines[4] = split(&other)[4];
    let broken = broken(&lines);
    assert_eq!(broken.line, 5);
    assert!(matches!(broken.cause, BrokenCause::NotChained));
}

#[test]
fn foreign_lines_and_torn_tails_are_told_apart() {
    let text = log();
    let long = format!("{}\n", "x".repeat(1 << 20));
    for foreign in ["\n", "{}\n", "hello\n", &long] {
        let mut lines = split(&text);
        lines.insert(2, foreign);
        let broken = broken(&lines);
        assert_eq!(broken.line, 3);
        assert!(matches!(broken.cause, BrokenCause::NotARecord));
    }
    let torn = verify(text.trim_end().as_bytes()).expect_err("torn");
    assert!(matches!(torn.cause, BrokenCause::Torn));
}

#[test]
fn the_verdict_names_the_line_and_the_cause_in_words() {
    let text = log();
    let edited = text.replacen("TOKEN_INVALID", "TOKEN_EXPIRED", 1);
    let broken = verify(edited.as_bytes()).expect_err("edited");
    let line = 1 + split(&text)
        .iter()
        .position(|line| line.contains("TOKEN_INVALID"))
        .expect("there is one");
    assert_eq!(
        broken.to_string(),
        format!("line {line}: the record was edited: its hash does not match")
    );
}
