use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::tools;

/// Everything a daemon keeps: it is given nothing else of the environment.
#[derive(Debug)]
pub struct Home {
    dir: TempDir,
}

impl Home {
    /// New and empty.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory for temporary files");
        Self { dir }
    }

    /// The home directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where the daemon keeps its data by default.
    pub fn data_dir(&self) -> PathBuf {
        self.path().join(".local/state/claviger")
    }

    /// The store in there.
    pub fn store(&self) -> PathBuf {
        self.data_dir().join("store.db")
    }

    /// The audit log in there.
    pub fn audit_log(&self) -> PathBuf {
        self.data_dir().join("audit.jsonl")
    }

    /// Where its root key is by default.
    pub fn root_key(&self) -> PathBuf {
        self.path().join(".config/claviger/root.key")
    }

    /// The text that daemons of this home wrote to standard error.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.path().join("stderr.log")
    }

    /// The daemon's program, to be run with these arguments.
    pub fn clavigerd(&self, arguments: &[&str]) -> Command {
        self.program(tools::clavigerd(), arguments)
    }

    /// The same with `--dev` and this configuration.
    pub fn configured(&self, config: &str) -> Command {
        let mut command = self.clavigerd(&["--dev", "--config"]);
        command.arg(self.write_config(config));
        command
    }

    /// Writes a configuration file that only its owner may write, whatever the umask.
    pub fn write_config(&self, text: &str) -> PathBuf {
        let file = self.path().join("clavigerd.toml");
        fs::write(&file, text).expect("a writable home");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("ours");
        file
    }

    /// Another build of it.
    pub fn program(&self, program: PathBuf, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.clavigerd(arguments);
        command.output().expect("the daemon's program can be run")
    }

    /// Starts the daemon with `--dev` and waits until it serves.
    pub fn start_dev(&self) -> Daemon {
        self.start(&mut self.clavigerd(&["--dev"]))
    }

    /// Starts the daemon and waits until it serves.
    pub fn start(&self, command: &mut Command) -> Daemon {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .expect("a log file");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the daemon's program can be started");
        let stdout = child.stdout.take().expect("a pipe was asked for");
        let mut daemon = Daemon {
            child,
            stdout: BufReader::new(stdout),
            ready: String::new(),
        };
        daemon.ready = daemon.next_line();
        if !daemon.ready.starts_with("clavigerd ready unix=") {
            panic!("not ready: {}\n{}", daemon.ready, self.log());
        }
        daemon
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

/// A daemon that serves. It does not outlive this value.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    stdout: BufReader<ChildStdout>,
    ready: String,
}

impl Daemon {
    /// The first line it printed.
    pub fn ready_line(&self) -> &str {
        &self.ready
    }

    /// The Unix socket that line names.
    pub fn socket(&self) -> PathBuf {
        PathBuf::from(self.word("unix="))
    }

    /// The TCP address that line names.
    pub fn tcp(&self) -> SocketAddr {
        self.word("tcp=").parse().expect("an address")
    }

    /// The address of the admin listener that it names if there is one.
    pub fn admin(&self) -> SocketAddr {
        self.word("admin=").parse().expect("an address")
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The memory that the kernel counts under `key`, such as `VmRSS:`.
    pub fn memory_kib(&self, key: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let size = line.and_then(|line| line.split_whitespace().next());
        size.expect("a line of it").parse().expect("a number")
    }

    fn word(&self, key: &str) -> &str {
        let mut words = self.ready.split_whitespace();
        words
            .find_map(|word| word.strip_prefix(key))
            .expect("the ready line names it")
    }

    /// The lines that follow the ready line, up to one that contains `last`.
    pub fn lines_until(&mut self, last: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while !lines
            .last()
            .is_some_and(|line: &String| line.contains(last))
        {
            lines.push(self.next_line());
        }
        lines
    }

    /// The next line of standard output; empty if there is none.
    fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("text");
        line.truncate(line.trim_end_matches('\n').len());
        line
    }

    /// Asks it to end; [`wait`](Self::wait) waits until it has.
    pub fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it is our child");
    }

    /// Ends it the hard way.
    pub fn kill(mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }

    /// Waits until it has ended by itself.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("it is our child")
    }

    /// Asks it to end and waits until it has.
    pub fn stop(self) -> ExitStatus {
        self.terminate();
        self.wait()
    }

    /// The same while the clients of this runtime go on: a daemon gives those that are still connected
    /// and say nothing the whole of its drain.
    pub async fn stopped(self) -> ExitStatus {
        let stopped = tokio::task::spawn_blocking(move || self.stop());
        stopped.await.expect("it does not panic")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail if it has ended, which is fine.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
