use super::*;

#[test]
fn all_problems_are_reported_at_once_with_their_lines() {
    let text = r#"
data_dir = 5
deleted_retention = "30"
socket = "/canary"

[listen]
socket = ["canary"]
tcp = "0.0.0.0:7433"

[root_key]
files = "canary"

[log]
format = "canary"
filter = "canary"

[audit]
file = "audit/canary"

[vaults.managed]
timeout = "5h"
[vaults.managed.settings]
canary-value = 1

[vaults.aws-eu]
kind = "canary"
timout = "5s"
[vaults.aws-eu.settings]
region = 1

[vaults.azure]
[vaults.cloud]
kind = "cloud"
settings = { regio = "canary", tags = { owner = "canary", x.y = "canary" } }
[vaults."two words"]
[vaults.second]
kind = "managed"
[vaultss]
"#;
    let expected = "\
c.toml:2: data_dir: is of type integer; write text in quotes
c.toml:3: deleted_retention: is not a duration; write a number with its unit, such as \"30s\" or \"5m\"
c.toml:4: socket: is not a key (keys here: audit, cache, data_dir, deleted_retention, identity, listen, log, metrics, root_key, stripe and 2 more)
c.toml:7: listen.socket: is of type array; write text in quotes
c.toml:8: listen.tcp: is not a loopback address; have it speak TLS ([tls] with certificate_file and private_key_file), put it on loopback (127.0.0.1:PORT) or use the Unix socket
c.toml:11: root_key.files: is not a key; did you mean file? (keys here: file)
c.toml:14: log.format: is not a log format; write \"text\" or \"json\"
c.toml:15: log.filter: is not a log filter; write a level (off, error, warn, info, debug or trace), then module=level pairs, all with commas between: warn,claviger_broker=debug
c.toml:18: audit.file: is not an absolute path; write it out, `~` and variables are not expanded
c.toml:21: vaults.managed.timeout: is out of bounds; write 10ms to 25s
c.toml:23: vaults.managed.settings.canary-value: is not a key (keys here: none)
c.toml:26: vaults.aws-eu.kind: is not a kind of vault; known: aws, azure, cloud, managed, snowflake
c.toml:27: vaults.aws-eu.timout: is not a key; did you mean timeout? (keys here: allow, calls_per_second, concurrent_calls, default, kind, max_age, max_stale, settings, timeout)
c.toml:31: vaults.azure.kind: is missing; write the kind of this vault: aws, azure, cloud, managed, snowflake
c.toml:32: vaults.cloud.allow: is missing; without it no definition can point at this vault: write allow = [{ project = \"acme\", names = [\"acme/*\"] }]
c.toml:34: vaults.cloud.settings.tags.x: is not a key (keys here: owner)
c.toml:34: vaults.cloud.settings.regio: is not a key; did you mean region? (keys here: region, tags)
c.toml:35: vaults.\"two words\": is not an id; use 1 to 128 of the characters 0-9 A-Z a-z _ ( ) -
c.toml:37: vaults.second.kind: the vault `managed` and the kind \"managed\" go together: Claviger's own vault has this id, and there is one of it
c.toml:38: vaultss: is not a key; did you mean vaults? (keys here: audit, cache, data_dir, deleted_retention, identity, listen, log, metrics, root_key, stripe and 2 more)";
    assert_eq!(problems(text), expected);
}

#[test]
fn everything_wrong_with_an_aws_vault_is_named_at_once() {
    let text = r#"
[vaults.aws-eu]
kind = "aws"
allow = [
  { project = "acme", names = ["acme/*", "acme*"] },
  { names = ["acme/", 5] },
  { project = "a b" },
  "acme/*",
]
[vaults.aws-eu.settings]
region = "eu-centrall-1"
account_id = "12345"
endpoint_url = "http://example.com"
profile = "main"
role_arn = "arn:aws:iam::123456789012:role/canary"
external_id = 5
tags = { "aws:canary" = "x", team = 5 }
secret_access_key = "canary"

[vaults.aws-us]
kind = "aws"
concurrent_calls = 0
calls_per_second = "many"
settings = { external_id = "canary" }
"#;
    let expected = "\
c.toml:5: vaults.aws-eu.allow[0].names[1]: has a * that is only part of a segment; * stands for a whole one, as in \"acme/*\"
c.toml:6: vaults.aws-eu.allow[1].project: is missing; write the id of one, or \"any-project\"
c.toml:6: vaults.aws-eu.allow[1].names[0]: is empty or has an empty part between slashes; write whole names, or \"acme/*\" for everything under acme/
c.toml:6: vaults.aws-eu.allow[1].names[1]: is of type integer; write text in quotes
c.toml:7: vaults.aws-eu.allow[2].names: is missing; list names, or \"acme/*\" for all under acme/
c.toml:7: vaults.aws-eu.allow[2].project: is not a project; write the id of one, or \"any-project\"
c.toml:8: vaults.aws-eu.allow[3]: is of type string; write a table
c.toml:11: vaults.aws-eu.settings.region: is not the name of an AWS region; write it as in eu-central-1
c.toml:12: vaults.aws-eu.settings.account_id: is not the id of an AWS account; write its 12 digits in quotes
c.toml:13: vaults.aws-eu.settings.endpoint_url: is not https://HOST[:PORT]; plain http:// is for emulators on loopback only, because secrets would travel readable
c.toml:14: vaults.aws-eu.settings.profile: contradicts role_arn; drop one of the two (a profile can name a role itself)
c.toml:16: vaults.aws-eu.settings.external_id: is of type integer; write text in quotes
c.toml:17: vaults.aws-eu.settings.tags.team: is of type integer; write text in quotes
c.toml:17: vaults.aws-eu.settings.tags: have a key that is empty, longer than 128 or begins with aws: or claviger:, or a value longer than 256 characters
c.toml:18: vaults.aws-eu.settings.secret_access_key: is not a key (keys here: account_id, endpoint_url, external_id, kms_key_id, profile, region, role_arn, tags)
c.toml:20: vaults.aws-us.allow: is missing; without it no definition can point at this vault: write allow = [{ project = \"acme\", names = [\"acme/*\"] }]
c.toml:22: vaults.aws-us.concurrent_calls: is not a whole number from 1 to 1024
c.toml:23: vaults.aws-us.calls_per_second: is not a whole number from 1 to 100000
c.toml:24: vaults.aws-us.settings.region: is missing; name the one the secrets are in, eu-central-1 for example
c.toml:24: vaults.aws-us.settings.external_id: goes with role_arn, which is missing; add role_arn or drop external_id";
    assert_eq!(problems(text), expected);
}

#[test]
fn half_of_the_credentials_in_the_environment_is_refused_where_they_would_be_used() {
    let text = r#"
[vaults.aws-eu]
kind = "aws"
allow = []
settings.region = "eu-central-1"
"#;
    let mut case = Case::new();
    for (keys, problem) in [
        (
            vec!["AWS_ACCESS_KEY_ID"],
            "AWS_ACCESS_KEY_ID: is set without AWS_SECRET_ACCESS_KEY; ",
        ),
        (
            vec!["AWS_SECRET_ACCESS_KEY"],
            "AWS_SECRET_ACCESS_KEY: is set without AWS_ACCESS_KEY_ID; ",
        ),
    ] {
        case.environment.aws_keys = keys;
        let problems = case.with_file(text, "").unwrap_err();
        assert!(problems.contains(problem), "{problems}");
        assert!(case.with_file("", "").is_ok(), "nobody would use them");
    }
    for keys in [vec![], crate::environment::AWS_KEYS.to_vec()] {
        case.environment.aws_keys = keys;
        assert!(case.with_file(text, "").is_ok());
    }
}

/// A vault in three lines.
fn block(id: &str, kind: &str, more: &str) -> String {
    let settings = match kind {
        "azure" => {
            "{ vault_url = \"https://acme.vault.azure.net\", credential.kind = \"azure_cli\" }"
        }
        _ => "{ region = \"eu-central-1\" }",
    };
    format!("[vaults.{id}]\nkind = \"{kind}\"\nallow = []\n{more}\nsettings = {settings}\n")
}

#[test]
fn one_vault_of_each_kind_may_be_the_default() {
    let marked = "default = true";
    let config = [
        block("azure-eu", "azure", marked),
        block("azure-us", "azure", ""),
        block("azure-ap", "azure", "default = false"),
        block("aws-eu", "aws", marked),
    ];
    let config = Case::new().with_file(&config.concat(), "").unwrap();
    let defaults = config.vaults.iter().filter(|(_, vault)| vault.is_default);
    let ids: Vec<&str> = defaults.map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["aws-eu", "azure-eu"]);

    let config = [
        block("azure-eu", "azure", marked),
        block("azure-us", "azure", marked),
        block("aws-eu", "aws", marked),
    ];
    assert_eq!(
        problems(&config.concat()),
        "c.toml:9: vaults.azure-us.default: is true of another vault of this kind as well; mark \
         one of them"
    );
}

#[test]
fn default_is_a_word_of_vaults_that_others_use_too() {
    let wrong = problems("[vaults.managed]\ndefault = true");
    assert!(
        wrong.starts_with("c.toml:2: vaults.managed.default: is not a key"),
        "{wrong}"
    );
    let wrong = problems(&block("azure-eu", "azure", "default = \"canary\""));
    assert!(
        wrong.starts_with("c.toml:4: vaults.azure-eu.default: is neither true nor false"),
        "{wrong}"
    );
    assert!(!wrong.contains("canary"), "{wrong}");
}
