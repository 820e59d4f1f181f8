//! What the README's section on Snowflake has an operator write and type works as it is written,
//! with the configuration that is shown there; only account, address and key are the emulator's.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use claviger_e2e::{Home, tools};

use super::support::{Account, start};

/// What is typed where the README says so.
const KEYS: &str = "rk_test_typed\n";

/// What the commands print, in this order.
const PRINTED: [&str; 3] = [
    "\"ok\": true",
    "\"credentials\": \"key pair of user CLAVIGER_SVC, role CLAVIGER\"",
    "\"secret\": \"ACME_STRIPE\"",
];

/// The blocks of the section in this language.
fn blocks(language: &str) -> Vec<String> {
    let readme = fs::read_to_string(tools::repository().join("README.md")).expect("a README");
    let mut sections = readme.split("\n## ");
    let section = sections.find(|section| section.starts_with("Snowflake\n"));
    let opening = format!("\n```{language}\n");
    let parts = section.expect("the section").split(&opening).skip(1);
    let blocks = parts.map(|part| part.split("\n```").next().unwrap_or_default());
    blocks.map(str::to_owned).collect()
}

#[test]
fn every_command_of_the_walk_through_snowflake_works_with_the_configuration_shown() {
    let (home, account) = (Home::new(), Account::start());
    let config = blocks("toml").into_iter().next().expect("a vault");
    let key = account.file("typed.p8", &account.fake.private_key_pem(None));
    let (shown_key, shown_account) = ("\"/etc/claviger/snowflake.p8\"", "\"ACME-PROD\"");
    assert!(
        config.contains(shown_key) && config.contains(shown_account),
        "{config}"
    );
    let config = config
        .replace(shown_key, &format!("{key:?}"))
        .replace(shown_account, &format!("{:?}", account.fake.account()));
    let config = format!("{config}\nbase_url = {:?}\n", account.fake.base_url());
    let daemon = start(&home, &config);

    let mut script = format!(
        "set -e -o pipefail; exec 2>&1\nSOCKET={}\n\
         call() {{ grpcurl -plaintext -unix -d @ \"$SOCKET\" \"claviger.v1.$1\"; }}\n",
        daemon.socket().display()
    );
    for block in blocks("console") {
        for command in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
            script += command;
            script += "\n";
        }
    }
    let path = home.path().join("walk.sh");
    fs::write(&path, &script).expect("a writable home");
    let mut child = Command::new("bash")
        .arg(path)
        .env_clear()
        .env("PATH", tools::path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("bash starts");
    let mut stdin = child.stdin.take().expect("a pipe was asked for");
    stdin.write_all(KEYS.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{script}\n{printed}");
    let mut rest = printed.as_ref();
    for wanted in PRINTED {
        let found = rest.split_once(wanted);
        assert!(
            found.is_some(),
            "{wanted} is not in the rest of:\n{printed}"
        );
        rest = found.map_or("", |(_, after)| after);
    }
    let schema = account.fake.schema();
    let stored = account.fake.secret(schema, "ACME_STRIPE");
    assert_eq!(stored.as_deref(), Some("rk_test_typed"));
    assert_eq!(account.fake.grants(schema, "ACME_STRIPE").len(), 2);
}
