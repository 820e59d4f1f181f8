//! Installs the brokers of secrets that `cargo xtask bench peers` measures beside Claviger.
//!
//! Each is pinned, like the [`tools`](crate::tools). One that cannot be installed is left out: the
//! benchmark needs none of them.

use std::path::PathBuf;

use crate::context::Context;
use crate::tools::cargo_program;

/// The variable by which the benchmark finds a program, its package, and its name there.
const PEERS: [(&str, &str, &str); 2] = [
    ("CLAVIGER_BENCH_RUSTYVAULT", "rusty_vault@0.2.1", "rvault"),
    (
        "CLAVIGER_BENCH_AWSAGENT",
        "aws_secretsmanager_agent@2.1.0",
        "aws_secretsmanager_agent",
    ),
];

/// Installs them; returns the variables that tell the benchmark where they are.
pub(crate) fn install(cx: &Context) -> Vec<(&'static str, PathBuf)> {
    let mut found = Vec::new();
    for (variable, package, program) in PEERS {
        match cargo_program(cx, package, program) {
            Ok(program) => found.push((variable, program)),
            Err(error) => println!("{package} cannot be installed: {error}"),
        }
    }
    found
}
