//! Privileges on secrets and their readers.

use claviger_snowflake_fake::{Grant, Snowflake};

use crate::wire::Wire;

const MISSING: Option<(&str, &str)> = Some(("002003", "02000"));
const INSUFFICIENT: Option<(&str, &str)> = Some(("003001", "42501"));

fn reader(secret: &str, body: &str) -> String {
    format!(
        "CREATE OR REPLACE PROCEDURE BROKER.READERS.\"read\"() RETURNS VARCHAR LANGUAGE PYTHON \
         RUNTIME_VERSION='3.12' PACKAGES=('snowflake-snowpark-python') HANDLER='h' \
         EXTERNAL_ACCESS_INTEGRATIONS=(CLAVIGER_EAI) \
         SECRETS=('cred'={secret}) EXECUTE AS OWNER AS $${body}$$"
    )
}

const BODY: &str =
    "\nimport _snowflake\ndef h(session): return _snowflake.get_generic_secret_string('cred')\n";

#[test]
fn secret_of_another_role_is_hidden_until_it_is_granted() {
    let snowflake = Snowflake::start();
    let wire = Wire::new(&snowflake);
    snowflake.console("CREATE SECRET S TYPE = GENERIC_STRING SECRET_STRING = 's'");
    assert_eq!(wire.run("DESC SECRET S").refusal(), MISSING);
    assert_eq!(wire.run("SHOW SECRETS").rows(), Vec::<Vec<_>>::new());
    snowflake.console("GRANT USAGE ON SECRET S TO ROLE CLAVIGER");
    assert_eq!(wire.run("DESC SECRET S").refusal(), None);
    assert_eq!(wire.run("SHOW SECRETS").rows().len(), 1);
    for sql in [
        "ALTER SECRET S SET SECRET_STRING = 't'",
        "DROP SECRET S",
        "GRANT USAGE ON SECRET S TO ROLE RUNNER",
        "CREATE OR REPLACE SECRET S TYPE = GENERIC_STRING SECRET_STRING = 't'",
    ] {
        assert_eq!(wire.run(sql).refusal(), INSUFFICIENT, "{sql}");
    }
    assert_eq!(wire.run(&reader("S", BODY)).refusal(), INSUFFICIENT);
    snowflake.console("GRANT OWNERSHIP ON SECRET S TO ROLE CLAVIGER COPY CURRENT GRANTS");
    assert_eq!(wire.run("DROP SECRET S").refusal(), None);
}

#[test]
fn owner_grants_except_in_a_schema_with_managed_access() {
    let snowflake = Snowflake::start();
    let wire = Wire::new(&snowflake);
    snowflake.put_secret(snowflake.schema(), "S", "s");
    snowflake.put_secret(snowflake.managed_schema(), "S", "s");
    let application = snowflake.application();
    let grant = |schema| {
        format!("GRANT USAGE, READ ON SECRET BROKER.{schema}.S TO APPLICATION {application}")
    };
    assert_eq!(wire.run(&grant("SECRETS")).refusal(), None);
    assert_eq!(wire.run(&grant("MANAGED")).refusal(), INSUFFICIENT);
    assert_eq!(snowflake.grants("MANAGED", "S"), []);
    snowflake.console(&grant("MANAGED"));
    let granted = |privilege: &str| Grant {
        privilege: privilege.to_owned(),
        grantee_kind: "APPLICATION".to_owned(),
        grantee: application.to_owned(),
    };
    let granted = [granted("READ"), granted("USAGE")];
    assert_eq!(snowflake.grants("SECRETS", "S"), granted);
    assert_eq!(snowflake.grants("MANAGED", "S"), granted);
    let nobody = "GRANT USAGE ON SECRET S TO ROLE NOBODY";
    assert_eq!(wire.run(nobody).refusal(), MISSING);
    // Replacing makes a new object, to which nobody was granted anything.
    let replace = "CREATE OR REPLACE SECRET S TYPE = GENERIC_STRING SECRET_STRING = 't'";
    assert_eq!(wire.run(replace).refusal(), None);
    assert_eq!(snowflake.grants("SECRETS", "S"), []);
}

#[test]
fn reader_returns_the_string_of_its_secret_as_it_is_now() {
    let snowflake = Snowflake::start();
    let wire = Wire::new(&snowflake);
    let call = "CALL BROKER.READERS.\"read\"()";
    assert_eq!(wire.run(call).refusal(), Some(("002141", "42601")));
    let created = wire.run(&reader("BROKER.SECRETS.S", BODY));
    assert_eq!(created.refusal(), MISSING);
    snowflake.put_secret("SECRETS", "S", "one");
    assert_eq!(wire.run(&reader("BROKER.SECRETS.S", BODY)).refusal(), None);
    assert_eq!(snowflake.procedure_names("READERS"), ["read"]);
    let called = wire.run(call);
    assert_eq!(
        (called.columns(), called.status()),
        (vec!["read"], "one".to_owned())
    );
    snowflake.put_secret("SECRETS", "S", "two");
    assert_eq!(wire.run(call).status(), "two");
    snowflake.drop_secret("SECRETS", "S");
    assert_eq!(wire.run(call).refusal(), MISSING);
    assert_eq!(
        wire.run("DROP PROCEDURE READERS.\"read\"()").refusal(),
        None
    );
    assert_eq!(wire.run(call).refusal(), Some(("002141", "42601")));
}

#[test]
fn reader_is_refused_unless_its_clauses_fit() {
    let snowflake = Snowflake::start();
    let wire = Wire::new(&snowflake);
    snowflake.put_secret("SECRETS", "S", "s");
    let good = reader("S", BODY);
    for (clause, replacement, refusal) in [
        ("LANGUAGE PYTHON", "LANGUAGE SQL", ("001003", "42000")),
        ("RETURNS VARCHAR", "", ("001003", "42000")),
        ("HANDLER='h'", "", ("001003", "42000")),
        ("RUNTIME_VERSION='3.12'", "", ("001003", "42000")),
        ("\"read\"()", "\"read\"", ("001003", "42000")),
        ("(CLAVIGER_EAI)", "(OTHER_EAI)", ("002003", "02000")),
        (
            "EXTERNAL_ACCESS_INTEGRATIONS=(CLAVIGER_EAI)",
            "",
            ("001003", "42000"),
        ),
        ("BROKER.READERS", "BROKER.NONE", ("002003", "02000")),
    ] {
        let sql = good.replace(clause, replacement);
        assert_eq!(wire.run(&sql).refusal(), Some(refusal), "{sql}");
    }
    assert_eq!(snowflake.procedure_names("READERS"), [""; 0]);
    // An error of the handler shows when it is called.
    for body in [
        "\ndef h(session): return 1 / 0\n",
        "\nimport os\ndef h(session): return ''\n",
    ] {
        assert_eq!(wire.run(&reader("S", body)).refusal(), None);
        let call = wire.run("CALL READERS.\"read\"()");
        assert_eq!(call.refusal(), Some(("100357", "P0000")), "{body}");
    }
}
