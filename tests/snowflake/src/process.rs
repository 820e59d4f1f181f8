//! The Python program, from its start to its end.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

/// Where the Python is that `cargo xtask` installs the emulator's parts for.
const PYTHON: &str = "CLAVIGER_TEST_PYTHON";

/// A running program.
pub(crate) struct Process {
    child: Child,
    /// The program ends when this closes: also if this process is killed.
    _stdin: Option<ChildStdin>,
    address: String,
}

impl Process {
    pub(crate) fn start() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the environment rule is the daemon's; this is how a test finds its peer"
        )]
        let python = std::env::var_os(PYTHON);
        let python = python.unwrap_or_else(|| {
            panic!("{PYTHON} is not set: run `cargo xtask ci` or `cargo xtask test`, which install fakesnow")
        });
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        let mut child = Command::new(python)
            // No byte code beside the sources.
            .args(["-B", "-m", "snowflake_fake"])
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()));
        let stdin = child.stdin.take();
        let Some(address) = address else {
            child.wait().expect("Python has ended");
            panic!("the emulator ended before it listened: see its error above");
        };
        // Nobody may block on a full pipe.
        thread::spawn(move || lines.count());
        Self {
            child,
            _stdin: stdin,
            address,
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
