//! The vendor's own client for Python, which knows nothing of us.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use claviger_keyvault_fake::Fake;

/// Where the Python is that `cargo xtask` installs.
const PROGRAM: &str = "CLAVIGER_TEST_PYTHON";

#[test]
fn official_client_for_python_runs_its_ordinary_operations() {
    let fake = Fake::start();
    let vault = fake.vault("official");
    let directory = tempfile::tempdir().expect("a directory");
    let ca = directory.path().join("ca.pem");
    fs::write(&ca, fake.ca_pem()).expect("written");
    #[expect(
        clippy::disallowed_methods,
        reason = "the environment rule is the daemon's; this is how a test finds its peer"
    )]
    let program = env::var_os(PROGRAM);
    let program = program.unwrap_or_else(|| {
        panic!("{PROGRAM} is not set: run `cargo xtask ci` or `cargo xtask test`, which install it")
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/official_client.py");
    let output = Command::new(program)
        .arg(script)
        .arg(vault.url())
        .env_clear()
        .env("HTTPS_PROXY", fake.proxy_url())
        .env("REQUESTS_CA_BUNDLE", &ca)
        .env("AZURE_TENANT_ID", fake.tenant())
        .env("AZURE_CLIENT_ID", fake.client_id())
        .env("AZURE_CLIENT_SECRET", fake.client_secret())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("Python runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{output:?}");
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "set", "get", "versions", "update", "disabled", "list", "unknown", "delete", "recover",
            "purge"
        ]
    );
    let seen = vault.requests();
    assert!(!seen[0].has_bearer, "it waits for the challenge");
    assert_eq!(fake.logins(), 1);
    assert_eq!(fake.other_hosts(), []);
    assert_eq!(vault.purges(), 1);
    assert_eq!(vault.versions("kept").len(), 2);
    assert_eq!(vault.versions("gone").len(), 0);
}
