//! Developer commands: `cargo xtask` lists them, `cargo xtask ci` is what every commit must pass.
//!
//! Runs other programs and reads the tree; knows nothing of what the daemon does. [`ci`] has the
//! list of steps, [`tools`] installs what they need, [`deps`], [`docs`], [`policies`],
//! [`secrets`] and [`new_backend`] are the checks written here.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for developers: the terminal is its output"
)]

mod ci;
mod deps;
mod docs;
mod new_backend;
mod policies;
mod secrets;
mod tools;
mod tree;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use cargo_metadata::{Metadata, MetadataCommand};

/// What a command comes to; an error is one text for the developer.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What every step needs to know of the workspace, and the tests counted so far.
struct Context {
    metadata: Metadata,
    /// Arguments after the command's name, for the commands that hand them on.
    extra: Vec<String>,
    passed: u64,
    failed: u64,
}

impl Context {
    fn new(extra: Vec<String>) -> Result<Self> {
        Ok(Self {
            metadata: MetadataCommand::new().exec()?,
            extra,
            passed: 0,
            failed: 0,
        })
    }

    fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    fn target(&self) -> PathBuf {
        self.metadata.target_directory.clone().into_std_path_buf()
    }

    /// Whether the workspace has a package of this name.
    fn has_package(&self, name: &str) -> bool {
        let mut packages = self.metadata.workspace_packages().into_iter();
        packages.any(|package| package.name.as_str() == name)
    }

    /// `cargo` with these arguments, at the root of the workspace.
    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        command.current_dir(self.root()).args(arguments);
        command
    }
}

/// Runs a program to its end; anything but success is an error that names it.
fn run(command: &mut Command) -> Result {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .map_err(|error| format!("{program} cannot be started: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{program}: {status}").into())
    }
}

fn bench(cx: &mut Context) -> Result {
    let Some(name) = cx.extra.first() else {
        return Err("bench needs the name of a benchmark".into());
    };
    let package = "claviger-bench";
    run(&mut cx.cargo(&["run", "--release", "-p", package, "--", name]))
}

fn usage() -> String {
    let steps = ci::STEPS
        .iter()
        .map(|step| format!("  {:<20}{}\n", step.name, step.about))
        .collect::<String>();
    format!(
        "usage: cargo xtask COMMAND\n\n  \
         ci                  all steps below, in this order, stopping at the first failure\n  \
         lint                the quick ones: fmt, check-deps, check-secrets, buf, deny, clippy\n  \
         bench NAME          run one benchmark in release mode\n  \
         new-backend NAME    make the crate of a new kind of vault\n\nsteps:\n{steps}"
    )
}

fn dispatch(command: &str, extra: Vec<String>) -> Result<ExitCode> {
    let step = ci::STEPS.iter().find(|step| step.name == command);
    let takes_arguments = ["bench", "new-backend"].contains(&command)
        || step.is_some_and(|step| step.takes_arguments);
    if !takes_arguments && !extra.is_empty() {
        return Err(format!("{command} takes no arguments\n\n{}", usage()).into());
    }
    let mut cx = Context::new(extra)?;
    match (command, step) {
        ("ci", _) => return Ok(ci::run_all(&mut cx)),
        ("lint", _) => ci::run_lints(&mut cx)?,
        ("bench", _) => bench(&mut cx)?,
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
