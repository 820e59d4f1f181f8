//! Bad input besides names: one clear error that names the field and the remedy, and nothing
//! changes.

use claviger_integration::{PROJECT, data_payload, text_payload};
use claviger_proto::v1;
use claviger_proto::v1::secret_definition::Kind;
use tonic::Code;

use crate::refusals::{Ask, case, refused, snapshot, world};
use crate::support::{defining, fails, reading, request_id, secret, storing};

const FIELD_INVALID: (Code, &str) = (Code::InvalidArgument, "FIELD_INVALID");

#[tokio::test]
async fn a_bad_payload_is_refused_at_registration_and_at_rotation() {
    let (_server, client) = world().await;
    let large = text_payload(&"x".repeat(65_537));
    let mut corrupt = text_payload("x");
    corrupt.crc32c = Some(crc32c::crc32c(b"x") ^ 1);
    let data = data_payload(b"abcd1234");
    let mut cases = Vec::new();
    for (payload, why, field, remedy) in [
        (
            text_payload(""),
            "PAYLOAD_EMPTY",
            "payload.text",
            "send the value",
        ),
        (
            v1::Payload::default(),
            "PAYLOAD_EMPTY",
            "payload",
            "neither text nor data",
        ),
        (large, "PAYLOAD_TOO_LARGE", "payload.text", "65536 bytes"),
        (
            corrupt,
            "PAYLOAD_CRC_MISMATCH",
            "payload.crc32c",
            "send it again",
        ),
        (
            data,
            "PAYLOAD_FORMAT_MISMATCH",
            "payload.text",
            "use text instead of data",
        ),
    ] {
        let invalid = (Code::InvalidArgument, why);
        let payload = Some(payload);
        let rotate = Ask::store(&secret("plain"), |put| put.payload = payload.clone());
        let register = Ask::define(&secret("new"), |put, _| put.payload = payload);
        cases.push(case(why, register, invalid, field, remedy));
        cases.push(case(why, rotate, invalid, field, remedy));
    }
    let missing = Ask::store(&secret("plain"), |put| put.payload = None);
    cases.push(case(
        "none",
        missing,
        FIELD_INVALID,
        "payload",
        "is missing",
    ));
    let text = Ask::store(&secret("bytes"), |_| ());
    let mismatch = (Code::InvalidArgument, "PAYLOAD_FORMAT_MISMATCH");
    cases.push(case(
        "text on BINARY",
        text,
        mismatch,
        "payload.data",
        "use data",
    ));
    refused(&client, cases).await;
}

#[tokio::test]
async fn a_value_that_is_no_stripe_api_key_is_refused_with_the_remedy() {
    let (_server, client) = world().await;
    let create = "Developers → API keys → Create restricted key";
    let mut cases = Vec::new();
    for (value, why, remedy) in [
        ("pk_test_canary", "VALUE_WRONG_KIND", create),
        (
            " pk_live_canary\n",
            "VALUE_WRONG_KIND",
            "publishable key (pk_)",
        ),
        (
            "whsec_canary",
            "VALUE_WRONG_KIND",
            "webhook signing secret (whsec_)",
        ),
        (
            "rk_test_can ary",
            "VALUE_MALFORMED",
            "Developers → API keys",
        ),
        ("rk_test_can\nary", "VALUE_MALFORMED", "white space"),
        (" \n", "PAYLOAD_EMPTY", "only white space"),
    ] {
        let invalid = (Code::InvalidArgument, why);
        let payload = Some(text_payload(value));
        let rotate = Ask::store(&secret("stripe"), |put| put.payload = payload.clone());
        let register = Ask::define(&secret("new"), |put, definition| {
            definition.kind = Kind::StripeApiKey.into();
            put.payload = payload;
        });
        for ask in [register, rotate] {
            assert!(!format!("{:?}", ask.clone().ask(&client).await).contains("ary"));
            cases.push(case(value, ask, invalid, "payload.text", remedy));
        }
    }
    refused(&client, cases).await;
}

#[tokio::test]
async fn a_change_of_something_that_exists_needs_to_say_what_it_changes() {
    let (_server, client) = world().await;
    let plain = secret("plain");
    let described = Ask::define(&plain, |_, definition| {
        definition.description = "changed".to_owned();
    });
    let exists = (Code::AlreadyExists, "DEFINITION_EXISTS");
    let remedy = "pass its etag to replace it, or update_mask";
    let masked = Ask::define(&plain, |put, definition| {
        definition.description = "changed".to_owned();
        put.update_mask = Some(prost_types::FieldMask {
            paths: vec!["uid".to_owned()],
        });
    });
    let with_payload = Ask::define(&plain, |put, _| put.payload = Some(text_payload("x")));
    let not_allowed = (Code::InvalidArgument, "PAYLOAD_NOT_ALLOWED");
    let project = Ask::Project(v1::Project {
        name: PROJECT.to_owned(),
        description: "changed".to_owned(),
        ..Default::default()
    });
    let project_exists = (Code::AlreadyExists, "PROJECT_EXISTS");
    let cases = vec![
        case("definition", described, exists, "definition.etag", remedy),
        case(
            "output field",
            masked,
            FIELD_INVALID,
            "update_mask",
            "use description",
        ),
        case(
            "payload",
            with_payload,
            not_allowed,
            "payload",
            "PutSecretValue",
        ),
        case(
            "project",
            project,
            project_exists,
            "project.etag",
            "pass its etag",
        ),
    ];
    refused(&client, cases).await;
}

#[tokio::test]
async fn a_change_of_a_state_that_is_no_more_is_refused() {
    let (_server, client) = world().await;
    let other = client.definition(&secret("bytes")).await.unwrap().etag;
    let with_etag = |etag: &str| {
        Ask::define(&secret("plain"), |_, definition| {
            definition.description = "changed".to_owned();
            definition.etag = etag.to_owned();
        })
    };
    let (of_other, of_none) = (with_etag(&other), with_etag("nonsense"));
    let delete = Ask::Delete(v1::DeleteSecretDefinitionRequest {
        name: secret("plain"),
        etag: other,
        purge: true,
    });
    let rotate = Ask::store(&secret("plain"), |put| put.if_version = "7".to_owned());
    let project = Ask::Project(v1::Project {
        name: PROJECT.to_owned(),
        description: "changed".to_owned(),
        etag: "nonsense".to_owned(),
        ..Default::default()
    });
    let stale = (Code::Aborted, "ETAG_MISMATCH");
    let stale_version = (Code::Aborted, "VERSION_MISMATCH");
    let cases = vec![
        case(
            "etag of another",
            of_other,
            stale,
            "definition.etag",
            "read it again",
        ),
        case(
            "etag of none",
            of_none,
            stale,
            "definition.etag",
            "read it again",
        ),
        case("delete", delete, stale, "etag", "read it again"),
        case("project", project, stale, "project.etag", "read it again"),
        case(
            "if_version",
            rotate,
            stale_version,
            "if_version",
            "ListSecretVersions",
        ),
    ];
    refused(&client, cases).await;
}

#[tokio::test]
async fn a_put_on_a_soft_deleted_name_says_how_to_get_it_back() {
    let (_server, client) = world().await;
    let deleted = (Code::FailedPrecondition, "DEFINITION_DELETED");
    let remedy = "UndeleteSecretDefinition";
    let define = Ask::define(&secret("gone"), |_, _| ());
    let store = Ask::store(&secret("gone"), |_| ());
    let cases = vec![
        case("definition", define, deleted, "definition.name", remedy),
        case("value", store, deleted, "name", remedy),
    ];
    refused(&client, cases).await;
}

#[tokio::test]
async fn a_field_of_a_definition_or_value_outside_its_rule_is_refused() {
    let (_server, client) = world().await;
    let description = "definition.description";
    let long = Ask::define(&secret("new"), |_, definition| {
        definition.description = "ü".repeat(257);
    });
    let kind = Ask::define(&secret("new"), |_, definition| definition.kind = 99);
    let not_a_uuid = Ask::store(&secret("plain"), |put| put.request_id = "run-7".to_owned());
    let page = Ask::List(v1::ListSecretDefinitionsRequest {
        parent: PROJECT.to_owned(),
        page_size: -1,
        ..Default::default()
    });
    let purpose = Ask::Get(v1::GetSecretRequest {
        purpose: "two words".to_owned(),
        ..reading(&secret("plain"))
    });
    let cases = vec![
        case(
            "257 characters",
            long,
            FIELD_INVALID,
            description,
            "shorten it",
        ),
        case(
            "kind 99",
            kind,
            FIELD_INVALID,
            "definition.kind",
            "see the proto",
        ),
        case(
            "id",
            not_a_uuid,
            FIELD_INVALID,
            "request_id",
            "is not a UUID",
        ),
        case("page size", page, FIELD_INVALID, "page_size", "is negative"),
        case("purpose", purpose, FIELD_INVALID, "purpose", "use 1 to 128"),
    ];
    refused(&client, cases).await;

    let mut longest = defining(&secret("new"));
    longest.definition.as_mut().unwrap().description = "ü".repeat(256);
    client
        .put_definition(longest)
        .await
        .expect("256 are allowed");
}

#[tokio::test]
async fn a_field_of_a_grant_or_token_outside_its_rule_is_refused() {
    let (_server, client) = world().await;
    let token = |seconds| {
        let grant = v1::TokenGrant {
            role: v1::Role::Runner.into(),
            resource: PROJECT.to_owned(),
            ..Default::default()
        };
        Ask::Token(v1::CreateTokenRequest {
            grants: vec![grant],
            ttl: Some(prost_types::Duration { seconds, nanos: 0 }),
            ..Default::default()
        })
    };
    let past = v1::Grant {
        principal: "unix:7".to_owned(),
        role: v1::Role::Runner.into(),
        resource: PROJECT.to_owned(),
        expire_time: Some(prost_types::Timestamp {
            seconds: 1,
            nanos: 0,
        }),
        ..Default::default()
    };
    let nobody = Ask::Grant(v1::Grant {
        principal: "alice".to_owned(),
        expire_time: None,
        ..past.clone()
    });
    let past = Ask::Grant(past);
    let too_long = token(366 * 24 * 60 * 60);
    let cases = vec![
        case("ttl 0", token(0), FIELD_INVALID, "ttl", "use 60s"),
        case(
            "ttl of 366 days",
            too_long,
            FIELD_INVALID,
            "ttl",
            "365 days",
        ),
        case(
            "ended",
            past,
            FIELD_INVALID,
            "grant.expire_time",
            "in the past",
        ),
        case(
            "principal",
            nobody,
            FIELD_INVALID,
            "grant.principal",
            "unix:<uid>",
        ),
    ];
    refused(&client, cases).await;
}

#[tokio::test]
async fn a_request_id_that_comes_with_other_content_is_refused() {
    let (_server, client) = world().await;
    let request_id = request_id();
    let stored = v1::PutSecretValueRequest {
        request_id: request_id.clone(),
        ..storing(&secret("plain"), "one")
    };
    client.put_value(stored.clone()).await.unwrap();
    let defined = v1::PutSecretDefinitionRequest {
        request_id: request_id.clone(),
        ..defining(&secret("first"))
    };
    client.put_definition(defined).await.unwrap();

    let reused = (Code::InvalidArgument, "REQUEST_ID_REUSED");
    let with_id = |edit: fn(&mut v1::PutSecretValueRequest)| {
        let mut put = stored.clone();
        edit(&mut put);
        Ask::Store(put)
    };
    let other_kind = Ask::define(&secret("first"), |put, definition| {
        put.request_id = request_id.clone();
        definition.kind = Kind::Password.into();
    });
    let cases = [
        (
            "value",
            with_id(|put| put.payload = Some(text_payload("two"))),
        ),
        ("if_version", with_id(|put| put.if_version = "1".to_owned())),
        ("name", with_id(|put| put.name = secret("stripe"))),
        ("kind", other_kind),
    ];
    let cases = cases.map(|(what, ask)| case(what, ask, reused, "request_id", "fresh UUID"));
    refused(&client, cases.into()).await;
}

#[tokio::test]
async fn a_request_over_the_limit_gets_our_error_and_not_the_decoder_s() {
    let (_server, client) = world().await;
    let before = snapshot(&client).await;
    let mut large = defining(&secret("new"));
    large.definition.as_mut().unwrap().description = "x".repeat(300 * 1024);
    let value = storing(&secret("plain"), &"x".repeat(300 * 1024));
    for result in [
        client.put_definition(large).await.map(drop),
        client.put_value(value).await.map(drop),
    ] {
        let status = fails(result, Code::InvalidArgument, "REQUEST_TOO_LARGE");
        assert!(status.message().contains("262144 bytes"), "{status:?}");
    }
    assert_eq!(snapshot(&client).await, before);
}
