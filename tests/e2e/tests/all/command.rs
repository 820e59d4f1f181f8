//! The `claviger` command: values go in and out by pipes alone, and a job runs with them or not at
//! all.

mod access;
mod adopt;
mod between;
mod changes;
mod contexts;
mod contract;
mod files;
mod job_files;
mod jobs;
mod manual;
mod profiles;
mod signals;
mod tables;
mod traces;
mod values;
mod vaults;
mod walk;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use claviger_e2e::{Daemon, Home, output_of, tools};
use claviger_proto::DESCRIPTORS;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage};
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;

/// A value that must not be seen where it does not belong.
const CANARY: &str = "canary-7c1e";

/// Puts the canary, as a secret of this id.
const PUT: &str = "definition put db --kind PASSWORD --value-from -";

/// The columns of a terminal.
const WIDTH: u16 = 80;

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

    /// Makes this user operator everywhere, so that it can make projects.
    fn become_operator(&self) {
        let told = said(&self.run("whoami"));
        let principal = told.lines().next().expect("a principal");
        said(&self.run(&format!("grant put {principal} OPERATOR *")));
    }

    /// Runs a shell as a job with the canary as `KEY`.
    fn job(&self, options: &str, script: &str) -> Command {
        let mut command = self.command(options);
        command.args(["--", "/bin/sh", "-c", script]);
        command
    }
}

/// The same command in a session of its own, in which no terminal is unless the options say so.
fn in_a_session(command: &Command, options: &[&str]) -> Command {
    let mut session = Command::new("setsid");
    session
        .args(options)
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            session.env(name, value);
        }
    }
    if let Some(directory) = command.get_current_dir() {
        session.current_dir(directory);
    }
    session
}

/// Writes a file that nobody else can read.
fn write_private(file: &Path, text: impl AsRef<[u8]>) {
    fs::write(file, text).expect("a writable directory");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("it is ours");
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

/// What `--json` printed for a command line: this message of the proto, and nothing else.
#[track_caller]
fn message_of(kind: &str, line: &str, printed: &str) -> Value {
    let pool = DescriptorPool::decode(DESCRIPTORS).expect("descriptors");
    let name = match kind.contains('.') {
        true => kind.to_owned(),
        false => format!("claviger.v1.{kind}"),
    };
    let message = pool.get_message_by_name(&name).expect(&name);
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let mut json = serde_json::Deserializer::from_str(printed);
    let read = DynamicMessage::deserialize_with_options(message, &mut json, &options);
    let read = read.unwrap_or_else(|error| panic!("{line}: {error}: {printed}"));
    json.end().expect("nothing else is printed");
    let is_empty = read.fields().next().is_none();
    assert_eq!(is_empty, kind.ends_with(".Empty"), "{line}: {printed}");
    serde_json::from_str(printed).expect("JSON")
}

/// A terminal: the end of whoever looks at it, and that of a program.
fn terminal() -> (File, File) {
    // A program that had the other end too would keep its terminal from ending.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let controller = openpt(flags).expect("a terminal");
    grantpt(&controller).expect("it is ours");
    unlockpt(&controller).expect("it is ours");
    let size = Winsize {
        ws_row: 24,
        ws_col: WIDTH,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&controller, size).expect("it is ours");
    let name = ptsname(&controller, Vec::new()).expect("has a name");
    let program_end = File::options()
        .read(true)
        .write(true)
        // A test that leads a session must not get it as the terminal whose keys end it.
        .custom_flags(OFlags::NOCTTY.bits().cast_signed())
        .open(OsStr::from_bytes(name.as_bytes()))
        .expect("the other end");
    (controller.into(), program_end)
}

/// Whether a terminal shows what is typed.
fn echoes(terminal: &File) -> bool {
    let modes = tcgetattr(terminal).expect("a terminal").local_modes;
    modes.contains(LocalModes::ECHO)
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
