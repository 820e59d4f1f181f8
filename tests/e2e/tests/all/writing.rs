//! Puts: the values they leave in the vault, and all that they leave alone.

use claviger_e2e::{assert_refused, reason, seen, text_of};
use claviger_proto::v1;
use claviger_proto::v1::secret_version::State;
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::caller::{Caller, Change, assert_told, place};
use crate::peers::{Aws, aws, on};
use crate::stage::{Loss, MARKER, Peer, SECRET, Stage, VAULT};

/// The document in the vault.
pub(crate) fn document(peer: &(impl Peer + ?Sized), secret: &str) -> Value {
    let text = peer.value(secret).expect("it is there");
    serde_json::from_str(&text).expect("JSON")
}

on!(put_with_a_value_creates_the_secret_and_the_next_one_rotates_it: aws azure objects sealed);
async fn put_with_a_value_creates_the_secret_and_the_next_one_rotates_it(peer: Box<dyn Peer>) {
    let stage = Stage::start(peer).await;
    let runner = stage.runner().await;
    let (caller, peer, client) = (&stage.caller, &stage.peer, &stage.client);
    let first = caller.created("new", peer.place(SECRET), "one").await;
    assert_eq!(first.warnings, []);
    let read = runner.get("new", "").await.expect("read");
    assert_eq!(
        (&read.version, read.vault.as_str()),
        (&first.version, VAULT)
    );
    assert_eq!(runner.text("new").await.expect("read"), "one");
    let in_the_clear = |text: &str| peer.value(SECRET).is_none_or(|there| there == text);
    assert!(in_the_clear("one"));

    let second = caller.store("new", "two").await.expect("rotated");
    assert_eq!(second.warnings, []);
    assert!(in_the_clear("two"));
    let read = client.read("new", "").await.expect("read");
    assert_eq!(read, (second.version.clone(), "two".to_owned()));
    assert_eq!(peer.versions(SECRET).len(), 2);
    if caller.capabilities(VAULT).await.version {
        let pinned = runner.get("new", &first.version).await.map(text_of);
        assert_eq!(pinned.expect("still there"), "one");
        let mut listed = client.versions("new").await.expect("listed");
        let mut made = [first.version, second.version];
        listed.sort();
        made.sort();
        assert_eq!(listed, made);
    }
}

on!(foreign_secret_is_written_only_with_adopt_and_keeps_its_other_keys: aws azure);
async fn foreign_secret_is_written_only_with_adopt_and_keeps_its_other_keys(peer: Box<dyn Peer>) {
    let Stage { caller, peer, .. } = &Stage::start(peer).await;
    let theirs = json!({ "apiKey": "a", "other": "b", "deep": { "list": [1, 2.5, null] } });
    peer.set(SECRET, &theirs.to_string());
    caller.registered("s", peer.part(SECRET, "apiKey")).await;
    let versions = peer.versions(SECRET);
    assert_refused(caller.store("s", "c").await, "SECRET_NOT_OWNED");
    assert_eq!(document(&**peer, SECRET), theirs);
    assert_eq!(peer.versions(SECRET), versions);
    let mut expected = theirs;
    expected["apiKey"] = json!("c");
    caller.adopt("s", "c").await.expect("adopted");
    assert_eq!(document(&**peer, SECRET), expected);
    expected["apiKey"] = json!("d");
    caller.store("s", "d").await.expect("it is ours now");
    assert_eq!(document(&**peer, SECRET), expected);
}

on!(ids_that_differ_in_case_alone_get_secrets_of_their_own: aws azure objects sealed);
async fn ids_that_differ_in_case_alone_get_secrets_of_their_own(peer: Box<dyn Peer>) {
    let Stage { caller, peer, .. } = &Stage::start(peer).await;
    let ids = ["Stripe", "stripe"];
    for id in ids {
        caller.created(id, place(VAULT, ""), id).await;
    }
    for id in ids {
        assert_eq!(caller.text(id).await.expect("read"), id);
    }
    let mut names: Vec<String> = peer.names().iter().map(|one| one.to_lowercase()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 2, "whatever a vault thinks of case: {names:?}");
}

/// Done if the vault declares that it can, else refused without a word to it.
async fn changes(
    (caller, peer): (&Caller, &dyn Peer),
    version: &str,
    (can, change): (bool, Change),
) -> bool {
    let before = peer.asked();
    let changed = caller.change("new", version, change).await;
    if can {
        let expected = match change {
            Change::Destroy => State::Destroyed,
            Change::Disable => State::Disabled,
            Change::Enable => State::Enabled,
        };
        assert_eq!(changed.expect("it can"), expected);
        return true;
    }
    let status = assert_refused(changed, "VAULT_CAPABILITY_MISSING");
    assert_eq!(status.code(), Code::FailedPrecondition);
    let details = status.get_error_details();
    let told = &details.error_info().expect("ours").metadata;
    assert_eq!(told["vault"], VAULT);
    assert!(status.message().contains(VAULT), "{status:?}");
    let verb = format!("{change:?}").to_lowercase();
    assert!(told["capability"].contains(&verb), "{told:?}");
    assert_eq!(peer.asked(), before, "nobody was asked");
    false
}

on!(version_is_disabled_enabled_and_destroyed_where_the_vault_can: aws azure objects sealed);
async fn version_is_disabled_enabled_and_destroyed_where_the_vault_can(peer: Box<dyn Peer>) {
    let Stage { caller, peer, .. } = &Stage::start(peer).await;
    let first = caller
        .created("new", peer.place(SECRET), "one")
        .await
        .version;
    caller.store("new", "two").await.expect("rotated");
    let can = caller.capabilities(VAULT).await;
    let change = async |can, change| changes((caller, &**peer), &first, (can, change)).await;
    if change(can.disable_version, Change::Disable).await {
        assert_refused(caller.get("new", &first).await, "VERSION_DISABLED");
        assert_eq!(caller.text("new").await.expect("the other one"), "two");
    }
    if change(can.disable_version, Change::Enable).await {
        let again = caller.get("new", &first).await.map(text_of);
        assert_eq!(again.expect("readable again"), "one");
    }
    if change(can.destroy_version, Change::Destroy).await {
        assert_refused(caller.get("new", &first).await, "VERSION_DESTROYED");
    } else if can.version {
        caller.get("new", &first).await.expect("still there");
    }
}

on!(value_too_long_for_the_vault_is_refused_before_anything_changes: aws azure);
async fn value_too_long_for_the_vault_is_refused_before_anything_changes(peer: Box<dyn Peer>) {
    let Stage { caller, peer, .. } = &Stage::start(peer).await;
    let bytes_max = caller.capabilities(VAULT).await.value_bytes_max;
    let longest = "x".repeat(usize::try_from(bytes_max).expect("it fits"));
    let too_long = format!("{longest}x");
    let theirs = json!({ "apiKey": "a", "other": "b".repeat(100) });
    peer.set("theirs", &theirs.to_string());
    caller
        .registered("theirs", peer.part("theirs", "apiKey"))
        .await;
    let before = peer.asked();
    let created = caller.create("new", peer.place("new"), &too_long).await;
    let adopted = caller.adopt("theirs", &too_long).await;
    for refused in [created.map(drop), adopted.map(drop)] {
        assert_told(refused, "PAYLOAD_TOO_LARGE", &bytes_max.to_string());
    }
    assert_eq!(peer.asked(), before, "nobody was asked");

    // Only too long together with the rest of the document.
    let versions = peer.versions("theirs");
    assert_told(
        caller.adopt("theirs", &longest).await,
        "PAYLOAD_TOO_LARGE",
        &bytes_max.to_string(),
    );
    assert_eq!(document(&**peer, "theirs"), theirs);
    assert_eq!(peer.versions("theirs"), versions);
    let adopted = caller.adopt("theirs", "c").await;
    adopted.expect("nothing is left of it");
    assert_eq!(document(&**peer, "theirs")["apiKey"], "c");

    let put = caller.create("new", peer.place("new"), &longest).await;
    put.expect("just not too long");
    assert_eq!(peer.value("new"), Some(longest.clone()));
    assert_eq!(caller.text("new").await.expect("read"), longest);
    caller.store("new", "short").await.expect("rotated");
}

on!(document_is_stored_as_it_is_or_by_its_key_and_keeps_its_shape: aws azure);
async fn document_is_stored_as_it_is_or_by_its_key_and_keeps_its_shape(peer: Box<dyn Peer>) {
    let Stage { caller, peer, .. } = &Stage::start(peer).await;
    let text = r#"{ "b" : 1.10e+2,"a":[null] }"#;
    let whole = v1::Location {
        whole: true,
        ..peer.place("whole")
    };
    caller.created("whole", whole, text).await;
    assert_eq!(peer.value("whole").as_deref(), Some(text));
    assert_eq!(caller.text("whole").await.expect("read"), text);
    let refused = caller.create("none", peer.place("none"), text).await;
    assert_told(refused, "PROPERTY_REQUIRED", "location.whole");
    assert_eq!(peer.value("none"), None);

    peer.set("one", &json!({ "apiKey": "old" }).to_string());
    caller.registered("one", peer.place("one")).await;
    caller.adopt("one", "new").await.expect("adopted");
    assert_eq!(document(&**peer, "one"), json!({ "apiKey": "new" }));
    let theirs = json!({ "apiKey": "new", "other": "theirs" });
    peer.set("one", &theirs.to_string());
    let refused = caller.store("one", "newer").await;
    assert_told(refused, "PROPERTY_REQUIRED", "location.property");
    assert_eq!(document(&**peer, "one"), theirs);
}

on!(write_whose_answer_is_lost_is_known_or_unknown_and_its_repeat_stores_nothing_more: azure objects sealed);
async fn write_whose_answer_is_lost_is_known_or_unknown_and_its_repeat_stores_nothing_more(
    peer: Box<dyn Peer>,
) {
    let stage = &Stage::start(peer).await;
    let (caller, peer, client) = (&stage.caller, &stage.peer, &stage.client);
    caller.created("s", peer.place(SECRET), "0").await;
    let stored = || peer.versions(SECRET).len();
    let (request_id, before) = (Uuid::new_v4(), stored());
    peer.lose(Loss::Half);
    let put = client.rotate("s", "1", request_id).await;
    assert_eq!(stored(), before + 1);
    if let Err(status) = &put {
        assert_eq!(reason(status).as_deref(), Some("WRITE_OUTCOME_UNKNOWN"));
    }
    let again = client.rotate("s", "1", request_id).await.expect("repeated");
    assert_eq!(put.unwrap_or_else(|_| again.clone()), again);
    assert_eq!(stored(), before + 1);
    let read = client.read("s", "").await.expect("read");
    assert_eq!(read, (again, "1".to_owned()));
}

on!(write_that_is_not_confirmed_is_sent_once_and_said_to_be_unknown: aws azure);
async fn write_that_is_not_confirmed_is_sent_once_and_said_to_be_unknown(peer: Box<dyn Peer>) {
    let stage = &Stage::start(peer).await;
    let (caller, peer, home) = (&stage.caller, &stage.peer, &stage.home);
    for (id, canary) in [("new", "cAnAry51a7b2e9"), ("other", "cAnAry83c1")] {
        let before = peer.writes();
        peer.lose(Loss::Undone);
        let put = caller.create(id, peer.place(id), canary).await;
        let status = assert_refused(put, "WRITE_OUTCOME_UNKNOWN");
        assert!(!seen(&status).contains(MARKER), "{status:?}");
        assert_eq!(peer.writes(), before + 1);
        assert_eq!(peer.value(id), None);
        let log = home.log();
        assert!(!log.contains(canary) && !log.contains(MARKER));
    }
}

#[tokio::test]
async fn pointer_is_read_only_and_nothing_reaches_the_secret() {
    let Stage { caller, peer, .. } = &Stage::start(Box::new(aws())).await;
    let theirs = json!({ "/a": "1", "b": "2" });
    peer.set(SECRET, &theirs.to_string());
    caller.registered("theirs", peer.part(SECRET, "/~1a")).await;
    assert_told(
        caller.adopt("theirs", "c").await,
        "LOCATION_INVALID",
        "read-only",
    );
    assert_eq!(document(&**peer, SECRET), theirs);
    let described = peer.describe(SECRET);
    let tags = described["Tags"].as_array().map_or(0, Vec::len);
    assert_eq!(tags, 0, "not adopted either: {described}");
}

/// The part of a secret that is not ours: everything but versions, dates and our own tags.
fn foreign_part(aws: &Aws, secret: &str) -> Value {
    let mut described = aws.describe(secret);
    let fields = described.as_object_mut().expect("an object");
    // Whether under AWS's name or under the one that moto adds.
    for changing in [
        "VersionIdsToStages",
        "SecretVersionsToStages",
        "LastChangedDate",
    ] {
        fields.remove(changing);
    }
    let tags = fields.get_mut("Tags").and_then(Value::as_array_mut);
    tags.expect("tags").retain(|tag| {
        let key = tag["Key"].as_str().expect("text");
        !key.starts_with("claviger:")
    });
    let policy = aws
        .moto
        .call("GetResourcePolicy", &json!({ "SecretId": secret }));
    json!({ "described": described, "policy": policy["ResourcePolicy"] })
}

#[tokio::test]
async fn put_leaves_key_description_policy_and_foreign_tags_in_aws_alone() {
    let Stage { caller, peer, .. } = &Stage::start(Box::new(aws())).await;
    let theirs = json!({
        "Name": SECRET,
        "SecretString": json!({ "apiKey": "a" }).to_string(),
        "Description": "of the payments team",
        "KmsKeyId": "alias/payments",
        "Tags": [{ "Key": "owner", "Value": "them" }, { "Key": "team", "Value": "theirs" }],
    });
    peer.moto.call("CreateSecret", &theirs);
    let policy = json!({ "Version": "2012-10-17", "Statement": [] }).to_string();
    let request = json!({ "SecretId": SECRET, "ResourcePolicy": policy });
    peer.moto.call("PutResourcePolicy", &request);
    let before = foreign_part(peer, SECRET);
    assert_eq!(before["described"]["KmsKeyId"], "alias/payments");
    assert_eq!(before["policy"], policy);

    caller
        .registered("theirs", peer.part(SECRET, "apiKey"))
        .await;
    caller.adopt("theirs", "c").await.expect("adopted");
    assert_eq!(foreign_part(peer, SECRET), before);
    caller.store("theirs", "d").await.expect("it is ours now");
    assert_eq!(foreign_part(peer, SECRET), before);
}

#[tokio::test]
async fn secret_that_is_created_in_aws_is_marked_as_ours_and_has_two_labelled_versions() {
    let stage = &Stage::start(Box::new(aws())).await;
    let (caller, peer) = (&stage.caller, &stage.peer);
    let first = caller.created("new", peer.place(SECRET), "v").await;
    let described = peer.describe(SECRET);
    let tags = described["Tags"].as_array().expect("tags").iter();
    let mut keys: Vec<_> = tags.filter_map(|tag| tag["Key"].as_str()).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "claviger:definition",
            "claviger:project",
            "claviger:store",
            "team"
        ]
    );
    let second = caller.store("new", "w").await.expect("rotated");
    let stages = &peer.describe(SECRET)["VersionIdsToStages"];
    let labelled = json!({ first.version: ["AWSPREVIOUS"], second.version: ["AWSCURRENT"] });
    assert_eq!(*stages, labelled);
}
