//! Tokens: the proofs that earn one, and how others are refused.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::thread;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger_keyvault_fake::{Fake, Login};
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::client::{Answer, read, send};

const HOST: &str = "login.microsoftonline.com";
const JWT_BEARER: &str =
    "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";

fn log_in(fake: &Fake, tenant: &str, proof: &str) -> Answer {
    let body = format!(
        "grant_type=client_credentials&client_id={}&scope=https%3A%2F%2Fvault.azure.net%2F.default&{proof}",
        fake.client_id()
    );
    let target = format!("/{tenant}/oauth2/v2.0/token");
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    send(fake, HOST, "POST", &target, &headers, &body).expect("an answer")
}

fn secret(fake: &Fake) -> String {
    format!("client_secret={}", fake.client_secret())
}

/// Error and the first word of its description.
fn refusal(answer: &Answer) -> (u16, String, String) {
    let json = answer.json();
    let text = |key: &str| json[key].as_str().expect("text").to_owned();
    let description = text("error_description");
    let (code, _) = description.split_once(':').expect("a code first");
    (answer.status, text("error"), code.to_owned())
}

#[test]
fn token_comes_as_recorded_and_opens_the_vault() {
    let fake = Fake::start();
    fake.vault("records");
    let answer = log_in(&fake, fake.tenant(), &secret(&fake));
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.keys(),
        ["token_type", "expires_in", "ext_expires_in", "access_token"]
    );
    assert_eq!(answer.header("cache-control"), Some("no-store, no-cache"));
    let json = answer.json();
    assert_eq!(
        (&json["token_type"], &json["expires_in"]),
        (&json!("Bearer"), &json!(3599))
    );
    let bearer = format!("Bearer {}", json["access_token"].as_str().expect("a token"));
    let headers = [("Authorization", bearer.as_str())];
    let host = "records.vault.azure.net";
    let listed = send(&fake, host, "GET", "/secrets?api-version=7.4", &headers, "");
    assert_eq!(listed.expect("an answer").status, 200);
    assert_eq!(fake.logins(), 1);
}

#[test]
fn wrong_tenant_and_wrong_or_expired_secret_are_refused_with_their_codes() {
    let fake = Fake::start();
    let error = |answer: &Answer| refusal(answer);
    let expected = |status, error: &str, code: &str| (status, error.to_owned(), code.to_owned());
    let unknown = log_in(
        &fake,
        "88888888-8888-8888-8888-888888888888",
        &secret(&fake),
    );
    assert_eq!(
        error(&unknown),
        expected(400, "invalid_request", "AADSTS90002")
    );
    let wrong = log_in(&fake, fake.tenant(), "client_secret=wrong");
    assert_eq!(
        error(&wrong),
        expected(401, "invalid_client", "AADSTS7000215")
    );
    for (login, status, name, code) in [
        (Login::ExpiredSecret, 401, "invalid_client", "AADSTS7000222"),
        (Login::InvalidClient, 401, "invalid_client", "AADSTS7000215"),
        (Login::WrongTenant, 400, "invalid_request", "AADSTS90002"),
    ] {
        fake.fail_login(login);
        let answer = log_in(&fake, fake.tenant(), &secret(&fake));
        assert_eq!(error(&answer), expected(status, name, code), "{login:?}");
    }
    fake.mend_login();
    assert_eq!(log_in(&fake, fake.tenant(), &secret(&fake)).status, 200);
}

#[test]
fn hanging_login_is_answered_when_let_go() {
    let fake = Fake::start();
    fake.fail_login(Login::Hang);
    thread::scope(|scope| {
        let held = scope.spawn(|| log_in(&fake, fake.tenant(), &secret(&fake)));
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(fake.held(1));
        fake.release();
        assert_eq!(held.join().expect("no panic").status, 200);
    });
    assert_eq!(log_in(&fake, fake.tenant(), &secret(&fake)).status, 200);
}

#[test]
fn token_of_a_workload_identity_is_accepted_and_another_is_not() {
    let fake = Fake::start();
    for (token, status) in [(fake.federated_token(), 200), ("made-up", 401)] {
        let proof = format!("{JWT_BEARER}&client_assertion={token}");
        assert_eq!(log_in(&fake, fake.tenant(), &proof).status, status);
    }
}

/// An assertion as an application with a certificate makes it.
fn assertion(fake: &Fake, claims: &Value) -> String {
    let pem = fake.client_certificate().as_bytes();
    let certificate = CertificateDer::from_pem_slice(pem).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem).expect("a key");
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).expect("an RSA key");
    let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, &certificate));
    let header = json!({"alg": "RS256", "typ": "JWT", "x5t#S256": thumbprint});
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(&header), part(claims));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        signed.as_bytes(),
        &mut signature,
    )
    .expect("a signature");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn assertion_is_accepted_only_if_signed_by_our_certificate_for_us_and_fresh() {
    let fake = Fake::start();
    let audience = format!("https://{HOST}/{}/oauth2/v2.0/token", fake.tenant());
    let claims = json!({
        "aud": audience,
        "exp": 4_000_000_000_i64,
        "iss": fake.client_id(),
        "jti": "once",
        "nbf": 1_000_000_000,
        "sub": fake.client_id(),
    });
    let status = |assertion: &str| {
        let proof = format!("{JWT_BEARER}&client_assertion={assertion}");
        log_in(&fake, fake.tenant(), &proof).status
    };
    let good = assertion(&fake, &claims);
    assert_eq!(status(&good), 200);
    for (key, value) in [
        ("aud", json!("https://example.com")),
        ("exp", json!(1_000_000_000)),
        ("iss", json!("another")),
        ("jti", json!("")),
        ("nbf", json!(4_000_000_000_i64)),
        ("sub", json!("another")),
    ] {
        let mut bad = claims.clone();
        bad[key] = value;
        assert_eq!(status(&assertion(&fake, &bad)), 401, "{key}");
        let (_, good_signature) = good.rsplit_once('.').expect("three parts");
        let forged = assertion(&fake, &bad);
        let (forged, _) = forged.rsplit_once('.').expect("three parts");
        assert_eq!(status(&format!("{forged}.{good_signature}")), 401, "{key}");
    }
    let stranger = Fake::start();
    assert_eq!(status(&assertion(&stranger, &claims)), 401);
}

#[test]
fn managed_identity_gets_its_token_over_plain_http_with_the_expiry_as_text() {
    let fake = Fake::start();
    let (url, header) = fake.managed_identity_endpoint();
    let rest = url.strip_prefix("http://").expect("plain HTTP");
    let (address, path) = rest.split_once('/').expect("a path");
    let ask = |query: &str, header: &str| {
        let mut stream = TcpStream::connect(address).expect("it listens");
        write!(
            stream,
            "GET /{path}?api-version=2019-08-01&{query} HTTP/1.1\r\nHost: {address}\r\nX-IDENTITY-HEADER: {header}\r\n\r\n"
        )
        .expect("sent");
        read(&mut BufReader::new(stream)).expect("an answer")
    };
    let resource = "resource=https%3A%2F%2Fvault.azure.net";
    let answer = ask(resource, &header);
    assert_eq!(answer.status, 200);
    let json = answer.json();
    assert!(json["expires_on"].is_string());
    assert_eq!(json["token_type"], "Bearer");
    assert_eq!(json["resource"], "https://vault.azure.net");
    assert_eq!(ask(resource, "wrong").status, 401);
    let own = format!("{resource}&client_id={}", fake.client_id());
    assert_eq!(ask(&own, &header).status, 200);
    assert_eq!(
        ask(&format!("{resource}&client_id=other"), &header).status,
        400
    );
    assert_eq!(fake.logins(), 4);
}
