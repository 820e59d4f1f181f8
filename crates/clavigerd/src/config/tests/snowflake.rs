use super::*;

/// What every vault has, with a file that is not there, so that it is looked into last.
const KEYS: [(&str, &str); 7] = [
    ("account", "\"ACME-PROD\""),
    ("user", "\"CLAVIGER_SVC\""),
    ("private_key_file", "\"/absent\""),
    ("role", "\"CLAVIGER\""),
    ("warehouse", "\"CLAVIGER_WH\""),
    ("database", "\"BROKER\""),
    ("storage", "\"secret_objects\""),
];

/// What is said where nothing else is wrong.
const NO_FILE: &str =
    "settings.private_key_file: names a file that does not exist; correct the path";

/// A vault with these keys instead or besides; one without a value is left out.
fn settings(changes: &[(&str, &str)]) -> String {
    let kept = KEYS
        .iter()
        .filter(|(key, _)| !changes.iter().any(|(changed, _)| changed == key));
    let lines = kept.chain(changes).filter(|(_, value)| !value.is_empty());
    let lines: String = lines
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    format!("[vaults.s]\nkind = \"snowflake\"\nallow = []\n[vaults.s.settings]\n{lines}")
}

/// What is wrong, without places.
fn wrong(changes: &[(&str, &str)]) -> Vec<String> {
    let problems = problems(&settings(changes));
    assert!(!problems.contains("canary"), "{problems}");
    let lines = problems.lines().map(|line| {
        let (place, problem) = line.split_once(": vaults.s.").unwrap();
        assert!(place.starts_with("c.toml:"), "{line}");
        problem.to_owned()
    });
    lines.collect()
}

#[track_caller]
fn assert_wrong(changes: &[(&str, &str)], expected: &[(&str, &str)]) {
    let found = wrong(changes);
    let places = |line: &String| line.split_once(": ").unwrap().0.to_owned();
    let found_places: BTreeSet<String> = found.iter().map(places).collect();
    assert_eq!(
        found_places.len(),
        expected.len(),
        "{changes:?}: {found:#?}"
    );
    for (key, remedy) in expected {
        let place = format!("settings.{key}: ");
        let told = |line: &String| line.starts_with(&place) && line.contains(remedy);
        assert!(found.iter().any(told), "{changes:?}: {found:#?}");
    }
}

#[test]
fn whatever_is_wrong_is_named_with_its_remedy() {
    assert_eq!(wrong(&[]), [NO_FILE]);
    let absent = KEYS.map(|(key, _)| (key, ""));
    let missing = [
        ("account", "is not the identifier of an account"),
        ("user", "is missing"),
        ("private_key_file", "is missing"),
        ("role", "is missing"),
        ("database", "is missing"),
        ("storage", "is missing"),
    ];
    assert_wrong(&absent, &missing);
    for (key, value, remedy) in [
        (
            "account",
            "\"https://canary.snowflakecomputing.com\"",
            "ORGANIZATION-ACCOUNT",
        ),
        ("account", "\"canary/../x\"", "ORGANIZATION-ACCOUNT"),
        ("base_url", "\"http://canary.example\"", "leave it out"),
        ("user", "5", "write text in quotes"),
        ("private_key_file", "\"canary\"", "is not an absolute path"),
        (
            "private_key_password_file",
            "\"canary\"",
            "is not an absolute path",
        ),
        (
            "storage",
            "\"canary\"",
            "\"secret_objects\" or \"sealed_table\"",
        ),
        ("reader", "\"canary\"", "\"none\" or \"procedure\""),
        (
            "reader_schema",
            "\"canary\"",
            "goes with reader = \"procedure\"",
        ),
        (
            "reader_integration",
            "\"canary\"",
            "goes with reader = \"procedure\"",
        ),
        ("private_key", "\"canary\"", "is not a key"),
        ("password", "\"canary\"", "is not a key"),
    ] {
        let found = wrong(&[(key, value)]);
        let place = format!("settings.{key}: ");
        let told = |line: &String| line.starts_with(&place);
        assert!(found.iter().any(told), "{key}: {found:#?}");
        assert!(
            found.iter().any(|line| line.contains(remedy)),
            "{key}: {found:#?}"
        );
    }
}

#[test]
fn keys_that_contradict_each_other_are_named() {
    let procedure = ("reader", "\"procedure\"");
    let schema = ("reader_schema", "\"READERS\"");
    let integration = ("reader_integration", "\"EAI\"");
    let sealed = ("storage", "\"sealed_table\"");
    assert_wrong(&[sealed, ("warehouse", "")], &[("warehouse", "is missing")]);
    assert_wrong(
        &[procedure, schema, integration, ("warehouse", "")],
        &[("warehouse", "is missing")],
    );
    assert_wrong(
        &[procedure, integration, ("reader_schema", "\"SECRETS\"")],
        &[("reader_schema", "is the schema of the secrets")],
    );
    assert_wrong(
        &[sealed, procedure, schema, integration],
        &[("reader", "leave it out")],
    );
    assert_wrong(
        &[sealed, ("grant_to_role", "\"R\"")],
        &[("grant_to_role", "leave it out")],
    );
    assert_wrong(
        &[
            ("grant_to_role", "\"R\""),
            ("grant_to_application", "\"A\""),
        ],
        &[
            ("grant_to_role", "drop one of the two"),
            ("private_key_file", "does not exist"),
        ],
    );
}
