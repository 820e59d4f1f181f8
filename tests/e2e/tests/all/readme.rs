//! Every command in the README works, in the order it is written.
//!
//! One bash runs all blocks that the newcomer types into one terminal. Blocks for other terminals
//! are not run in it: those that start a daemon (the built one is started with their arguments),
//! the one that starts moto (ours is started, on a free port instead of the one written; the daemon
//! of that section asks stripe-mock), the one
//! that runs all tests (this is one of them), and the one that installs grpcurl (`cargo xtask` has
//! done so).

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use claviger_e2e::{Daemon, Home, Moto, StripeMock, assert_in_order, tools};

const START: &str = "cargo run --release -p clavigerd -- ";
const ALL_TESTS: &str = "cargo xtask ci\n";
const INSTALL: &str = "go install ";
const MOTO: &str = "moto_server -p 5000\n";
const MOTO_URL: &str = "http://127.0.0.1:5000";

/// The sections that are followed with a daemon of their own.
const AWS: [&str; 2] = ["AWS Secrets Manager", "Stripe keys"];

/// Begins the block that defines what later ones use.
const SHORTHAND: &str = "export PATH=";

/// Begins the block that makes what a runner in Python imports.
const STUBS: &str = "python3 -m pip install --quiet grpcio";

/// What is typed where the README says so, in this order.
const KEYS: [&str; 3] = ["rk_test_first", "rk_test_second", " pa$$\t\"w\\ord\" "];

/// What the blocks print, in this order.
const PRINTED: [&str; 19] = [
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
    r#""text": " pa$$\t\"w\\ord\" ""#,
    "\"environment\": \"prod\"",
    "\"principal\": \"unix:",
    "\"principal\": \"unix:",
    "\"tokens\": [",
    "vaults/managed: ok",
    "records, unbroken; head ",
];

/// What is typed in the sections with AWS.
const AWS_KEYS: [&str; 4] = [
    "pa$$ word",
    "second pa$$ word",
    "rk_test_adopted",
    "rk_test_customers",
];

/// What the blocks of the sections with AWS print.
const AWS_PRINTED: [&str; 28] = [
    "\"kind\": \"aws\"",
    "\"ok\": true",
    "\"Name\": \"acme/stripe\"",
    "\"secret\": \"acme/stripe\"",
    "\"property\": \"apiKey\"",
    "\"existence\": {\n    \"ok\": true",
    "\"format\": {\n    \"ok\": true",
    "\"access\": {\n    \"ok\": true",
    "\"text\": \"rk_test_0123456789consoleABCD\"",
    "\"secret\": \"acme/warehouse\"",
    "\"version\": ",
    "\"version\": ",
    "\"vault\": \"aws-eu\"",
    "\"text\": \"second pa$$ word\"",
    "\"state\": \"ENABLED\"",
    "\"vault\": \"aws-eu\"",
    "rk_test_adopted",
    "nightly",
    "\"status\": \"SERVING\"",
    "\"name\": \"projects/dev/secrets/stripe-customers\"",
    "\"outcome\": \"WORKS\"",
    "\"rotateBy\": \"2099-01-31T00:00:00Z\"",
    "\"team\": \"payments\"",
    "cus_",
    "\"reason\": \"VALUE_WRONG_KIND\"",
    "\"class\": \"PUBLISHABLE\"",
    "\"fingerprint\": \"",
    "\"name\": \"projects/dev/secrets/stripe-pasted\"",
];

/// The blocks of the sections with AWS or of all others.
fn blocks(are_aws: bool) -> Vec<String> {
    blocks_in("bash", are_aws)
}

fn blocks_in(language: &str, are_aws: bool) -> Vec<String> {
    let readme = tools::repository().join("README.md");
    let readme = fs::read_to_string(readme).expect("a README");
    let sections = readme.split("\n## ");
    let is_aws = |section: &str| AWS.iter().any(|title| section.starts_with(title));
    let wanted = sections.filter(|section| is_aws(section) == are_aws);
    let opening = format!("\n```{language}\n");
    let parts = wanted.flat_map(|section| section.split(&opening).skip(1));
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

/// Starts the daemon as the block does.
fn start(home: &Home, block: &str) -> Daemon {
    // With `exec` it is the daemon that is ended, and no shell above it.
    let script = format!("set -e\n{}", block.replace(START, "exec clavigerd "));
    let mut command = home.program(PathBuf::from("bash"), &["-c", &script]);
    home.start(command.env("PATH", tools::path()))
}

/// One bash runs the blocks; where they ask for something, it is typed. Returns what they print.
fn run(home: &Home, blocks: &[String], ready_line: &str, keys: &[&str]) -> String {
    let mut script = "set -e -o pipefail; exec 2>&1\n".to_owned();
    let mut input = String::new();
    let mut keys = keys.iter();
    for block in blocks {
        if block.starts_with("typed;") {
            input += keys.next().expect("a key for each");
            input += "\n";
        } else if block.starts_with("read -r") {
            input += ready_line;
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
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("bash starts");
    let mut stdin = child.stdin.take().expect("a pipe was asked for");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}\n{printed}", output.status);
    printed
}

/// Waits until the daemon has looked at the vault, as whoever reads and types will have.
fn wait_for_health(admin: SocketAddr, vault: &str) {
    let mut watch = Command::new(tools::grpcurl())
        .args(["-plaintext", "-d"])
        .arg(format!("{{\"service\":\"{vault}\"}}"))
        .args([&admin.to_string(), "grpc.health.v1.Health/Watch"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("grpcurl starts");
    let stdout = watch.stdout.take().expect("a pipe was asked for");
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    let is_serving = lines.any(|line| line.contains("\"SERVING\""));
    watch.kill().expect("it is our child");
    watch.wait().expect("it is our child");
    assert!(is_serving, "{vault}");
}

#[test]
fn every_command_of_the_readme_works() {
    let mut blocks = blocks(false);
    let starting = take(&mut blocks, START);
    take(&mut blocks, ALL_TESTS);
    let install = take(&mut blocks, INSTALL);
    let pins = tools::repository().join("crates/xtask/src/tools.rs");
    let pins = fs::read_to_string(pins).expect("the pins");
    let pinned = install.trim().strip_prefix(INSTALL).unwrap_or_default();
    assert!(pins.contains(&format!("\"{pinned}\"")), "{pinned}");

    let home = Home::new();
    let daemon = start(&home, &starting);
    let printed = run(&home, &blocks, daemon.ready_line(), &KEYS);
    assert_in_order(&printed, &PRINTED);
}

#[test]
fn every_command_of_the_walk_through_aws_and_stripe_works() {
    let (moto, stripe) = (Moto::start(), StripeMock::start());
    let mut before = blocks(true);
    take(&mut before, MOTO);
    let another_stripe = format!(
        "[stripe]\nbase_url = \"{}\"\nhosts = [\"127.0.0.1\"]\n\n[vaults.aws-eu]\n",
        stripe.url()
    );
    for block in &mut before {
        *block = block.replace(MOTO_URL, &moto.url());
        *block = block.replace("[vaults.aws-eu]\n", &another_stripe);
    }
    let is_start = |block: &String| block.contains(START);
    let starting = before.iter().position(is_start).expect("a daemon starts");
    let mut walk = before.split_off(starting);
    let starting = walk.remove(0);
    let other_api = format!("export STRIPE_API_BASE={}\n", stripe.url());
    let mut others = blocks(false);
    let earlier = [SHORTHAND, STUBS].map(|beginning| take(&mut others, beginning));
    walk.splice(0..0, earlier.into_iter().chain([other_api]));

    let home = Home::new();
    run(&home, &before, "", &[]);
    let daemon = start(&home, &starting);
    wait_for_health(daemon.admin(), "vaults/aws-eu");
    let printed = run(&home, &walk, daemon.ready_line(), &AWS_KEYS);
    assert_in_order(&printed, &AWS_PRINTED);
    let shown = blocks_in("text", true).pop().expect("what the job prints");
    assert_in_order(&printed, &shown.lines().collect::<Vec<_>>());
}
