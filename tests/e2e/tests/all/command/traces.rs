//! Looks at every call of the command to the kernel, for where the value goes.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use claviger_e2e::{Home, output_of, tools};
use rustix::process::geteuid;

use super::values::{asked_by, typed_to};
use super::{CANARY, PUT, User, in_a_session, said};

/// A user that owns nothing.
const NOBODY: u32 = 65534;

/// The same command with each of its calls, and those of what it starts, written to files here.
fn traced(command: &Command, directory: &Path) -> Command {
    fs::create_dir_all(directory).expect("a writable home");
    let mut strace = Command::new(tools::strace());
    strace
        .args(["-ff", "-y", "-v", "-s", "1000000", "-o"])
        .arg(directory.join("calls"))
        // Nobody can look into a process that is closed to its neighbours: it only asks to be.
        .args(["-e", "inject=prctl:retval=0"])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear();
    for (name, value) in command.get_envs() {
        strace.env(name, value.unwrap_or_default());
    }
    strace
}

/// Where the value is in the calls, and that core dumps were off before it came.
fn places(directory: &Path) -> BTreeSet<String> {
    let mut places = BTreeSet::new();
    let mut closed = 0;
    for entry in fs::read_dir(directory).expect("strace wrote it") {
        let file = entry.expect("strace wrote it").path();
        let calls = fs::read_to_string(&file).expect("strace escapes what is no text");
        let of_command = format!("execve(\"{}\"", tools::claviger().display());
        if calls.starts_with(&of_command) {
            assert_closed_before(calls.split(CANARY).next().unwrap_or_default());
            closed += 1;
        }
        let with_value = calls.lines().filter(|call| call.contains(CANARY));
        places.extend(with_value.map(place));
    }
    assert_eq!(closed, 1, "the command itself");
    fs::remove_dir_all(directory).expect("it is ours");
    places
}

#[track_caller]
fn assert_closed_before(calls: &str) {
    for closing in [
        "prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE)",
        "RLIMIT_CORE, {rlim_cur=0, rlim_max=0}",
    ] {
        assert!(calls.contains(closing), "{closing}");
    }
}

/// A call in a few words: `in pipe`, `out socket`, `environment of /bin/true`.
fn place(call: &str) -> String {
    let (name, arguments) = call.split_once('(').unwrap_or((call, ""));
    if name == "execve" {
        let (arguments, _) = arguments.split_once("], [").unwrap_or((arguments, ""));
        let program = arguments.split('"').nth(1).unwrap_or_default();
        return match arguments.contains(CANARY) {
            true => format!("argument of {program}"),
            false => format!("environment of {program}"),
        };
    }
    let direction = match name {
        "read" | "readv" | "recvfrom" | "recvmsg" => "in",
        "sendmsg" | "sendto" | "write" | "writev" => "out",
        other => other,
    };
    // The file stands behind its number: 3<socket:[4711]>.
    let file = arguments.split(['<', '>']).nth(1).unwrap_or_default();
    let kind = match file.split(['[', ':']).next().unwrap_or_default() {
        "/memfd" => "memory",
        "socket" => "socket",
        "pipe" => "pipe",
        _ => file,
    };
    format!("{direction} {kind}")
}

#[test]
fn value_takes_its_way_and_no_other() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let directory = home.path().join("trace");
    let traced = |line: &str| traced(&user.command(line), &directory);
    let assert_places = |line: &str, expected: &[&str]| {
        let expected = expected.iter().map(|&place| place.to_owned());
        assert_eq!(places(&directory), expected.collect(), "{line}");
    };

    said(&output_of(&mut traced(PUT), CANARY));
    assert_places(PUT, &["in pipe", "out socket"]);
    let rotate = "secret put db";
    said(&output_of(&mut traced(rotate), CANARY));
    assert_places(rotate, &["in pipe", "out socket"]);
    let (code, ..) = typed_to(&traced(rotate), &format!("{CANARY}\n"));
    assert_eq!(code, Some(0));
    // It comes in key by key.
    assert_places("typed", &["out socket"]);

    let get = "secret get db";
    assert_eq!(said(&output_of(&mut traced(get), "")), CANARY);
    assert_places(get, &["in socket", "out pipe"]);

    let template = home.path().join("template");
    fs::write(&template, "{{ secret \"db\" }}").expect("a writable home");
    let template = format!("run --template KEY={} -- /bin/true", template.display());
    for (line, expected) in [
        ("run --env KEY=db -- /bin/true", "environment of /bin/true"),
        ("run --file KEY=db -- /bin/true", "out memory"),
        (&template, "out memory"),
    ] {
        let mut command = in_a_session(&traced(line), &[]);
        said(&output_of(&mut command, ""));
        assert_places(line, &["in socket", expected]);
    }
}

/// A program of a user that is not root, who may look into every process.
fn of_a_user(home: &Home, program: &Path, arguments: &[&str]) -> Command {
    if !geteuid().is_root() {
        return home.program(program.into(), arguments);
    }
    chown(home.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
    let mut command = home.program("setpriv".into(), &["--clear-groups"]);
    command
        .args([
            "--reuid",
            &NOBODY.to_string(),
            "--regid",
            &NOBODY.to_string(),
        ])
        .arg(program)
        .args(arguments);
    command
}

/// Under strace nothing is closed, so here no call is looked at.
#[test]
fn neighbour_of_the_same_user_cannot_look_into_the_process() {
    let home = Home::new();
    // Where that user can reach it.
    let program = home.path().join("claviger");
    fs::copy(tools::claviger(), &program).expect("a writable home");
    let looked_into = |child: &Child| {
        let file = format!("/proc/{}/environ", child.id());
        let mut look = of_a_user(&home, Path::new("cat"), &[&file]);
        let output = look.output().expect("setpriv can be started");
        let seen = String::from_utf8_lossy(&output.stdout).into_owned();
        seen.contains("CLAVIGER_PROJECT=dev")
    };

    let mut open = of_a_user(&home, Path::new("cat"), &[]);
    open.env("CLAVIGER_PROJECT", "dev");
    let mut open = in_a_session(&open, &[]);
    let open = open.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut open = open.spawn().expect("setsid can be started");
    echo(&mut open);
    assert!(looked_into(&open), "any other process is open");
    open.kill().expect("it is our child");
    open.wait().expect("it is our child");

    let mut put = of_a_user(&home, &program, &["secret", "put", "db"]);
    put.env("CLAVIGER_PROJECT", "dev");
    let mut put = in_a_session(&put, &["--ctty"]);
    put.stdout(Stdio::null());
    let (mut child, controller, program_end) = asked_by(put);
    assert!(!looked_into(&child));
    child.kill().expect("it is our child");
    child.wait().expect("it is our child");
    drop((controller, program_end));
}

/// What comes back says that it is `cat` by now.
fn echo(cat: &mut Child) {
    let stdin = cat.stdin.as_mut().expect("a pipe was asked for");
    stdin.write_all(b"\n").expect("it reads");
    let stdout = cat.stdout.as_mut().expect("a pipe was asked for");
    stdout.read_exact(&mut [0]).expect("it writes");
}
