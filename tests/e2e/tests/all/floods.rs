//! Floods of frames that mean nothing or are against the protocol: others are served, and the
//! process's log stays short.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

use claviger_e2e::{Client, Home};
use uuid::Uuid;

/// Bytes of each flood, unless the daemon ends the connection before.
const FLOOD_BYTES: usize = 4 * 1024 * 1024;

/// The most that all floods together may add to the log.
const LOG_BYTES_MAX: usize = 64 * 1024;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// `:method POST`, `:scheme http`, `:path /`: all from the static table.
const HEADERS: &[u8] = &[0x83, 0x86, 0x84];

const DATA: u8 = 0;
const HEADER: u8 = 1;
const PRIORITY: u8 = 2;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// Frames that differ by their stream only.
fn on_each_stream(frames: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    (0..2000).flat_map(|index| frames(2 * index + 1)).collect()
}

/// What is sent over and over, by name.
fn floods() -> Vec<(&'static str, Vec<u8>)> {
    let zeros = [0; 16 * 1024];
    let opened = |stream| frame(HEADER, END_HEADERS, stream, HEADERS);
    vec![
        ("pings", frame(PING, 0, 0, &[0; 8])),
        ("answers to no ping", frame(PING, ACK, 0, &[7; 8])),
        ("short pings", frame(PING, 0, 0, &[0; 4])),
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("answers to no settings", frame(SETTINGS, ACK, 0, &[])),
        (
            "settings of no sense",
            frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 0]),
        ),
        ("unknown settings", frame(SETTINGS, 0, 0, &[0xff; 600])),
        ("no window", frame(WINDOW, 0, 0, &[0; 4])),
        ("small windows", frame(WINDOW, 0, 0, &[0, 0, 0, 1])),
        (
            "great windows",
            frame(WINDOW, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        ),
        ("windows of no stream", frame(WINDOW, 0, 99, &[0, 0, 0, 1])),
        ("resets of no stream", frame(RESET, 0, 99, &[0; 4])),
        ("resets of the connection", frame(RESET, 0, 0, &[0; 4])),
        (
            "priorities",
            on_each_stream(|stream| frame(PRIORITY, 0, stream, &[0; 5])),
        ),
        (
            "priorities of their own",
            frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 0]),
        ),
        (
            "continuations of nothing",
            frame(CONTINUATION, 0, 1, &[0; 9]),
        ),
        ("headers without end", {
            let first = frame(HEADER, 0, 1, HEADERS);
            [first, frame(CONTINUATION, 0, 1, &zeros).repeat(64)].concat()
        }),
        (
            "headers that do not decode",
            frame(HEADER, END_HEADERS, 1, &[0xff; 64]),
        ),
        (
            "headers without a method",
            on_each_stream(|stream| frame(HEADER, END_HEADERS | END_STREAM, stream, &[])),
        ),
        ("data of the connection", frame(DATA, 0, 0, &[0; 9])),
        (
            "empty data",
            [opened(1), frame(DATA, 0, 1, &[]).repeat(10_000)].concat(),
        ),
        ("data of no stream", frame(DATA, 0, 99, &[0; 9])),
        ("promises", frame(PUSH, END_HEADERS, 1, &[0, 0, 0, 2, 0x83])),
        ("goodbyes", frame(GOAWAY, 0, 0, &[0; 8])),
        ("unknown frames", frame(0xbb, 0xff, 1, &[0; 64])),
        ("frames that are too long", frame(DATA, 0, 1, &[0; 100_000])),
        (
            "rapid resets",
            on_each_stream(|stream| {
                [opened(stream), frame(RESET, 0, stream, &[0, 0, 0, 8])].concat()
            }),
        ),
        (
            "requests of nothing",
            on_each_stream(|stream| frame(HEADER, END_HEADERS | END_STREAM, stream, HEADERS)),
        ),
    ]
}

/// Sends a flood until it is over or the daemon has enough of it.
fn flood(address: SocketAddr, pattern: &[u8]) {
    let mut stream = TcpStream::connect(address).expect("a daemon listens there");
    let mut answers = stream.try_clone().expect("a second handle");
    // Somebody has to read, or the daemon would wait for us.
    let reader = thread::spawn(move || {
        let mut rest = [0; 64 * 1024];
        while answers.read(&mut rest).is_ok_and(|length| length > 0) {}
    });
    let open = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let mut sent = 0;
    let mut is_open = stream.write_all(&open).is_ok();
    while is_open && sent < FLOOD_BYTES {
        let times = (64 * 1024 / pattern.len()).max(1);
        is_open = stream.write_all(&pattern.repeat(times)).is_ok();
        sent += pattern.len() * times;
    }
    stream.shutdown(Shutdown::Both).ok();
    reader.join().expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_leave_the_log_short_and_others_served() {
    let home = Home::new();
    let daemon = home.start_dev();
    let address = daemon.tcp();
    let client = Client::connect(&daemon.socket()).await;
    let created = client.create("served", "meanwhile", Uuid::new_v4()).await;
    created.expect("created");
    let before = home.log().len();
    for (name, pattern) in floods() {
        let flooding = tokio::task::spawn_blocking(move || flood(address, &pattern));
        let (_, value) = client.read("served", "").await.expect(name);
        assert_eq!(value, "meanwhile", "{name}");
        flooding.await.expect("no panic");
        let (_, value) = client.read("served", "").await.expect(name);
        assert_eq!(value, "meanwhile", "{name}");
        let log = home.log().len() - before;
        assert!(log < LOG_BYTES_MAX, "{name}: {log} bytes of log");
    }
}
