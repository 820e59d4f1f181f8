use claviger_settings::{Problems, read_document};

use super::*;

fn whole() -> SnowflakeSettings {
    SnowflakeSettings {
        account: "ACME-PROD".to_owned(),
        user: "CLAVIGER".to_owned(),
        private_key_file: "/run/key".into(),
        role: "CLAVIGER".to_owned(),
        database: "BROKER".to_owned(),
        storage: Some(Storage::SecretObjects),
        ..SnowflakeSettings::default()
    }
}

fn keys(change: impl FnOnce(&mut SnowflakeSettings)) -> Vec<&'static str> {
    let mut settings = whole();
    change(&mut settings);
    settings
        .problems()
        .into_iter()
        .map(|problem| problem.key)
        .collect()
}

#[test]
fn whole_settings_have_no_problems_and_empty_ones_name_what_is_missing() {
    assert_eq!(whole().problems(), []);
    assert_eq!(whole().schema, "SECRETS");
    let problems = SnowflakeSettings::default().problems();
    let keys: Vec<_> = problems.iter().map(|problem| problem.key).collect();
    assert_eq!(
        keys,
        ["account", "user", KEY_FILE, "role", "database", "storage"]
    );
}

#[test]
fn account_is_an_identifier_and_nothing_else() {
    for (account, is_one) in [
        ("acme-prod", true),
        ("xy12345.eu-central-1", true),
        ("acme_inc-prod_1", true),
        ("", false),
        ("https://acme", false),
        ("acme.snowflakecomputing.com", false),
        ("acme/../x", false),
        ("acme@evil.example#", false),
        ("acme:443", false),
        ("acme..x", false),
        ("ac me", false),
    ] {
        let found = keys(|settings| settings.account = account.to_owned());
        let expected: &[&str] = if is_one { &[] } else { &["account"] };
        assert_eq!(found, expected, "{account}");
    }
}

#[test]
fn address_and_name_of_an_account_are_told_apart() {
    for (account, host, name) in [
        ("ACME-PROD", "acme-prod.snowflakecomputing.com", "ACME-PROD"),
        ("xy12345", "xy12345.snowflakecomputing.com", "xy12345"),
        (
            "xy12345.eu-central-1",
            "xy12345.eu-central-1.snowflakecomputing.com",
            "xy12345.eu-central-1",
        ),
        (
            "acme-ab12cd34.global",
            "acme-ab12cd34.global.snowflakecomputing.com",
            "acme",
        ),
        (
            "acme-eu-ab12cd34.GLOBAL",
            "acme-eu-ab12cd34.global.snowflakecomputing.com",
            "acme-eu",
        ),
        (
            "acme-ab12cd34.global.privatelink",
            "acme-ab12cd34.global.privatelink.snowflakecomputing.com",
            "acme",
        ),
        (
            "xy12345.cn-northwest-1",
            "xy12345.cn-northwest-1.snowflakecomputing.cn",
            "xy12345.cn-northwest-1",
        ),
    ] {
        let settings = SnowflakeSettings {
            account: account.to_owned(),
            ..whole()
        };
        assert_eq!(settings.problems(), [], "{account}");
        let url = settings.url().expect("an address");
        assert_eq!(url.as_str(), format!("https://{host}/"));
        assert_eq!(settings.log_in_account(), name);
    }
}

#[test]
fn result_hosts_are_whole_names_of_hosts() {
    for (host, is_one) in [
        (
            "sfc-eu-ds1-customer-stage.s3.eu-central-1.amazonaws.com",
            true,
        ),
        ("*.s3.amazonaws.com", false),
        ("https://stage.s3.amazonaws.com", false),
        ("stage.s3.amazonaws.com:443", false),
        ("stage.s3.amazonaws.com/x", false),
        ("localhost", false),
        ("", false),
    ] {
        let hosts = vec!["stage.blob.core.windows.net".to_owned(), host.to_owned()];
        let found = keys(|settings| settings.result_hosts = hosts);
        let expected: &[&str] = if is_one { &[] } else { &["result_hosts"] };
        assert_eq!(found, expected, "{host}");
    }
}

#[test]
fn base_url_is_encrypted_or_of_this_machine() {
    for (url, is_one) in [
        ("https://acme.privatelink.snowflakecomputing.com", true),
        ("https://proxy:8443/", true),
        ("http://127.0.0.1:8080", true),
        ("http://[::1]:8080", true),
        ("http://localhost:8080", true),
        ("http://localhost.evil.example", false),
        ("http://acme.snowflakecomputing.com", false),
        ("https://acme/x", false),
        ("https://acme?x", false),
        ("https://user@acme", false),
        ("file:///etc/passwd", false),
        ("acme", false),
        ("", false),
    ] {
        let found = keys(|settings| settings.base_url = Some(url.to_owned()));
        let expected: &[&str] = if is_one { &[] } else { &["base_url"] };
        assert_eq!(found, expected, "{url}");
    }
}

#[test]
fn half_given_settings_are_named() {
    let reader = |schema: &str, integration: &str| {
        Some(Reader {
            schema: schema.to_owned(),
            integration: integration.to_owned(),
        })
    };
    assert_eq!(
        keys(|s| s.private_key_password_file = Some("p".into())),
        [PASSWORD_FILE]
    );
    assert_eq!(
        keys(|s| {
            s.private_key_file = PathBuf::new();
            s.private_key_password_file = Some("/p".into());
        }),
        [KEY_FILE]
    );
    assert_eq!(
        keys(|s| s.storage = Some(Storage::SealedTable)),
        ["warehouse"]
    );
    assert_eq!(
        keys(|s| s.reader = reader("", "")),
        ["warehouse", "reader_schema", "reader_integration"]
    );
    let with_warehouse = |s: &mut SnowflakeSettings| s.warehouse = Some("WH".to_owned());
    assert_eq!(
        keys(|s| {
            with_warehouse(s);
            s.reader = reader("SECRETS", "EAI");
        }),
        ["reader_schema"]
    );
    assert_eq!(
        keys(|s| {
            with_warehouse(s);
            s.storage = Some(Storage::SealedTable);
            s.reader = reader("READERS", "EAI");
            s.grantee = Some(Grantee::Role("R".to_owned()));
        }),
        ["reader", "grant_to_role"]
    );
    assert_eq!(
        keys(|s| s.grantee = Some(Grantee::Application(String::new()))),
        ["grant_to_application"]
    );
}

#[test]
fn schema_of_the_application_itself_warns() {
    let mut settings = whole();
    settings.grantee = Some(Grantee::Application("RUNNER".to_owned()));
    assert_eq!(settings.warnings(), []);
    settings.database = "RUNNER".to_owned();
    let warnings = settings.warnings();
    assert_eq!(warnings.first().map(|warning| warning.key), Some("schema"));
}

/// The settings read of the keys that every vault has, and these.
fn read(storage: &str, more: &str) -> SnowflakeSettings {
    let text = format!(
        "account = \"ACME-PROD\"\nuser = \"CLAVIGER\"\nprivate_key_file = \"/run/key\"\n\
         role = \"CLAVIGER\"\ndatabase = \"BROKER\"\nstorage = \"{storage}\"\n{more}"
    );
    let mut problems = Problems::new(None);
    let read = read_document(&text, &mut problems, SnowflakeSettings::read);
    assert_eq!(problems.to_string(), "");
    read.expect("TOML")
}

#[test]
fn both_ways_to_store_are_read_with_what_they_need() {
    assert_eq!(read("secret_objects", ""), whole());
    let sealed = SnowflakeSettings {
        schema: "mine".to_owned(),
        storage: Some(Storage::SealedTable),
        warehouse: Some("WH".to_owned()),
        ..whole()
    };
    let more = "schema = \"mine\"\nwarehouse = \"WH\"";
    assert_eq!(read("sealed_table", more), sealed);
    let objects = SnowflakeSettings {
        base_url: Some("http://127.0.0.1:1".to_owned()),
        private_key_password_file: Some("/run/password".into()),
        warehouse: Some("WH".to_owned()),
        reader: Some(Reader {
            schema: "READERS".to_owned(),
            integration: "EAI".to_owned(),
        }),
        grantee: Some(Grantee::Application("RUNNER".to_owned())),
        ..whole()
    };
    let more = "base_url = \"http://127.0.0.1:1\"\nwarehouse = \"WH\"\n\
                private_key_password_file = \"/run/password\"\nreader = \"procedure\"\n\
                reader_schema = \"READERS\"\nreader_integration = \"EAI\"\n\
                grant_to_application = \"RUNNER\"";
    assert_eq!(read("secret_objects", more), objects);
    let granted = SnowflakeSettings {
        grantee: Some(Grantee::Role("R".to_owned())),
        ..whole()
    };
    let more = "grant_to_role = \"R\"\nreader = \"none\"";
    assert_eq!(read("secret_objects", more), granted);
}

#[test]
fn each_key_has_one_problem() {
    let text = "account = 5\nprivate_key_file = \"key\"\nreader = \"procedure\"\n";
    let mut problems = Problems::new(None);
    read_document(text, &mut problems, SnowflakeSettings::read);
    let problems = problems.to_string();
    for key in ["account", KEY_FILE, "reader_schema", "reader_integration"] {
        let of_key = problems
            .lines()
            .filter(|line| line.starts_with(&format!("{key}: ")));
        assert_eq!(of_key.count(), 1, "{key}: {problems}");
    }
}
