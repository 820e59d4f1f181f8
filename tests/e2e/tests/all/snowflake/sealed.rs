//! Sealed rows from put to destruction: Snowflake never sees a value, a row that was moved is found
//! out, and the status counts the values that each key seals.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use claviger_e2e::{Home, assert_refused, text_of};
use claviger_snowflake_fake::Request;

use crate::caller::Change;
use crate::peers::{TABLE, sealed};
use crate::stage::{Peer, Stage, VAULT};

const CANARY: &str = "cAnAry51a7b2e9-Zx";

/// The canary as it is and as it could travel.
fn encodings() -> Vec<String> {
    let bytes = CANARY.as_bytes();
    let each = |form: fn(&u8) -> String| bytes.iter().map(form).collect::<String>();
    let hex = each(|byte| format!("{byte:02x}"));
    // At each of the three places that a byte can have within a group of three; the edges
    // depend on the neighbours.
    let aligned = (0..3).map(|shift| {
        let shifted = [&b"..."[..shift], bytes].concat();
        let encoded = BASE64_STANDARD.encode(shifted);
        encoded.chars().skip(4).take(encoded.len() - 8).collect()
    });
    let mut all = vec![
        CANARY.to_owned(),
        hex.to_uppercase(),
        hex,
        each(|byte| format!("%{byte:02x}")),
        each(|byte| format!("\\u00{byte:02x}")),
        each(|byte| format!("{byte:02x}00")),
        CANARY.chars().rev().collect(),
    ];
    all.extend(aligned);
    all
}

#[test]
fn canary_is_found_wherever_it_is_in_what_is_encoded() {
    for before in ["", "x", "xy", "xyz"] {
        let text = format!("{before}{CANARY}{before}");
        let encoded = BASE64_STANDARD.encode(text);
        let is_found = encodings().iter().any(|form| encoded.contains(form));
        assert!(is_found, "{before}");
    }
    assert!(encodings().len() >= 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealed_value_is_created_read_rotated_disabled_and_destroyed_unseen() {
    let stage = Stage::start(Box::new(sealed())).await;
    let runner = stage.runner().await;
    let (caller, peer, home) = (&stage.caller, &stage.peer, &stage.home);
    let first = caller
        .created("stripe", peer.place("acme-stripe"), CANARY)
        .await
        .version;
    assert_eq!(runner.text("stripe").await.expect("read"), CANARY);
    let second = CANARY.to_owned() + "2";
    caller.store("stripe", &second).await.expect("rotated");
    assert_eq!(caller.text("stripe").await.expect("read"), second);
    let old = caller.get("stripe", &first).await.map(text_of);
    assert_eq!(old.expect("kept"), CANARY);
    for change in [Change::Disable, Change::Enable, Change::Destroy] {
        let changed = caller.change("stripe", &first, change).await;
        changed.expect("it can");
    }
    assert_eq!(peer.fake.rows(TABLE, "SEALED IS NULL"), 1);

    let requests = peer.fake.requests();
    let sent = |text: &str| {
        let holds = |request: &&Request| request.body.contains(text) || request.path.contains(text);
        requests.iter().filter(holds).count()
    };
    assert!(sent("acme-stripe") > 0, "its requests are looked through");
    for encoding in encodings() {
        assert_eq!(sent(&encoding), 0, "{encoding}");
    }
    assert!(!home.log().contains(CANARY));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_were_swapped_are_found_out() {
    let Stage { caller, peer, .. } = &Stage::start(Box::new(sealed())).await;
    for id in ["one", "two"] {
        caller.created(id, peer.place(id), id).await;
    }
    let (one, two) = ("SECRET = 'one'", "SECRET = 'two'");
    peer.fake.swap(TABLE, &["SEALED"], one, two);
    for id in ["one", "two"] {
        assert_refused(caller.text(id).await, "INTEGRITY_FAILURE");
    }
    peer.fake.swap(TABLE, &["SEALED"], one, two);
    assert_eq!(caller.text("one").await.expect("back in place"), "one");
}

/// The counts of `clavigerd status` for the vault: values by key.
pub(crate) fn sealed_values(home: &Home) -> Vec<(u32, usize)> {
    let output = home.run(&["status"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = format!("vaults/{VAULT}: ok");
    assert!(said.lines().any(|told| told == line), "{said}{output:?}");
    let parts = said.lines().skip_while(|told| **told != line).skip(1);
    let counts = parts.map_while(|told| told.strip_prefix("  sealed under key "));
    let counts = counts.map(|told| told.split_once(": ").expect("a key and a count"));
    let number = |text: &str| text.parse().expect("a number");
    counts
        .map(|(key, count)| (key.parse().expect("a key"), number(count)))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_counts_what_each_key_seals_after_puts_destroys_and_a_restart() {
    let stage = Stage::start(Box::new(sealed())).await;
    let (caller, peer, home) = (&stage.caller, &stage.peer, &stage.home);
    assert_eq!(sealed_values(home), []);
    let first = caller.created("one", peer.place("one"), "1").await.version;
    caller.created("two", peer.place("two"), "2").await;
    caller.store("one", "11").await.expect("rotated");
    let [(key, 3)] = sealed_values(home)[..] else {
        panic!("{:?}", sealed_values(home));
    };
    let disabled = caller.change("one", &first, Change::Disable).await;
    disabled.expect("disabled");
    assert_eq!(sealed_values(home), [(key, 3)]);
    let destroyed = caller.change("one", &first, Change::Destroy).await;
    destroyed.expect("destroyed");
    assert_eq!(sealed_values(home), [(key, 2)]);

    let config = peer.vault("");
    let Stage { caller, home, .. } = &stage.restart(&config).await;
    assert_eq!(sealed_values(home), [(key, 2)]);
    caller.store("two", "22").await.expect("rotated");
    assert_eq!(sealed_values(home), [(key, 3)]);
    assert_eq!(caller.text("one").await.expect("read"), "11");
}
