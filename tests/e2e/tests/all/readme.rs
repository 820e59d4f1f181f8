//! Every command in the READMEs works, in the order it is written.
//!
//! One bash runs all blocks that the newcomer types into one terminal, page after page. Blocks for
//! other terminals are not run in it: those that start a daemon (the built one is started with their
//! arguments), the one that starts moto (ours is started, on a free port instead of the one written;
//! that daemon asks a stand-in for Stripe with OAuth, and its jobs ask stripe-mock), the one that runs
//! all tests (this is one of them), and those that install the command and grpcurl (`cargo xtask` has
//! done so).

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::Parser as _;
use claviger::Cli;
use claviger_e2e::{Daemon, Home, Moto, StripeMock, assert_in_order, tools, type_all};
use claviger_stub::stripe_oauth::{CLIENT_SECRET, Rules, StripeOauth};

use crate::pipelines::copied;

const START: &str = "cargo run --release -p clavigerd -- ";
const ALL_TESTS: &str = "cargo xtask ci\n";
const INSTALL: &str = "go install ";
const INSTALL_COMMAND: &str = "cargo install --locked --path crates/claviger\n";
const MOTO: &str = "moto_server -p 5000\n";
const MOTO_URL: &str = "http://127.0.0.1:5000";

/// The pages that are followed with the first daemon.
const PAGES: [&str; 6] = [
    "README.md",
    "crates/claviger/README.md",
    "crates/claviger-cache/README.md",
    "crates/claviger-access/README.md",
    "crates/claviger-backend-managed/README.md",
    "proto/README.md",
];

/// The pages that are followed with a daemon that has a vault of AWS.
const AWS_PAGES: [&str; 2] = ["crates/claviger-backend-aws/README.md", STRIPE_PAGE];

const STRIPE_PAGE: &str = "crates/claviger-stripe/README.md";

/// The page that is followed with a daemon that speaks TLS.
const TLS_PAGE: &str = "crates/claviger-identity/README.md";

/// The page of a job, which is followed in a copy of its folder.
const JOB_PAGE: &str = "deploy/examples/stripe-runner/README.md";

/// The answer that is typed where that page asks.
const JOB_KEY: &str = "rk_test_customers";

/// The answers that are typed where the page with TLS asks.
const TLS_KEYS: [&str; 1] = ["pa$$ word"];

/// The output of its blocks.
const TLS_PRINTED: [&str; 12] = [
    "\"name\": \"projects/dev/secrets/remote\"",
    "\"principal\": \"spiffe://acme.example/ns/etl/nightly\"",
    "\"proof\": \"CERTIFICATE\"",
    "\"principal\": \"spiffe://acme.example/ns/etl/*\"",
    "\"text\": \"pa$$ word\"",
    "\"role\": \"RUNNER\"",
    "\"principal\": \"oidc:ci#nightly\"",
    "\"proof\": \"JWT\"",
    "\"text\": \"pa$$ word\"",
    "\"nearestGrant\": {",
    "\"role\": \"RUNNER\"",
    "\"failedAttribute\": \"",
];

/// The pages that tests of their own follow.
const OTHER_PAGES: [&str; 5] = [
    "crates/claviger-backend-azure/README.md",
    "crates/claviger-backend-snowflake/README.md",
    "deploy/examples/airflow/README.md",
    "deploy/examples/dlt/README.md",
    "deploy/examples/meltano/README.md",
];

/// The pages that nothing follows: one needs a cluster, the others an account at a cloud. The scripts of
/// the second start tests that also run against emulators; the third grants what the first two need.
const UNFOLLOWED_PAGES: [&str; 3] = [
    "deploy/kubernetes/README.md",
    "deploy/live/README.md",
    "deploy/policies/README.md",
];

/// The languages of blocks that are typed: those that tests run, and those for which they have something
/// in place.
const TYPED: [&str; 2] = ["bash", "console"];

/// The languages of blocks that are only read.
const READ: [&str; 5] = ["ini", "json", "text", "toml", "yaml"];

/// Ends a line of a shell whose command asks for a value. Here nobody sits at a terminal to be asked, so
/// the command gets the next line that is typed; the walk on a terminal is a test of its own.
const NEXT_LINE: &str = " <<< \"$(IFS= read -r KEY; printf %s \"$KEY\")\"";

/// Begins the block that defines shorthands for the others.
const SHORTHAND: &str = "call() {";

/// Begins the block that reads where the daemon listens.
const WHERE: &str = "read -r ";

/// Begins the block that puts a profile with OAuth.
const CONNECT: &str = "typed; SECRET=";

/// Begins the block that makes the imports of a runner in Python.
const STUBS: &str = "python3 -m pip install --quiet grpcio";

/// The answers that are typed where the pages ask, in this order.
const KEYS: [&str; 6] = [
    "rk_test_first",
    "rk_test_second",
    "rk_test_0123456789profileABCD",
    "sk_test_0123456789clientABCD",
    "rt_0123456789refreshABCD",
    " pa$$\t\"w\\ord\" ",
];

/// The output of the blocks, in this order.
const PRINTED: [&str; 50] = [
    "projects/dev/secrets/stripe, version 1",
    "rk_test_first",
    "a key of 13 characters",
    "version 2 in vault managed",
    "existence  ok",
    "[VALUE_WRONG_KIND]",
    "refused",
    "\"text\": \"rk_test_second\"",
    "\"text\": \"rk_test_second\"",
    "projects/dev/connectionProfiles/stripe",
    "\"credential\": \"rk_test_0123456789profileABCD\"",
    "OPERATOR",
    "projects/acme",
    "projects/acme/secrets/warehouse, version 1",
    "vaults/managed: ok",
    "records, unbroken; head ",
    "*  laptop",
    "projects/dev/secrets/db, version 1",
    "version 2 in vault managed",
    "VERSION  STATE",
    "9\n",
    "PASSWORD\n",
    "existence  ok",
    "projects/etl",
    "RUNNER",
    "13\n",
    "projects/dev/connectionProfiles/stripe-eu",
    "stripe-eu",
    "29\n",
    "a password of 13 characters",
    "a key of 29 characters",
    "13\n",
    "27\n",
    "\"proof\": \"UID\"",
    "\"rootKey\": ",
    r#""text": " pa$$\t\"w\\ord\" ""#,
    "\"environment\": \"prod\"",
    "\"principal\": \"unix:",
    "\"principal\": \"unix:",
    "\"tokens\": [",
    "\"name\": \"projects/dev/secrets/stripe/versions/2\"",
    "\"name\": \"projects/dev/secrets/stripe/versions/1\"",
    "\"text\": \"rk_test_first\"",
    "\"state\": \"DISABLED\"",
    "\"reason\": \"VERSION_DISABLED\"",
    "disabled",
    "\"state\": \"ENABLED\"",
    "\"state\": \"DESTROYED\"",
    "socket: version 2",
    "tcp: version 2",
];

/// The answers that are typed where the pages with AWS ask, but for those about OAuth.
const AWS_KEYS: [&str; 4] = [
    "pa$$ word",
    " second\tpa$$ \"w\\ord\" ",
    "rk_test_adopted",
    "rk_test_customers",
];

/// The account that a person connects there.
const ACCOUNT: &str = "acct_1Walk";

/// The output of the blocks of the pages with AWS.
const AWS_PRINTED: [&str; 37] = [
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
    r#""text": " second\tpa$$ \"w\\ord\" ""#,
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
    "\"state\": \"UNVERIFIED\"",
    "\"outcome\": \"WORKS\"",
    "\"account\": \"acct_1Walk\"",
    "\"authMethod\": \"OAUTH\"",
    "\"state\": \"CONNECTED\"",
    "\"definition\": \"projects/dev/secrets/stripe-customers\"",
    "cus_",
    "\"name\": \"projects/dev/connectionProfiles/stripe-app\"",
    "\"outcome\": \"WORKS\"",
];

/// The blocks of a page in this language.
fn blocks_in(language: &str, page: &str) -> Vec<String> {
    let text = fs::read_to_string(tools::repository().join(page)).expect("the page");
    let opening = format!("\n```{language}\n");
    let parts = text.split(&opening).skip(1);
    let blocks = parts.map(|part| part.split("```").next().unwrap_or_default().to_owned());
    blocks.collect()
}

/// Whether a block of this page is to be typed. Such a block is at the margin and in a language of
/// TYPED: others would never be found.
fn has_commands(page: &str) -> bool {
    let text = fs::read_to_string(tools::repository().join(page)).expect("the page");
    let fences = text.lines().filter_map(|line| line.split_once("```"));
    let fences = fences.filter(|(_, language)| !language.is_empty());
    let commands: Vec<_> = fences
        .filter(|(_, language)| !READ.contains(language))
        .collect();
    for (margin, language) in &commands {
        let is_found = margin.is_empty() && TYPED.contains(language);
        assert!(is_found, "{page}: {margin}```{language}");
    }
    !commands.is_empty()
}

/// All that is typed on these pages.
fn blocks(pages: &[&str]) -> Vec<String> {
    let blocks = pages.iter().flat_map(|page| blocks_in("bash", page));
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

/// Whether the command of this line asks for a value on a terminal.
fn asks(line: &str) -> bool {
    let is_put = line.starts_with("claviger secret put ") && !line.contains("--value-from");
    is_put || line.starts_with("claviger ") && line.ends_with(" --value-from -")
}

/// One bash runs the blocks; where they ask for something, it is typed. Returns their output.
fn run(home: &Home, blocks: &[String], ready_line: &str, keys: &[&str]) -> String {
    let mut script = "set -e -o pipefail; exec 2>&1\n".to_owned();
    let mut input = String::new();
    let mut keys = keys.iter();
    for block in blocks {
        for _ in block.matches("typed;") {
            input += keys.next().expect("a key for each");
            input += "\n";
        }
        if block.starts_with(WHERE) {
            input += ready_line;
            input += "\n";
        }
        for line in block.lines() {
            script += line;
            if asks(line) {
                input += keys.next().expect("a key for each");
                input += "\n";
                script += NEXT_LINE;
            }
            script += "\n";
        }
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
    type_all(&mut child, &input);
    let output = child.wait_with_output().expect("it ends");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}\n{printed}", output.status);
    printed
}

/// Waits until the daemon has looked at the vault, as it will have while a person reads and types.
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

/// All READMEs: of the repository, its proto, its crates and what is deployed.
fn readmes() -> Vec<String> {
    let root = tools::repository();
    let below = |folder: &str| {
        let entries = fs::read_dir(root.join(folder)).expect("a folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let folders = names.map(|name| format!("{folder}{}/", name.display()));
        folders.collect::<Vec<_>>()
    };
    let folders = ["crates/", "deploy/", "deploy/examples/"];
    let folders = folders.into_iter().flat_map(below);
    let folders = folders.chain([String::new(), "proto/".to_owned()]);
    let pages = folders.map(|folder| format!("{folder}README.md"));
    pages.filter(|page| root.join(page).exists()).collect()
}

/// Blocks of text are not run: they need a browser, or a cloud.
#[test]
fn every_line_of_the_command_that_is_not_run_parses() {
    let pages = readmes();
    let blocks = pages.iter().flat_map(|page| blocks_in("text", page));
    let blocks: Vec<_> = blocks.collect();
    let lines = blocks.iter().flat_map(|block| block.lines());
    let lines: Vec<_> = lines.filter(|line| line.starts_with("claviger ")).collect();
    assert!(!lines.is_empty());
    for line in lines {
        let parsed = Cli::try_parse_from(line.split_whitespace());
        assert!(parsed.is_ok(), "{line}: {parsed:?}");
    }
}

#[test]
fn every_page_with_commands_is_followed() {
    let mut pages = readmes();
    pages.retain(|page| has_commands(page));
    pages.sort();
    let mut known = [
        PAGES.as_slice(),
        &AWS_PAGES,
        &[TLS_PAGE, JOB_PAGE],
        &OTHER_PAGES,
        &UNFOLLOWED_PAGES,
    ]
    .concat();
    known.sort_unstable();
    assert_eq!(pages, known);
}

#[test]
fn every_command_of_the_first_pages_works() {
    let mut blocks = blocks(&PAGES);
    let starting = take(&mut blocks, START);
    take(&mut blocks, ALL_TESTS);
    take(&mut blocks, INSTALL_COMMAND);
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
    let (moto, mock) = (Moto::start(), StripeMock::start());
    let stripe = StripeOauth::start(Rules::default());
    stripe.add_key("rk_test_customers", ACCOUNT, false);
    let first = stripe.install(ACCOUNT, false);
    let mut before = blocks(&AWS_PAGES);
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
    let other_api = format!("export STRIPE_API_BASE={}\n", mock.url());
    let mut others = blocks(&PAGES);
    let earlier = [SHORTHAND, STUBS].map(|beginning| take(&mut others, beginning));
    walk.splice(0..0, earlier.into_iter().chain([other_api]));
    let is_test =
        |block: &String| block.starts_with("call ConnectionProfileService/TestConnection");
    let test = walk.iter().position(is_test).expect("a profile is tested");
    walk.insert(test, take(&mut others, CONNECT));

    let home = Home::new();
    run(&home, &before, "", &[]);
    let daemon = start(&home, &starting);
    wait_for_health(daemon.admin(), "vaults/aws-eu");
    // All is typed before anything runs. The stand-in numbers its tokens, so that the one that the
    // first exchange yields is known by then; it stands for the token of a connection made again.
    let rolled = first.replace("000000", "000001");
    let oauth = [CLIENT_SECRET, &first, &rolled];
    let typed = [AWS_KEYS.as_slice(), &oauth].concat();
    let printed = run(&home, &walk, daemon.ready_line(), &typed);
    assert_in_order(&printed, &AWS_PRINTED);
    let shown = blocks_in("text", STRIPE_PAGE);
    let shown = shown.first().expect("the output of the job");
    assert_in_order(&printed, &shown.lines().collect::<Vec<_>>());
}

#[test]
fn every_command_of_the_walk_with_runners_on_other_machines_works() {
    let mut before = blocks(&[TLS_PAGE]);
    let is_start = |block: &String| block.contains(START);
    let starting = before.iter().position(is_start).expect("a daemon starts");
    let mut walk = before.split_off(starting);
    let starting = walk.remove(0);
    walk.insert(0, take(&mut blocks(&PAGES), SHORTHAND));

    let home = Home::new();
    run(&home, &before, "", &[]);
    let daemon = start(&home, &starting);
    let printed = run(&home, &walk, daemon.ready_line(), &TLS_KEYS);
    assert_in_order(&printed, &TLS_PRINTED);
}

/// The folder of the job where its commands may write, with the proto where they look for it.
fn folder_of_job(home: &Home) -> PathBuf {
    let examples = home.path().join("deploy/examples");
    fs::create_dir_all(&examples).expect("a writable home");
    let folder = copied(&examples, "stripe-runner");
    let python = tools::python();
    let environment = python.ancestors().nth(2).expect("an environment of Python");
    symlink(environment, folder.join("venv")).expect("a writable home");
    let proto = tools::repository().join("proto");
    symlink(proto, home.path().join("proto")).expect("a writable home");
    folder
}

#[test]
fn every_command_of_the_walk_to_a_job_works() {
    let mock = StripeMock::start();
    let home = Home::new();
    let daemon = home.start_dev();
    let mut others = blocks(&PAGES);
    let mut walk = [WHERE, SHORTHAND]
        .map(|beginning| take(&mut others, beginning))
        .to_vec();
    walk.push(format!(
        "cd {}\nexport STRIPE_API_BASE={}\n",
        folder_of_job(&home).display(),
        mock.url()
    ));
    walk.extend(blocks(&[JOB_PAGE]));
    let printed = run(&home, &walk, daemon.ready_line(), &[JOB_KEY]);
    assert!(!printed.contains(JOB_KEY), "{printed}");
    let customers = mock.customers();
    let customers = customers.iter().map(String::as_str);
    let mut expected = vec!["\"name\": \"projects/dev/secrets/stripe-customers\""];
    // By the socket, and over TCP.
    expected.extend(customers.clone().chain(customers));
    assert_in_order(&printed, &expected);
}
