//! Errors that a caller gets when a vault refuses or does not answer: the reason and the remedy, and
//! no word of the vault's own. Every answer that there is stands in the tables of the backends' tests;
//! here is the way through.

use claviger_e2e::{assert_refused, seen};
use tonic_types::StatusExt as _;

use crate::peers::on;
use crate::stage::{Failure, MARKER, Peer, SECRET, Stage, VAULT};

/// The value.
const CANARY: &str = "cAnAry51a7b2e9";

/// Words of vaults, or of Claviger to them, neither for callers nor for the log.
#[rustfmt::skip]
const PRIVATE: [&str; 9] = [
    CANARY, "DESCRIBE SECRET", "JWT", "MERGE INTO", "SECRET_STRING", "SELECT VERSION",
    "SQL compilation", "UNION ALL", "fake-bearer",
];

/// Words that an operator may see in the log.
const LOGGED: [&str; 7] = [
    MARKER,
    "AADSTS",
    "AKV",
    "Caller",
    "Exception",
    "Forbidden",
    "arn:",
];

on!(failure_has_its_reason_and_remedy_and_no_word_of_the_vault: aws azure objects sealed);
async fn failure_has_its_reason_and_remedy_and_no_word_of_the_vault(peer: Box<dyn Peer>) {
    let stage = Stage::start(peer).await;
    let runner = stage.runner().await;
    let (caller, peer, home) = (&stage.caller, &stage.peer, &stage.home);
    caller.created("s", peer.place(SECRET), CANARY).await;
    assert_eq!(runner.text("s").await.expect("well"), CANARY);
    for (failure, reason) in [
        (Failure::Busy, "VAULT_UNREACHABLE"),
        (Failure::Denied, "VAULT_ACCESS_DENIED"),
        (Failure::Rejected, "VAULT_CREDENTIALS_REJECTED"),
    ] {
        let remedy = peer.fail(failure);
        let status = assert_refused(runner.text("s").await, reason);
        assert!(status.message().contains(remedy), "{failure:?}: {status:?}");
        let mut shown = seen(&status);
        if failure == Failure::Busy {
            let details = status.get_error_details();
            let delay = details.retry_info().and_then(|info| info.retry_delay);
            let seconds = delay.expect("one").as_secs();
            assert_eq!(seconds == 7, peer.kind() != "snowflake", "{seconds}");
        }
        if failure == Failure::Rejected {
            let checked = caller.check_vault(VAULT).await;
            assert_eq!((checked.ok, checked.reason.as_str()), (false, reason));
            assert!(checked.message.contains(remedy), "{checked:?}");
            assert!(!checked.credentials.is_empty(), "{checked:?}");
            shown += &checked.message;
        }
        for word in PRIVATE.iter().chain(&LOGGED) {
            assert!(!shown.contains(word), "{failure:?}: {word} in {shown}");
        }
        peer.mend();
        assert_eq!(runner.text("s").await.expect("well again"), CANARY);
    }
    let log = home.log();
    let logged = log.matches("call failed").count();
    assert_eq!(logged, 3, "each is logged:\n{log}");
    // AWS and Azure say which action is denied, and their operator needs to know; all else that is
    // said may quote what was sent.
    let quoted: Vec<_> = log.lines().filter(|line| line.contains(MARKER)).collect();
    let denials = usize::from(peer.kind() != "snowflake");
    assert_eq!(quoted.len(), denials, "{quoted:#?}");
    let are_answers = quoted.iter().all(|line| line.contains("HTTP 40"));
    assert!(are_answers, "{quoted:?}");
    for word in PRIVATE {
        let found = log.lines().find(|line| line.contains(word));
        assert_eq!(found, None, "{word} in the log");
    }
}

on!(vault_that_hangs_is_given_up_at_its_timeout_and_is_well_again_afterwards: aws azure objects sealed);
async fn vault_that_hangs_is_given_up_at_its_timeout_and_is_well_again_afterwards(
    peer: Box<dyn Peer>,
) {
    let config = peer.vault("timeout = \"10s\"");
    let Stage { caller, peer, .. } = &Stage::start_with(peer, &config).await;
    caller.created("s", peer.place(SECRET), "v").await;
    peer.hang();
    assert_refused(caller.text("s").await, "VAULT_UNREACHABLE");
    peer.mend();
    assert_eq!(caller.text("s").await.expect("it is back"), "v");
}
