//! Calls that fail with a value or a token in hand.

use std::time::Duration;

use claviger_core::{Reason, Uid};
use claviger_integration::{
    Fault, PROJECT, Server, Verb, bearing, data_payload, reason, text_payload,
};
use claviger_proto::v1::{
    self, Role,
    secret_definition::{Format, Kind},
};
use tonic::Status;

use crate::every_rpc::{Answer, shown};
use crate::room::Room;

/// A request that registers a definition of this kind.
pub(crate) fn put(name: &str, kind: Kind, payload: v1::Payload) -> v1::PutSecretDefinitionRequest {
    v1::PutSecretDefinitionRequest {
        definition: Some(v1::SecretDefinition {
            name: name.to_owned(),
            kind: kind.into(),
            ..Default::default()
        }),
        payload: Some(payload),
        ..Default::default()
    }
}

pub(crate) fn put_value(name: &str, payload: v1::Payload) -> v1::PutSecretValueRequest {
    v1::PutSecretValueRequest {
        name: name.to_owned(),
        payload: Some(payload),
        ..Default::default()
    }
}

impl Room {
    /// Puts a definition; it must come to `wanted`, a reason or nothing.
    pub(crate) async fn try_put(&mut self, wanted: &str, request: v1::PutSecretDefinitionRequest) {
        let answer = shown(
            self.keeper
                .definitions()
                .put_secret_definition(request)
                .await,
        );
        self.expect("PutSecretDefinition", wanted, answer);
    }

    /// Puts a value; it must come to `wanted`, a reason or nothing.
    pub(crate) async fn try_put_value(&mut self, wanted: &str, request: v1::PutSecretValueRequest) {
        let answer = shown(self.keeper.secrets().put_secret_value(request).await);
        self.expect("PutSecretValue", wanted, answer);
    }

    /// Keeps an answer, which must have come to `wanted`, a reason or nothing.
    pub(crate) fn expect(&mut self, rpc: &str, wanted: &str, answer: Result<Answer, Status>) {
        let got = answer.as_ref().err().map(reason).unwrap_or_default();
        assert_eq!(got, wanted, "{rpc}: {:?}", answer.as_ref().err());
        self.note_answer(&format!("{rpc}, which came to `{wanted}`"), answer);
    }
}

/// `PutSecretDefinition` with a payload that is refused, or taken with a warning.
pub(crate) async fn of_puts(room: &mut Room) {
    let name = room.fresh_name();
    let password = format!(" {} ", room.text("a password in spaces"));
    room.try_put("", put(&name, Kind::Password, text_payload(&password)))
        .await;

    let name = room.fresh_name();
    let wrong_arm = room.text("data for TEXT");
    let request = put(&name, Kind::Opaque, data_payload(wrong_arm.as_bytes()));
    room.try_put("PAYLOAD_FORMAT_MISMATCH", request).await;
    let wrong_arm = room.text("text for BINARY");
    let mut request = put(&name, Kind::Opaque, text_payload(&wrong_arm));
    request.definition.as_mut().expect("set").format = Format::Binary.into();
    room.try_put("PAYLOAD_FORMAT_MISMATCH", request).await;
    let binary = [
        b"\0\xff\x01",
        room.canary("a binary value").as_bytes(),
        b"\0\xfe",
    ]
    .concat();
    room.watch("a binary value, whole", &binary);
    let mut request = put(&name, Kind::Opaque, data_payload(&binary));
    request.definition.as_mut().expect("set").format = Format::Binary.into();
    room.try_put("", request).await;
    let request = v1::GetSecretRequest {
        name,
        ..Default::default()
    };
    let answer = shown(room.keeper.secrets().get_secret(request).await);
    room.expect("GetSecret", "", answer);

    of_puts_in_the_wrong_place(room).await;
    for (wanted, copies) in [
        ("PAYLOAD_TOO_LARGE", 2_100),
        ("REQUEST_TOO_LARGE", 9_000),
        ("REQUEST_TOO_LARGE", 140_000),
    ] {
        let name = room.fresh_name();
        let long = room.canary("a value that is too long").repeat(copies);
        let request = put(&name, Kind::Opaque, text_payload(&long));
        let answer = shown(
            room.keeper
                .definitions()
                .put_secret_definition(request)
                .await,
        );
        assert!(answer.is_err());
        room.expect("a long PutSecretDefinition", wanted, answer);
    }
}

/// Good payloads on definitions that cannot take them.
async fn of_puts_in_the_wrong_place(room: &mut Room) {
    let opaque = |room: &mut Room, name: &str, what: &str| {
        put(name, Kind::Opaque, text_payload(&room.text(what)))
    };
    let name = room.fresh_name();
    let mut request = opaque(room, &name, "a payload with a wrong CRC");
    request.payload.as_mut().expect("set").crc32c = Some(1);
    room.try_put("PAYLOAD_CRC_MISMATCH", request).await;
    let mut request = opaque(room, &name, "a payload that is only checked");
    request.validate_only = true;
    room.try_put("", request).await;
    let mut request = opaque(room, &name, "a payload for a vault that is not there");
    let location = v1::Location {
        vault: "nowhere".to_owned(),
        ..Default::default()
    };
    request.definition.as_mut().expect("set").location = Some(location);
    room.try_put("VAULT_UNKNOWN", request).await;
    let request = opaque(room, "projects/none/secrets/x", "a payload in no project");
    room.try_put("PROJECT_NOT_FOUND", request).await;
    let request = opaque(
        room,
        "projects/acme/secrets/..",
        "a payload under a bad name",
    );
    room.try_put("NAME_INVALID", request).await;
    let request = opaque(room, &name, "a first value");
    room.try_put("", request).await;
    let request = opaque(room, &name, "a payload on what exists");
    room.try_put("PAYLOAD_NOT_ALLOWED", request).await;
    let delete = v1::DeleteSecretDefinitionRequest {
        name: name.clone(),
        ..Default::default()
    };
    let answer = shown(
        room.keeper
            .definitions()
            .delete_secret_definition(delete)
            .await,
    );
    room.expect("DeleteSecretDefinition", "", answer);
    let request = opaque(room, &name, "a payload on what is deleted");
    room.try_put("DEFINITION_DELETED", request).await;
}

/// `PutSecretValue`, refused and repeated.
pub(crate) async fn of_new_values(room: &mut Room) {
    let name = room.fresh_name();
    let value = room.text("a value to replace");
    room.keeper.put(&name, &value).await.expect("registered");

    let value = room.text("a value in no definition");
    let request = put_value("projects/acme/secrets/absent", text_payload(&value));
    room.try_put_value("DEFINITION_NOT_FOUND", request).await;
    let value = room.text("a value in an environment that is not there");
    let mut request = put_value(&name, text_payload(&value));
    request.environment = "prod".to_owned();
    room.try_put_value("ENVIRONMENT_UNKNOWN", request).await;
    let value = room.text("a value of the wrong format");
    let request = put_value(&name, data_payload(value.as_bytes()));
    room.try_put_value("PAYLOAD_FORMAT_MISMATCH", request).await;
    let value = room.text("a value for another version");
    let mut request = put_value(&name, text_payload(&value));
    request.if_version = "99".to_owned();
    room.try_put_value("VERSION_MISMATCH", request).await;

    let value = room.text("a value with a bad request id");
    let mut request = put_value(&name, text_payload(&value));
    request.request_id = "not a UUID".to_owned();
    room.try_put_value("FIELD_INVALID", request).await;
    let value = room.text("a value that is sent twice");
    let mut request = put_value(&name, text_payload(&value));
    request.request_id = Uid::random().to_string();
    room.try_put_value("", request.clone()).await;
    room.try_put_value("", request.clone()).await;
    request.payload = Some(text_payload(
        &room.text("another value under the same request id"),
    ));
    room.try_put_value("REQUEST_ID_REUSED", request).await;
}

/// A vault that fails while it has the value, and callers that leave.
pub(crate) async fn of_vaults(room: &mut Room) {
    let at_faulty = |name: &str, value: &str| {
        let mut request = put(name, Kind::Opaque, text_payload(value));
        let location = v1::Location {
            vault: "faulty".to_owned(),
            ..Default::default()
        };
        request.definition.as_mut().expect("set").location = Some(location);
        request.request_id = Uid::random().to_string();
        request
    };
    for (fault, wanted) in [
        (Fault::Fail(Reason::VaultUnreachable), "VAULT_UNREACHABLE"),
        (Fault::LoseAnswer, "WRITE_OUTCOME_UNKNOWN"),
        (Fault::None, ""),
    ] {
        let name = room.fresh_name();
        let value = room.text(&format!("a value for a vault that does {fault:?}"));
        room.faulty.set(Verb::Write, fault);
        room.try_put(wanted, at_faulty(&name, &value)).await;
        room.faulty
            .set(Verb::Read, Fault::Fail(Reason::VaultUnreachable));
        let request = v1::GetSecretRequest {
            name,
            ..Default::default()
        };
        let answer = shown(room.keeper.secrets().get_secret(request).await);
        assert!(answer.is_err(), "the vault does not answer");
        room.note_answer("GetSecret from a faulty vault", answer);
        room.faulty.heal();
    }

    let name = room.fresh_name();
    let value = room.text("a value of a caller that leaves");
    room.faulty.set(Verb::Write, Fault::Hang);
    let writes = room.faulty.count(Verb::Write);
    let (client, request) = (room.keeper.clone(), at_faulty(&name, &value));
    let call = tokio::runtime::Handle::current()
        .spawn(async move { client.put_definition(request).await.is_ok() });
    room.faulty.entered(Verb::Write, writes + 1).await;
    call.abort();
    assert!(call.await.is_err(), "it was cut off");
    room.faulty.heal();
}

/// Tokens that are none, no longer or only elsewhere, and headers that are none.
pub(crate) async fn of_credentials(room: &mut Room) {
    let other = Server::start(claviger_integration::Options::default()).await;
    let foreign = other.unix().token(&[(Role::Admin, "*")]).await.token;
    let revoked = room.keeper.token(&[(Role::Runner, PROJECT)]).await;
    let request = v1::RevokeTokenRequest {
        name: revoked.info.expect("described").name,
        cascade: false,
    };
    let answer = shown(room.keeper.access().revoke_token(request).await);
    room.expect("RevokeToken", "", answer);
    let expired = room.keeper.token(&[(Role::Runner, PROJECT)]).await.token;
    room.server
        .clock
        .advance(Duration::from_secs(2 * 24 * 60 * 60));

    let cut = &foreign[..foreign.len() - 1];
    let headers = [
        ("TOKEN_INVALID", format!("Bearer {foreign}")),
        ("TOKEN_INVALID", format!("Bearer {cut}")),
        ("TOKEN_REVOKED", format!("Bearer {}", revoked.token)),
        ("TOKEN_EXPIRED", format!("Bearer {expired}")),
        (
            "TOKEN_INVALID",
            format!("Basic {}", room.canary("a password")),
        ),
        ("TOKEN_INVALID", room.canary("a bare word")),
        (
            "TOKEN_INVALID",
            format!("Bearer clv_{}", room.canary("what is no token")),
        ),
    ];
    for token in [cut, &revoked.token, &expired] {
        room.watch("a token that does not hold", token.as_bytes());
    }
    for (wanted, header) in headers {
        let request = bearing(&header, v1::WhoAmIRequest {});
        let answer = shown(room.nobody.access().who_am_i(request).await);
        room.expect("WhoAmI", wanted, answer);
    }
}
