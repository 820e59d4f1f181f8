//! The vendor's own connector agrees with the emulator.

use std::fs;
use std::path::Path;
use std::process::{self, Command};

use claviger_snowflake_fake::Snowflake;
use serde_json::{Value, json};

use crate::recorded::{described, shown};

#[test]
fn official_connector_logs_in_and_runs_what_we_run() {
    let snowflake = Snowflake::start();
    let key = std::env::temp_dir().join(format!("snowflake-key-{}.pem", process::id()));
    fs::write(&key, snowflake.private_key_pem(None)).unwrap();
    let address = snowflake.base_url();
    let (host, port) = address
        .strip_prefix("http://")
        .unwrap()
        .split_once(':')
        .unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "the environment rule is the daemon's; this is how a test finds its peer"
    )]
    let python = std::env::var_os("CLAVIGER_TEST_PYTHON").unwrap();
    let output = Command::new(python)
        .args(["-B", "official_client.py", host, port])
        .arg(&key)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("python"))
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .unwrap();
    fs::remove_file(&key).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let checks: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(checks, expected().as_array().unwrap()[..], "{errors}");
    // Its second login is the one of nobody.
    assert_eq!(snowflake.logins(), 2);
}

fn expected() -> Value {
    json!([
        ["select", [[1, "a", null]]],
        ["create_table", [["Table KV successfully created."]]],
        ["merge_inserts", [[1, 0]]],
        ["merge_updates", [[0, 1]]],
        ["merge_misses", [[0, 0]]],
        ["typed", [true, true, true, true, true, true, true]],
        ["rolled_back", [true]],
        ["missing_table", ["002003", "42S02"]],
        ["syntax_error", ["001003", "42000"]],
        ["two_statements", ["000008", "0A000"]],
        ["create_secret", [["Secret s.One successfully created."]]],
        [
            "create_again",
            [["s.One already exists, statement succeeded."]]
        ],
        ["alter_secret", [["Statement executed successfully."]]],
        ["show_columns", shown()],
        ["describe_columns", described()],
        [
            "describe",
            [
                "s.One",
                "SECRETS",
                "BROKER",
                "CLAVIGER",
                "c3",
                "GENERIC_STRING"
            ]
        ],
        [
            "create_reader",
            [["Function read_one successfully created."]]
        ],
        ["call_reader", [["v3"]]],
        ["drop_secret", [["s.One successfully dropped."]]],
        ["missing_secret", ["002003", "02000"]],
        ["unknown_user", ["390144", true]],
    ])
}
