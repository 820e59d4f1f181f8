//! The Claviger daemon.

#![forbid(unsafe_code)]
#![expect(dead_code, reason = "the daemon that uses the modules comes next")]

mod cli;
mod config;
mod environment;
mod logging;
mod root_key;

fn main() {}
