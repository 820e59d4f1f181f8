//! Versions that are switched off, grants and tokens.

use std::io::Write as _;
use std::process::Stdio;

use claviger_e2e::{Home, output_of};
use serde_json::Value;

use super::{
    CANARY, User, assert_stopped, complaint, on_a_terminal, said, shown_on, terminal, write_private,
};

#[test]
fn version_is_disabled_enabled_and_destroyed() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    let printed = said(&user.run("secret disable db --version 1"));
    assert_eq!(printed, "version 1 is DISABLED\n");
    assert_stopped(&user.run("secret get db"), 1, &["[VERSION_DISABLED]"]);
    said(&user.run("secret enable db --version 1"));
    assert_eq!(said(&user.run("secret get db")), CANARY);

    let destroy = "secret destroy db --version 1";
    assert_stopped(&user.run(destroy), 2, &["versions/1", "--yes"]);
    let (code, shown) = destroyed(&user, destroy, "n");
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("projects/dev/secrets/db/versions/1 will be gone"));
    assert!(shown.contains("nothing was done"), "{shown}");
    assert_eq!(said(&user.run("secret get db")), CANARY);
    let (code, shown) = destroyed(&user, destroy, "y");
    assert_eq!(code, Some(0), "{shown}");
    assert_stopped(&user.run("secret get db"), 1, &["[VERSION_DESTROYED]"]);

    said(&output_of(&mut user.command("secret put db"), "second"));
    said(&user.run("secret destroy db --version 2 --yes"));
    let versions = said(&user.run("secret versions db"));
    assert_eq!(versions.matches("DESTROYED").count(), 2, "{versions}");
}

/// Answers the question of a command on a terminal; returns its code and what is shown.
fn destroyed(user: &User, line: &str, answer: &str) -> (Option<i32>, String) {
    let (mut controller, program_end) = terminal();
    writeln!(controller, "{answer}").expect("it is kept for the program");
    let mut command = user.command(line);
    let status = command
        .stdin(program_end.try_clone().expect("a file of ours"))
        .stderr(program_end)
        .stdout(Stdio::null())
        .status()
        .expect("the command's program can be run");
    command.stdin(Stdio::null()).stderr(Stdio::null());
    (status.code(), shown_on(controller))
}

#[test]
fn token_goes_to_a_pipe_reads_and_is_revoked() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    let create = "token create --grant RUNNER=db --ttl 1h --description nightly";
    let (code, shown) = on_a_terminal(&mut user.command(create));
    assert_eq!(code, Some(2), "{shown}");
    assert!(shown.contains("--reveal"), "{shown}");
    let none = said(&user.run("token list"));
    assert_eq!(none.lines().count(), 1, "none is made: {none}");

    let made = user.run(create);
    let token = said(&made);
    assert!(
        token.starts_with("clv_") && !token.contains('\n'),
        "{token}"
    );
    let told = complaint(&made);
    assert!(
        told.contains("made tokens/") && !told.contains(&token),
        "{told}"
    );
    let file = home.path().join("job.token");
    write_private(&file, &token);
    let get = format!(
        "secret get db --address {} --token-file {}",
        daemon.tcp(),
        file.display()
    );
    assert_eq!(said(&user.run(&get)), CANARY);

    let mut put = user.command("definition put other --value-from -");
    said(&output_of(&mut put, "other"));
    let id = told.split("tokens/").nth(1).expect("a name");
    let id = id.split(' ').next().expect("a name");
    said(&user.run(&format!(
        "grant put token:{id} RUNNER other --purpose nightly"
    )));
    let other = get.replace("get db", "get other");
    assert_stopped(&user.run(&other), 1, &["[ACCESS_DENIED]"]);
    said(&user.run(&format!("{other} --purpose nightly")));

    let listed = said(&user.run("token list"));
    assert!(listed.contains("nightly"), "{listed}");
    assert!(!listed.contains(&token), "{listed}");
    let revoked = said(&user.run(&format!("token revoke {id}")));
    assert_eq!(revoked, format!("tokens/{id} is revoked\n"));
    assert_stopped(&user.run(&get), 1, &["[TOKEN_REVOKED]"]);

    let (code, shown) = on_a_terminal(&mut user.command(&format!("{create} --reveal")));
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("\r\nclv_"), "{shown}");
    let (code, shown) = on_a_terminal(&mut user.command("token exchange"));
    assert_eq!(code, Some(2), "{shown}");
    assert_stopped(&user.run("token exchange"), 1, &["[PROOF_REQUIRED]"]);
}

#[test]
fn grant_is_given_explained_and_taken_back() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    user.become_operator();
    said(&user.run("project put acme --in prod --in dev"));
    said(&user.run(
        "grant put unix:7 RUNNER projects/acme --environment prod --purpose nightly \
         --expire-time 2099-01-31T00:00:00Z",
    ));
    let listed = said(&user.run("grant list --principal unix:7"));
    let row =
        "unix:7     RUNNER  projects/acme  prod         until 2099-01-31T00:00:00Z, for nightly";
    assert!(listed.contains(row), "{listed}");
    assert_eq!(listed.lines().count(), 2, "{listed}");

    let explain = "explain secrets.get projects/acme --principal unix:7 --purpose nightly";
    let allowed = said(&user.run(&format!("{explain} --environment prod")));
    assert!(allowed.contains("allowed     yes"), "{allowed}");
    let refused = user.run(&format!("{explain} --environment dev"));
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(
        told.contains("no: the nearest grant is for another environment"),
        "{told}"
    );

    let id = listed.split_whitespace().last().expect("an id");
    let deleted = said(&user.run(&format!("grant delete {id}")));
    assert_eq!(deleted, format!("grants/{id} is taken back\n"));
    let refused = user.run(&format!("{explain} --environment prod"));
    let told = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(told.contains("no: no grant comes near"), "{told}");
}

#[test]
fn grant_and_token_are_for_the_environment_of_the_context() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.become_operator();
    said(&user.run("project put acme --in prod --in dev"));
    for (line, environment) in [
        ("grant put unix:7 RUNNER projects/acme", "prod"),
        (
            "grant put unix:7 RUNNER projects/acme --environment dev",
            "dev",
        ),
        ("grant put unix:7 RUNNER projects/acme --environment=", ""),
        (
            "token create --grant AUDITOR=projects/acme --ttl 1h",
            "prod",
        ),
        (
            "token create --grant AUDITOR=projects/acme --ttl 1h --environment=",
            "",
        ),
    ] {
        let before = environments(&user);
        let mut command = user.command(line);
        said(&output_of(command.env("CLAVIGER_ENVIRONMENT", "prod"), ""));
        let mut after = environments(&user);
        for known in before {
            let place = after.iter().position(|one| *one == known);
            after.remove(place.expect("it stays"));
        }
        assert_eq!(after, [environment], "{line}");
    }
}

/// The environments of all grants, in no order.
fn environments(user: &User) -> Vec<String> {
    let listed = said(&user.run("grant list --json"));
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let grants = listed["grants"].as_array().expect("a list").iter();
    let environment = |grant: &Value| grant["environment"].as_str().unwrap_or_default().to_owned();
    grants.map(environment).collect()
}
