//! Answers that are recorded of the real service or of its drivers' own mocks.

use claviger_snowflake_fake::{Fault, Snowflake};
use serde_json::{Value, json};

use crate::wire::Wire;

const LOGIN: &str = "/session/v1/login-request";

/// The columns of `SHOW SECRETS`.
pub(crate) fn shown() -> Vec<&'static str> {
    [COMMON, &["oauth_scopes", "owner_role_type"]].concat()
}

/// The columns of `DESCRIBE SECRET`.
pub(crate) fn described() -> Vec<&'static str> {
    let more = [
        "username",
        "oauth_access_token_expiry_time",
        "oauth_refresh_token_expiry_time",
        "oauth_scopes",
        "integration_name",
    ];
    [COMMON, &more].concat()
}

const COMMON: &[&str] = &[
    "created_on",
    "name",
    "schema_name",
    "database_name",
    "owner",
    "comment",
    "secret_type",
];

/// Each field of the drivers' mock of a good login, with its type.
#[test]
fn good_login_answers_with_every_recorded_field() {
    let snowflake = Snowflake::start();
    let body = json!({"data": {
        "LOGIN_NAME": snowflake.user(),
        "AUTHENTICATOR": "SNOWFLAKE_JWT",
        "TOKEN": snowflake.login_token(&json!({})),
    }});
    let (status, answer) = Wire::with_token(&snowflake, "").post(LOGIN, &body);
    assert_eq!(
        (status, &answer["success"], &answer["code"]),
        (200, &json!(true), &Value::Null)
    );
    let data = &answer["data"];
    assert_eq!(data["validityInSeconds"], 3600);
    assert_eq!(data["masterValidityInSeconds"], 14400);
    assert!(data["masterToken"].is_string() && data["token"].is_string());
    assert!(data["sessionId"].is_number() && data["serverVersion"].is_string());
    for parameter in data["parameters"].as_array().unwrap() {
        assert!(parameter["name"].is_string() && !parameter["value"].is_null());
    }
    let session = data["sessionInfo"].as_object().unwrap();
    assert!(session.keys().all(|key| key.ends_with("Name")));
}

/// Code and text of refused logins; all of them are HTTP 200.
#[test]
fn refused_logins_answer_as_recorded() {
    let snowflake = Snowflake::start();
    let wire = Wire::with_token(&snowflake, "");
    let jwt = json!({"LOGIN_NAME": "X", "AUTHENTICATOR": "SNOWFLAKE_JWT", "TOKEN": "x"});
    let password = json!({"LOGIN_NAME": "X", "PASSWORD": "x"});
    for (data, code, text) in [
        (
            password,
            "390100",
            "Incorrect username or password was specified.",
        ),
        (jwt, "390144", "JWT token is invalid. ["),
    ] {
        let (status, answer) = wire.post(LOGIN, &json!({"data": data}));
        assert_eq!(status, 200);
        let message = answer["message"].as_str().unwrap();
        assert!(message.starts_with(text), "{message}");
        let fields = ["success", "code", "data", "headers"].map(|field| &answer[field]);
        assert_eq!(
            fields,
            [&json!(false), &json!(code), &Value::Null, &Value::Null]
        );
    }
}

/// SQL state and text of refused statements, which are HTTP 200, too.
#[test]
fn refused_statements_answer_as_recorded() {
    let snowflake = Snowflake::start();
    let wire = Wire::new(&snowflake);
    let privileges = Fault::insufficient_privileges("secret", "S");
    snowflake.fault("as denied", 1, privileges);
    for (sql, code, state, text) in [
        (
            "DESC SECRET BROKER.SECRETS.NONE",
            "002003",
            "02000",
            "SQL compilation error:\nSecret 'BROKER.SECRETS.NONE' does not exist or not authorized.",
        ),
        (
            "SELECT 1 AS DENIED",
            "003001",
            "42501",
            "SQL access control error:\nInsufficient privileges to operate on secret 'S'",
        ),
        (
            "DESC SECRET \"\"",
            "000904",
            "42000",
            "SQL compilation error: ",
        ),
    ] {
        let outcome = wire.run(sql);
        assert_eq!(outcome.refusal(), Some((code, state)), "{sql}");
        assert!(outcome.message().starts_with(text), "{}", outcome.message());
        assert!(outcome.0["data"]["queryId"].is_string());
    }
    snowflake.fault("", 1, Fault::Status(429));
    let body = json!({"sqlText": "SELECT 1 AS A"});
    let (status, answer) = wire.post("/queries/v1/query-request", &body);
    assert_eq!((status, &answer["code"]), (429, &json!("390505")));
    assert_eq!(answer["message"], "Too many requests.");
}

#[test]
fn secrets_are_shown_and_described_in_the_recorded_columns_without_their_value() {
    let snowflake = Snowflake::start();
    let wire = Wire::new(&snowflake);
    wire.run("CREATE SECRET S TYPE = GENERIC_STRING SECRET_STRING = 'canary' COMMENT = 'c'")
        .status();
    let show = wire.run("SHOW SECRETS IN SCHEMA BROKER.SECRETS");
    assert_eq!(show.columns(), shown());
    let describe = wire.run("DESC SECRET S");
    assert_eq!(describe.columns(), described());
    for outcome in [show, describe] {
        let row = &outcome.rows()[0];
        let text = row
            .iter()
            .skip(1)
            .take(6)
            .map(|cell| cell.as_deref().unwrap());
        let expected = ["S", "SECRETS", "BROKER", "CLAVIGER", "c", "GENERIC_STRING"];
        assert_eq!(text.collect::<Vec<_>>(), expected);
        assert!(!outcome.0.to_string().contains("canary"));
    }
}
