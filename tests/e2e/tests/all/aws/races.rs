//! Several writers of one secret: through Claviger, and past it in the console.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use claviger_e2e::{Console, Gate, assert_refused, reason, tools};
use claviger_proto::v1;
use serde_json::{Value, json};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::caller::{Caller, new_value};
use crate::peers::{Aws, aws};
use crate::stage::{Peer, SECRET, Stage};
use crate::writing::document;

const ID: &str = "contended";

const GET: &str = "GetSecretValue";
const PUT: &str = "PutSecretValue";
const DESCRIBE: &str = "DescribeSecret";

/// The reasons of a writer that came too late.
const LOST: [&str; 2] = ["VERSION_MISMATCH", "WRITE_IN_PROGRESS"];

/// How two writers get in each other's way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Meeting {
    /// As it comes.
    None,
    /// Both have learned which version is current before either may go on.
    Both,
    /// And then one of them goes on only when the other is done.
    Late,
}

/// One round of two writers.
struct Round {
    meeting: Meeting,
    both: Gate,
    answered: Gate,
}

impl Round {
    fn new(meeting: Meeting) -> Self {
        Self {
            meeting,
            both: Gate::for_arrivals(2),
            answered: Gate::for_arrivals(usize::MAX),
        }
    }

    /// Holds a writer that has just learned which version is current.
    fn hold(&self) {
        if self.meeting == Meeting::None {
            return;
        }
        let arrivals = self.both.pass();
        if self.meeting == Meeting::Late && arrivals == 2 {
            self.answered.pass();
        }
    }

    /// Nobody waits for a writer that is done.
    fn end(&self) {
        self.both.open();
        self.answered.open();
    }
}

async fn put_if(caller: &Caller, version: &str, value: &str) -> Result<String, Status> {
    let put = caller.put_value(v1::PutSecretValueRequest {
        if_version: version.to_owned(),
        ..new_value(ID, value)
    });
    put.await.map(|put| put.version)
}

/// Sends two values at once and returns the winner, with the reason that the other was told.
async fn race(
    [first, second]: &[Caller; 2],
    version: &str,
    [one, other]: [String; 2],
    round: &Round,
) -> ((String, String), String) {
    let attempt = async |caller, value: &str| {
        let outcome = put_if(caller, version, value).await;
        round.end();
        outcome
    };
    let outcomes = tokio::join!(attempt(first, &one), attempt(second, &other));
    let (won, value, lost) = match outcomes {
        (Ok(won), Err(lost)) => (won, one, lost),
        (Err(lost), Ok(won)) => (won, other, lost),
        (one, other) => panic!("one of them wins: {one:?}, {other:?}"),
    };
    assert_eq!(lost.code(), Code::Aborted, "one wins: {lost:?}");
    let reason = reason(&lost).expect("our own");
    assert!(LOST.contains(&reason.as_str()), "{lost:?}");
    ((won, value), reason)
}

/// Rotates in the console and lets Claviger's callers find out.
async fn rotate_in_console(console: &Console, caller: &Caller, old: &str) -> String {
    let value = format!("console {}", Uuid::new_v4());
    let version = console.put(SECRET, &value);
    assert_eq!(caller.text(ID).await.expect("read"), value);
    let late = put_if(caller, old, "late").await;
    let status = assert_refused(late, "VERSION_MISMATCH");
    assert_eq!(status.code(), Code::Aborted);
    assert_eq!(console.current(SECRET), (version.clone(), value));
    version
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_puts_on_one_version_one_wins_and_aws_has_its_value() {
    let (mut random, seed) = tools::random();
    let rounds = 100 * tools::volume();
    println!("seed {seed}, {rounds} rounds");
    let stage = &Stage::start(Box::new(aws())).await;
    let (caller, peer, daemon) = (&stage.caller, &stage.peer, &stage.daemon);
    let console = peer.console();
    let callers = [caller.clone(), Caller::of(daemon).await];
    let created = caller.create(ID, peer.place(SECRET), "first").await;
    let mut version = created.expect("created").version;
    let (mut losses, mut meetings, mut rotations) = ([0; 2], [0; 2], 0);
    for number in 0..rounds {
        let meeting = match random.u8(..3) {
            0 => Meeting::None,
            1 => Meeting::Both,
            _ => Meeting::Late,
        };
        let round = Arc::new(Round::new(meeting));
        let (moto, held) = (peer.console(), Arc::clone(&round));
        peer.play(move |request| {
            let reply = moto.play(request);
            if request.operation == GET {
                held.hold();
            }
            Some(reply)
        });
        let values = ["a", "b"].map(|who| format!("{number} {who}"));
        let (won, lost) = race(&callers, &version, values, &round).await;
        // Each asks for the document once more before it writes.
        if round.both.arrivals() >= 2 {
            meetings[usize::from(meeting == Meeting::Late)] += 1;
        }
        losses[usize::from(lost == LOST[1])] += 1;
        assert_eq!(console.current(SECRET), won, "round {number}, {meeting:?}");
        version = won.0;
        if random.u8(..10) == 0 {
            version = rotate_in_console(&console, caller, &version).await;
            rotations += 1;
        }
    }
    println!("met, late: {meetings:?}; {LOST:?}: {losses:?}; {rotations} rotations");
    assert!(
        meetings.iter().all(|count| *count > 0),
        "the races were none"
    );
    assert!(rotations > 0, "nobody was in the console");
}

/// As somebody does in the console: reads the document, sets a key, stores it.
fn edit(console: &Console, key: &str, value: &Value) {
    let mut document: Value = serde_json::from_str(&console.value(SECRET)).expect("JSON");
    document[key] = value.clone();
    console.put(SECRET, &document.to_string());
}

/// Edits in the console that happen just before single calls of Claviger arrive.
#[derive(Clone, Default)]
struct Edits(Arc<Mutex<VecDeque<(&'static str, &'static str)>>>);

impl Edits {
    /// Each is made before the next call of that operation.
    fn plan(&self, edits: &[(&'static str, &'static str)]) {
        let mut planned = self.0.lock().expect("not poisoned");
        *planned = edits.iter().copied().collect();
    }

    fn before(&self, operation: &str, console: &Console) {
        let mut planned = self.0.lock().expect("not poisoned");
        let (next, key) = planned.front().copied().unwrap_or_default();
        if next == operation {
            planned.pop_front();
            if !key.is_empty() {
                edit(console, key, &json!("edited"));
            }
        }
    }

    fn left(&self) -> usize {
        self.0.lock().expect("not poisoned").len()
    }
}

/// A daemon that owns a document's `apiKey`, with somebody in the console between its calls.
async fn contended() -> (Stage<Aws>, Edits) {
    let stage = Stage::start(Box::new(aws())).await;
    let Stage { caller, peer, .. } = &stage;
    peer.set(SECRET, &json!({ "apiKey": "a", "other": "b" }).to_string());
    caller.registered(ID, peer.part(SECRET, "apiKey")).await;
    caller.adopt(ID, "first").await.expect("adopted");
    let edits = Edits::default();
    let (console, planned) = (peer.console(), edits.clone());
    peer.play(move |request| {
        if request.secret() == SECRET {
            planned.before(&request.operation, &console);
        }
        None
    });
    (stage, edits)
}

#[tokio::test]
async fn edit_in_the_console_between_read_and_put_is_kept_or_reported() {
    let (Stage { caller, peer, .. }, edits) = &contended().await;
    let mut lost = Vec::new();
    for (case, planned) in [
        [(PUT, "k0")].as_slice(),
        &[(PUT, "k1"), (PUT, "k2")],
        &[(PUT, "k3"), (PUT, ""), (PUT, "k4")],
        &[(PUT, "k5"), (PUT, "k6"), (PUT, "k7")],
        // After the first one is stored and before its predecessor is known.
        &[(PUT, ""), (DESCRIBE, "k8")],
        &[(PUT, "k9"), (DESCRIBE, "k10")],
    ]
    .into_iter()
    .enumerate()
    {
        edits.plan(planned);
        let before = peer.count(PUT);
        let value = format!("mine {case}");
        let outcome = caller.store(ID, &value).await;
        let puts = peer.count(PUT) - before;
        assert!(
            puts <= 4,
            "{planned:?}: an editor without end is no reason to go on"
        );
        let now = document(&**peer, SECRET);
        assert_eq!(now["other"], "b", "{planned:?}");
        let made = planned.len() - edits.left();
        let mut gone: Vec<&str> = planned[..made].iter().map(|(_, key)| *key).collect();
        gone.retain(|key| !key.is_empty() && now[key] != "edited");
        match outcome {
            Ok(_) if gone.is_empty() => assert_eq!(now["apiKey"], value, "{planned:?}"),
            Ok(_) => lost.push(format!("{planned:?}: OK although {gone:?} is gone")),
            Err(status) => {
                assert_eq!(status.code(), Code::Aborted);
                assert_refused(Err::<(), _>(status), "VALUE_CHANGED");
            }
        }
        edits.plan(&[]);
        // Repeated as told, once nobody interferes any longer.
        caller.store(ID, &value).await.expect("nobody interferes");
        let now = document(&**peer, SECRET);
        assert_eq!(now["apiKey"], value);
        for (_, key) in planned[..made].iter().filter(|(_, key)| !key.is_empty()) {
            assert_eq!(now[*key], "edited", "{planned:?}");
        }
    }
    assert_eq!(lost, [""; 0], "acknowledged edits lost silently");
}

#[tokio::test]
async fn repeat_of_a_merge_gets_its_last_version_and_of_one_that_gave_up_a_new_one() {
    let (Stage { client, peer, .. }, edits) = &contended().await;
    let current = || peer.console().current(SECRET).0;
    let request_id = Uuid::new_v4();
    edits.plan(&[(PUT, "k1")]);
    let merged = client.rotate(ID, "mine", request_id).await;
    let merged = merged.expect("merged again");
    assert_eq!(merged, current(), "the version with both changes");
    let before = peer.asked();
    let repeated = client.rotate(ID, "mine", request_id).await;
    assert_eq!(repeated.expect("answered before"), merged);
    assert_eq!(peer.asked(), before, "answered without AWS");

    let request_id = Uuid::new_v4();
    let keys = ["k2", "k3", "k4", "k5"];
    edits.plan(&keys.map(|key| (PUT, key)));
    let gave_up = client.rotate(ID, "late", request_id).await;
    assert_refused(gave_up, "VALUE_CHANGED");
    let before = current();
    let repeated = client.rotate(ID, "late", request_id).await;
    let repeated = repeated.expect("nobody interferes");
    assert_ne!(repeated, before, "the repeat is a new attempt");
    assert_eq!(current(), repeated);
    let now = document(&**peer, SECRET);
    for key in keys {
        assert_eq!(now[key], "edited", "{key}");
    }
}

#[tokio::test]
async fn if_version_holds_for_the_document_that_a_property_is_merged_into() {
    let (
        Stage {
            caller,
            client,
            peer,
            ..
        },
        edits,
    ) = &contended().await;
    let (version, _) = client.read(ID, "").await.expect("read");
    // The first read compares with if_version, the second one gets merged.
    edits.plan(&[(GET, ""), (GET, "k")]);
    let late = put_if(caller, &version, "mine").await;
    assert_eq!(edits.left(), 0, "it was read twice");
    assert_eq!(late.expect_err("late").code(), Code::Aborted);
    let now = document(&**peer, SECRET);
    let held = (&now["apiKey"], &now["k"]);
    assert_eq!(held, (&json!("first"), &json!("edited")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_in_the_console_at_any_moment_of_a_put_are_kept_or_reported() {
    let (mut random, seed) = tools::random();
    let rounds = 100 * tools::volume();
    println!("seed {seed}, {rounds} rounds");
    let (Stage { caller, peer, .. }, _) = &contended().await;
    let (mut kept, mut reported) = (0, 0);
    for round in 1..=rounds {
        let console = peer.console();
        let reads_before = random.u8(..8);
        let editor = tokio::task::spawn_blocking(move || {
            for _ in 0..reads_before {
                console.value(SECRET);
            }
            edit(&console, "other", &json!(round));
        });
        let outcome = caller.store(ID, &format!("round {round}")).await;
        editor.await.expect("edited");
        let now = document(&**peer, SECRET);
        match outcome {
            Ok(_) => {
                assert_eq!(now["other"], json!(round), "lost silently in round {round}");
                kept += 1;
            }
            Err(status) => {
                assert_refused(Err::<(), _>(status), "VALUE_CHANGED");
                reported += 1;
            }
        }
    }
    println!("{kept} kept, {reported} reported");
    assert!(kept > 0, "nothing was ever written");
}
