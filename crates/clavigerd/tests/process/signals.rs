//! No signal that can be caught ends the daemon before the calls under way have ended, and a
//! throw-away daemon leaves nothing behind.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use claviger_e2e::{Client, Daemon, Home};
use claviger_raw::{Begun, Raw, message};
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio::net::UnixStream;
use uuid::Uuid;

use crate::clavigerd;

const HUP: u8 = 1;
const INT: u8 = 2;
const QUIT: u8 = 3;
const USR1: u8 = 10;
const USR2: u8 = 12;
const TERM: u8 = 15;
const POWER: u8 = 30;

/// Those that end the daemon, once it has drained.
const DRAINING: [u8; 4] = [INT, QUIT, TERM, POWER];

/// Those that nothing can catch, that tell of a fault of the process, that stop it, and that are
/// the C library's.
const LEFT: [u8; 14] = [4, 5, 6, 7, 8, 9, 11, 19, 20, 21, 22, 31, 32, 33];

/// More calls than a line of the log ever takes to be there.
const CALLS_MAX: usize = 20_000;

/// All others.
fn passing() -> impl Iterator<Item = u8> {
    (1..=64).filter(|signal| !DRAINING.contains(signal) && !LEFT.contains(signal))
}

pub(crate) fn send(pid: u32, signal: u8) {
    let mut kill = Command::new("/bin/sh");
    let kill = kill.args(["-c", "kill -$0 $1"]);
    let sent = kill.args([signal.to_string(), pid.to_string()]).status();
    assert!(sent.expect("runs").success(), "{signal}");
}

/// Where a daemon that is thrown away makes its directory, and nothing else is.
struct Room {
    home: Home,
    temporary: PathBuf,
}

impl Room {
    fn new() -> Self {
        let home = Home::new();
        let temporary = home.path().join("tmp");
        fs::create_dir(&temporary).expect("a writable home");
        Self { home, temporary }
    }

    fn command(&self) -> Command {
        let mut command = clavigerd(&self.home, &["--dev", "--ephemeral"]);
        command.env("TMPDIR", &self.temporary);
        command
    }

    fn directories(&self) -> usize {
        fs::read_dir(&self.temporary).expect("a directory").count()
    }

    /// It has ended well, and nothing is left.
    #[track_caller]
    fn assert_drained(&self, daemon: Daemon, signal: u8) {
        let status = daemon.wait();
        assert_eq!(status.code(), Some(0), "{signal}: {}", self.home.log());
        assert_eq!(self.directories(), 0, "{signal}");
        let log = self.home.log();
        assert!(log.contains("drained"), "{signal}: {log}");
        assert!(!log.contains("connections cut"), "{signal}: {log}");
    }
}

async fn connect(daemon: &Daemon) -> Raw {
    let stream = UnixStream::connect(daemon.socket()).await;
    Raw::over(stream.expect("it listens"))
        .await
        .expect("speaks")
}

/// A read of the secret `s` whose headers have arrived.
async fn begin(daemon: &Daemon) -> (Raw, Begun) {
    let client = Client::connect(&daemon.socket()).await;
    let created = client.create("s", "v", Uuid::new_v4()).await;
    created.expect("created");
    let mut raw = connect(daemon).await;
    let begun = raw.begin("claviger.v1.SecretService/GetSecret", &[]).await;
    let begun = begun.expect("open");
    raw.ping().await.expect("open");
    (raw, begun)
}

async fn assert_answered(mut begun: Begun, signal: u8) {
    let name = "projects/dev/secrets/s";
    let mut request = vec![10, u8::try_from(name.len()).expect("short")];
    request.extend(name.as_bytes());
    begun.send(message(request.len(), &request)).await;
    begun.send_end();
    let (_, headers) = begun.answer().await.expect("answered");
    let code = headers.get("grpc-status").expect("a status");
    assert_eq!(code, "0", "{signal}: {headers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_to_end_lets_calls_finish_and_leaves_nothing_behind_whatever_follows_it() {
    for signal in DRAINING {
        let room = Room::new();
        let daemon = room.home.start(&mut room.command());
        let (_raw, begun) = begin(&daemon).await;
        let idle = connect(&daemon).await;
        send(daemon.pid(), signal);
        idle.ended().await;
        for other in passing().chain(DRAINING) {
            send(daemon.pid(), other);
        }
        assert_answered(begun, signal).await;
        room.assert_drained(daemon, signal);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_other_signal_passes() {
    let room = Room::new();
    let daemon = room.home.start(&mut room.command());
    let (_raw, begun) = begin(&daemon).await;
    for signal in passing() {
        send(daemon.pid(), signal);
    }
    let client = Client::connect(&daemon.socket()).await;
    for (signal, said) in [
        (HUP, "there is nothing to reload yet"),
        (USR1, "Signal::USR1"),
        (USR2, "Signal::USR2"),
    ] {
        let mut calls = 0;
        while !room.home.log().contains(said) {
            calls += 1;
            assert!(calls < CALLS_MAX, "{signal}: {}", room.home.log());
            client.read("s", "").await.expect("served");
        }
    }
    let log = room.home.log();
    assert!(!log.contains("draining"), "{log}");
    assert_answered(begun, HUP).await;
    send(daemon.pid(), TERM);
    room.assert_drained(daemon, TERM);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_that_the_parent_ignored_count_all_the_same() {
    for signal in DRAINING {
        let room = Room::new();
        let direct = room.command();
        let mut shell = room.home.program("/bin/sh".into(), &["-c"]);
        shell
            .arg("trap '' HUP INT QUIT TERM USR1 USR2 PWR; exec \"$0\" \"$@\"")
            .arg(direct.get_program())
            .args(direct.get_args())
            .env("TMPDIR", &room.temporary);
        let daemon = room.home.start(&mut shell);
        send(daemon.pid(), HUP);
        send(daemon.pid(), signal);
        room.assert_drained(daemon, signal);
    }
}

#[test]
fn a_daemon_whose_terminal_goes_ends() {
    let room = Room::new();
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&controller).expect("ours");
    unlockpt(&controller).expect("ours");
    let name = ptsname(&controller, Vec::new()).expect("has a name");
    let name = name.into_string().expect("text");
    let terminal = OpenOptions::new().write(true).open(name).expect("opens");
    let mut command = room.command();
    let child = command.stdout(Stdio::piped()).stderr(terminal).spawn();
    let mut child = child.expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    lines.next().expect("the ready line").expect("text");
    drop(controller);
    send(child.id(), HUP);
    let status = child.wait().expect("it is our child");
    assert_eq!((status.code(), room.directories()), (Some(0), 0));
}

#[test]
fn a_signal_during_the_start_leaves_nothing_behind() {
    for signal in passing().chain(DRAINING) {
        let room = Room::new();
        let pipe = room.home.path().join("clavigerd.toml");
        mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).expect("a pipe");
        let log = File::create(room.home.path().join("stderr.log")).expect("a log file");
        let mut command = room.command();
        let command = command.arg("--config").arg(&pipe);
        let child = command.stdout(Stdio::piped()).stderr(log).spawn();
        let child = child.expect("starts");
        // Opens once the daemon reads, which then waits for what is written.
        let config = OpenOptions::new().write(true).open(&pipe);
        assert_eq!(room.directories(), 1, "it has begun");
        send(child.id(), signal);
        if !DRAINING.contains(&signal) {
            send(child.id(), TERM);
        }
        let written = config.expect("a pipe").write_all(b"\n");
        written.expect("is read");
        let output = child.wait_with_output().expect("it is our child");
        assert_eq!(output.status.code(), Some(0), "{signal}");
        assert_eq!(room.directories(), 0, "{signal}");
    }
}
