use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use claviger_e2e::{Home, output_of};
use claviger_proto::v1;
use claviger_proto::v1::connection_profile::Auth;
use uuid::Uuid;

use super::{CANARY, PUT, User, assert_stopped, complaint, in_a_session, said};
use crate::caller::Caller;

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
        ("run --env A=db --file B=broken", "[SECRET_NOT_FOUND]"),
        ("run --env A=db --file A=db", "A is set twice"),
        (
            "run --profile A=a --env A_CONTEXT=db",
            "A_CONTEXT is set twice",
        ),
        ("run --env A=db --env B=d+b", "B: "),
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

/// The processes that have a text in this file of theirs under `/proc`.
fn with(text: &str, file: &str) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("it is mounted");
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(|id| {
        // Some end meanwhile.
        let content = fs::read(format!("/proc/{id}/{file}")).unwrap_or_default();
        String::from_utf8_lossy(&content).contains(text)
    })
    .collect()
}

/// The largest core files that a process may leave.
fn core_limits(id: u32) -> Vec<String> {
    let limits = fs::read_to_string(format!("/proc/{id}/limits")).expect("it runs");
    let core = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"));
    let core = core.expect("a limit").split_whitespace();
    core.map(str::to_owned).collect()
}

#[test]
fn value_is_in_no_argument_and_in_the_environment_of_the_job_alone() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    // Other tests have jobs with the usual one at the same time.
    let canary = format!("canary-{}", Uuid::new_v4());
    said(&output_of(&mut user.command(PUT), &canary));
    let script = "echo $$; read line; exec cat";
    let mut command = in_a_session(&user.job("run --env KEY=db", script), &[]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command's program can be started");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe was asked for"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("text");
    let job: u32 = line.trim().parse().expect("its id");
    // What comes back says that it is `cat` by now, and no shell that is about to be.
    let mut stdin = child.stdin.take().expect("a pipe was asked for");
    writeln!(stdin, "line\nback").expect("it reads");
    stdout.read_line(&mut line).expect("text");

    assert_eq!(with(&canary, "environ"), [job]);
    assert!(with(&canary, "cmdline").is_empty());
    for id in [child.id(), job] {
        assert_eq!(core_limits(id), ["0", "0", "bytes"]);
    }
    drop(stdin);
    assert_eq!(child.wait().expect("it is our child").code(), Some(0));
}

#[test]
fn job_may_close_its_streams_and_leave_a_process_behind() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    let closed = "exec <&- >&- 2>&-; exit 7";
    let mut job = in_a_session(&user.job("run --env KEY=db", closed), &[]);
    assert_eq!(output_of(&mut job, "").status.code(), Some(7));

    // It ends when the other end of its pipe does, which is ours.
    let left = "mkfifo pipe; setsid cat pipe >/dev/null 2>&1 & exit 5";
    let mut job = user.job("run --env KEY=db", left);
    let mut job = in_a_session(job.current_dir(home.path()), &[]);
    assert_eq!(output_of(&mut job, "").status.code(), Some(5));
    let pipe = File::options().write(true).open(home.path().join("pipe"));
    drop(pipe.expect("made by the job"));
}

#[tokio::test]
async fn job_gets_what_a_profile_has_and_nothing_inherited_in_its_place() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let caller = Caller::of(&daemon).await;
    let key = format!("rk_test_{}", "7c1e".repeat(8));
    for (id, account, context) in [
        ("bare", "", ""),
        ("connected", "acct_1A", ""),
        ("organization", "", "acct_2B"),
    ] {
        let auth = v1::ApiKeyAuth {
            api_key: key.clone(),
            account: account.to_owned(),
            context: context.to_owned(),
            ..Default::default()
        };
        let request = v1::PutConnectionProfileRequest {
            profile: Some(v1::ConnectionProfile {
                name: format!("projects/dev/connectionProfiles/{id}"),
                auth: Some(Auth::ApiKey(auth)),
                ..Default::default()
            }),
            ..Default::default()
        };
        let put = caller.profiles().put_connection_profile(request).await;
        put.expect(id);
        let script = "echo $S_API_KEY ${S_ACCOUNT-unset} ${S_CONTEXT-unset}";
        let mut job = user.job(&format!("run --profile S={id}"), script);
        job.env("S_API_KEY", "old")
            .env("S_ACCOUNT", "acct_old")
            .env("S_CONTEXT", "acct_old");
        let or_unset = |text: &str| match text {
            "" => "unset".to_owned(),
            text => text.to_owned(),
        };
        let expected = format!("{key} {} {}\n", or_unset(account), or_unset(context));
        assert_eq!(said(&output_of(&mut job, "")), expected, "{id}");
    }
    let options = "run --profile S=projects/dev/connectionProfiles/no-such";
    let none = output_of(&mut user.job(options, "touch started"), "");
    assert_stopped(
        &none,
        125,
        &["connectionProfiles/no-such", "[PROFILE_NOT_FOUND]"],
    );
}

#[test]
fn reads_of_a_job_are_of_one_run_and_state_its_purpose() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    said(&output_of(
        &mut user.command("definition put other --value-from -"),
        "other",
    ));
    let options = "run --purpose billing --env A=db --env B=other";
    for _ in 0..2 {
        said(&output_of(&mut user.job(options, "exit 0"), ""));
    }
    let log = fs::read_to_string(home.audit_log()).expect("it is written");
    let of_jobs = log.lines().filter(|line| line.contains("billing"));
    let runs = of_jobs.map(|line| {
        let (_, after) = line.split_once("\"run_id\":\"").expect("a run");
        after.split('"').next().unwrap_or_default()
    });
    let runs = runs.collect::<Vec<_>>();
    assert_eq!(runs.len(), 4, "{runs:?}");
    assert!(runs[0] == runs[1] && runs[2] == runs[3] && runs[0] != runs[2]);
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
