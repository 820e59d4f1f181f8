//! How a unit hands a key to a program that only knows a variable.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use claviger_e2e::{Home, tools};
use claviger_proto::v1::secret_definition::Kind;

use super::support::{
    CONFIGURATION, Ended, Worker, address, daemon_with_key, definition, end, examples, key,
    register,
};
use crate::caller::name;

/// Where the units expect the example.
const INSTALLED: &str = "/opt/stripe-runner";

/// The Python there.
const INSTALLED_PYTHON: &str = "/opt/stripe-runner/venv/bin/python";

/// The program that is not to be changed.
const JOB: &str = "/usr/local/bin/my-job";

/// Writes the key of a definition to a file.
fn write_key(worker: &Worker, address: &str, id: &str, file: &Path) -> Ended {
    let mut command = worker.python("claviger_key.py");
    command
        .arg(file)
        .env("CLAVIGER_ADDRESS", address)
        .env("CLAVIGER_SECRET", name(id));
    end(&mut command)
}

/// The settings of a unit with this key, in their order.
fn settings(unit: &str, key: &str) -> Vec<String> {
    let text = fs::read_to_string(examples().join(unit)).expect("the unit");
    let values = text.lines().filter_map(|line| line.strip_prefix(key));
    let values = values.filter_map(|rest| rest.strip_prefix('='));
    values.map(str::to_owned).collect()
}

#[tokio::test]
async fn key_file_is_for_its_reader_only_and_never_over_another() {
    let (home, worker) = (Home::new(), Worker::new());
    let daemon = daemon_with_key(&home).await;
    let opaque = definition("opaque", Kind::Opaque);
    register(&daemon, opaque, &key("pk_test_")).await;
    let address = address(&daemon);

    let refused = worker.file("refused");
    write_key(&worker, &address, "opaque", &refused).assert_refused(CONFIGURATION, &["kind"]);
    assert!(!refused.exists());

    let file = worker.file("key");
    let written = write_key(&worker, &address, "stripe", &file);
    written.assert_listed(&[]);
    assert_eq!(fs::read_to_string(&file).expect("text"), key("rk_test_"));
    let mode = fs::metadata(&file).expect("a file").permissions().mode();
    assert_eq!(mode & 0o7777, 0o400);

    let taken = worker.file("taken");
    fs::write(&taken, "theirs").expect("a writable home");
    let (link, target) = (worker.file("link"), worker.file("target"));
    symlink(&target, &link).expect("a writable home");
    for file in [&taken, &link] {
        let ended = write_key(&worker, &address, "stripe", file);
        ended.assert_refused(CONFIGURATION, &["cannot be made", "File exists"]);
    }
    assert_eq!(fs::read_to_string(&taken).expect("text"), "theirs");
    assert!(!target.exists());
}

/// A line of a unit as systemd runs it, with its runtime directories in `parent`.
fn expanded(line: &str, parent: &Path) -> String {
    let parent = parent.display().to_string();
    line.replace("%t", &parent).replace("$$", "$")
}

#[tokio::test]
async fn unit_fetches_the_key_anew_before_the_job_starts() {
    let (home, worker) = (Home::new(), Worker::new());
    let daemon = daemon_with_key(&home).await;
    let file = worker.file("stripe-job/key");
    let runtime = file.parent().expect("its directory");
    fs::create_dir(runtime).expect("a writable home");
    fs::write(&file, "from a start that failed").expect("a writable home");

    let lines = settings("unchanged-job.service", "ExecStartPre");
    let [clear, fetch] = lines.as_slice() else {
        panic!("not two ExecStartPre=: {lines:?}");
    };
    let run = |line: &str| {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", line])
            .env_clear()
            .envs(worker.python_environment())
            .env("CLAVIGER_ADDRESS", address(&daemon))
            .env("CLAVIGER_SECRET", name("stripe"));
        end(&mut command)
    };
    let parent = worker.file("");
    run(&expanded(clear, &parent)).assert_listed(&[]);
    let python = tools::python().display().to_string();
    let fetch = fetch.replace(INSTALLED_PYTHON, &python);
    let fetch = fetch.replace(INSTALLED, &examples().display().to_string());
    run(&expanded(&fetch, &parent)).assert_listed(&[]);
    assert_eq!(fs::read_to_string(&file).expect("text"), key("rk_test_"));
}

#[test]
fn unit_hands_the_key_to_the_job_alone_and_leaves_no_file() {
    let home = Home::new();
    let (job, file) = (home.path().join("my-job"), home.path().join("key"));
    fs::write(&file, key("rk_test_")).expect("a writable home");
    fs::write(
        &job,
        "#!/bin/sh\n\
         echo \"key: $STRIPE_API_KEY\"\n\
         echo \"definition: ${CLAVIGER_SECRET-none}\"\n",
    )
    .expect("a writable home");
    fs::set_permissions(&job, Permissions::from_mode(0o700)).expect("our file");

    let lines = settings("unchanged-job.service", "ExecStart");
    let [line] = lines.as_slice() else {
        panic!("not one ExecStart=: {lines:?}");
    };
    let script = line.strip_prefix("/bin/sh -c '").expect("a shell");
    let script = script.strip_suffix('\'').expect("one word");
    assert!(!script.contains('\'') && script.contains(JOB), "{script}");
    let script = expanded(script, home.path()).replace(JOB, &job.display().to_string());
    let start = || {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", &script])
            .env_clear()
            .env("PATH", tools::path())
            .env("CLAVIGER_SECRET", name("stripe"))
            .env("RUNTIME_DIRECTORY", home.path());
        end(&mut command)
    };
    let key = format!("key: {}", key("rk_test_"));
    start().assert_listed(&[key, "definition: none".to_owned()]);
    assert!(!file.exists());
    // Without the file there is no key, and the job must not start with an empty one.
    let again = start();
    assert_ne!(again.code, Some(0), "{again}");
    assert_eq!(again.printed, "");
}

#[test]
fn units_name_a_definition_and_never_a_key() {
    for unit in ["stripe-runner.service", "unchanged-job.service"] {
        let variables = settings(unit, "Environment");
        assert!(
            variables
                .iter()
                .any(|set| set.starts_with("CLAVIGER_SECRET=")),
            "{unit}: {variables:?}"
        );
        assert!(
            !variables
                .iter()
                .any(|set| set.starts_with("STRIPE_API_KEY")),
            "{unit}: {variables:?}"
        );
        // One from the manager's own environment would make the job refuse to start.
        assert_eq!(
            settings(unit, "UnsetEnvironment"),
            ["STRIPE_API_KEY STRIPE_LOG"]
        );
    }
}

#[test]
fn units_say_nothing_that_systemd_does_not_know() {
    let version = Command::new("systemd-analyze").arg("--version").output();
    if version.is_err() {
        // A machine without systemd cannot ask it.
        return;
    }
    let dir = Home::new();
    for unit in ["stripe-runner.service", "unchanged-job.service"] {
        let text = fs::read_to_string(examples().join(unit)).expect("the unit");
        assert!(text.contains(INSTALLED_PYTHON), "{unit}");
        let python = tools::python().display().to_string();
        let file = dir.path().join(unit);
        fs::write(&file, text.replace(INSTALLED_PYTHON, &python)).expect("a writable home");
        let mut command = Command::new("systemd-analyze");
        let ended = end(command.arg("verify").arg(&file));
        ended.assert_listed(&[]);
    }
}
