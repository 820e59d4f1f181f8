//! Logins by key pair and the life of sessions.

use claviger_snowflake_fake::{Fault, Snowflake};
use serde_json::{Value, json};

use crate::wire::Wire;

fn log_in(snowflake: &Snowflake, token: &str, query: &str) -> (u16, Value) {
    let body = json!({"data": {
        "ACCOUNT_NAME": snowflake.account(),
        "LOGIN_NAME": snowflake.user(),
        "AUTHENTICATOR": "SNOWFLAKE_JWT",
        "TOKEN": token,
    }});
    let target = format!("/session/v1/login-request?{query}");
    Wire::with_token(snowflake, "").post(&target, &body)
}

#[test]
fn token_is_taken_only_if_each_claim_and_the_signature_hold() {
    let snowflake = Snowflake::start();
    let good = snowflake.login_token(&json!({}));
    let (status, answer) = log_in(&snowflake, &good, "");
    assert_eq!(
        (status, &answer["success"]),
        (200, &json!(true)),
        "{answer}"
    );

    let fingerprint = "XY12345.CLAVIGER_SVC.SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let bad = [
        json!({"sub": "XY12345.NOBODY"}),
        json!({"sub": "OTHER.CLAVIGER_SVC"}),
        json!({"sub": null}),
        json!({"iss": fingerprint}),
        json!({"iss": "XY12345.CLAVIGER_SVC"}),
        json!({"exp": -1, "iat": -600}),
        json!({"exp": 3601}),
        json!({"exp": null}),
        json!({"iat": null}),
    ];
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    let unsigned = format!("{signed}.");
    let tokens = bad
        .iter()
        .map(|changes| snowflake.login_token(changes))
        .chain([forged, unsigned, "no token".to_owned()]);
    for (index, token) in tokens.enumerate() {
        let (status, answer) = log_in(&snowflake, &token, "");
        assert_eq!(
            (status, &answer["code"]),
            (200, &json!("390144")),
            "{index}"
        );
        assert_eq!(answer["data"], Value::Null);
    }
    assert_eq!(snowflake.logins(), 13);
}

#[test]
fn login_takes_its_names_from_the_query() {
    let snowflake = Snowflake::start();
    let token = snowflake.login_token(&json!({}));
    let full =
        "databaseName=broker&schemaName=%22SECRETS%22&warehouse=claviger_wh&roleName=CLAVIGER";
    let (_, answer) = log_in(&snowflake, &token, full);
    let names = json!({
        "databaseName": "BROKER",
        "schemaName": "SECRETS",
        "warehouseName": "CLAVIGER_WH",
        "roleName": "CLAVIGER",
    });
    assert_eq!(answer["data"]["sessionInfo"], names);
    let (_, answer) = log_in(&snowflake, &token, "roleName=ACCOUNTADMIN");
    assert_eq!(answer["code"], "390189");

    let (_, answer) = log_in(&snowflake, &token, "databaseName=BROKER&schemaName=NONE");
    let wire = Wire::with_token(&snowflake, answer["data"]["token"].as_str().unwrap());
    assert_eq!(
        wire.run("DESC SECRET A").refusal(),
        Some(("090106", "22000"))
    );
    // A session without a warehouse.
    assert_eq!(
        wire.run("SELECT 1 AS A").refusal(),
        Some(("000606", "57P03"))
    );
}

#[test]
fn ended_session_is_refused_with_its_code_until_a_new_login_or_a_renewal() {
    let snowflake = Snowflake::start();
    for code in ["390104", "390111", "390112", "390114"] {
        let wire = Wire::new(&snowflake);
        snowflake.expire_sessions(code);
        for _ in 0..2 {
            assert_eq!(wire.run("SHOW SECRETS").refusal(), Some((code, "")));
        }
        assert_eq!(Wire::new(&snowflake).run("SHOW SECRETS").refusal(), None);
    }
    let wire = Wire::new(&snowflake);
    snowflake.expire_sessions("401");
    let (status, _) = wire.post("/session/heartbeat", &json!({}));
    assert_eq!(status, 401);

    let token = snowflake.login_token(&json!({}));
    let (_, answer) = log_in(&snowflake, &token, "");
    snowflake.expire_sessions("390112");
    let master = Wire::with_token(&snowflake, answer["data"]["masterToken"].as_str().unwrap());
    let (_, answer) = master.post("/session/token-request", &json!({"requestType": "RENEW"}));
    let renewed = answer["data"]["sessionToken"].as_str().unwrap();
    let renewed = Wire::with_token(&snowflake, renewed);
    assert_eq!(renewed.run("SHOW SECRETS IN ACCOUNT").refusal(), None);
    let nobody = Wire::with_token(&snowflake, "nobody");
    let (_, answer) = nobody.post("/session/token-request", &json!({}));
    assert_eq!(answer["code"], "390114");
}

#[test]
fn login_fault_meets_logins_and_no_statement() {
    let snowflake = Snowflake::start();
    let wire = Wire::new(&snowflake);
    snowflake.fault_login(1, Fault::invalid_token());
    assert_eq!(wire.run("SHOW SECRETS").refusal(), None);
    let token = snowflake.login_token(&json!({}));
    assert_eq!(log_in(&snowflake, &token, "").1["code"], "390144");
    assert_eq!(log_in(&snowflake, &token, "").1["success"], true);
}
