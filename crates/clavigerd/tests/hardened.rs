//! The process is closed to its neighbours before it reads a file.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, Mode, mkfifoat};

#[test]
fn the_process_is_hardened_before_its_configuration_is_read() {
    let home = tempfile::tempdir().unwrap();
    let pipe = home.path().join("clavigerd.toml");
    mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_clavigerd"))
        .arg("--config")
        .arg(&pipe)
        .arg("--check-config")
        .env_clear()
        .env("HOME", home.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // Opens once the daemon reads, which then waits for what is written.
    let mut config = OpenOptions::new().write(true).open(&pipe).unwrap();
    let proc = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", daemon.id())).unwrap();
    let (status, limits) = (proc("status"), proc("limits"));
    config.write_all(b"[log]\nformat = \"json\"\n").unwrap();
    drop(config);
    assert!(daemon.wait().unwrap().success());
    assert!(status.contains("\nUmask:\t0077\n"), "{status}");
    let cores = limits.lines().find(|line| line.contains("core file size"));
    let cores: Vec<_> = cores.unwrap().split_whitespace().collect();
    assert_eq!(cores[4..6], ["0", "0"]);
}
