//! How a unit hands a key to a program that only knows a variable.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use claviger_e2e::{Home, tools};

use super::support::{daemon_with_key, end, examples, key};

/// The Python where the unit expects the example.
const INSTALLED_PYTHON: &str = "/opt/stripe-runner/venv/bin/python";

/// The command where its package puts it.
const INSTALLED_COMMAND: &str = "/usr/bin/claviger";

/// The socket of a daemon that systemd runs.
const SOCKET: &str = "/run/claviger/clavigerd.sock";

/// The program that is not to be changed.
const JOB: &str = "/usr/local/bin/my-job";

/// The settings of a unit with this key, in their order.
fn settings(unit: &str, key: &str) -> Vec<String> {
    let text = fs::read_to_string(examples().join(unit)).expect("the unit");
    let values = text.lines().filter_map(|line| line.strip_prefix(key));
    let values = values.filter_map(|rest| rest.strip_prefix('='));
    values.map(str::to_owned).collect()
}

/// The line that starts the program that is not to be changed, for the daemon with this socket and a
/// job that says what it got.
fn started(home: &Home, socket: &Path) -> Command {
    let job = home.path().join("my-job");
    let script = "#!/bin/sh\necho \"key: $STRIPE_API_KEY\"\nenv | grep -c ^CLAVIGER_\n:\n";
    fs::write(&job, script).expect("a writable home");
    fs::set_permissions(&job, Permissions::from_mode(0o700)).expect("our file");
    let lines = settings("unchanged-job.service", "ExecStart");
    let [line] = lines.as_slice() else {
        panic!("not one ExecStart=: {lines:?}");
    };
    let places = [
        (INSTALLED_COMMAND, tools::claviger().display().to_string()),
        (SOCKET, socket.display().to_string()),
        (
            "--project acme --environment prod",
            "--project dev".to_owned(),
        ),
        (JOB, job.display().to_string()),
    ];
    let mut line = line.clone();
    for (written, ours) in places {
        assert_eq!(line.matches(written).count(), 1, "{written}: {line}");
        line = line.replace(written, &ours);
    }
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).env_clear().env("PATH", tools::path());
    command
}

#[tokio::test]
async fn unit_hands_the_key_to_the_job_or_does_not_start_it() {
    let home = Home::new();
    let daemon = daemon_with_key(&home).await;
    let socket = daemon.socket();
    let key = format!("key: {}", key("rk_test_"));
    end(&mut started(&home, &socket)).assert_listed(&[key, "0".to_owned()]);

    let without = Home::new();
    let daemon = without.start_dev();
    let refused = end(&mut started(&without, &daemon.socket()));
    refused.assert_refused(
        Some(125),
        &["projects/dev/secrets/stripe", "is not started"],
    );
}

#[test]
fn units_name_a_definition_and_never_a_key() {
    let named = [
        ("stripe-runner.service", "Environment", "CLAVIGER_SECRET="),
        (
            "unchanged-job.service",
            "ExecStart",
            "--env STRIPE_API_KEY=stripe ",
        ),
    ];
    for (unit, setting, name) in named {
        let set = settings(unit, setting);
        assert!(
            set.iter().any(|text| text.contains(name)),
            "{unit}: {set:?}"
        );
        let variables = settings(unit, "Environment");
        let mut variables = variables.iter();
        assert!(
            !variables.any(|set| set.starts_with("STRIPE_API_KEY")),
            "{unit}"
        );
        // One from the manager's own environment would make the job refuse to start, or be in the way.
        assert_eq!(
            settings(unit, "UnsetEnvironment"),
            ["STRIPE_API_KEY STRIPE_LOG"]
        );
    }
}

/// As systemd takes a program of its own that a signal has ended.
#[test]
fn unit_of_the_command_is_stopped_without_a_failure() {
    let unit = "unchanged-job.service";
    assert_eq!(settings(unit, "KillMode"), ["mixed"]);
    assert_eq!(settings(unit, "SuccessExitStatus"), ["129 130 141 143"]);
}

#[test]
fn units_say_nothing_that_systemd_does_not_know() {
    let version = Command::new("systemd-analyze").arg("--version").output();
    if version.is_err() {
        // A machine without systemd cannot ask it.
        return;
    }
    let dir = Home::new();
    let programs = [
        ("stripe-runner.service", INSTALLED_PYTHON, tools::python()),
        (
            "unchanged-job.service",
            INSTALLED_COMMAND,
            tools::claviger(),
        ),
    ];
    for (unit, installed, ours) in programs {
        let text = fs::read_to_string(examples().join(unit)).expect("the unit");
        assert!(text.contains(installed), "{unit}");
        let file = dir.path().join(unit);
        let text = text.replace(installed, &ours.display().to_string());
        fs::write(&file, text).expect("a writable home");
        let mut command = Command::new("systemd-analyze");
        let ended = end(command.arg("verify").arg(&file));
        ended.assert_listed(&[]);
    }
}
