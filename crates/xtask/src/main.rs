//! Developer commands: `cargo xtask` lists them, every commit must pass `cargo xtask ci`.
//!
//! Runs other programs and reads the tree; knows nothing of the daemon's work. [`ci`] has the
//! list of steps, [`tools`] installs their programs, [`peers`] those of a benchmark, [`circles`],
//! [`deps`], [`docs`], [`policies`], [`secrets`] and [`new_backend`] are the checks written here.
//! [`deb`] makes what hosts install, [`image`] what clusters run.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for developers: the terminal is its output"
)]

mod ci;
mod circles;
mod context;
mod deb;
mod deps;
mod docs;
mod image;
mod new_backend;
mod peers;
mod policies;
mod secrets;
mod tools;
mod tree;

use std::process::ExitCode;

use context::{Context, Result, run};

fn bench(cx: &mut Context) -> Result {
    let Some(name) = cx.extra.first() else {
        return Err("bench needs the name of a benchmark".into());
    };
    let mut command = cx.cargo(&["run", "--release", "-p", "claviger-bench", "--"]);
    command.args(&cx.extra);
    if name == "peers" {
        command.envs(peers::install(cx));
    }
    run(&mut command)
}

fn usage() -> String {
    let steps = ci::STEPS
        .iter()
        .map(|step| format!("  {:<20}{}\n", step.name, step.about))
        .collect::<String>();
    format!(
        "usage: cargo xtask COMMAND\n\n  \
         ci                  all steps below, in this order, stopping at the first failure\n  \
         lint                the quick ones: fmt, check-deps, check-circles, check-secrets, buf, deny, clippy\n  \
         bench NAME          run one benchmark in release mode\n  \
         deb [PROFILE]       make the Debian package, of the build `dist` or another\n  \
         image [PROFILE]     make the image that deploy/kubernetes runs, of the build `dist` or another\n  \
         new-backend NAME    make the crate of a new kind of vault\n\nsteps:\n{steps}"
    )
}

fn dispatch(command: &str, extra: Vec<String>) -> Result<ExitCode> {
    let step = ci::STEPS.iter().find(|step| step.name == command);
    let takes_arguments = ["bench", "deb", "image", "new-backend"].contains(&command)
        || step.is_some_and(|step| step.takes_arguments);
    if !takes_arguments && !extra.is_empty() {
        return Err(format!("{command} takes no arguments\n\n{}", usage()).into());
    }
    let mut cx = Context::new(extra)?;
    match (command, step) {
        ("ci", _) => return Ok(ci::run_all(&mut cx)),
        ("lint", _) => ci::run_lints(&mut cx)?,
        ("bench", _) => bench(&mut cx)?,
        ("deb", _) => deb::make(&mut cx)?,
        ("image", _) => image::make(&mut cx)?,
        ("new-backend", _) => new_backend::command(&mut cx)?,
        (_, Some(step)) => (step.run)(&mut cx)?,
        (_, None) => return Err(format!("no command {command}\n\n{}", usage()).into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let outcome = match arguments.next() {
        Some(command) => dispatch(&command, arguments.collect()),
        None => Err(usage().into()),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}
