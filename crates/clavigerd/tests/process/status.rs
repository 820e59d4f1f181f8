//! `clavigerd status` where no daemon answers: each cause is told apart, with its remedy.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use claviger_e2e::Home;
use claviger_raw::may_be_others;

use crate::clavigerd;
use crate::signals::send;

/// A user of this host without any grant.
const STRANGER: u32 = 54_321;

const STOP: u8 = 19;
const CONTINUE: u8 = 18;

/// What the command says about this socket, after the prefix.
#[track_caller]
fn said(home: &Home, socket: &Path, uid: Option<u32>) -> String {
    let mut command = clavigerd(home, &["status", "--socket"]);
    command.arg(socket);
    if let Some(uid) = uid {
        command.uid(uid);
    }
    let output = command.output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(70), "{said}");
    assert!(output.stdout.is_empty());
    said
}

#[test]
fn what_is_no_daemons_socket_is_told_with_the_remedy() {
    let home = Home::new();
    let at = |name: &str| home.path().join(name);
    fs::create_dir(at("directory")).expect("made");
    fs::write(at("file"), "").expect("made");
    drop(UnixListener::bind(at("dead")).expect("bound"));
    symlink(at("dead"), at("link")).expect("made");
    let _other = UnixDatagram::bind(at("datagrams")).expect("bound");
    for (name, wanted, remedy) in [
        ("missing", "nothing is at ", "start it, or pass --socket"),
        ("directory", " is no socket; ", "pass --socket"),
        ("file", " is no socket; ", "pass --socket"),
        ("file/below", "cannot connect to ", "pass --socket"),
        ("dead", "nobody listens at ", "start it again"),
        ("link", "nobody listens at ", "start it again"),
        ("datagrams", "cannot connect to ", "pass --socket"),
        (&*"long/".repeat(40), "cannot connect to ", "pass --socket"),
    ] {
        let said = said(&home, &at(name), None);
        for words in [wanted, remedy, name] {
            assert!(said.contains(words), "{words} in {said}");
        }
    }
}

#[test]
fn a_socket_that_this_user_may_not_reach_is_told() {
    let home = Home::new();
    let closed = home.path().join("closed");
    fs::create_dir(&closed).expect("made");
    let _listener = UnixListener::bind(closed.join("sock")).expect("bound");
    // Root may connect to everything, and others may not to what is closed to themselves.
    let uid = may_be_others().then_some(STRANGER);
    fs::set_permissions(&closed, Permissions::from_mode(0o000)).expect("ours");
    let said = said(&home, &closed.join("sock"), uid);
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).expect("ours");
    assert!(said.contains(" may not connect to "), "{said}");
    assert!(said.contains("ask as the user of the daemon"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_stopped_daemon_is_told_as_one() {
    let home = Home::new();
    let daemon = home.start(&mut clavigerd(&home, &["--dev"]));
    send(daemon.pid(), STOP);
    let stat = format!("/proc/{}/stat", daemon.pid());
    while !fs::read_to_string(&stat).expect("runs").contains(") T ") {
        std::thread::yield_now();
    }
    let stop = clavigerd::ask_status(&daemon.socket()).await;
    let said = stop.expect_err("stopped").to_string();
    let wanted = format!("process {} at ", daemon.pid());
    assert!(said.starts_with(&wanted), "{said}");
    let remedy = format!("is stopped; let it go on (kill -CONT {})", daemon.pid());
    assert!(said.contains(&remedy), "{said}");
    send(daemon.pid(), CONTINUE);
    assert_eq!(daemon.stop().code(), Some(0));
}

#[test]
fn a_daemon_that_is_well_is_told_as_one() {
    let home = Home::new();
    let daemon = home.start(&mut clavigerd(&home, &["--dev"]));
    let output = clavigerd(&home, &["status"]).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("store: ok"), "{said}");
    assert_eq!(daemon.stop().code(), Some(0));
}

#[test]
fn a_daemon_is_known_to_be_alive_without_a_question_that_is_recorded() {
    let home = Home::new();
    let daemon = home.start(&mut clavigerd(&home, &["--dev"]));
    let alive = || {
        let mut command = clavigerd(&home, &["status", "--alive"]);
        command.output().expect("runs").status.code()
    };
    let records = || fs::read(home.audit_log()).expect("a log");
    let before = records();
    assert_eq!(alive(), Some(0));
    assert_eq!(records(), before);
    assert_eq!(daemon.stop().code(), Some(0));
    assert_eq!(alive(), Some(70));
}
