//! Which statements that fakesnow has not got are taken, and which are refused.
//!
//! The table follows the reference pages: anything that they do not write is a syntax error.

use claviger_snowflake_fake::Snowflake;

use crate::wire::Wire;

const TAKEN: &[&str] = &[
    "CREATE SECRET a TYPE = GENERIC_STRING SECRET_STRING = 'x'",
    "create or replace secret a type=generic_string secret_string='x' comment='c';",
    "CREATE SECRET IF NOT EXISTS a TYPE = GENERIC_STRING SECRET_STRING = 'x'",
    "CREATE SECRET BROKER.SECRETS.\"a\" TYPE = GENERIC_STRING SECRET_STRING = $$it's$$",
    "CREATE SECRET b -- a comment\n TYPE = GENERIC_STRING /* ; */ SECRET_STRING = ''",
    "ALTER SECRET a SET SECRET_STRING = 'y'",
    "ALTER SECRET a SET COMMENT = 'd'",
    "ALTER SECRET a SET SECRET_STRING = 'y' COMMENT = 'd'",
    "ALTER SECRET a SET SECRET_STRING = 'y', COMMENT = 'd'",
    "ALTER SECRET a SET COMMENT = 'd' SECRET_STRING = 'y'",
    "ALTER SECRET IF EXISTS a UNSET COMMENT",
    "ALTER SECRET IF EXISTS none SET COMMENT = 'd'",
    "SHOW SECRETS",
    "SHOW SECRETS LIKE 'a%'",
    "SHOW SECRETS IN SCHEMA BROKER.SECRETS",
    "SHOW SECRETS IN SCHEMA SECRETS",
    "SHOW SECRETS LIKE 'a' IN BROKER.SECRETS",
    "SHOW SECRETS IN DATABASE BROKER",
    "SHOW SECRETS IN ACCOUNT",
    "DESC SECRET a",
    "DESCRIBE SECRET SECRETS.a",
    "GRANT USAGE ON SECRET a TO ROLE RUNNER",
    "GRANT READ, USAGE ON SECRET a TO RUNNER WITH GRANT OPTION",
    "GRANT ALL PRIVILEGES ON SECRET a TO ROLE RUNNER",
    "GRANT READ ON SECRET a TO APPLICATION MATILLION_DATA_PRODUCTIVITY_CLOUD",
    "REVOKE READ ON SECRET a FROM ROLE RUNNER",
    "SHOW GRANTS ON SECRET a",
    "DROP SECRET IF EXISTS none",
    "DROP SECRET a",
    "USE WAREHOUSE CLAVIGER_WH",
    "ALTER SESSION SET STATEMENT_TIMEOUT_IN_SECONDS = 30",
];

const REFUSED: &[&str] = &[
    "CREATE SECRET a",
    "CREATE SECRET a TYPE = GENERIC_STRING",
    "CREATE SECRET a SECRET_STRING = 'x' TYPE = GENERIC_STRING",
    "CREATE SECRET a TYPE GENERIC_STRING SECRET_STRING 'x'",
    "CREATE SECRET a TYPE = GENERIC_STRING SECRET_STRING = x",
    "CREATE SECRET a TYPE = GENERIC_STRING SECRET_STRING = \"x\"",
    "CREATE SECRET a TYPE = GENERIC_STRING SECRET_STRING = 'x' || 'y'",
    "CREATE SECRET a TYPE = GENERIC_STRING SECRET_STRING = 'x' COMMENT = 1",
    "CREATE SECRET a TYPE = GENERIC_STRING SECRET_STRING = 'x' WITH",
    "CREATE SECRET a TYPE = GENERIC_STRING SECRET_STRING = 'x",
    "CREATE SECRET a\"b TYPE = GENERIC_STRING SECRET_STRING = 'x'",
    "CREATE SECRET a-b TYPE = GENERIC_STRING SECRET_STRING = 'x'",
    "CREATE SECRET 1a TYPE = GENERIC_STRING SECRET_STRING = 'x'",
    "CREATE SECRET 'a' TYPE = GENERIC_STRING SECRET_STRING = 'x'",
    "CREATE SECRET w.x.y.z TYPE = GENERIC_STRING SECRET_STRING = 'x'",
    "CREATE SECRET ? TYPE = GENERIC_STRING SECRET_STRING = 'x'",
    "CREATE SECRET a IF NOT EXISTS TYPE = GENERIC_STRING SECRET_STRING = 'x'",
    "CREATE SECURE SECRET a TYPE = GENERIC_STRING SECRET_STRING = 'x'",
    "ALTER SECRET a",
    "ALTER SECRET a SET",
    "ALTER SECRET a SET SECRET_STRING 'x'",
    "ALTER SECRET a SET SECRET_STRING = 'x' SECRET_STRING = 'y'",
    "ALTER SECRET a SET SECRET_STRING = 'x',",
    "ALTER SECRET a SET TYPE = GENERIC_STRING",
    "ALTER SECRET a RENAME TO b",
    "ALTER SECRET a UNSET SECRET_STRING",
    "SHOW SECRETS LIKE a",
    "SHOW SECRETS LIKE ?",
    "SHOW SECRETS IN SCHEMA SECRETS LIKE 'a'",
    "SHOW SECRETS IN SCHEMA SECRETS LIMIT 1",
    "SHOW SECRET",
    "CREATE PERSISTENT SECRET a (TYPE s3)",
    "CREATE OR REPLACE TEMPORARY SECRET a (TYPE s3)",
    "CREATE SECRETS a TYPE = GENERIC_STRING SECRET_STRING = 'x'",
    "DESC SECRET",
    "DESC SECRET a b",
    "DROP SECRET",
    "DROP SECRET a, b",
    "DROP SECRET a CASCADE",
    "UNDROP SECRET a",
    "GRANT ON SECRET a TO ROLE RUNNER",
    "GRANT USAGE ON SECRET a",
    "GRANT USAGE ON SECRET a TO APPLICATION MATILLION_DATA_PRODUCTIVITY_CLOUD WITH GRANT OPTION",
    "GRANT USAGE ON SECRETS a TO ROLE RUNNER",
    "REVOKE USAGE ON SECRET a TO ROLE RUNNER",
];

#[test]
fn documented_statements_are_taken_in_this_order() {
    let snowflake = Snowflake::start();
    let wire = Wire::new(&snowflake);
    for sql in TAKEN {
        let outcome = wire.run(sql);
        assert_eq!(outcome.refusal(), None, "{sql}: {}", outcome.message());
    }
}

#[test]
fn everything_else_is_a_syntax_error_and_changes_nothing() {
    let snowflake = Snowflake::start();
    snowflake.put_secret(snowflake.schema(), "A", "before");
    let wire = Wire::new(&snowflake);
    for sql in REFUSED {
        let outcome = wire.run_with(sql, &["bound"]);
        assert_eq!(outcome.refusal(), Some(("001003", "42000")), "{sql}");
        let text = outcome.message();
        assert!(
            text.starts_with("SQL compilation error:\n"),
            "{sql}: {text}"
        );
    }
    assert_eq!(snowflake.secret_names(snowflake.schema()), ["A"]);
    let secret = snowflake.secret(snowflake.schema(), "A");
    assert_eq!(secret.as_deref(), Some("before"));
    assert_eq!(snowflake.grants(snowflake.schema(), "A"), []);
}

#[test]
fn two_statements_in_one_text_are_refused_whole() {
    let snowflake = Snowflake::start();
    snowflake.put_secret(snowflake.schema(), "A", "a");
    let wire = Wire::new(&snowflake);
    for sql in [
        "DROP SECRET A; DROP SECRET A",
        "SELECT 1 AS A; DROP SECRET A",
        "DESC SECRET \"B\"; DROP SECRET A --\"",
    ] {
        assert_eq!(wire.run(sql).refusal(), Some(("000008", "0A000")), "{sql}");
    }
    assert_eq!(snowflake.secret_names(snowflake.schema()), ["A"]);
}

#[test]
fn quoted_names_are_taken_as_they_are_and_others_in_capitals() {
    let snowflake = Snowflake::start();
    let wire = Wire::new(&snowflake);
    let names = [
        "plain", "PLAIN", "\"\"", "a.b", "a;b", "a'b", "a\"b", "ä", "A B", "--", "$$",
    ];
    for name in names.iter().filter(|name| **name != "PLAIN") {
        let quoted = snowflake.qualified(snowflake.schema(), name);
        let create = format!("CREATE SECRET {quoted} TYPE = GENERIC_STRING SECRET_STRING = ?");
        assert_eq!(wire.run_with(&create, &[name]).refusal(), None, "{name}");
    }
    let create = "CREATE SECRET plain TYPE = GENERIC_STRING SECRET_STRING = 'PLAIN'";
    assert_eq!(wire.run(create).refusal(), None);
    let mut sorted = names;
    sorted.sort_unstable();
    assert_eq!(snowflake.secret_names(snowflake.schema()), sorted);
    for name in names {
        let secret = snowflake.secret(snowflake.schema(), name);
        assert_eq!(secret.as_deref(), Some(name));
    }
    assert_eq!(
        wire.run("DESC SECRET \"Plain\"").refusal(),
        Some(("002003", "02000"))
    );
    assert_eq!(
        wire.run("DESC SECRET \"\"").refusal(),
        Some(("000904", "42000"))
    );
}

#[test]
fn strings_are_unescaped_as_snowflake_does() {
    let snowflake = Snowflake::start();
    let wire = Wire::new(&snowflake);
    for (literal, string) in [
        ("''", ""),
        ("'it''s'", "it's"),
        (r"'it\'s'", "it's"),
        (r"'a\\b'", r"a\b"),
        (r"'a\nb\u00e9\x41\101'", "a\nbéAA"),
        (r"$$a\n'b$$", r"a\n'b"),
    ] {
        let create =
            format!("CREATE OR REPLACE SECRET S TYPE = GENERIC_STRING SECRET_STRING = {literal}");
        assert_eq!(wire.run(&create).refusal(), None, "{literal}");
        let secret = snowflake.secret(snowflake.schema(), "S");
        assert_eq!(secret.as_deref(), Some(string), "{literal}");
    }
}

#[test]
fn binds_stand_for_strings_and_can_be_refused() {
    let snowflake = Snowflake::start();
    let wire = Wire::new(&snowflake);
    let create = "CREATE SECRET S TYPE = GENERIC_STRING SECRET_STRING = ? COMMENT = ?";
    assert_eq!(
        wire.run_with(create, &["v"]).refusal(),
        Some(("002049", "42601"))
    );
    assert_eq!(wire.run_with(create, &["v", "c"]).refusal(), None);
    let alter = "ALTER SECRET S SET SECRET_STRING = :2 COMMENT = :1";
    assert_eq!(wire.run_with(alter, &["c2", "v2"]).refusal(), None);
    let secret = snowflake.secret(snowflake.schema(), "S");
    assert_eq!(secret.as_deref(), Some("v2"));
    let comment = snowflake.comment(snowflake.schema(), "S");
    assert_eq!(comment.as_deref(), Some("c2"));
    assert_eq!(snowflake.times_set(snowflake.schema(), "S"), 2);
    snowflake.set_takes_binds_in_secrets(false);
    assert_eq!(
        wire.run_with(alter, &["c", "v"]).refusal(),
        Some(("001003", "42000"))
    );
}

#[test]
fn pattern_of_show_escapes_with_a_backslash_and_knows_no_case() {
    let snowflake = Snowflake::start();
    let wire = Wire::new(&snowflake);
    for name in ["a_b", "aXb", "A%B"] {
        snowflake.put_secret(snowflake.schema(), name, "s");
    }
    for (pattern, names) in [
        ("a_b", vec!["A%B", "aXb", "a_b"]),
        (r"a\\_b", vec!["a_b"]),
        (r"a\\%b", vec!["A%B"]),
        ("%x%", vec!["aXb"]),
        ("a", vec![]),
    ] {
        let rows = wire.run(&format!("SHOW SECRETS LIKE '{pattern}' IN SCHEMA SECRETS"));
        let shown = rows.rows();
        let shown = shown.iter().map(|row| row[1].as_deref().unwrap());
        assert_eq!(shown.collect::<Vec<_>>(), names, "{pattern}");
    }
}

#[test]
fn tables_and_schemas_may_bear_the_name_of_a_statement() {
    let snowflake = Snowflake::start();
    let wire = Wire::new(&snowflake);
    for sql in [
        "CREATE TABLE SECRETS.SECRET (SECRETS VARCHAR)",
        "INSERT INTO BROKER.SECRETS.SECRET SELECT 'a'",
        "SELECT SECRETS AS S FROM SECRETS.SECRET",
        "DROP TABLE SECRETS.SECRET",
    ] {
        let outcome = wire.run(sql);
        assert_eq!(outcome.refusal(), None, "{sql}: {}", outcome.message());
    }
}

#[test]
fn bind_is_cast_by_two_colons() {
    let snowflake = Snowflake::start();
    let wire = Wire::new(&snowflake);
    let rows = wire
        .run_with("SELECT '?::' AS A, ?::VARCHAR AS B", &["b"])
        .rows();
    assert_eq!(rows, [[Some("?::".to_owned()), Some("b".to_owned())]]);
}
