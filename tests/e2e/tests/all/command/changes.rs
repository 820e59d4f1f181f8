//! What is there is changed field by field, and only as it was looked at.

use std::ops::ControlFlow;
use std::thread;

use claviger_e2e::{Home, output_of};
use serde_json::Value;

use super::between::Between;
use super::{CANARY, User, assert_stopped, said};
use crate::peers::azure;
use crate::stage::Peer as _;

fn json(user: &User, line: &str) -> Value {
    let printed = said(&user.run(&format!("{line} --json")));
    serde_json::from_str(&printed).expect("JSON")
}

#[test]
fn put_of_a_definition_changes_what_its_options_name() {
    let (home, peer) = (Home::new(), azure());
    let config = peer.vault_for("acme", &["*"]);
    let daemon = home.start(&mut peer.command(&home, &config));
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.become_operator();
    said(&user.run("project put acme --in dev --in prod"));
    let name = "projects/acme/secrets/key";
    let changed = |options: &str| {
        said(&user.run(&format!("definition put {name} {options}")));
        json(&user, &format!("definition get {name}"))
    };
    changed("--kind STRIPE_API_KEY --description key --label a=b --label team=eu --account acct_1");
    changed(
        "--in dev=vault-eu/a --in prod=vault-eu/b --vault vault-eu --environment-fallback --max-age 1m",
    );
    let all = changed("--remove-label a --in prod= --rotate-by 2099-01-31T00:00:00Z --secret c");
    assert_eq!(all["kind"], "STRIPE_API_KEY");
    assert_eq!(all["description"], "key");
    assert_eq!(all["labels"], serde_json::json!({ "team": "eu" }));
    assert_eq!(all["stripe"]["account"], "acct_1");
    assert_eq!(all["environments"]["dev"]["secret"], "a");
    assert_eq!(
        all["environments"].as_object().map(|all| all.len()),
        Some(1)
    );
    assert_eq!(all["environmentFallback"], true);
    assert_eq!(all["freshness"]["maxAge"], "60s");
    assert_eq!(all["location"]["secret"], "c");
    assert_eq!(all["rotateBy"], "2099-01-31T00:00:00Z");

    assert_eq!(changed(""), all, "nothing is named");
    assert_eq!(changed("--dry-run --description other"), all);
    let tried = said(&user.run(&format!("definition put {name} --dry-run")));
    assert_eq!(tried, format!("{name}, not made\n"));
    let fewer = changed("--description= --rotate-by= --max-age= --account= --secret= --vault=");
    for field in ["description", "rotateBy", "freshness", "stripe", "location"] {
        assert!(fewer.get(field).is_none(), "{field}: {fewer}");
    }
    assert_eq!(fewer["labels"], all["labels"]);

    let shown = said(&user.run(&format!("definition get {name}")));
    for line in ["environments  dev=vault-eu/a", "labels        team=eu"] {
        assert!(shown.contains(line), "{shown}");
    }
    let again = user.run(&format!("definition put {name} --value-from -"));
    assert_stopped(&again, 1, &["claviger secret put"]);
}

#[test]
fn put_of_a_project_changes_what_its_options_name() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.become_operator();
    let changed = |options: &str| {
        said(&user.run(&format!("project put acme {options}")));
        json(&user, "project get acme")
    };
    changed("--description shop --in dev --in prod=managed --stripe-mode prod=LIVE");
    let all = changed("--stripe-mode dev=TEST --default-vault managed");
    assert_eq!(all["description"], "shop");
    assert_eq!(all["defaultVault"], "managed");
    assert_eq!(all["environments"]["dev"]["stripeMode"], "TEST");
    assert_eq!(all["environments"]["prod"]["stripeMode"], "LIVE");
    assert_eq!(all["environments"]["prod"]["defaultVault"], "managed");
    assert_eq!(changed("--dry-run --description other"), all);
    let tried = said(&user.run("project put acme --dry-run"));
    assert!(tried.ends_with("projects/acme, not made\n"), "{tried}");
    let fewer = changed("--description= --in prod= --remove-environment dev");
    assert!(fewer.get("description").is_none(), "{fewer}");
    let prod = serde_json::json!({ "prod": { "stripeMode": "LIVE" } });
    assert_eq!(fewer["environments"], prod);

    let listed = said(&user.run("project list"));
    assert!(listed.contains("prod (LIVE)"), "{listed}");
    assert_eq!(
        said(&user.run("project delete acme")),
        "projects/acme is deleted\n"
    );
    assert_stopped(&user.run("project get acme"), 1, &["[PROJECT_NOT_FOUND]"]);
}

#[test]
fn change_of_what_somebody_else_has_changed_meanwhile_is_refused() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    user.become_operator();
    said(&user.run("project put acme"));
    said(&user.run("definition put key --kind STRIPE_API_KEY"));
    said(&user.run("profile put eu --definition key"));
    for (nr, (line, theirs, look)) in [
        (
            "definition put db --label mine=a",
            "definition put db --label theirs=b",
            "claviger definition get projects/dev/secrets/db",
        ),
        (
            "project put acme --in mine",
            "project put acme --in theirs",
            "claviger project get projects/acme",
        ),
        (
            "profile put eu --label mine=a",
            "profile put eu --label theirs=b",
            "claviger profile get projects/dev/connectionProfiles/eu",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let between = Between::new(&home, &format!("between-{nr}.sock"));
        let mut mine = user.command(line);
        mine.env("CLAVIGER_ADDRESS", between.address());
        let output = thread::scope(|scope| {
            let between = scope.spawn(|| {
                between.pass_on(&daemon, 2, || {
                    said(&user.run(theirs));
                    ControlFlow::Continue(())
                })
            });
            let output = output_of(&mut mine, "");
            between.join().expect("no panic").expect("it passes on");
            output
        });
        assert_stopped(&output, 1, &["[ETAG_MISMATCH]", look, "repeat"]);
    }
    let kept = said(&user.run("definition get db"));
    assert!(
        kept.contains("theirs=b") && !kept.contains("mine"),
        "{kept}"
    );
    assert_eq!(said(&user.run("secret get db")), CANARY);
}

#[test]
fn first_value_is_said_to_be_for_all_environments() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let put = |line: &str| {
        let output = output_of(&mut user.command(line), CANARY);
        said(&output);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let told = put("definition put one --environment prod --value-from -");
    assert!(told.contains("claviger secret put"), "{told}");
    assert_eq!(put("definition put two --value-from -"), "");
    assert_eq!(
        put("definition put three --environment prod --kind OPAQUE"),
        ""
    );
}
