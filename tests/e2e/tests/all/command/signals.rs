use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use claviger_e2e::{Home, tools};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::{User, in_a_session, shown_on, terminal};

/// A job and its child, which say what comes to them, and end with 7 at SIGQUIT.
const LISTENERS: &str = "\
import os, signal, sys
all = set(signal.Signals) - {signal.SIGCHLD, signal.SIGKILL, signal.SIGSTOP}
signal.pthread_sigmask(signal.SIG_BLOCK, all)
child = os.fork()
name = 'job' if child else 'child'
def say(text):
    os.write(1, f'{name} {text}\\n'.encode())
say('listens')
while (got := signal.Signals(signal.sigwait(all))) != signal.SIGQUIT:
    say(got.name)
if child:
    os.wait()
    sys.exit(7)
";

/// A shell's own depends on the user.
const PROMPT: &str = "ready> ";

/// The listeners as a job.
fn listeners(user: &User) -> Command {
    let python = tools::python();
    let mut command = user.command("run --env KEY=db");
    command.arg("--").arg(python).args(["-c", LISTENERS]);
    command
}

#[test]
fn signal_reaches_the_job_and_its_children_once() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    let mut command = in_a_session(&listeners(&user), &[]);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .expect("setsid can be started");
    let command = Pid::from_child(&child);
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe was asked for"));
    let mut both_say = |expected: &str| {
        let mut lines = [String::new(), String::new()];
        for line in &mut lines {
            stdout.read_line(line).expect("text");
        }
        lines.sort();
        let expected = ["child", "job"].map(|name| format!("{name} {expected}\n"));
        assert_eq!(lines, expected);
    };
    both_say("listens");
    for (signal, name) in [
        (Signal::TERM, "SIGTERM"),
        (Signal::INT, "SIGINT"),
        (Signal::HUP, "SIGHUP"),
        (Signal::USR1, "SIGUSR1"),
        (Signal::USR2, "SIGUSR2"),
        (Signal::WINCH, "SIGWINCH"),
        (Signal::TSTP, "SIGTSTP"),
        (Signal::CONT, "SIGCONT"),
    ] {
        kill_process(command, signal).expect("it is our child");
        both_say(name);
        // Supervisors send to the group of what they have started.
        kill_process_group(command, signal).expect("it is our child");
        both_say(name);
    }
    kill_process(command, Signal::QUIT).expect("it is our child");
    let status = child.wait().expect("it is our child");
    assert_eq!(status.code(), Some(7));
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("text");
    assert_eq!(rest, "");
}

#[test]
fn signal_that_ends_the_job_shows_in_the_code() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    for (signal, code) in [("TERM", 143), ("INT", 130), ("HUP", 129), ("KILL", 137)] {
        let job = user.job("run --env KEY=db", &format!("kill -{signal} $$"));
        let status = in_a_session(&job, &[]).status();
        assert_eq!(
            status.expect("setsid can be started").code(),
            Some(code),
            "{signal}"
        );
    }
}

/// What is shown up to this text.
fn shown_until(controller: &mut File, text: &str) -> String {
    let mut shown = Vec::new();
    let mut byte = [0];
    while !shown.ends_with(text.as_bytes()) {
        controller.read_exact(&mut byte).unwrap_or_else(|error| {
            let shown = String::from_utf8_lossy(&shown);
            panic!("{text} does not show ({error}): {shown}")
        });
        shown.extend(byte);
    }
    String::from_utf8_lossy(&shown).into_owned()
}

/// Starts it as the one that a terminal's keys are for.
fn on_its_terminal(command: &Command) -> (std::process::Child, File) {
    let (controller, program_end) = terminal();
    let mut session = in_a_session(command, &["--ctty"]);
    let child = session
        .stdin(program_end.try_clone().expect("a file of ours"))
        .stdout(program_end.try_clone().expect("a file of ours"))
        .stderr(program_end)
        .spawn();
    (child.expect("setsid can be started"), controller)
}

#[test]
fn key_reaches_the_job_on_a_terminal_once() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    let (mut child, mut controller) = on_its_terminal(&listeners(&user));
    for _ in ["job", "child"] {
        shown_until(&mut controller, "listens\r\n");
    }
    let mut shown = String::new();
    for _ in 0..20 {
        controller.write_all(b"\x03").expect("it reads");
        for _ in ["job", "child"] {
            shown += &shown_until(&mut controller, "SIGINT\r\n");
        }
    }
    controller.write_all(b"\x1c").expect("it reads");
    assert_eq!(child.wait().expect("it is our child").code(), Some(7));
    shown += &shown_on(controller);
    for name in ["job", "child"] {
        assert_eq!(
            shown.matches(&format!("{name} SIGINT")).count(),
            20,
            "{shown}"
        );
    }
}

#[test]
fn job_on_a_terminal_takes_the_place_of_the_command() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    let job = user.job("run --env KEY=db", "echo \"is $$ with ${#KEY}\"; read line");
    let (mut child, mut controller) = on_its_terminal(&job);
    let shown = shown_until(&mut controller, "with 11\r\n");
    assert_eq!(shown, format!("is {} with 11\r\n", child.id()));
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it is our child");
    let status = child.wait().expect("it is our child");
    assert_eq!(status.signal(), Some(Signal::TERM.as_raw()));
    assert_eq!(shown_on(controller), "");
}

#[test]
fn job_on_a_terminal_reads_and_is_stopped_and_goes_on() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    let mut shell = user.home.program("/bin/sh".into(), &["-i"]);
    shell.env("PS1", PROMPT);
    for (name, value) in user.command("").get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    let (mut child, mut controller) = on_its_terminal(&shell);
    let script = "while read line; do echo \"got $line\"; done; exit 7";
    let run = tools::claviger();
    let run = format!(
        "{} run --env KEY=db -- /bin/sh -c '{script}'",
        run.display()
    );
    for (keys, then) in [
        (&*format!("{run}\none\n"), "got one\r\n"),
        ("\x1a", "Stopped"),
        ("fg\ntwo\n", "got two\r\n"),
        ("\x04", PROMPT),
        ("echo code $?\n", "code 7\r\n"),
        (&format!("{run} | cat\nthree\n"), "got three\r\n"),
        ("\x04", PROMPT),
    ] {
        controller.write_all(keys.as_bytes()).expect("it reads");
        shown_until(&mut controller, then);
    }
    controller.write_all(b"exit 5\n").expect("it reads");
    assert_eq!(child.wait().expect("it is our child").code(), Some(5));
}
