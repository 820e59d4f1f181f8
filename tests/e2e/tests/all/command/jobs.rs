use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};

use claviger_e2e::{Home, output_of};
use rustix::process::{Pid, Signal, kill_process};

use super::{CANARY, User, assert_stopped, complaint, said};

#[test]
fn job_gets_its_values_and_its_code_comes_back() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    let options = "run --env KEY=db --env OTHER=projects/dev/secrets/db";
    let mut job = user.job(
        options,
        "printf '%s %s' \"$KEY\" \"$OTHER\"; umask >&2; exit 7",
    );
    let output = output_of(&mut job, "");
    assert_eq!(output.status.code(), Some(7));
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(printed, format!("{CANARY} {CANARY}"));
    // Ours keeps everybody else out; the job has the one it would have had.
    let plain = Command::new("/bin/sh").args(["-c", "umask >&2"]).output();
    assert_eq!(complaint(&output), complaint(&plain.expect("a shell")));

    let many = (0..200).map(|n| format!(" --env V{n}=db"));
    let options = format!("run{}", many.collect::<String>());
    let output = output_of(&mut user.job(&options, "env | grep -c '^V[0-9]*='"), "");
    assert_eq!(said(&output), "200\n");

    let missing = user.run("run --env KEY=db -- /nowhere/job");
    assert_stopped(&missing, 127, &["/nowhere/job"]);
    assert_stopped(&user.run("run --env KEY=db -- /etc"), 126, &["/etc"]);
}

#[test]
fn job_without_its_values_is_not_started() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    said(&user.run("definition put broken"));
    for (options, wanted) in [
        ("run --env A=db --env B=broken", "[SECRET_NOT_FOUND]"),
        ("run --env A=db --env B=no-such", "[DEFINITION_NOT_FOUND]"),
        ("run --env A=db --env A=db", "A is set twice"),
    ] {
        let mut job = user.job(options, "touch started");
        let output = output_of(job.current_dir(home.path()), "");
        assert_stopped(&output, 125, &[wanted]);
    }
    let mut job = user.job("run --env A -- /bin/true", "touch started");
    let usage = output_of(job.current_dir(home.path()), "");
    assert_eq!(usage.status.code(), Some(125));
    assert!(!home.path().join("started").exists());
}

/// A job that waits, and its id.
fn waiting(user: &User) -> (Child, u32) {
    let mut job = user.job("run --env KEY=db", "echo $$; exec cat");
    let mut child = job
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command's program can be started");
    let stdout = child.stdout.take().expect("a pipe was asked for");
    let mut stdout = BufReader::new(stdout);
    let mut line = String::new();
    stdout.read_line(&mut line).expect("text");
    // What comes back says that it is `cat` by now, and no shell that is about to be.
    let mut stdin = child.stdin.as_ref().expect("a pipe was asked for");
    writeln!(stdin).expect("it reads");
    stdout.read_line(&mut String::new()).expect("text");
    (child, line.trim().parse().expect("its id"))
}

#[test]
fn signal_reaches_the_job_and_shows_in_the_code() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let (mut child, _) = waiting(&user);
        // Else the wait would close it, and end the job.
        let stdin = child.stdin.take();
        kill_process(Pid::from_child(&child), signal).expect("it is our child");
        let status = child.wait().expect("it is our child");
        assert_eq!(status.code(), Some(code), "{signal:?}");
        drop(stdin);
    }
}

#[test]
fn value_is_in_no_argument_and_in_the_environment_of_the_job_alone() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    let (mut child, job) = waiting(&user);
    let holds = |pid: u32, file: &str| {
        let content = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        String::from_utf8_lossy(&content).contains(CANARY)
    };
    assert!(holds(job, "environ"));
    for (pid, file) in [
        (child.id(), "environ"),
        (child.id(), "cmdline"),
        (job, "cmdline"),
    ] {
        assert!(!holds(pid, file), "{file}");
    }
    let limits = fs::read_to_string(format!("/proc/{job}/limits")).expect("it runs");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file"));
    let sizes = core.map(|line| line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(sizes.expect("a limit")[4..6], ["0", "0"]);
    // Its end of the pipe goes, and `cat` with it.
    drop(child.stdin.take());
    assert_eq!(child.wait().expect("it is our child").code(), Some(0));
}

#[test]
fn job_waits_for_a_daemon_that_starts_again() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    let mut job = user.job("run --timeout 60s --env KEY=db", "printf %s \"$KEY\"");
    let socket = daemon.socket();
    assert_eq!(daemon.stop().code(), Some(0));

    // Something else in its place sees that the command has asked.
    fs::remove_file(&socket).ok();
    let listener = UnixListener::bind(&socket).expect("nobody is there");
    let mut child = job.stdout(Stdio::piped()).spawn().expect("it starts");
    drop(listener.accept().expect("it asks"));
    drop(listener);
    fs::remove_file(&socket).expect("it was there");
    let _daemon = home.start_dev();
    let mut printed = String::new();
    let mut stdout = child.stdout.take().expect("a pipe was asked for");
    stdout.read_to_string(&mut printed).expect("text");
    assert_eq!(child.wait().expect("it is our child").code(), Some(0));
    assert_eq!(printed, CANARY);
}
