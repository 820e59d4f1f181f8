//! The configuration file, with the settings of every kind of vault.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use clap::Parser as _;
use claviger_fuzz::fuzz;
use clavigerd::{Cli, Environment};

#[test]
fn configurations() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("clavigerd.toml");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let arguments = ["clavigerd".as_ref(), "--config".as_ref(), file.as_os_str()];
    let cli = Cli::try_parse_from(arguments).unwrap();
    let environment = Environment {
        home: Some(home.path().to_path_buf()),
        ..Environment::default()
    };
    fuzz("configurations", |input| {
        fs::write(&file, input).unwrap();
        if let Err(stop) = clavigerd::configure(&cli, &environment, None) {
            let said = stop.to_string();
            assert!(said.lines().count() > 1, "{said}");
        }
    });
}
