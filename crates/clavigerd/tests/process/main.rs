//! The built daemon as a process among others: signals, files that it may not write, and who asks
//! it how it is; and as a cluster starts it.
#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

mod cluster;
mod full_disk;
mod signals;
mod starts;
mod status;

use std::path::PathBuf;
use std::process::Command;

use claviger_e2e::Home;

/// The daemon that was built with these tests.
fn clavigerd(home: &Home, arguments: &[&str]) -> Command {
    home.program(PathBuf::from(env!("CARGO_BIN_EXE_clavigerd")), arguments)
}
