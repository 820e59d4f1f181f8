use super::*;

#[test]
fn the_vault_and_the_kind_managed_belong_together() {
    let wrong = problems("vaults.managed.kind = \"cloud\"");
    assert!(
        wrong.starts_with("c.toml:1: vaults.managed.kind: the vault `managed`"),
        "{wrong}"
    );
    assert!(
        Case::new()
            .with_file("vaults.managed.kind = \"managed\"", "")
            .is_ok()
    );
}

#[test]
fn the_managed_vault_has_no_limits_to_set() {
    let wrong = problems("[vaults.managed]\nconcurrent_calls = 5");
    let expected = "c.toml:2: vaults.managed.concurrent_calls: is not a key";
    assert!(wrong.starts_with(expected), "{wrong}");
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
fn an_aws_vault_lets_those_in_that_its_rules_name() {
    let text = r#"
[vaults.aws-eu]
kind = "aws"
timeout = "2s"
concurrent_calls = 8
calls_per_second = 1_000
[[vaults.aws-eu.allow]]
project = "acme"
names = ["acme/*"]
[[vaults.aws-eu.allow]]
project = "any-project"
names = ["shared/*"]
[vaults.aws-eu.settings]
region = "eu-central-1"
account_id = "123456789012"
tags.team = "data"
"#;
    let config = Case::new().with_file(text, "").unwrap();
    let vault = &config.vaults[&Id::from_static("aws-eu")];
    let VaultSettings::Aws(settings) = &vault.settings else {
        panic!("{vault:?}");
    };
    assert_eq!(settings.region, "eu-central-1");
    assert_eq!(settings.account_id.as_deref(), Some("123456789012"));
    assert_eq!(settings.tags["team"], "data");
    assert_eq!(
        vault.limits,
        Limits {
            timeout: Duration::from_secs(2),
            concurrent_calls: Some(8),
            calls_per_second: Some(1_000),
        }
    );
    let (acme, other) = (Id::from_static("acme"), Id::from_static("other"));
    assert!(vault.allow.allows(&acme, "acme/stripe"));
    assert!(!vault.allow.allows(&other, "acme/stripe"));
    assert!(vault.allow.allows(&other, "shared/stripe"));
    let managed = &config.vaults[&Id::from_static("managed")];
    assert_eq!(managed.limits, Limits::timeout(Duration::from_secs(5)));
    assert!(managed.allow.allows(&other, "anything"));
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
