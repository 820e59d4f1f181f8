use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};

use claviger_e2e::{Home, output_of, tools};
use rustix::process::geteuid;
use serde_json::Value;

use super::{CANARY, User, assert_stopped, complaint, said};

#[test]
fn context_says_which_daemon_is_asked_about_which_project() {
    let homes = [Home::new(), Home::new()];
    let daemons = [homes[0].start_dev(), homes[1].start_dev()];
    let user = User {
        home: &homes[1],
        daemon: &daemons[1],
    };
    user.put();

    let home = Home::new();
    let file = home.path().join(".config/claviger/claviger.toml");
    fs::create_dir_all(file.parent().expect("a directory")).expect("a writable home");
    let mut text = "context = \"first\"\n".to_owned();
    for (name, daemon) in ["first", "second"].iter().zip(&daemons) {
        let socket = daemon.socket();
        text += &format!(
            "[contexts.{name}]\naddress = \"unix:{}\"\nproject = \"dev\"\n",
            socket.display()
        );
    }
    fs::write(&file, &text).expect("a writable home");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("ours");
    let run = |line: &str| {
        let words = line.split_whitespace().collect::<Vec<_>>();
        output_of(&mut home.program(tools::claviger(), &words), "")
    };
    assert_stopped(&run("secret get db"), 1, &["[DEFINITION_NOT_FOUND]"]);
    assert_eq!(said(&run("secret get db --context second")), CANARY);
    let listed = said(&run("context --context second"));
    let lines = listed
        .lines()
        .map(|line| line.split_whitespace().take(2).collect());
    let lines: Vec<Vec<_>> = lines.collect();
    assert_eq!(lines[1][0], "first", "{listed}");
    assert_eq!(lines[2], ["*", "second"], "{listed}");
    let json: Value = serde_json::from_str(&said(&run("context --json"))).expect("JSON");
    assert_eq!(json["contexts"][0]["chosen"], true);
    assert_eq!(json["contexts"][1]["project"], "dev");

    assert_stopped(
        &run("whoami --context third"),
        2,
        &["contexts: first, second"],
    );
    // Whoever may write it says where tokens go.
    fs::set_permissions(&file, Permissions::from_mode(0o660)).expect("ours");
    assert_stopped(&run("whoami"), 2, &["claviger.toml", "chmod go-w"]);
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("ours");
    // A token goes nowhere that its own variables do not name, which nobody has to guess at.
    let with_token = |words: &[&str]| {
        let mut command = home.program(tools::claviger(), words);
        output_of(command.env("CLAVIGER_TOKEN_FILE", &file), "")
    };
    assert_eq!(complaint(&with_token(&["whoami"])), "");
    let elsewhere = daemons[1].tcp().to_string();
    let told = complaint(&with_token(&["whoami", "--address", &elsewhere]));
    for wanted in [
        "CLAVIGER_TOKEN_FILE",
        "--token-file",
        "[CREDENTIALS_REQUIRED]",
    ] {
        assert!(told.contains(wanted), "{told}");
    }
    // A task that asks nobody needs no context.
    said(&run("completions bash"));
}

/// After `sudo -E` the variables of the session lead to a directory of the user before.
#[test]
fn root_asks_no_daemon_of_another_user_by_default() {
    if !geteuid().is_root() {
        return;
    }
    let home = Home::new();
    let runtime_dir = home.path().join("run");
    fs::create_dir_all(&runtime_dir).expect("a writable home");
    chown(&runtime_dir, Some(1000), None).expect("root may");
    let mut command = home.program(tools::claviger(), &["secret", "put", "db"]);
    command
        .env("XDG_RUNTIME_DIR", &runtime_dir)
        .env("CLAVIGER_PROJECT", "dev");
    let refused = output_of(&mut command, CANARY);
    assert_stopped(&refused, 2, &["belongs to another user", "--address unix:"]);
}
