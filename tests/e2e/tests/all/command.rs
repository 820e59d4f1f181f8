//! The `claviger` command: values go in and out by pipes alone, and a job runs with them or not at
//! all.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Output, Stdio};
use std::thread::yield_now;

use claviger_e2e::{Client, Daemon, Home, output_of, tools};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::Value;

/// A value that must not be seen where it does not belong.
const CANARY: &str = "canary-7c1e";

/// Puts the canary, as a secret of this id.
const PUT: &str = "definition put db --kind PASSWORD --value-from -";

/// A user with a daemon, who types the words of a line.
struct User<'a> {
    home: &'a Home,
    daemon: &'a Daemon,
}

impl User<'_> {
    fn command(&self, line: &str) -> Command {
        let words = line.split_whitespace().collect::<Vec<_>>();
        let mut command = self.home.program(tools::claviger(), &words);
        let address = format!("unix:{}", self.daemon.socket().display());
        command
            .env("CLAVIGER_ADDRESS", address)
            .env("CLAVIGER_PROJECT", "dev");
        command
    }

    fn run(&self, line: &str) -> Output {
        output_of(&mut self.command(line), "")
    }

    /// Puts the canary into a secret `db`.
    fn put(&self) {
        let output = output_of(&mut self.command(PUT), &format!("{CANARY}\n"));
        assert_eq!(said(&output), "projects/dev/secrets/db, version 1\n");
    }

    /// Runs a shell as a job with the canary as `KEY`.
    fn job(&self, options: &str, script: &str) -> Command {
        let mut command = self.command(options);
        command.args(["--", "/bin/sh", "-c", script]);
        command
    }
}

/// What a command printed that went well.
#[track_caller]
fn said(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", complaint(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// It failed with this code, and said so in one line with all of these in it.
#[track_caller]
fn assert_stopped(output: &Output, code: i32, wanted: &[&str]) {
    let complaint = complaint(output);
    assert_eq!(output.status.code(), Some(code), "{complaint}");
    assert!(complaint.starts_with("claviger: "), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    for word in wanted {
        assert!(complaint.contains(word), "{word}: {complaint}");
    }
    assert!(!complaint.contains(CANARY), "{complaint}");
}

#[test]
fn value_goes_in_and_out_by_pipes_and_shows_nowhere_else() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    assert_eq!(said(&user.run("secret get db")), CANARY);

    let rotate = "secret put projects/dev/secrets/db --if-version 1";
    let rotated = output_of(&mut user.command(rotate), "second\r\n");
    assert_eq!(said(&rotated), "version 2 in vault managed\n");
    assert_eq!(said(&user.run("secret get db")), "second");
    assert_eq!(said(&user.run("secret get db --version 1")), CANARY);
    let again = output_of(&mut user.command(rotate), "third");
    assert_stopped(&again, 1, &["[VERSION_MISMATCH]"]);

    let keep = "secret put db --keep-newline";
    said(&output_of(&mut user.command(keep), "line\n"));
    assert_eq!(said(&user.run("secret get db")), "line\n");

    for line in [
        "secret versions db",
        "definition get db",
        "definition list",
        "definition check db",
        "whoami",
        "status",
    ] {
        let printed = said(&user.run(line));
        assert!(!printed.contains(CANARY), "{line}: {printed}");
    }
    let printed = said(&user.run("secret versions db"));
    let lines = printed.lines().map(|line| line.split_whitespace());
    let lines = lines.map(Iterator::collect::<Vec<_>>).collect::<Vec<_>>();
    assert_eq!(lines[0], ["VERSION", "STATE", "CURRENT", "STORED"]);
    assert_eq!(lines[1][..3], ["3", "ENABLED", "*"], "{printed}");
    assert_eq!(lines[3][..2], ["1", "ENABLED"], "{printed}");
}

/// A terminal: the end of whoever looks at it, and that of a program.
fn terminal() -> (File, File) {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&controller).expect("it is ours");
    unlockpt(&controller).expect("it is ours");
    let name = ptsname(&controller, Vec::new()).expect("has a name");
    let program_end = File::options()
        .read(true)
        .write(true)
        .open(OsStr::from_bytes(name.as_bytes()))
        .expect("the other end");
    (controller.into(), program_end)
}

/// All that a terminal shows, once no program has it any longer.
fn shown_on(mut controller: File) -> String {
    let mut shown = Vec::new();
    // Ends with an error, because nobody has the other end.
    controller.read_to_end(&mut shown).ok();
    String::from_utf8_lossy(&shown).into_owned()
}

/// Runs a command that prints to a terminal; returns its code and what is shown.
fn on_a_terminal(command: &mut Command) -> (Option<i32>, String) {
    let (controller, program_end) = terminal();
    let status = command
        .stdout(program_end.try_clone().expect("a file of ours"))
        .stderr(program_end)
        .status()
        .expect("the command's program can be run");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    (status.code(), shown_on(controller))
}

/// Puts what is typed at the prompt; returns the code, what is shown, and whether the terminal
/// shows again what is typed from then on.
fn put_typed(user: &User, keys: &str) -> (Option<i32>, String, bool) {
    let put = user.command("definition put typed --value-from -");
    let (mut controller, program_end) = terminal();
    let echoes = |terminal: &File| {
        let modes = tcgetattr(terminal).expect("a terminal").local_modes;
        modes.contains(LocalModes::ECHO)
    };
    let mut command = Command::new("setsid");
    command
        .args(["--ctty", "--wait"])
        .arg(put.get_program())
        .args(put.get_args())
        .envs(
            put.get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(program_end.try_clone().expect("a file of ours"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().expect("setsid can be started");
    drop(command);
    while echoes(&program_end) {
        assert_eq!(child.try_wait().expect("it is our child"), None, "it asks");
        yield_now();
    }
    controller.write_all(keys.as_bytes()).expect("it reads");
    let status = child.wait().expect("it is our child");
    let echoes = echoes(&program_end);
    drop(program_end);
    (status.code(), shown_on(controller), echoes)
}

#[test]
fn value_that_is_typed_does_not_show() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let prompt = "value of projects/dev/secrets/typed: ";
    let (code, shown, echoes) = put_typed(&user, "canary-7\x03");
    assert_eq!((code, echoes), (Some(130), true), "{shown}");
    assert!(
        shown.starts_with(prompt) && !shown.contains("canary-7"),
        "{shown}"
    );
    assert_stopped(
        &user.run("definition get typed"),
        1,
        &["[DEFINITION_NOT_FOUND]"],
    );

    let (code, shown, echoes) = put_typed(&user, &format!("{CANARY}\n"));
    assert_eq!((code, echoes), (Some(0), true), "{shown}");
    assert!(
        shown.starts_with(prompt) && !shown.contains(CANARY),
        "{shown}"
    );
    assert_eq!(said(&user.run("secret get typed")), CANARY);
}

#[test]
fn value_shows_on_a_terminal_only_when_asked_to() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    for line in ["secret get db", "secret get db --json"] {
        let (code, shown) = on_a_terminal(&mut user.command(line));
        assert_eq!(code, Some(2), "{shown}");
        assert!(
            shown.contains("--reveal") && !shown.contains(CANARY),
            "{shown}"
        );
    }
    let (code, shown) = on_a_terminal(&mut user.command("secret get db --reveal"));
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(shown.trim_end(), CANARY);
}

#[test]
fn bytes_that_are_no_text_need_a_flag_and_come_back_as_they_were() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let file = home.path().join("key.der");
    let bytes = [0, 0xff, b'\n'];
    fs::write(&file, bytes).expect("a writable home");
    let put = format!("definition put der --value-from {}", file.display());
    assert_stopped(&user.run(&put), 2, &["--binary"]);
    said(&user.run(&format!("{put} --binary")));
    assert_eq!(user.run("secret get der").stdout, bytes);
}

#[test]
fn definition_is_listed_deleted_and_taken_back() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    let listed = |options: &str| said(&user.run(&format!("definition list {options}")));
    assert!(listed("").contains("db  PASSWORD"), "{}", listed(""));
    said(&user.run("definition delete db"));
    assert!(!listed("").contains("db"));
    assert!(listed("--show-deleted").contains("(deleted)"));
    assert_stopped(&user.run("secret get db"), 1, &["[DEFINITION_DELETED]"]);
    said(&user.run("definition undelete db"));
    assert_eq!(said(&user.run("secret get db")), CANARY);
    said(&user.run("definition delete db --purge"));
    assert_stopped(
        &user.run("definition get db"),
        1,
        &["[DEFINITION_NOT_FOUND]"],
    );

    let without_project = output_of(
        user.command("definition list")
            .env_remove("CLAVIGER_PROJECT"),
        "",
    );
    assert_stopped(&without_project, 2, &["--project"]);
}

#[test]
fn check_of_what_cannot_be_read_says_why_and_ends_with_1() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    said(&user.run("definition put empty"));
    let checked = user.run("definition check empty");
    assert_eq!(checked.status.code(), Some(1));
    let printed = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(printed.contains("[SECRET_NOT_FOUND]"), "{printed}");
}

#[test]
fn json_is_that_of_the_call() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let name = "projects/dev/secrets/db";
    let put = output_of(&mut user.command(&format!("{PUT} --json")), CANARY);
    let put: Value = serde_json::from_str(&said(&put)).expect("JSON");
    assert_eq!(put["definition"]["name"], name);
    assert_eq!(put["version"], "1");

    let json = |line: &str| -> Value {
        let printed = said(&user.run(&format!("{line} --json")));
        serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{line}: {printed}"))
    };
    assert_eq!(json("definition get db")["kind"], "PASSWORD");
    assert_eq!(json("definition list")["definitions"][0]["name"], name);
    assert_eq!(json("definition check db")["existence"]["ok"], true);
    assert_eq!(
        json("secret versions db")["versions"][0]["state"],
        "ENABLED"
    );
    assert_eq!(json("secret get db")["text"], CANARY);
    assert_eq!(json("whoami")["proof"], "UID");
    assert_eq!(json("status")["parts"][0]["ok"], true);
    assert_eq!(json("definition delete db")["name"], name);
    assert!(json("definition undelete db").get("deleteTime").is_none());
}

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_of_a_file_reads_over_tcp() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    let client = Client::connect(&daemon.socket()).await;
    let token = client.runner_token().await.expect("made");
    let file = home.path().join("token");
    fs::write(&file, format!("{token}\n")).expect("a writable home");
    let get = format!("secret get db --address {}", daemon.tcp());
    let with_token = format!("{get} --token-file {}", file.display());
    assert_eq!(said(&user.run(&with_token)), CANARY);
    assert_stopped(&user.run(&get), 1, &["[CREDENTIALS_REQUIRED]"]);
    fs::write(&file, CANARY.repeat(2) + " ").expect("a writable home");
    assert_stopped(&user.run(&with_token), 1, &["[TOKEN_INVALID]"]);
}

#[test]
fn nobody_at_the_address_is_said_with_the_remedy() {
    let home = Home::new();
    let mut whoami = home.program(tools::claviger(), &["whoami"]);
    assert_stopped(
        &output_of(&mut whoami, ""),
        3,
        &["clavigerd.sock", "--address"],
    );
    let run = [
        "run",
        "--timeout",
        "300ms",
        "--env",
        "K=projects/dev/secrets/db",
    ];
    let mut run = home.program(tools::claviger(), &run);
    let output = output_of(run.args(["--", "/bin/true"]), "");
    assert_stopped(&output, 125, &["300ms (--timeout)", "start it"]);
}
