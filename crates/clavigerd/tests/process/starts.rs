//! What the daemon cannot write is a refusal of the start, which names it and the remedy.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use claviger_e2e::Home;
use claviger_raw::may_be_others;

use crate::clavigerd;

/// Root may write everywhere, and lets another user start the daemon.
const OTHER: u32 = 54_321;

/// A home with a store and everything else in a directory of its own; no daemon runs.
struct Used(Home);

impl Used {
    fn new() -> Self {
        let used = Self(Home::new());
        for name in ["data", "log", "run", "config/claviger"] {
            fs::create_dir_all(used.at(name)).expect("made");
        }
        let log = used.at("log/audit.jsonl");
        used.0.write_config(&format!("[audit]\nfile = {log:?}\n"));
        used.own();
        assert_eq!(used.0.start(&mut used.command()).stop().code(), Some(0));
        used
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Gives all of it to the user that starts the daemon.
    fn own(&self) {
        if may_be_others() {
            let mut chown = Command::new("chown");
            let chown = chown.args(["-R", &OTHER.to_string()]).arg(self.0.path());
            assert!(chown.status().expect("runs").success());
        }
    }

    fn command(&self) -> Command {
        let mut command = clavigerd(&self.0, &["--dev", "--config"]);
        command.arg(self.at("clavigerd.toml"));
        command.arg("--data-dir").arg(self.at("data"));
        command.arg("--socket").arg(self.at("run/sock"));
        command.env("XDG_CONFIG_HOME", self.at("config"));
        if may_be_others() {
            command.uid(OTHER);
        }
        command
    }
}

/// The refusal names all of these.
#[track_caller]
fn assert_refused(command: &mut Command, case: &str, all: &[&str]) {
    let output = command.output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{case}: {said}");
    assert!(output.stdout.is_empty(), "{case}");
    for words in all {
        assert!(said.contains(words), "{case}: {words} in {said}");
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("set");
}

#[test]
fn what_this_user_may_not_write_is_a_refusal() {
    let used = Used::new();
    for (name, is_named) in [
        ("data", true),
        ("log", true),
        ("run", true),
        ("data/store.db", true),
        ("data/store.db.lock", false),
        ("log/audit.jsonl", true),
    ] {
        let path = used.at(name);
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        set_mode(&path, mode & !0o222);
        let named = match is_named {
            true => path.display().to_string(),
            false => used.at("data/store.db").display().to_string(),
        };
        let uid = match may_be_others() {
            true => OTHER,
            false => rustix::process::geteuid().as_raw(),
        };
        let remedy = format!("the user with uid {uid} has to be able to write");
        assert_refused(&mut used.command(), name, &[&named, &remedy]);
        set_mode(&path, mode);
    }
    assert_eq!(used.0.start(&mut used.command()).stop().code(), Some(0));
}

#[test]
fn what_cannot_be_made_is_a_refusal() {
    for name in ["data", "run", "config/claviger"] {
        let used = Used::new();
        let above = used.at(name).parent().expect("one").to_path_buf();
        fs::remove_dir_all(used.at(name)).expect("removed");
        if name != "run" {
            // No new key is made beside a store.
            fs::remove_dir_all(used.at("data")).ok();
        }
        set_mode(&above, 0o500);
        let named = used.at(name).display().to_string();
        assert_refused(&mut used.command(), name, &[&named, "cannot be"]);
        set_mode(&above, 0o700);
    }
}

#[test]
fn what_is_no_store_is_a_refusal() {
    let used = Used::new();
    let store = used.at("data/store.db");
    fs::write(&store, "no store at all".repeat(1000)).expect("written");
    let named = store.display().to_string();
    assert_refused(&mut used.command(), "garbage", &[&named]);
}

#[test]
fn a_disk_without_room_is_a_refusal() {
    let used = Used::new();
    // No file can get longer than nothing, as on a disk that is full.
    let direct = used.command();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "ulimit -f 0; exec \"$0\" \"$@\""]);
    shell.arg(direct.get_program()).args(direct.get_args());
    shell.env_clear().env("HOME", used.0.path());
    shell.env("XDG_CONFIG_HOME", used.at("config"));
    if may_be_others() {
        shell.uid(OTHER);
    }
    let data = used.at("data").display().to_string();
    let all = [&*data, "cannot be written: ", "a disk that has room"];
    assert_refused(&mut shell, "full", &all);
    assert_eq!(used.0.start(&mut used.command()).stop().code(), Some(0));
}
