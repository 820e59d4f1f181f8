use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::thread::yield_now;

use claviger_e2e::{Client, Home, output_of, tools, type_all};
use rustix::io::ioctl_fionread;
use rustix::process::Signal;
use serde_json::Value;

use super::{
    CANARY, PUT, User, assert_stopped, complaint, echoes, in_a_session, on_a_terminal, said,
    shown_on, terminal,
};

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

/// Starts a command on a terminal of its own and waits until it asks; returns both ends of the
/// terminal.
pub(super) fn asked_by(mut command: Command) -> (Child, File, File) {
    let (controller, program_end) = terminal();
    command.stdin(program_end.try_clone().expect("a file of ours"));
    let mut child = command.spawn().expect("setsid can be started");
    drop(command);
    while echoes(&program_end) {
        assert_eq!(child.try_wait().expect("it is our child"), None, "it asks");
        yield_now();
    }
    (child, controller, program_end)
}

/// Types these keys when the command asks; returns the code, what is shown, and whether the terminal
/// shows again what is typed from then on.
pub(super) fn typed_to(command: &Command, keys: &str) -> (Option<i32>, String, bool) {
    let (code, shown, echoes, _) = typed(command, keys.as_bytes());
    (code, shown, echoes)
}

/// The same, and what is complained of.
fn typed(command: &Command, keys: &[u8]) -> (Option<i32>, String, bool, String) {
    let mut command = in_a_session(command, &["--ctty", "--wait"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let (child, mut controller, program_end) = asked_by(command);
    controller.write_all(keys).expect("it reads");
    let output = child.wait_with_output().expect("it is our child");
    let echoes = echoes(&program_end);
    // Nothing is left for a shell.
    assert_eq!(ioctl_fionread(&program_end).expect("a terminal"), 0);
    drop(program_end);
    let shown = shown_on(controller);
    (output.status.code(), shown, echoes, complaint(&output))
}

/// A short name for it, which a user types and no daemon knows.
const PUT_TYPED: &str = "definition put typed --value-from -";

#[track_caller]
fn assert_nothing_stored(user: &User<'_>) {
    assert_stopped(
        &user.run("definition get typed"),
        1,
        &["[DEFINITION_NOT_FOUND]"],
    );
}

#[test]
fn typed_value_is_one_line_of_text_or_nothing_is_stored() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let put = user.command(PUT_TYPED);
    for (keys, code, remedy) in [
        (&b"line1\ncanary-2\n"[..], 2, "--value-from FILE"),
        (b"line1\rcanary-2", 2, "--value-from FILE"),
        (b"canary\xff\n", 2, "in a file"),
        (b"canary\x1b[D\n", 2, "in a file"),
        (b"\x04", 1, "nothing was stored"),
    ] {
        let (ended, shown, echoes, said) = typed(&put, keys);
        assert_eq!((ended, echoes), (Some(code), true), "{said}");
        assert!(
            said.contains(remedy) && said.contains("nothing was stored"),
            "{said}"
        );
        assert!(!shown.contains("canary") && !said.contains("canary"));
        assert_nothing_stored(&user);
    }
    let long = "k".repeat(5_000);
    let (code, ..) = typed_to(&put, &format!("{CANARY}\t{long}\n"));
    assert_eq!(code, Some(0));
    assert_eq!(
        said(&user.run("secret get typed")),
        format!("{CANARY}\t{long}")
    );
}

#[test]
fn half_a_value_is_not_stored_when_the_terminal_is_gone() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let mut session = in_a_session(&user.command(PUT_TYPED), &["--ctty", "--wait"]);
    session.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut hardy = Command::new("/bin/sh");
    hardy
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
        .arg(session.get_program())
        .args(session.get_args())
        .env_clear()
        .envs(
            session
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let (child, mut controller, program_end) = asked_by(hardy);
    controller.write_all(b"canary").expect("it reads");
    drop((program_end, controller));
    let output = child.wait_with_output().expect("it is our child");
    assert_stopped(&output, 1, &["nothing was stored"]);
    assert_nothing_stored(&user);
}

#[test]
fn ctrl_c_ends_the_wait_for_the_answer_about_a_typed_value() {
    let home = Home::new();
    let socket = home.path().join("mute.sock");
    let mute = UnixListener::bind(&socket).expect("a free path");
    let address = format!("unix:{}", socket.display());
    let put = [
        "secret",
        "put",
        "projects/dev/secrets/db",
        "--address",
        &address,
    ];
    let put = home.program(tools::claviger(), &put);
    let mut session = in_a_session(&put, &["--ctty", "--wait"]);
    session.stdout(Stdio::null()).stderr(Stdio::piped());
    let (child, mut controller, _program_end) = asked_by(session);
    controller.write_all(b"canary\n").expect("it reads");
    let _asked = mute.accept().expect("it is asked");
    controller.write_all(b"\x03").expect("a terminal");
    let output = child.wait_with_output().expect("it is our child");
    assert_stopped(&output, 130, &["not known whether the value was stored"]);
}

#[test]
fn value_that_is_typed_does_not_show() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let put = user.command("definition put typed --value-from -");
    let prompt = "value of projects/dev/secrets/typed: ";
    let (code, shown, echoes) = typed_to(&put, "canary-7\x03");
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

    let (code, shown, echoes) = typed_to(&put, &format!("{CANARY}\n"));
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
    assert_stopped(
        &user.run("definition delete db --purge"),
        2,
        &["pass --yes"],
    );
    said(&user.run("definition delete db --purge --yes"));
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
    let warned = complaint(&user.run(&with_token));
    assert!(warned.contains("is open to others; chmod 600"), "{warned}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
    assert_eq!(said(&user.run(&with_token)), CANARY);
    assert_stopped(&user.run(&get), 1, &["[CREDENTIALS_REQUIRED]"]);
    assert_eq!(complaint(&user.run(&with_token)), "");
    fs::write(&file, CANARY.repeat(2) + " ").expect("a writable home");
    assert_stopped(&user.run(&with_token), 1, &["[TOKEN_INVALID]"]);
}

#[test]
fn reader_that_is_gone_is_no_fault_and_no_success() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    for line in ["definition list", "secret get db"] {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let mut command = user.command(line);
        let command = command.stdout(writer).stderr(Stdio::piped());
        let child = command.spawn().expect("it starts");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(141), "{line}");
        assert_eq!(complaint(&output), "");
    }
}

#[test]
fn pasted_key_is_refused_wherever_a_name_belongs_and_not_repeated() {
    let home = Home::new();
    let body = "51Canary0123456789abcdef";
    let key = format!("rk_test_{body}");
    let apply = ["definition", "apply", &key];
    let template = format!("A={key}");
    let run = ["run", "--template", &template, "--", "true"];
    for (line, code) in [(&apply[..], 2), (&run, 125)] {
        let output = output_of(&mut home.program(tools::claviger(), line), "");
        assert_stopped(&output, code, &["given as an argument", "replace it"]);
        assert!(!complaint(&output).contains(body), "it is repeated");
    }
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

#[test]
fn put_that_a_crash_cut_off_is_repeated_and_stored_once() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    assert_eq!(daemon.stop().code(), Some(0));

    let mut failing = home.program(tools::failing_clavigerd(), &["--dev"]);
    let daemon = home.start(failing.env("CLAVIGER_FAILPOINT", "after-vault"));
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let mut put = user.command("secret put db --if-version 1 --timeout 10m");
    let put = put.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut put = put.stderr(Stdio::piped()).spawn().expect("it starts");
    type_all(&mut put, "second\n");
    // The value is stored, and the answer will not come.
    assert_eq!(daemon.wait().signal(), Some(Signal::KILL.as_raw()));
    let daemon = home.start_dev();
    let output = put.wait_with_output().expect("it is our child");
    assert_eq!(said(&output), "version 2 in vault managed\n");
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let listed = said(&user.run("secret versions db"));
    assert_eq!(listed.lines().count(), 3, "{listed}");
}
