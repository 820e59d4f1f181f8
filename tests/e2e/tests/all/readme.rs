//! Every command in the README works, in the order it is written.
//!
//! One bash runs all blocks, as the newcomer's second terminal does. Three blocks are not run in it:
//! the one that starts the daemon (the built one is started instead), the one that runs all
//! tests (this is one of them), and the one that installs grpcurl (`cargo xtask` has done so).

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use claviger_e2e::{Home, tools};

const START: &str = "cargo run --release -p clavigerd -- ";
const ALL_TESTS: &str = "cargo xtask ci\n";
const INSTALL: &str = "go install ";

/// What is typed where the README says so, in this order.
const KEYS: [&str; 3] = ["rk_test_first", "rk_test_second", "pa$$ word"];

/// What the blocks print, in this order.
const PRINTED: [&str; 16] = [
    "\"kind\": \"STRIPE_API_KEY\"",
    "\"text\": \"rk_test_first\"",
    "\"text\": \"rk_test_first\"",
    "\"version\": \"2\"",
    "\"existence\": {",
    "\"access\": {",
    "\"reason\": \"VALUE_WRONG_KIND\"",
    "refused",
    "socket: version 2",
    "tcp: version 2",
    "\"role\": \"OPERATOR\"",
    "\"name\": \"projects/acme\"",
    "\"text\": \"pa$$ word\"",
    "\"environment\": \"prod\"",
    "vaults/managed: ok",
    "records, unbroken; head ",
];

fn blocks() -> Vec<String> {
    let readme = tools::repository().join("README.md");
    let readme = fs::read_to_string(readme).expect("a README");
    let parts = readme.split("\n```bash\n").skip(1);
    let blocks = parts.map(|part| part.split("```").next().unwrap_or_default().to_owned());
    blocks.collect()
}

/// Takes the one block that begins so out of the list.
fn take(blocks: &mut Vec<String>, beginning: &str) -> String {
    let found = |block: &String| block.starts_with(beginning);
    let index = blocks.iter().position(found).expect("the block is there");
    let block = blocks.remove(index);
    assert!(!blocks.iter().any(found), "only once: {beginning}");
    block
}

#[test]
fn every_command_of_the_readme_works() {
    let mut blocks = blocks();
    let start = take(&mut blocks, START);
    take(&mut blocks, ALL_TESTS);
    let install = take(&mut blocks, INSTALL);
    let pins = tools::repository().join("crates/xtask/src/tools.rs");
    let pins = fs::read_to_string(pins).expect("the pins");
    let pinned = install.trim().strip_prefix(INSTALL).unwrap_or_default();
    assert!(pins.contains(&format!("\"{pinned}\"")), "{pinned}");

    let home = Home::new();
    let arguments: Vec<&str> = start
        .strip_prefix(START)
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let daemon = home.start(&mut home.clavigerd(&arguments));

    let mut script = "set -e -o pipefail; exec 2>&1\n".to_owned();
    let mut input = String::new();
    let mut keys = KEYS.iter();
    for block in &blocks {
        if block.starts_with("read -rs") {
            input += keys.next().expect("a key for each");
            input += "\n";
        } else if block.starts_with("read -r") {
            input += daemon.ready_line();
            input += "\n";
        }
        script += block;
    }
    assert_eq!(keys.next(), None, "every key is asked for");
    let path = home.path().join("readme.sh");
    fs::write(&path, script).expect("a writable home");

    let mut child = Command::new("bash")
        .arg(path)
        .current_dir(tools::repository())
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", tools::path())
        .env("TMPDIR", home.path())
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("bash starts");
    let mut stdin = child.stdin.take().expect("a pipe was asked for");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{printed}", output.status);

    let mut rest = &*printed;
    for wanted in PRINTED {
        let Some((_, after)) = rest.split_once(wanted) else {
            panic!("{wanted} is not in the rest of the output:\n{printed}");
        };
        rest = after;
    }
}
