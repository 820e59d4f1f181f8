//! Deletion and recovery, which take their time.

use claviger_keyvault_fake::{Fake, VaultHandle};

use crate::client::{Answer, Client};

const HOST: &str = "records.vault.azure.net";

fn refusal(answer: &Answer) -> (u16, Option<String>) {
    (answer.status, answer.error().1)
}

fn with_deleted(fake: &Fake) -> (VaultHandle, String, Client<'_>) {
    let vault = fake.vault("records");
    let version = vault.set("n", "v", &[]);
    vault.delete("n");
    (vault, version, Client::new(fake, HOST))
}

#[test]
fn deletion_is_in_the_making_for_two_requests_and_refuses_every_change_meanwhile() {
    let fake = Fake::start();
    let vault = fake.vault("records");
    let version = vault.set("n", "v", &[("a", "b")]);
    let client = Client::new(&fake, HOST);
    for (method, path, body) in [
        ("PUT", "/secrets/n", r#"{"value":"w"}"#),
        ("POST", "/deletedsecrets/n/recover", ""),
        ("DELETE", "/deletedsecrets/n", ""),
    ] {
        let answer = client.call("DELETE", "/secrets/n", "").json();
        let url = "https://records.vault.azure.net";
        assert_eq!(answer["id"], format!("{url}/secrets/n/{version}"));
        assert_eq!(answer["recoveryId"], format!("{url}/deletedsecrets/n"));
        let time = |key: &str| answer[key].as_i64().expect("a time");
        assert_eq!(
            time("scheduledPurgeDate") - time("deletedDate"),
            90 * 86_400
        );

        let changed = client.call(method, path, body);
        let expected = (409, Some("ObjectIsBeingDeleted".to_owned()));
        assert_eq!(refusal(&changed), expected, "{method} {path}");
        let early = client.get("/deletedsecrets/n");
        assert_eq!(early.status, 404);
        assert_eq!(early.error().2, "Deleted Secret not found: n");
        let done = client.get("/deletedsecrets/n");
        assert_eq!(done.json(), answer);

        assert_eq!(
            client.call("POST", "/deletedsecrets/n/recover", "").status,
            200
        );
        fake.set_transition_requests(2);
        for _ in 0..2 {
            assert_eq!(client.get("/secrets/n").status, 404);
        }
        assert_eq!(client.get("/secrets/n").status, 200);
    }
    assert_eq!(vault.purges(), 1, "a refused one counts");
    assert_eq!(vault.versions("n").len(), 1);
}

#[test]
fn recovering_secret_reads_as_unknown_and_comes_back_unchanged() {
    let fake = Fake::start();
    let (_, version, client) = with_deleted(&fake);
    fake.set_transition_requests(3);
    let recovered = client.call("POST", "/deletedsecrets/n/recover", "").json();
    for _ in 0..3 {
        let answer = client.get("/secrets/n");
        assert_eq!(refusal(&answer), (404, None));
        assert!(
            answer
                .error()
                .2
                .starts_with("A secret with (name/id) n was not found")
        );
    }
    let body = client.get("/secrets/n").json();
    assert_eq!(body["value"], "v");
    assert!(body["id"].as_str().expect("an id").ends_with(&version));
    assert_eq!(body["attributes"], recovered["attributes"]);
}

#[test]
fn deleted_secret_is_listed_among_the_deleted_only() {
    let fake = Fake::start();
    let (_, _, client) = with_deleted(&fake);
    let count = |path| client.get(path).json()["value"].as_array().map(Vec::len);
    assert_eq!(count("/secrets"), Some(0));
    assert_eq!(count("/deletedsecrets"), Some(1));
    assert_eq!(count("/secrets/n/versions"), Some(0));
}

#[test]
fn purge_frees_the_name_and_is_counted() {
    let fake = Fake::start();
    let (vault, version, client) = with_deleted(&fake);
    vault.disable("n", &version);
    let purged = client.call("DELETE", "/deletedsecrets/n", "");
    assert_eq!((purged.status, purged.body.as_str()), (204, ""));
    assert_eq!(purged.header("content-type"), None);
    assert_eq!(vault.purges(), 1);
    assert_eq!(
        client.call("PUT", "/secrets/n", r#"{"value":"w"}"#).status,
        200
    );
    assert_eq!(vault.versions("n").len(), 1);
}

#[test]
fn names_differ_by_more_than_upper_and_lower_case() {
    let fake = Fake::start();
    let vault = fake.vault("records");
    let client = Client::new(&fake, HOST);
    client.call("PUT", "/secrets/Stripe", r#"{"value":"a"}"#);
    client.call("PUT", "/secrets/stripe", r#"{"value":"b"}"#);
    assert_eq!(vault.versions("STRIPE").len(), 2);
    assert_eq!(client.get("/secrets/Stripe").json()["value"], "b");
}
