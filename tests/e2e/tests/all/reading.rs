//! Reads of secrets that others made in the vault.

use claviger_e2e::{assert_refused, seen, text_of};
use claviger_proto::v1;
use serde_json::json;

use crate::caller::{Caller, definition, put_of};
use crate::peers::{aws, on};
use crate::stage::{Peer, SECRET, Stage, VAULT};

on!(runner_reads_a_property_of_a_secret_made_in_the_console: aws azure);
async fn runner_reads_a_property_of_a_secret_made_in_the_console(peer: Box<dyn Peer>) {
    let stage = Stage::start(peer).await;
    let document = json!({ "apiKey": "rk_test_1", "other": "b" }).to_string();
    stage.peer.set(SECRET, &document);
    let runner = stage.runner().await;
    for (index, secret) in stage.peer.aliases(SECRET).iter().enumerate() {
        let (id, there) = (format!("s{index}"), stage.peer.part(secret, "apiKey"));
        stage.caller.registered(&id, there).await;
        let read = runner.get(&id, "").await.expect("read");
        assert_eq!(read.vault, VAULT);
        assert_eq!(text_of(read), "rk_test_1", "{secret}");
    }
}

on!(rotation_in_the_console_is_what_the_next_read_gets: aws azure objects);
async fn rotation_in_the_console_is_what_the_next_read_gets(peer: Box<dyn Peer>) {
    let stage = Stage::start(peer).await;
    let (caller, runner) = (&stage.caller, stage.runner().await);
    caller.created("s", stage.peer.place(SECRET), "ours").await;
    let rotated = stage.peer.set(SECRET, "theirs");
    let read = runner.get("s", "").await.expect("read");
    assert!(read.version.contains(&rotated), "{rotated}: {read:?}");
    assert_eq!(text_of(read), "theirs");
    // A rotation there has not taken it from the definition.
    caller.store("s", "ours again").await.expect("ours");
    assert_eq!(runner.text("s").await.expect("read"), "ours again");
}

on!(absent_deleted_and_unknown_versions_are_three_reasons: aws azure);
async fn absent_deleted_and_unknown_versions_are_three_reasons(peer: Box<dyn Peer>) {
    let stage = Stage::start(peer).await;
    let runner = stage.runner().await;
    stage.peer.set("there", "v");
    stage.peer.set("gone", "v");
    stage.peer.delete("gone");
    for secret in ["there", "gone", "never"] {
        let put = stage
            .caller
            .register(secret, stage.peer.place(secret))
            .await;
        put.expect("registered");
    }
    let unknown = "0123456789abcdef0123456789abcdef";
    assert_refused(runner.get("there", unknown).await, "VERSION_NOT_FOUND");
    for version in ["", unknown] {
        let gone = assert_refused(runner.get("gone", version).await, "SECRET_DELETED");
        assert!(!seen(&gone).contains("SecretNotFound"), "{gone:?}");
        assert_refused(runner.get("never", version).await, "SECRET_NOT_FOUND");
    }
}

on!(managed_vault_serves_while_the_other_is_gone_and_the_daemon_starts: aws azure objects sealed);
async fn managed_vault_serves_while_the_other_is_gone_and_the_daemon_starts(peer: Box<dyn Peer>) {
    let stage = Stage::start(peer).await;
    let Stage { caller, peer, .. } = &stage;
    caller.created("away", peer.place(SECRET), "v").await;
    caller.created("here", v1::Location::default(), "own").await;
    assert_eq!(caller.text("away").await.expect("it is there"), "v");

    let (config, place) = (peer.vault("timeout = \"20s\""), peer.place("late"));
    let Stage {
        caller,
        daemon,
        home,
        peer,
        ..
    } = stage;
    let mut command = peer.command(&home, &config);
    let _files = peer.end();
    assert_refused(caller.text("away").await, "VAULT_UNREACHABLE");
    assert_eq!(caller.text("here").await.expect("managed"), "own");
    daemon.stop();

    let daemon = home.start(&mut command);
    let caller = Caller::of(&daemon).await;
    assert_eq!(caller.text("here").await.expect("managed"), "own");
    assert_refused(caller.text("away").await, "VAULT_UNREACHABLE");
    let put = caller.register("late", place).await;
    put.expect("nobody is asked");
    let checked = caller.check_vault(VAULT).await;
    let told = (checked.ok, checked.reason.as_str());
    assert_eq!(told, (false, "VAULT_UNREACHABLE"));
}

on!(names_to_pick_from_are_complete_in_order_and_marked_if_ours: aws azure);
async fn names_to_pick_from_are_complete_in_order_and_marked_if_ours(peer: Box<dyn Peer>) {
    let Stage { caller, peer, .. } = &Stage::start(peer).await;
    let names: Vec<String> = (0..60).map(|number| format!("s{number:02}")).collect();
    for name in &names {
        peer.set(name, "v");
    }
    caller.created("mine", peer.place("mine"), "v").await;
    for page_size in [7, 1000] {
        let listed = caller.browse(VAULT, "dev", page_size).await;
        let listed = listed.expect("listed");
        let listed = listed.iter().map(|one| (one.secret.as_str(), one.ours));
        let theirs = names.iter().map(|name| (name.as_str(), false));
        assert!(listed.eq(std::iter::once(("mine", true)).chain(theirs)));
    }
}

#[tokio::test]
async fn property_is_a_key_as_it_is_written_or_a_pointer() {
    let Stage { caller, peer, .. } = &Stage::start(Box::new(aws())).await;
    let document = json!({
        "a.b": "dot", "a b": "blank", "a/b": "slash", "/a": "leading slash",
        "deep": { "list": ["first"] },
    });
    peer.set(SECRET, &document.to_string());
    for (index, (property, expected)) in [
        ("a.b", Ok("dot")),
        ("a b", Ok("blank")),
        ("a/b", Ok("slash")),
        ("/~1a", Ok("leading slash")),
        ("/deep/list/0", Ok("first")),
        ("/a", Err("PROPERTY_NOT_FOUND")),
        ("deep.list", Err("PROPERTY_NOT_FOUND")),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("property-{index}");
        caller.registered(&id, peer.part(SECRET, property)).await;
        match expected {
            Ok(text) => assert_eq!(caller.text(&id).await.expect(property), text),
            Err(reason) => drop(assert_refused(caller.text(&id).await, reason)),
        }
    }
}

#[tokio::test]
async fn value_that_does_not_fit_the_definition_says_so_and_nothing_of_itself() {
    let stage = Stage::start(Box::new(aws())).await;
    let runner = stage.runner().await;
    let (caller, peer, home) = (&stage.caller, &stage.peer, &stage.home);
    // 0xff 0xfe 0x00
    let binary = json!({ "Name": "binary", "SecretBinary": "//4A" });
    peer.moto.call("CreateSecret", &binary);
    let document = json!({ "canaryKey": "canary value", "otherCanary": "b" }).to_string();
    peer.set("json", &document);
    for (id, secret, property, reason) in [
        ("as-text", "binary", "", "VALUE_NOT_TEXT"),
        ("no-property", "json", "", "PROPERTY_REQUIRED"),
        ("wrong-property", "json", "apiKey", "PROPERTY_NOT_FOUND"),
    ] {
        caller.registered(id, peer.part(secret, property)).await;
        let status = assert_refused(runner.get(id, "").await, reason);
        let seen = seen(&status).to_lowercase();
        assert!(!seen.contains("canary"), "{seen}");
    }
    assert!(!home.log().to_lowercase().contains("canary"));

    let as_binary = v1::SecretDefinition {
        format: v1::secret_definition::Format::Binary.into(),
        ..definition("as-binary", peer.place("binary"))
    };
    let put = caller.put(put_of(as_binary, None)).await;
    put.expect("registered");
    let read = runner.get("as-binary", "").await.expect("read").value;
    let data = v1::get_secret_response::Value::Data(vec![0xff, 0xfe, 0]);
    assert_eq!(read, Some(data));
}
