//! Where the daemon and its peers are, and how hard to try.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use fastrand::Rng;

/// The built daemon.
pub fn clavigerd() -> PathBuf {
    program("CLAVIGER_TEST_CLAVIGERD")
}

/// The built command.
pub fn claviger() -> PathBuf {
    program("CLAVIGER_TEST_CLAVIGER")
}

/// The daemon with failpoints, which nothing that ships has.
pub fn failing_clavigerd() -> PathBuf {
    program("CLAVIGER_TEST_FAILPOINTS")
}

/// Lays out manual pages.
pub fn groff() -> PathBuf {
    program("CLAVIGER_TEST_GROFF")
}

/// The tool operators use.
pub fn grpcurl() -> PathBuf {
    program("CLAVIGER_TEST_GRPCURL")
}

/// The emulator of AWS.
pub fn moto() -> PathBuf {
    program("CLAVIGER_TEST_MOTO")
}

/// A Python with the gRPC libraries.
pub fn python() -> PathBuf {
    program("CLAVIGER_TEST_PYTHON")
}

/// A Python with Airflow, dlt and Meltano.
pub fn pipelines_python() -> PathBuf {
    program("CLAVIGER_TEST_PIPELINES")
}

/// Shows which programs are executed.
pub fn strace() -> PathBuf {
    program("CLAVIGER_TEST_STRACE")
}

/// Stripe's own stand-in for its API.
pub fn stripe_mock() -> PathBuf {
    program("CLAVIGER_TEST_STRIPE_MOCK")
}

/// The example of a job in Go.
pub fn stripe_job() -> PathBuf {
    program("CLAVIGER_TEST_STRIPE_JOB")
}

/// How hard the tests that scale should try: 1 is for every commit.
pub fn volume() -> u64 {
    number("CLAVIGER_TEST_VOLUME").unwrap_or(1)
}

/// Random numbers, and their seed, which repeats a run as `CLAVIGER_TEST_SEED`.
pub fn random() -> (Rng, u64) {
    let seed = number("CLAVIGER_TEST_SEED").unwrap_or_else(|| fastrand::u64(..));
    (Rng::with_seed(seed), seed)
}

/// A search path with the daemon, the command, grpcurl and that Python before everything else.
pub fn path() -> OsString {
    let programs = [clavigerd(), claviger(), grpcurl(), python()];
    let own = programs
        .iter()
        .filter_map(|program| program.parent())
        .map(Path::to_path_buf);
    let inherited = variable("PATH").unwrap_or_default();
    env::join_paths(own.chain(env::split_paths(&inherited))).expect("no colon in a directory")
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the sources are still there")
}

fn program(name: &str) -> PathBuf {
    let path = variable(name).unwrap_or_else(|| {
        panic!("{name} is not set: these tests are run with `cargo xtask e2e [FILTER]`")
    });
    PathBuf::from(path)
}

fn number(name: &str) -> Option<u64> {
    variable(name)?.to_str()?.parse().ok()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the tests: the programs, and how hard to try, are named from outside"
)]
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name)
}
