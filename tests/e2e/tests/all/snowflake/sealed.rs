//! Sealed rows from put to destruction: Snowflake never sees a value, a row that was moved is found
//! out, and the status counts what is sealed with which key.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use claviger_e2e::{Client, Home};
use claviger_proto::v1;
use claviger_proto::v1::secret_service_client::SecretServiceClient;
use tonic::Status;
use uuid::Uuid;

use super::support::{
    Account, SEALED, TABLE, VAULT, assert_refused, location, operator, put, read_as_runner,
    sealed_values, text,
};

const CANARY: &str = "cAnAry51a7b2e9-Zx";

/// The canary as it is and as it could travel.
fn encodings() -> Vec<String> {
    let bytes = CANARY.as_bytes();
    let each = |form: fn(&u8) -> String| bytes.iter().map(form).collect::<String>();
    let hex = each(|byte| format!("{byte:02x}"));
    // At each of the three places that a byte can have within a group of three; what is at the
    // edges depends on the neighbours.
    let aligned = (0..3).map(|shift| {
        let shifted = [&b"..."[..shift], bytes].concat();
        let encoded = BASE64_STANDARD.encode(shifted);
        encoded.chars().skip(4).take(encoded.len() - 8).collect()
    });
    let mut all = vec![
        CANARY.to_owned(),
        hex.to_uppercase(),
        hex,
        each(|byte| format!("%{byte:02x}")),
        each(|byte| format!("\\u00{byte:02x}")),
        each(|byte| format!("{byte:02x}00")),
        CANARY.chars().rev().collect(),
    ];
    all.extend(aligned);
    all
}

#[test]
fn canary_is_found_wherever_it_is_in_what_is_encoded() {
    for before in ["", "x", "xy", "xyz"] {
        let text = format!("{before}{CANARY}{before}");
        let encoded = BASE64_STANDARD.encode(text);
        let is_found = encodings().iter().any(|form| encoded.contains(form));
        assert!(is_found, "{before}");
    }
    assert!(encodings().len() >= 8);
}

async fn change(client: &Client, id: &str, version: &str, verb: &str) -> Result<i32, Status> {
    let name = format!("projects/dev/secrets/{id}/versions/{version}");
    let mut service = SecretServiceClient::new(client.channel());
    let environment = String::new();
    let changed = match verb {
        "disable" => {
            let request = v1::DisableSecretVersionRequest { name, environment };
            service.disable_secret_version(request).await
        }
        "enable" => {
            let request = v1::EnableSecretVersionRequest { name, environment };
            service.enable_secret_version(request).await
        }
        _ => {
            let request = v1::DestroySecretVersionRequest { name, environment };
            service.destroy_secret_version(request).await
        }
    };
    changed.map(|version| version.into_inner().state)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealed_value_is_created_read_rotated_disabled_and_destroyed_unseen() {
    let (home, account) = (Home::new(), Account::start());
    let daemon = account.daemon(&home, SEALED);
    let client = operator(&daemon).await;
    let created = put(&client, "stripe", location("acme-stripe"), Some(CANARY)).await;
    let first = created.expect("created").version;
    let read = read_as_runner(&daemon, "stripe").await.expect("read");
    assert_eq!(read.version, first);
    assert_eq!(text(&client, "stripe").await.expect("read"), CANARY);

    let second = CANARY.to_owned() + "2";
    let rotated = client.rotate("stripe", &second, Uuid::new_v4()).await;
    let rotated = rotated.expect("rotated");
    assert_eq!(text(&client, "stripe").await.expect("read"), second);
    let old = client.read("stripe", &first).await.expect("kept");
    assert_eq!(old.1, CANARY);
    assert_eq!(
        client.versions("stripe").await.expect("listed"),
        [rotated, first.clone()]
    );

    change(&client, "stripe", &first, "disable")
        .await
        .expect("disabled");
    assert_refused(client.read("stripe", &first).await, "VERSION_DISABLED");
    change(&client, "stripe", &first, "enable")
        .await
        .expect("enabled");
    assert_eq!(
        client.read("stripe", &first).await.expect("again").1,
        CANARY
    );
    change(&client, "stripe", &first, "destroy")
        .await
        .expect("destroyed");
    assert_refused(client.read("stripe", &first).await, "VERSION_DESTROYED");
    assert_eq!(account.fake.rows(TABLE, "SEALED IS NULL"), 1);

    let requests = account.fake.requests();
    let sent = |text: &str| {
        let found = requests
            .iter()
            .filter(|r| r.body.contains(text) || r.path.contains(text));
        found.count()
    };
    assert!(sent("acme-stripe") > 0, "what is sent is looked through");
    for encoding in encodings() {
        assert_eq!(sent(&encoding), 0, "{encoding}");
    }
    assert!(!home.log().contains(CANARY));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_were_swapped_are_found_out() {
    let (home, account) = (Home::new(), Account::start());
    let daemon = account.daemon(&home, SEALED);
    let client = operator(&daemon).await;
    for id in ["one", "two"] {
        let put = put(&client, id, location(id), Some(id)).await;
        put.expect("created");
    }
    let (one, two) = ("SECRET = 'one'", "SECRET = 'two'");
    account.fake.swap(TABLE, &["SEALED"], one, two);
    for id in ["one", "two"] {
        assert_refused(text(&client, id).await, "INTEGRITY_FAILURE");
    }
    account.fake.swap(TABLE, &["SEALED"], one, two);
    assert_eq!(text(&client, "one").await.expect("back in place"), "one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_counts_what_each_key_seals_after_puts_destroys_and_a_restart() {
    let (home, account) = (Home::new(), Account::start());
    let daemon = account.daemon(&home, SEALED);
    let client = operator(&daemon).await;
    assert_eq!(sealed_values(&home, VAULT), []);
    let created = put(&client, "one", location("one"), Some("1")).await;
    let first = created.expect("created").version;
    put(&client, "two", location("two"), Some("2"))
        .await
        .expect("created");
    client
        .rotate("one", "11", Uuid::new_v4())
        .await
        .expect("rotated");
    let [(key, 3)] = sealed_values(&home, VAULT)[..] else {
        panic!("{:?}", sealed_values(&home, VAULT));
    };
    change(&client, "one", &first, "disable")
        .await
        .expect("disabled");
    assert_eq!(sealed_values(&home, VAULT), [(key, 3)]);
    change(&client, "one", &first, "destroy")
        .await
        .expect("destroyed");
    assert_eq!(sealed_values(&home, VAULT), [(key, 2)]);
    drop(client);
    daemon.stop();

    let daemon = account.daemon(&home, SEALED);
    assert_eq!(sealed_values(&home, VAULT), [(key, 2)]);
    let client = operator(&daemon).await;
    client
        .rotate("two", "22", Uuid::new_v4())
        .await
        .expect("rotated");
    assert_eq!(sealed_values(&home, VAULT), [(key, 3)]);
    assert_eq!(text(&client, "one").await.expect("read"), "11");
}
