//! Several writers of one secret: through Claviger, and past it in the console.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use claviger_e2e::{AwsRequest, AwsStub, Client, Console, Gate, Home, Moto, reason, tools};
use claviger_proto::v1;
use serde_json::{Value, json};
use tonic::{Code, Status};
use uuid::Uuid;

use super::support::{
    Caller, adopt, asked, assert_refused, definition, location, new_value, put, start, text,
};

const NAME: &str = "projects/dev/secrets/contended";

const SECRET: &str = "acme/contended";

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

async fn put_if(caller: Caller, version: String, value: String) -> Result<String, Status> {
    let put = caller.put_value(v1::PutSecretValueRequest {
        if_version: version,
        ..new_value(NAME, &value)
    });
    put.await.map(|put| put.version)
}

/// Sends two values at once and returns the winner, with what the other was told.
async fn race(
    callers: &[Caller; 2],
    version: &str,
    values: [String; 2],
    round: &Round,
) -> ((String, String), String) {
    let [first, second] = callers.clone();
    let [one, other] = values.clone();
    let attempt = async |caller, value| {
        let outcome = put_if(caller, version.to_owned(), value).await;
        round.end();
        outcome
    };
    let outcomes = tokio::join!(attempt(first, one), attempt(second, other));
    let [one, other] = values;
    let (won, value, lost) = match outcomes {
        (Ok(won), Err(lost)) => (won, one, lost),
        (Err(lost), Ok(won)) => (won, other, lost),
        (one, other) => {
            let won = one.and(other);
            (
                won.expect("one of them wins"),
                String::new(),
                Status::ok(""),
            )
        }
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
    let read = caller.text(NAME).await;
    assert_eq!(read.expect("read"), value);
    let late = put_if(caller.clone(), old.to_owned(), "late".to_owned()).await;
    assert_eq!(late.as_ref().map_err(Status::code), Err(Code::Aborted));
    assert_refused(late, "VERSION_MISMATCH");
    assert_eq!(console.current(SECRET), (version.clone(), value));
    version
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_puts_on_one_version_one_wins_and_aws_has_its_value() {
    let (mut random, seed) = tools::random();
    let rounds = 300 * tools::volume();
    println!("seed {seed}, {rounds} rounds");
    let (home, moto) = (Home::new(), Moto::start());
    let current = Arc::new(Mutex::new(Arc::new(Round::new(Meeting::None))));
    let (console, held) = (moto.console(), Arc::clone(&current));
    let stub = AwsStub::start(move |request| {
        let reply = console.play(request);
        if request.operation == GET {
            let round = Arc::clone(&held.lock().expect("not poisoned"));
            round.hold();
        }
        reply
    });
    let daemon = start(&home, &stub.url(), &["acme/*"]);
    let callers = [Caller::of(&daemon).await, Caller::of(&daemon).await];
    let created = callers[0].put_with(v1::PutSecretDefinitionRequest {
        definition: Some(definition(NAME, location(SECRET, ""))),
        payload: text("first"),
        ..Default::default()
    });
    let mut version = created.await.expect("created").version;
    let (mut losses, mut meetings, mut rotations) = ([0; 2], [0; 2], 0);
    for number in 0..rounds {
        let meeting = match random.u8(..3) {
            0 => Meeting::None,
            1 => Meeting::Both,
            _ => Meeting::Late,
        };
        let round = Arc::new(Round::new(meeting));
        *current.lock().expect("not poisoned") = Arc::clone(&round);
        let values = ["a", "b"].map(|who| format!("{number} {who}"));
        let (won, lost) = race(&callers, &version, values, &round).await;
        if round.both.arrivals() == 2 {
            meetings[usize::from(meeting == Meeting::Late)] += 1;
        }
        losses[LOST
            .iter()
            .position(|reason| *reason == lost)
            .expect("known")] += 1;
        assert_eq!(
            moto.console().current(SECRET),
            won,
            "round {number}, {meeting:?}"
        );
        version = won.0;
        if random.u8(..10) == 0 {
            version = rotate_in_console(&moto.console(), &callers[0], &version).await;
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

/// What somebody does in the console: reads the document, sets a key, stores it.
fn edit(console: &Console, key: &str, value: &Value) {
    let mut document: Value = serde_json::from_str(&console.value(SECRET)).expect("JSON");
    document[key] = value.clone();
    console.put(SECRET, &document.to_string());
}

fn document(moto: &Moto) -> Value {
    serde_json::from_str(&moto.value(SECRET)).expect("JSON")
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

    fn before(&self, request: &AwsRequest, console: &Console) {
        let mut planned = self.0.lock().expect("not poisoned");
        let (operation, key) = planned.front().copied().unwrap_or_default();
        if operation == request.operation && request.secret() == SECRET {
            planned.pop_front();
            if !key.is_empty() {
                edit(console, key, &json!("edited"));
            }
        }
    }

    fn are_made(&self) -> bool {
        self.0.lock().expect("not poisoned").is_empty()
    }
}

/// A daemon that owns a document's `apiKey`, with somebody in the console between its calls.
async fn contended(home: &Home, moto: &Moto) -> (AwsStub, Edits, claviger_e2e::Daemon, Client) {
    let document = json!({ "apiKey": "a", "other": "b" }).to_string();
    let create = json!({ "Name": SECRET, "SecretString": document });
    moto.call("CreateSecret", &create);
    let edits = Edits::default();
    let (console, planned) = (moto.console(), edits.clone());
    let stub = AwsStub::start(move |request| {
        planned.before(request, &console);
        console.play(request)
    });
    let daemon = start(home, &stub.url(), &["acme/*"]);
    let client = Client::connect(&daemon.socket()).await;
    let put = put(&client, "contended", (SECRET, "apiKey"), None).await;
    put.expect("registered");
    adopt(&client, "contended", "first").await.expect("adopted");
    (stub, edits, daemon, client)
}

#[tokio::test]
async fn edit_in_the_console_between_read_and_put_is_kept_or_reported() {
    let (home, moto) = (Home::new(), Moto::start());
    let (stub, edits, _daemon, client) = contended(&home, &moto).await;
    let mut lost = Vec::new();
    for (case, planned) in [
        [(PUT, "k0")].as_slice(),
        &[(PUT, "k1"), (PUT, "k2")],
        &[(PUT, "k3"), (PUT, ""), (PUT, "k4")],
        &[(PUT, "k5"), (PUT, "k6"), (PUT, "k7")],
        // After the first one is stored and before it is known what it replaced.
        &[(PUT, ""), (DESCRIBE, "k8")],
        &[(PUT, "k9"), (DESCRIBE, "k10")],
    ]
    .into_iter()
    .enumerate()
    {
        edits.plan(planned);
        stub.take_asked();
        let value = format!("mine {case}");
        let outcome = client.rotate("contended", &value, Uuid::new_v4()).await;
        let asked = stub.take_asked();
        let puts = asked.iter().filter(|one| one.operation == PUT).count();
        assert!(
            puts <= 4,
            "{planned:?}: an editor without end is no reason to go on"
        );
        let now = document(&moto);
        assert_eq!(now["other"], "b", "{planned:?}");
        let made = planned.len() - edits.0.lock().expect("not poisoned").len();
        let keys = planned[..made].iter().map(|(_, key)| *key);
        let gone: Vec<&str> = keys
            .filter(|key| !key.is_empty() && now[key] != "edited")
            .collect();
        match &outcome {
            Ok(_) if gone.is_empty() => assert_eq!(now["apiKey"], value, "{planned:?}"),
            Ok(_) => lost.push(format!("{planned:?}: OK although {gone:?} is gone")),
            Err(status) => {
                assert_eq!(
                    reason(status).as_deref(),
                    Some("VALUE_CHANGED"),
                    "{status:?}"
                );
                assert_eq!(status.code(), Code::Aborted);
            }
        }
        edits.plan(&[]);
        // Repeated as told, once nobody interferes any more.
        let again = client.rotate("contended", &value, Uuid::new_v4()).await;
        again.expect("nobody interferes");
        assert_eq!(document(&moto)["apiKey"], value);
    }
    assert_eq!(lost, [""; 0], "acknowledged edits lost silently");
}

#[tokio::test]
async fn a_repeat_of_a_merge_gets_its_last_version_and_of_one_that_gave_up_a_new_one() {
    let (home, moto) = (Home::new(), Moto::start());
    let (stub, edits, _daemon, client) = contended(&home, &moto).await;
    let request_id = Uuid::new_v4();
    edits.plan(&[(PUT, "k1")]);
    let merged = client.rotate("contended", "mine", request_id).await;
    let merged = merged.expect("merged again");
    let current = moto.console().current(SECRET).0;
    assert_eq!(merged, current, "the version with both changes");
    stub.take_asked();
    let repeated = client.rotate("contended", "mine", request_id).await;
    assert_eq!(repeated.expect("answered before"), current);
    assert!(asked(&stub).is_empty(), "answered without AWS");

    let request_id = Uuid::new_v4();
    edits.plan(&[(PUT, "k2"), (PUT, "k3")]);
    let gave_up = client.rotate("contended", "late", request_id).await;
    assert_refused(gave_up, "VALUE_CHANGED");
    let before = moto.console().current(SECRET).0;
    let repeated = client.rotate("contended", "late", request_id).await;
    let repeated = repeated.expect("nobody interferes");
    assert_ne!(repeated, before, "the repeat is a new attempt");
    assert_eq!(moto.console().current(SECRET).0, repeated);
}

#[tokio::test]
async fn if_version_holds_for_the_document_that_a_property_is_merged_into() {
    let (home, moto) = (Home::new(), Moto::start());
    let (_stub, edits, daemon, client) = contended(&home, &moto).await;
    let caller = Caller::of(&daemon).await;
    let (version, _) = client.read("contended", "").await.expect("read");
    // The first read compares with if_version, the second one is what gets merged.
    edits.plan(&[(GET, ""), (GET, "k")]);
    let late = put_if(caller, version, "mine".to_owned()).await;
    assert!(edits.are_made(), "it was read twice");
    assert_eq!(late.as_ref().map_err(Status::code), Err(Code::Aborted));
    let now = document(&moto);
    assert_eq!(
        (&now["apiKey"], &now["k"]),
        (&json!("first"), &json!("edited"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_in_the_console_at_any_moment_of_a_put_are_kept_or_reported() {
    let (mut random, seed) = tools::random();
    let rounds = 100 * tools::volume();
    println!("seed {seed}, {rounds} rounds");
    let (home, moto) = (Home::new(), Moto::start());
    let document_before = json!({ "apiKey": "a", "other": 0 }).to_string();
    let create = json!({ "Name": SECRET, "SecretString": document_before });
    moto.call("CreateSecret", &create);
    let daemon = start(&home, &moto.url(), &["acme/*"]);
    let client = Client::connect(&daemon.socket()).await;
    let registered = put(&client, "contended", (SECRET, "apiKey"), None).await;
    registered.expect("registered");
    adopt(&client, "contended", "first").await.expect("adopted");
    let (mut kept, mut reported) = (0, 0);
    for round in 1..=rounds {
        let console = moto.console();
        let reads_before = random.u8(..8);
        let editor = tokio::task::spawn_blocking(move || {
            for _ in 0..reads_before {
                console.value(SECRET);
            }
            edit(&console, "other", &json!(round));
        });
        let value = format!("round {round}");
        let outcome = client.rotate("contended", &value, Uuid::new_v4()).await;
        editor.await.expect("edited");
        let now = document(&moto);
        match outcome {
            Ok(_) => {
                assert_eq!(now["other"], json!(round), "lost silently in round {round}");
                kept += 1;
            }
            Err(status) => {
                assert_eq!(
                    reason(&status).as_deref(),
                    Some("VALUE_CHANGED"),
                    "{status:?}"
                );
                reported += 1;
            }
        }
    }
    println!("{kept} kept, {reported} reported");
    assert!(kept > 0, "nothing was ever written");
}
