//! The first five minutes of the README, for somebody who has the two programs and a shell: no Go, no
//! Python, no grpcurl.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, yield_now};

use claviger_e2e::{Home, assert_in_order, tools};

use super::{echoes, shown_on, terminal};

/// The part of the page that is followed.
const BEGINNING: &str = "\n## A first secret in five minutes\n";
const END: &str = "\n### The same with grpcurl\n";

/// The keys that are typed where they are asked for.
const KEYS: [&str; 2] = ["rk_test_cAnAry51a7", "rk_test_cAnAry9e0f"];

/// What is shown, in this order.
const SHOWN: [&str; 9] = [
    "value of projects/dev/secrets/stripe: ",
    "projects/dev/secrets/stripe, version 1",
    KEYS[0],
    "a key of 18 characters",
    "value of projects/dev/secrets/stripe: ",
    "version 2 in vault managed",
    "existence  ok",
    "[VALUE_WRONG_KIND]",
    "refused",
];

/// The blocks of that part.
fn blocks() -> String {
    let page = fs::read_to_string(tools::repository().join("README.md")).expect("the page");
    let (_, part) = page.split_once(BEGINNING).expect("where it begins");
    let (part, _) = part.split_once(END).expect("where it ends");
    let blocks = part.split("\n```bash\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap_or_default());
    blocks.collect()
}

/// A directory with these programs alone.
fn directory_of(programs: &[PathBuf], directory: &Path) {
    fs::create_dir(directory).expect("a writable home");
    for program in programs {
        let name = program.file_name().expect("a program");
        symlink(program, directory.join(name)).expect("a writable directory");
    }
}

#[test]
fn first_five_minutes_take_the_two_programs_and_a_shell_alone() {
    let home = Home::new();
    let path = home.path().join("bin");
    directory_of(
        &[tools::clavigerd(), tools::claviger(), "/bin/sh".into()],
        &path,
    );
    let in_shell = |arguments: &[&str]| {
        let mut command = home.program(path.join("sh"), arguments);
        command.env("PATH", &path);
        command
    };
    let _daemon = home.start(&mut in_shell(&["-c", "exec clavigerd --dev"]));

    let script = home.path().join("walk.sh");
    fs::write(&script, format!("set -e\n{}", blocks())).expect("a writable home");
    let shell = in_shell(&[&script.display().to_string()]);
    let (mut controller, program_end) = terminal();
    let end = || program_end.try_clone().expect("a file of ours");
    // By its path: the search path is that of the walk.
    let mut command = Command::new("/usr/bin/setsid");
    command
        .args(["--ctty", "--wait"])
        .arg(shell.get_program())
        .args(shell.get_args())
        .env_clear()
        .envs(
            shell
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(end())
        .stdout(end())
        .stderr(end());
    let mut child = command.spawn().expect("setsid can be started");
    drop(command);
    let screen = controller.try_clone().expect("a file of ours");
    let shown = thread::spawn(move || shown_on(screen));
    for key in KEYS {
        while echoes(&program_end) {
            assert_eq!(child.try_wait().expect("it is our child"), None, "it asks");
            yield_now();
        }
        writeln!(controller, "{key}").expect("it reads");
        while !echoes(&program_end) {
            yield_now();
        }
    }
    let status = child.wait().expect("it is our child");
    drop(program_end);
    let shown = shown.join().expect("it reads to the end");
    assert_eq!(status.code(), Some(0), "{shown}");
    assert_in_order(&shown, &SHOWN);
    // What is typed never shows, and the first key once, when it is asked for.
    assert_eq!(shown.matches(KEYS[0]).count(), 1, "{shown}");
    assert_eq!(shown.matches(KEYS[1]).count(), 0, "{shown}");
}
