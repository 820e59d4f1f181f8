//! The common ground of this folder's tests: the examples, and the machine that they run on.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use claviger_e2e::{Daemon, Home, output_of, tools};

/// A value that must not be seen where it does not belong.
pub(super) const CANARY: &str = "canary-7c1e";

/// A program of the environment with Airflow, dlt and Meltano, in a home of its own.
pub(super) fn program(home: &Home, program: PathBuf, arguments: &[&str]) -> Command {
    let python = tools::pipelines_python();
    let own = [tools::claviger(), python];
    let own = own.iter().filter_map(|program| program.parent());
    let path = env::split_paths(&tools::path()).collect::<Vec<_>>();
    let all = own.map(Path::to_path_buf).chain(path);
    let mut command = home.program(program, arguments);
    command
        .current_dir(home.path())
        .env(
            "PATH",
            env::join_paths(all).expect("no colon in a directory"),
        )
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // Neither asks anybody on the internet.
        .env("MELTANO_CLI_DISABLE_VERSION_CHECK", "1")
        .env("RUNTIME__DLTHUB_TELEMETRY", "false");
    command
}

/// The folder of an example.
pub(super) fn example(name: &str) -> PathBuf {
    tools::repository().join("deploy/examples").join(name)
}

/// Puts the files of an example where its commands may write; returns the place.
pub(crate) fn copied(into: &Path, name: &str) -> PathBuf {
    let place = into.join(name);
    fs::create_dir(&place).expect("a writable home");
    for entry in fs::read_dir(example(name)).expect("the example") {
        let file = entry.expect("an entry");
        // Python leaves a folder of its own where somebody has run it.
        if file.file_type().expect("it is there").is_file() {
            fs::copy(file.path(), place.join(file.file_name())).expect("a writable home");
        }
    }
    place
}

/// The first block of a page in this language, and those after it.
pub(super) fn blocks(name: &str, language: &str) -> Vec<String> {
    let page = fs::read_to_string(example(name).join("README.md")).expect("the page");
    let opening = format!("\n```{language}\n");
    let parts = page.split(&opening).skip(1);
    let blocks = parts.map(|part| part.split("```").next().unwrap_or_default().to_owned());
    blocks.collect()
}

/// A bash that runs the commands of a page, with a daemon, in a copy of the example.
pub(super) fn page(home: &Home, daemon: &Daemon, name: &str) -> Command {
    let place = copied(home.path(), name);
    let script = format!("set -e -o pipefail\n{}", blocks(name, "bash").concat());
    let mut bash = program(home, PathBuf::from("bash"), &["-c", &script]);
    bash.current_dir(place)
        .env("CLAVIGER_ADDRESS", address(daemon))
        .env("CLAVIGER_PROJECT", "dev");
    bash
}

/// The address of a daemon's socket.
pub(super) fn address(daemon: &Daemon) -> String {
    format!("unix:{}", daemon.socket().display())
}

/// Runs a program to its end and types this; returns what it printed, and its complaints.
#[track_caller]
pub(super) fn said(program: &mut Command, keys: &str) -> (String, String) {
    let output = output_of(program, keys);
    let (printed, complaints) = texts(&output);
    assert!(output.status.success(), "{printed}\n{complaints}");
    (printed, complaints)
}

/// The two outputs as text.
pub(super) fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Whether a file under this directory has the text in it.
pub(super) fn holds(directory: &Path, text: &str) -> bool {
    let entries = fs::read_dir(directory).expect("a directory");
    entries.map(|entry| entry.expect("an entry")).any(|entry| {
        let kind = entry.file_type().expect("it is there");
        if kind.is_dir() {
            return holds(&entry.path(), text);
        }
        let content = match kind.is_file() {
            true => fs::read(entry.path()).expect("a file of ours"),
            false => Vec::new(),
        };
        let mut parts = content.windows(text.len());
        parts.any(|part| part == text.as_bytes())
    })
}
