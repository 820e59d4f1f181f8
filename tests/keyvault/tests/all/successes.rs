//! The bodies of successes.

use claviger_keyvault_fake::Fake;
use serde_json::{Value, json};

use crate::client::{Answer, Client, send};

const HOST: &str = "records.vault.azure.net";

/// Each case with the order of the body's fields; a field that is not named is absent.
#[test]
fn fields_come_in_the_recorded_order_and_unset_ones_are_absent() {
    let fake = Fake::start();
    fake.vault("records");
    fake.set_transition_requests(0);
    let client = Client::new(&fake, HOST);
    let full = json!({
        "value": "v",
        "contentType": "text/plain",
        "tags": {"a": "b"},
        "attributes": {"enabled": true, "nbf": 1_893_456_000, "exp": 1_900_000_000},
    });
    let full = full.to_string();
    let plain = r#"{"value":"v"}"#;
    let deleted = "recoveryId deletedDate scheduledPurgeDate contentType id attributes tags";
    let cases = [
        ("PUT", "/secrets/plain", plain, "value id attributes"),
        (
            "PUT",
            "/secrets/full",
            &full,
            "value contentType id attributes tags",
        ),
        ("GET", "/secrets/plain/", "", "value id attributes"),
        (
            "GET",
            "/secrets/full/",
            "",
            "value contentType id attributes tags",
        ),
        (
            "PATCH",
            "/secrets/full/",
            "{}",
            "contentType id attributes tags",
        ),
        ("DELETE", "/secrets/full", "", deleted),
        ("GET", "/deletedsecrets/full", "", deleted),
        (
            "POST",
            "/deletedsecrets/full/recover",
            "",
            "contentType id attributes tags",
        ),
        (
            "GET",
            "/secrets/full",
            "",
            "value contentType id attributes tags",
        ),
        ("GET", "/secrets", "", "value nextLink"),
        ("GET", "/secrets/full/versions", "", "value nextLink"),
    ];
    for (method, path, body, expected) in cases {
        let answer = client.call(method, path, body);
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
        assert_eq!(answer.keys().join(" "), expected, "{method} {path}");
    }
    let attributes = |path: &str| client.get(path).attribute_keys().join(" ");
    assert_eq!(
        attributes("/secrets/plain"),
        "enabled created updated recoveryLevel recoverableDays"
    );
    assert_eq!(
        attributes("/secrets/full"),
        "enabled nbf exp created updated recoveryLevel recoverableDays"
    );
}

#[test]
fn every_answer_carries_the_recorded_headers_and_no_others_that_matter() {
    let fake = Fake::start();
    fake.vault("records").set("known", "v", &[]);
    let client = Client::new(&fake, HOST);
    for (path, status) in [("/secrets/known", 200), ("/secrets/unknown", 404)] {
        let answer = client.get(path);
        assert_eq!(answer.status, status);
        for (name, value) in [
            ("cache-control", "no-cache"),
            ("pragma", "no-cache"),
            ("expires", "-1"),
            ("content-type", "application/json; charset=utf-8"),
            ("x-content-type-options", "nosniff"),
            (
                "x-ms-keyvault-network-info",
                "conn_type=Ipv4;addr=127.0.0.1;act_addr_fam=InterNetwork;",
            ),
        ] {
            assert_eq!(answer.header(name), Some(value), "{name}");
        }
        for name in [
            "strict-transport-security",
            "x-ms-keyvault-region",
            "x-ms-keyvault-service-version",
            "x-ms-request-id",
        ] {
            assert!(answer.header(name).is_some(), "{name}");
        }
        for name in [
            "etag",
            "retry-after",
            "x-ms-error-code",
            "x-ms-client-request-id",
        ] {
            assert_eq!(answer.header(name), None, "{name}");
        }
    }
}

#[test]
fn client_request_id_is_echoed() {
    let fake = Fake::start();
    fake.vault("records");
    let headers = [("x-ms-client-request-id", "12345")];
    let answer = send(&fake, HOST, "GET", "/secrets", &headers, "");
    let answer = answer.expect("an answer");
    assert_eq!(answer.header("x-ms-client-request-id"), Some("12345"));
}

#[test]
fn set_makes_versions_of_32_hexadecimal_digits_with_times_in_whole_seconds() {
    let fake = Fake::start();
    fake.vault("records");
    let client = Client::new(&fake, HOST);
    let mut versions = Vec::new();
    for _ in 0..2 {
        let body = client.call("PUT", "/secrets/n", r#"{"value":""}"#).json();
        assert_eq!(body["value"], "");
        let id = body["id"].as_str().expect("an id");
        let version = id
            .strip_prefix("https://records.vault.azure.net/secrets/n/")
            .expect("the vault and the name first");
        assert_eq!(version.len(), 32);
        assert!(version.bytes().all(|b| b"0123456789abcdef".contains(&b)));
        let attributes = &body["attributes"];
        assert!(attributes["created"].is_i64());
        assert_eq!(attributes["created"], attributes["updated"]);
        assert_eq!(attributes["recoveryLevel"], "Recoverable+Purgeable");
        assert_eq!(attributes["recoverableDays"], 90);
        versions.push(version.to_owned());
    }
    assert_ne!(versions[0], versions[1]);
    let latest = client.get("/secrets/n/").json();
    assert!(
        latest["id"]
            .as_str()
            .expect("an id")
            .ends_with(&versions[1])
    );
    let first = client.get(&format!("/secrets/n/{}", versions[0])).json();
    assert!(first["id"].as_str().expect("an id").ends_with(&versions[0]));
}

#[test]
fn value_outside_its_time_of_validity_is_returned() {
    let fake = Fake::start();
    let vault = fake.vault("records");
    vault.set("n", "v", &[]);
    let client = Client::new(&fake, HOST);
    for (not_before, expires) in [(Some(4_000_000_000), None), (None, Some(1_000_000_000))] {
        vault.set_attributes("n", not_before, expires);
        let body = client.get("/secrets/n").json();
        assert_eq!(body["value"], "v");
        assert_eq!(body["attributes"]["nbf"].as_i64(), not_before);
        assert_eq!(body["attributes"]["exp"].as_i64(), expires);
    }
}

#[test]
fn version_set_as_disabled_is_answered_with_its_value_and_can_be_updated() {
    let fake = Fake::start();
    fake.vault("records");
    let client = Client::new(&fake, HOST);
    let body = r#"{"value":"v","attributes":{"enabled":false}}"#;
    assert_eq!(client.call("PUT", "/secrets/n", body).json()["value"], "v");
    assert_eq!(client.get("/secrets/n").status, 403);
    let enable = r#"{"attributes":{"enabled":true}}"#;
    let updated = client.call("PATCH", "/secrets/n/", enable);
    assert_eq!(updated.status, 200);
    assert_eq!(updated.json()["attributes"]["enabled"], true);
    assert_eq!(client.get("/secrets/n").json()["value"], "v");
}

#[test]
fn secret_of_a_certificate_is_marked_and_not_written() {
    let fake = Fake::start();
    let vault = fake.vault("records");
    vault.set_certificate("cert");
    let client = Client::new(&fake, HOST);
    let body = client.get("/secrets/cert").json();
    assert_eq!(body["managed"], true);
    assert_eq!(body["contentType"], "application/x-pkcs12");
    assert!(body["kid"].as_str().expect("a key").contains("/keys/cert/"));
    let put = client.call("PUT", "/secrets/cert", r#"{"value":"v"}"#);
    assert_eq!(put.status, 403);
    assert_eq!(vault.versions("cert").len(), 1);
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["value"].as_array().expect("a list");
    items
        .iter()
        .map(|item| item["id"].as_str().expect("an id").to_owned())
        .collect()
}

/// Follows the links from here to the end.
fn pages(client: &Client<'_>, path: &str) -> Vec<Answer> {
    let mut pages = vec![client.get(path)];
    while let Some(link) = pages.last().expect("one page").json()["nextLink"].as_str() {
        let target = link
            .strip_prefix("https://records.vault.azure.net:443")
            .expect("the port in the host");
        let (_, query) = target.split_once('?').expect("a query");
        assert!(query.starts_with("api-version=7.4&$skiptoken="), "{query}");
        pages.push(client.get(target));
    }
    pages
}

#[test]
fn secrets_are_listed_by_name_without_versions_or_values_and_the_last_link_leads_to_nothing() {
    let fake = Fake::start();
    let vault = fake.vault("records");
    for name in ["c", "a", "d", "b"] {
        vault.set(name, "v", &[]);
    }
    let client = Client::new(&fake, HOST);
    let pages = pages(&client, "/secrets?maxresults=2");
    let names = pages.iter().map(|page| ids(&page.json()));
    let url = |name| format!("https://records.vault.azure.net/secrets/{name}");
    assert_eq!(
        names.collect::<Vec<_>>(),
        [vec![url("a"), url("b")], vec![url("c"), url("d")], vec![]]
    );
    let last = pages.last().expect("a page");
    assert_eq!(last.body, r#"{"value":[],"nextLink":null}"#);
    let first = format!(
        r#"{{"value":[{{"id":"{}","attributes":{{"enabled":"#,
        url("a")
    );
    assert!(pages[0].body.starts_with(&first), "{}", pages[0].body);
}

#[test]
fn versions_are_listed_by_id_and_those_of_an_unknown_name_as_none() {
    let fake = Fake::start();
    let vault = fake.vault("records");
    let mut expected = (0..30)
        .map(|_| vault.set("n", "v", &[]))
        .map(|version| format!("https://records.vault.azure.net/secrets/n/{version}"))
        .collect::<Vec<_>>();
    let client = Client::new(&fake, HOST);
    let pages = pages(&client, "/secrets/n/versions");
    let sizes = pages.iter().map(|page| ids(&page.json()).len());
    assert_eq!(sizes.collect::<Vec<_>>(), [25, 5, 0]);
    let listed = pages.iter().flat_map(|page| ids(&page.json()));
    let listed = listed.collect::<Vec<_>>();
    assert_ne!(listed, expected, "not in the order of creation");
    expected.sort();
    assert_eq!(listed, expected);

    let unknown = client.get("/secrets/unknown/versions");
    assert_eq!(unknown.status, 200);
    assert_eq!(unknown.body, r#"{"value":[],"nextLink":null}"#);
    assert_eq!(unknown.body.len(), 28);
}
