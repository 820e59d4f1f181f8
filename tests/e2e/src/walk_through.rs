use std::fs;
use std::io::{ErrorKind, Write as _};
use std::process::{Child, Command, Output, Stdio};

use crate::{Daemon, Home, tools};

/// A page that has an operator write a configuration and type commands.
#[derive(Debug)]
pub struct WalkThrough(String);

impl WalkThrough {
    /// The page at this path in the repository.
    pub fn of(page: &str) -> Self {
        Self(fs::read_to_string(tools::repository().join(page)).expect("the page"))
    }

    /// The configuration that is shown.
    pub fn config(&self) -> String {
        self.blocks("toml").into_iter().next().expect("a vault")
    }

    /// Types the commands, and these keys where they ask; returns the text that they print.
    pub fn run(&self, home: &Home, daemon: &Daemon, keys: &str) -> String {
        let mut script = format!(
            "set -e -o pipefail; exec 2>&1\nSOCKET={}\n\
             call() {{ grpcurl -plaintext -unix -d @ \"$SOCKET\" \"claviger.v1.$1\"; }}\n\
             typed() {{ IFS= read -rs KEY; }}\n",
            daemon.socket().display()
        );
        for block in self.blocks("console") {
            for command in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
                script += command;
                script += "\n";
            }
        }
        let path = home.path().join("walk.sh");
        fs::write(&path, &script).expect("a writable home");
        let mut bash = Command::new("bash");
        bash.arg(path).env_clear().env("PATH", tools::path());
        let output = output_of(&mut bash, keys);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{script}\n{printed}");
        printed
    }

    /// The blocks in this language.
    fn blocks(&self, language: &str) -> Vec<String> {
        let opening = format!("\n```{language}\n");
        let parts = self.0.split(&opening).skip(1);
        let blocks = parts.map(|part| part.split("\n```").next().unwrap_or_default());
        blocks.map(str::to_owned).collect()
    }
}

/// Runs a program to its end, and types this where it asks.
pub fn output_of(program: &mut Command, keys: &str) -> Output {
    let mut child = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    type_all(&mut child, keys);
    child.wait_with_output().expect("it ends")
}

/// Types this, and nothing after it. A program that refuses its arguments may be gone before it has
/// read any of it.
pub fn type_all(child: &mut Child, keys: &str) {
    let mut stdin = child.stdin.take().expect("a pipe was asked for");
    if let Err(error) = stdin.write_all(keys.as_bytes()) {
        assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{error}");
    }
}

/// All of them stand in the printed text, in this order.
#[track_caller]
pub fn assert_in_order(printed: &str, all: &[&str]) {
    let mut rest = printed;
    for wanted in all {
        let found = rest.split_once(wanted);
        assert!(
            found.is_some(),
            "{wanted} is not in the rest of:\n{printed}"
        );
        rest = found.map_or("", |(_, after)| after);
    }
}
