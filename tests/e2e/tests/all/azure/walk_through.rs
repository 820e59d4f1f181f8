//! What the README's section on Azure has an operator write and type works as it is written, with
//! the configuration that is shown there.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use claviger_e2e::{Home, tools};

use super::support::Cloud;

/// The vault whose URL is in the README.
const HOST: &str = "acme-eu";

/// What is typed where the README says so, in this order.
const KEYS: &str = "pa$$ word\nrk_test_adopted\n";

/// What the commands print, in this order.
const PRINTED: [&str; 10] = [
    "\"ok\": true",
    "\"credentials\": \"managed identity of this machine\"",
    "\"secret\": \"stripe\"",
    "\"vault\": \"[Default]\"",
    "\"existence\": {\n    \"ok\": true",
    "\"format\": {\n    \"ok\": true",
    "\"text\": \"rk_test_portal\"",
    "\"vault\": \"azure-eu\"",
    "\"secret\": \"warehouse\"",
    "\"version\": ",
];

/// The blocks of the section in this language.
fn blocks(language: &str) -> Vec<String> {
    let readme = fs::read_to_string(tools::repository().join("README.md")).expect("a README");
    let mut sections = readme.split("\n## ");
    let section = sections.find(|section| section.starts_with("Azure Key Vault\n"));
    let opening = format!("\n```{language}\n");
    let parts = section.expect("the section").split(&opening).skip(1);
    let blocks = parts.map(|part| part.split("\n```").next().unwrap_or_default());
    blocks.map(str::to_owned).collect()
}

#[test]
fn every_command_of_the_walk_through_azure_works_with_the_configuration_shown() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let vault = cloud.fake.vault(HOST);
    let document = "{\"apiKey\":\"rk_test_portal\",\"note\":\"nightly\"}";
    vault.set("stripe", document, &[]);
    let config = blocks("toml").into_iter().next().expect("a vault");
    assert!(config.contains(&vault.url()), "{config}");
    let daemon = cloud.daemon_with(&home, &config);

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
    let latest = |secret| vault.versions(secret).pop().expect("there").1;
    assert_eq!(latest("warehouse"), "pa$$ word");
    let adopted = document.replace("rk_test_portal", "rk_test_adopted");
    assert_eq!(latest("stripe"), adopted);
}
