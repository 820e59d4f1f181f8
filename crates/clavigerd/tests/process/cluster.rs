//! The daemon of `deploy/kubernetes/`, on volumes as a kubelet hands them over: a volume that a group
//! may write to, and links to what is replaced as a whole, in directories that all may write to.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use claviger_e2e::Home;
use claviger_raw::Authority;

use crate::clavigerd;

const MANIFEST: &str = include_str!("../../../../deploy/kubernetes/clavigerd.yaml");

/// A Secret, a ConfigMap or a projected volume.
fn mount(directory: &Path, mode: u32, files: &[(&str, &str, u32)]) {
    let content = directory.join("..2026_11_30");
    fs::create_dir_all(&content).expect("made");
    symlink("..2026_11_30", directory.join("..data")).expect("made");
    for (name, text, mode) in files {
        fs::write(content.join(name), text).expect("made");
        set_mode(&content.join(name), *mode);
        symlink(format!("..data/{name}"), directory.join(name)).expect("made");
    }
    set_mode(&content, 0o755);
    set_mode(directory, mode);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
}

#[expect(clippy::disallowed_methods, reason = "the daemon has no other clock")]
fn now() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("after 1970")
}

/// The configuration in the manifest, with the volumes elsewhere.
fn config(home: &Home) -> String {
    let lines = MANIFEST.lines().map(|line| line.trim_start_matches("    "));
    let lines = lines
        .skip_while(|line| *line != "  clavigerd.toml: |")
        .skip(1);
    let lines: Vec<&str> = lines.take_while(|line| *line != "---").collect();
    let at = |name: &str| home.path().join(name).display().to_string();
    lines
        .join("\n")
        .replace("/var/lib/claviger", &at("volume"))
        .replace("/run/claviger", &home.path().display().to_string())
        .replace(
            "/var/run/secrets/kubernetes.io/serviceaccount",
            &at("account"),
        )
        .replace("[::]:7433", "127.0.0.1:0")
}

#[test]
fn the_daemon_of_a_cluster_starts_on_its_volumes_again_and_again() {
    let home = Home::new();
    let at = |name: &str| home.path().join(name);
    let pair = Authority::new("ours", now()).server(&["claviger.claviger.svc"]);
    let key = "claviger-root-key-1:".to_owned() + &"5a".repeat(32);
    let config = config(&home);
    mount(&at("config"), 0o777, &[("clavigerd.toml", &config, 0o644)]);
    mount(
        &at("credentials"),
        0o1777,
        &[("claviger-root-key", &key, 0o440)],
    );
    let (certificate, key) = (pair.certificate.as_str(), pair.key.as_str());
    let pair = [("tls.crt", certificate, 0o440), ("tls.key", key, 0o440)];
    mount(&at("tls"), 0o1777, &pair);
    mount(
        &at("account"),
        0o1777,
        &[("ca.crt", "", 0o644), ("token", "", 0o640)],
    );
    fs::create_dir(at("volume")).expect("made");
    set_mode(&at("volume"), 0o2775);

    let socket = at("volume/data/clavigerd.sock").display().to_string();
    for _ in 0..2 {
        let mut command = clavigerd(&home, &["--config"]);
        command.arg(at("config/clavigerd.toml"));
        command.env_remove("HOME");
        command.env("CREDENTIALS_DIRECTORY", at("credentials"));
        let daemon = home.start(&mut command);
        let mut probe = clavigerd(&home, &["status", "--alive", "--socket", &socket]);
        assert_eq!(probe.status().expect("runs").code(), Some(0));
        assert_eq!(daemon.stop().code(), Some(0));
    }
}
