//! A server of Node's, run by a script of this package that hears lines and answers each with one.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::SystemTime;

use serde_json::Value;

/// The variable with the modules of Node, set by `cargo xtask ci`.
const MODULES: &str = "CLAVIGER_TEST_NODE_MODULES";

/// The server, until it is dropped.
pub(crate) struct Node {
    process: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Its first line.
    pub(crate) address: String,
}

impl Node {
    pub(crate) fn start(script: &str, now: SystemTime) -> Self {
        #[expect(clippy::disallowed_methods, reason = "told to the test run")]
        let modules = std::env::var(MODULES).expect("run by cargo xtask ci, which sets it");
        let mut process = Command::new("node")
            .arg(format!("{}/node/{script}", env!("CARGO_MANIFEST_DIR")))
            .arg(modules)
            .arg(seconds(now).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node runs");
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        let mut node = Self {
            asks: process.stdin.take().expect("piped"),
            process,
            answers,
            address: String::new(),
        };
        node.address = node.heard();
        node
    }

    pub(crate) fn ask(&mut self, what: &Value) -> String {
        writeln!(self.asks, "{what}").expect("it listens");
        self.heard()
    }

    pub(crate) fn end(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }

    fn heard(&mut self) -> String {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line).expect("it answers");
        assert!(read > 0, "the server has ended");
        line.trim_end().to_owned()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
    }
}

/// A time, as the scripts are told it.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}
