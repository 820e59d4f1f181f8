//! Benchmarks of the built daemon: `cargo xtask bench warm`, `put`, `start`, `door`, `herd`,
//! `outage`, `memory`, `tls`, `remote` or `peers`.
//!
//! Measures from outside, over the sockets a client has, and always next to a floor in the same
//! run: absolute numbers move with the machine, ratios much less. Every result is a line
//! `figure <name> <value> <unit>`. Judges nothing: the goals are not written here.
//!
//! [`warm`], [`put`], [`start`], [`door`], [`herd`], [`outage`], [`memory`], [`tls`], [`remote`] and
//! [`peers`] are the benchmarks; [`server`] runs the processes that they measure, [`load`] is the process that asks, [`jobs`] are
//! those that ask once, [`aws`] is the vault behind the daemon, [`echo`] the floor of a call,
//! [`secure`] what is needed for TLS, [`machine`] cores and memory.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program for developers: the terminal is its output and real time its subject"
)]

mod aws;
mod door;
mod echo;
mod figures;
mod herd;
mod jobs;
mod load;
mod machine;
mod memory;
mod outage;
mod peers;
mod put;
mod remote;
mod secure;
mod server;
mod start;
mod step;
mod tls;
mod warm;

use std::path::Path;
use std::process::ExitCode;

use crate::step::{FULL, Plan, QUICK, Result};

const USAGE: &str = "usage: cargo xtask bench NAME [--quick]

  warm    GetSecret with token, grants and audit against a bare gRPC echo
  put     durable PutSecretValue against an fdatasync loop
  herd    jobs that start at once: calls to the vault, latency, memory
  outage  reads of values whose vault hangs, throttles or answers 503
  memory  what 10,000 remembered values of 1 KiB take
  door    a reader's latency while a stranger attacks, against its latency in peace
  peers   GetSecret and PutSecretValue beside other brokers of secrets
  start   time from exec to the first answer, and idle memory
  remote  GetSecret over TLS, by certificate, exchanged token and JWT, against an echo over TLS
  tls     connections a second: full handshakes with a certificate, resumed ones, and no TLS

Needs two cores: the servers get one, the load the other.";

fn run(words: &[&str]) -> Result {
    match words {
        ["echo-server"] => echo::serve(None),
        ["echo-server", files] => echo::serve(Some(Path::new(files))),
        ["load", rest @ ..] => load::run(rest),
        [name] => bench(name, FULL),
        [name, "--quick"] => bench(name, QUICK),
        _ => Err(USAGE.into()),
    }
}

fn bench(name: &str, plan: Plan) -> Result {
    let bench = match name {
        "door" => door::run,
        "herd" => herd::run,
        "memory" => memory::run,
        "outage" => outage::run,
        "peers" => peers::run,
        "remote" => remote::run,
        "warm" => warm::run,
        "put" => put::run,
        "start" => start::run,
        "tls" => tls::run,
        _ => return Err(USAGE.into()),
    };
    server::build_daemon()?;
    bench(plan)
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
