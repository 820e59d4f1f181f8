//! Values go in and come out byte for byte, and their versions live and die as told.

use claviger_integration::{Client, Options, Server, data_payload, text_payload};
use claviger_proto::v1;
use claviger_proto::v1::get_secret_response::Value;
use claviger_proto::v1::secret_definition::{Format, Kind};
use claviger_proto::v1::secret_version::State;
use tonic::{Code, Status};

use crate::support::{defining, fails, reading, secret, storing, versions};

#[tokio::test]
async fn a_text_value_comes_back_exactly_with_its_crc() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----\n";
    let longest = "x".repeat(64 * 1024);
    let texts = [
        "abcd1234",
        "ünïcödé 鍵 🔑",
        "\"quoted\" \\ 'single'",
        "line\nline\r\n\ttab",
        " leading and trailing ",
        "nul\0inside",
        pem,
        &longest,
    ];
    for (index, text) in texts.into_iter().enumerate() {
        let name = secret(&format!("text-{index}"));
        let crc32c = crc32c::crc32c(text.as_bytes());
        let put = v1::PutSecretDefinitionRequest {
            payload: Some(v1::Payload {
                crc32c: Some(crc32c),
                ..text_payload(text)
            }),
            ..defining(&name)
        };
        let put = client.put_definition(put).await.unwrap();
        assert!(put.warnings.is_empty());

        let got = client.get(&name).await.unwrap();
        assert!(
            got.value == Some(Value::Text(text.to_owned())),
            "text {index} changed"
        );
        assert_eq!(got.crc32c, crc32c);
        assert_eq!((got.version, got.vault.as_str()), (put.version, "managed"));
        assert_eq!(got.environment, "");
        let freshness = got.freshness.unwrap();
        assert_eq!(freshness.served_from(), v1::freshness::Source::Vault);
    }
}

#[tokio::test]
async fn a_binary_value_comes_back_exactly_with_its_crc() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let values: [&[u8]; 4] = [&every_byte, &[0], &[0xFF, 0xFE], b"text\0after NUL"];
    for (index, data) in values.into_iter().enumerate() {
        let name = secret(&format!("binary-{index}"));
        let mut put = defining(&name);
        put.definition.as_mut().unwrap().format = Format::Binary.into();
        put.payload = Some(data_payload(data));
        client.put_definition(put).await.unwrap();

        let got = client.get(&name).await.unwrap();
        assert_eq!(got.crc32c, crc32c::crc32c(data));
        assert!(
            got.value == Some(Value::Data(data.to_vec())),
            "value {index} changed"
        );
    }
}

#[tokio::test]
async fn white_space_around_a_stripe_key_is_trimmed_with_a_warning() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = secret("stripe");
    let put = of_kind(
        &client,
        &name,
        Kind::StripeApiKey,
        " rk_test_0123456789abcdefghijklmnabc\r\n",
    )
    .await;
    assert_eq!(warning_reasons(&put.warnings), ["VALUE_TRIMMED"]);
    assert_eq!(put.warnings[0].field, "payload");
    assert_eq!(
        client.text(&name).await,
        "rk_test_0123456789abcdefghijklmnabc"
    );

    let rotated = client
        .rotate(&name, "\trk_test_0123456789abcdefghijklmnnext ")
        .await
        .unwrap();
    assert_eq!(warning_reasons(&rotated.warnings), ["VALUE_TRIMMED"]);
    assert_eq!(
        client.text(&name).await,
        "rk_test_0123456789abcdefghijklmnnext"
    );

    let clean = client
        .rotate(&name, "rk_test_0123456789abcdefghijklmnclean")
        .await
        .unwrap();
    assert_eq!(clean.warnings, []);
}

#[tokio::test]
async fn white_space_around_a_password_is_kept_with_a_warning() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = secret("password");
    let put = of_kind(&client, &name, Kind::Password, " hunter2 ").await;
    assert_eq!(
        warning_reasons(&put.warnings),
        ["VALUE_HAS_SURROUNDING_SPACE"]
    );
    assert_eq!(client.text(&name).await, " hunter2 ");
    let clean = client.rotate(&name, "hunter 2").await.unwrap();
    assert_eq!(clean.warnings, []);
}

#[tokio::test]
async fn a_definition_without_a_value_says_how_to_store_one() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = secret("empty");
    client.put_definition(defining(&name)).await.unwrap();
    let status = fails(client.get(&name).await, Code::NotFound, "SECRET_NOT_FOUND");
    assert!(status.message().contains("PutSecretValue"), "{status:?}");
    assert_eq!(versions(&client, &name).await, []);
}

#[tokio::test]
async fn versions_are_listed_newest_first_in_pages_with_one_current() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = secret("rotated");
    let mut written = vec![client.put(&name, "0").await.unwrap().version];
    for text in ["1", "2", "3", "4"] {
        written.push(client.rotate(&name, text).await.unwrap().version);
    }
    written.reverse();

    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListSecretVersionsRequest {
            parent: name.clone(),
            page_size: 2,
            page_token,
            ..Default::default()
        };
        let reply = client.secrets().list_secret_versions(request).await;
        let reply = reply.unwrap().into_inner();
        assert!(reply.versions.len() <= 2);
        listed.extend(reply.versions);
        page_token = reply.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let ids: Vec<_> = listed.iter().map(|v| v.version.clone()).collect();
    assert_eq!(ids, written);
    let current: Vec<_> = listed.iter().filter(|v| v.current).collect();
    assert_eq!(current.len(), 1);
    assert_eq!(current[0].version, written[0]);
    for version in &listed {
        assert_eq!(version.name, format!("{name}/versions/{}", version.version));
        assert_eq!(version.state(), State::Enabled);
        assert!(version.create_time.is_some());
    }
}

#[tokio::test]
async fn an_old_version_is_read_by_its_id() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = secret("pinned");
    let first = client.put(&name, "first").await.unwrap().version;
    client.rotate(&name, "second").await.unwrap();

    let old = v1::GetSecretRequest {
        version: first.clone(),
        ..reading(&name)
    };
    let old = client.get_secret(old).await.unwrap();
    assert_eq!(old.version, first);
    assert!(old.value == Some(Value::Text("first".to_owned())));
    assert_eq!(client.text(&name).await, "second");

    for unknown in ["99", "not-a-number", "0", "01"] {
        let unknown = v1::GetSecretRequest {
            version: unknown.to_owned(),
            ..reading(&name)
        };
        fails(
            client.get_secret(unknown).await,
            Code::NotFound,
            "VERSION_NOT_FOUND",
        );
    }
}

#[tokio::test]
async fn a_disabled_version_is_refused_until_it_is_enabled() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = secret("switched");
    let version = client.put(&name, "value").await.unwrap().version;
    let version = format!("{name}/versions/{version}");

    for _ in 0..2 {
        let disabled = change(&client, &version, State::Disabled).await.unwrap();
        assert_eq!(disabled.state(), State::Disabled);
        let status = fails(
            client.get(&name).await,
            Code::FailedPrecondition,
            "VERSION_DISABLED",
        );
        assert!(status.message().contains("EnableSecretVersion"));
    }
    change(&client, &version, State::Enabled).await.unwrap();
    assert_eq!(client.text(&name).await, "value");
}

#[tokio::test]
async fn a_destroyed_version_is_gone_for_good() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = secret("destroyed");
    let version = client.put(&name, "value").await.unwrap().version;
    let version = format!("{name}/versions/{version}");

    for _ in 0..2 {
        let destroyed = change(&client, &version, State::Destroyed).await.unwrap();
        assert_eq!(destroyed.state(), State::Destroyed);
    }
    for result in [
        client.get(&name).await.map(drop),
        change(&client, &version, State::Enabled).await.map(drop),
        change(&client, &version, State::Disabled).await.map(drop),
    ] {
        fails(result, Code::FailedPrecondition, "VERSION_DESTROYED");
    }
    assert_eq!(versions(&client, &name).await[0].state(), State::Destroyed);

    client.put_value(storing(&name, "next")).await.unwrap();
    assert_eq!(client.text(&name).await, "next");
}

#[tokio::test]
async fn a_version_that_never_was_cannot_be_changed() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = secret("short");
    client.put(&name, "value").await.unwrap();
    let version = format!("{name}/versions/2");
    for state in [State::Disabled, State::Enabled, State::Destroyed] {
        fails(
            change(&client, &version, state).await,
            Code::NotFound,
            "VERSION_NOT_FOUND",
        );
    }
}

async fn of_kind(
    client: &Client,
    name: &str,
    kind: Kind,
    text: &str,
) -> v1::PutSecretDefinitionResponse {
    let mut put = defining(name);
    put.definition.as_mut().unwrap().kind = kind.into();
    put.payload = Some(text_payload(text));
    client.put_definition(put).await.unwrap()
}

fn warning_reasons(warnings: &[v1::Warning]) -> Vec<&str> {
    warnings.iter().map(|w| w.reason.as_str()).collect()
}

async fn change(client: &Client, name: &str, state: State) -> Result<v1::SecretVersion, Status> {
    let (name, environment) = (name.to_owned(), String::new());
    let mut secrets = client.secrets();
    let reply = match state {
        State::Destroyed => {
            let request = v1::DestroySecretVersionRequest { name, environment };
            secrets.destroy_secret_version(request).await
        }
        State::Disabled => {
            let request = v1::DisableSecretVersionRequest { name, environment };
            secrets.disable_secret_version(request).await
        }
        State::Enabled => {
            let request = v1::EnableSecretVersionRequest { name, environment };
            secrets.enable_secret_version(request).await
        }
        State::Unspecified => panic!("not a change"),
    };
    reply.map(tonic::Response::into_inner)
}
