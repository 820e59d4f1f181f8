//! The write protocol: whatever the vault does, a write is done once, or not at all, and nobody
//! sees it half done.

use std::sync::Arc;
use std::time::Duration;

use claviger_core::Reason;
use claviger_integration::{
    Client, Fault, FaultyBackend, Options, PROJECT, Server, Verb, text_payload,
};
use claviger_proto::v1;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{
    defining, delete, fails, grants_of, in_faulty, in_progress, located, request_id, secret,
    storing, take_back, versions,
};

/// Older than this, a pending write is settled.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Nothing reached the vault, but the broker cannot know.
const LOST_BEFORE: Fault = Fault::Fail(Reason::WriteOutcomeUnknown);

/// A server with the vault `faulty`.
async fn faulty() -> (Server, Client, Arc<FaultyBackend>) {
    let vault = FaultyBackend::new();
    let (server, client) = Server::prepared(Options::with_faulty(&vault)).await;
    (server, client, vault)
}

/// A put of a definition in the vault `faulty`, with its first value.
fn registering(name: &str, text: &str) -> v1::PutSecretDefinitionRequest {
    v1::PutSecretDefinitionRequest {
        payload: Some(text_payload(text)),
        request_id: request_id(),
        ..located(name, in_faulty(""))
    }
}

/// The name of a definition in the vault `faulty` whose value is `old`.
async fn registered(client: &Client, id: &str) -> String {
    let name = secret(id);
    let put = client.put_definition(registering(&name, "old")).await;
    put.unwrap();
    name
}

fn rotating(name: &str, text: &str) -> v1::PutSecretValueRequest {
    v1::PutSecretValueRequest {
        request_id: request_id(),
        ..storing(name, text)
    }
}

#[track_caller]
fn unknown<T: std::fmt::Debug>(result: Result<T, Status>) {
    let status = fails(result, Code::Unknown, "WRITE_OUTCOME_UNKNOWN");
    assert!(status.message().contains("same request_id"), "{status:?}");
}

#[tokio::test]
async fn the_faulty_vault_keeps_the_contract_that_every_vault_keeps() {
    let vault: Arc<FaultyBackend> = FaultyBackend::new();
    claviger_backend::testkit::conformance(vault, None).await;
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_done_once_when_it_is_repeated() {
    let (server, client, vault) = faulty().await;
    let name = registered(&client, "lost").await;
    let put = rotating(&name, "new");

    vault.set(Verb::Write, Fault::LoseAnswer);
    unknown(client.put_value(put.clone()).await);
    assert_eq!(vault.versions_held(), 2, "the vault has taken it");
    vault.heal();
    // Not confirmed, so not served.
    assert_eq!(client.text(&name).await, "old");
    let early = client.put_value(put.clone()).await;
    let retry = early
        .as_ref()
        .map_err(|e| e.get_error_details().retry_info().cloned());
    assert_eq!(retry.unwrap_err().unwrap().retry_delay, Some(TIMEOUT));
    in_progress(early);

    server.clock.advance(TIMEOUT);
    let repeated = client.put_value(put.clone()).await.unwrap();
    assert_eq!(client.text(&name).await, "new");
    assert_eq!(client.get(&name).await.unwrap().version, repeated.version);
    assert_eq!(client.put_value(put).await.unwrap(), repeated);
    assert_eq!(vault.versions_held(), 2);
}

#[tokio::test]
async fn the_next_writer_settles_a_lost_write_before_its_own() {
    let (server, client, vault) = faulty().await;
    let name = secret("lost");
    let first = client
        .put_definition(registering(&name, "one"))
        .await
        .unwrap();
    vault.set(Verb::Write, Fault::LoseAnswer);
    unknown(client.rotate(&name, "two").await);
    vault.heal();
    server.clock.advance(TIMEOUT);

    // The lost write counts: a caller that knows only the version before it is told.
    let stale = v1::PutSecretValueRequest {
        if_version: first.version,
        ..storing(&name, "three")
    };
    fails(
        client.put_value(stale).await,
        Code::Aborted,
        "VERSION_MISMATCH",
    );
    assert_eq!(client.text(&name).await, "two");
    client.rotate(&name, "three").await.unwrap();
    assert_eq!(client.text(&name).await, "three");
    assert_eq!(vault.versions_held(), 3);
}

#[tokio::test]
async fn a_write_that_never_reached_the_vault_is_cleared_and_can_be_repeated() {
    let (server, client, vault) = faulty().await;
    let name = registered(&client, "absent").await;
    let put = rotating(&name, "new");
    vault.set(Verb::Write, LOST_BEFORE);
    unknown(client.put_value(put.clone()).await);
    vault.heal();
    in_progress(client.rotate(&name, "other").await);
    assert_eq!(vault.versions_held(), 1);

    server.clock.advance(TIMEOUT);
    let done = client.put_value(put.clone()).await.unwrap();
    assert_eq!(client.text(&name).await, "new");
    assert_eq!(client.put_value(put).await.unwrap(), done);
    assert_eq!(vault.versions_held(), 2);
}

#[tokio::test]
async fn a_write_that_failed_before_storing_is_out_of_the_way_at_once() {
    let (_server, client, vault) = faulty().await;
    let name = registered(&client, "failed").await;
    let put = rotating(&name, "new");
    vault.set(Verb::Write, Fault::Fail(Reason::VaultUnreachable));
    for _ in 0..2 {
        let failed = client.put_value(put.clone()).await;
        let status = fails(failed, Code::Unavailable, "VAULT_UNREACHABLE");
        assert!(status.message().contains("faulty"), "{status:?}");
    }
    assert_eq!(client.text(&name).await, "old");
    vault.heal();
    client
        .rotate(&name, "other")
        .await
        .expect("nothing pending");
    client.put_value(put).await.expect("nothing was answered");
    assert_eq!(client.text(&name).await, "new");
    assert_eq!(vault.versions_held(), 3);
}

#[tokio::test]
async fn a_registration_that_failed_leaves_no_definition() {
    let (_server, client, vault) = faulty().await;
    let name = secret("failed");
    let put = registering(&name, "value");
    vault.set(Verb::Write, Fault::Fail(Reason::VaultUnreachable));
    let failed = client.put_definition(put.clone()).await;
    fails(failed, Code::Unavailable, "VAULT_UNREACHABLE");
    fails(
        client.definition(&name).await,
        Code::NotFound,
        "DEFINITION_NOT_FOUND",
    );
    vault.heal();
    client.put_definition(put).await.unwrap();
    assert_eq!(client.text(&name).await, "value");
}

#[tokio::test]
async fn a_second_writer_is_told_while_a_write_is_under_way() {
    let (_server, client, vault) = faulty().await;
    let name = registered(&client, "busy").await;
    vault.set(Verb::Write, Fault::Hang);
    let put = rotating(&name, "new");
    let first = async { client.put_value(put.clone()).await };
    let others = async {
        vault.entered(Verb::Write, 2).await;
        in_progress(client.rotate(&name, "other").await);
        in_progress(client.put_value(put.clone()).await);
        in_progress(delete(&client, &name, true).await);
        assert_eq!(client.text(&name).await, "old");
        vault.heal();
    };
    let (first, ()) = tokio::join!(first, others);
    let first = first.unwrap();
    assert_eq!(client.put_value(put).await.unwrap(), first);
    assert_eq!(client.text(&name).await, "new");
    assert_eq!(vault.versions_held(), 2);
}

#[tokio::test]
async fn a_vault_that_hangs_is_left_with_an_unknown_outcome() {
    let vault = FaultyBackend::new();
    let mut options = Options::with_faulty(&vault);
    options.vaults[0].limits.timeout = Duration::from_millis(20);
    let (server, client) = Server::prepared(options).await;
    let name = registered(&client, "hanging").await;

    vault.set(Verb::Write, Fault::Hang);
    unknown(client.rotate(&name, "new").await);
    vault.set(Verb::Read, Fault::Hang);
    fails(
        client.get(&name).await,
        Code::Unavailable,
        "VAULT_UNREACHABLE",
    );
    vault.heal();
    server.clock.advance(Duration::from_secs(1));
    client.rotate(&name, "newer").await.unwrap();
    assert_eq!(client.text(&name).await, "newer");
    assert_eq!(vault.versions_held(), 2);
}

#[tokio::test]
async fn a_pending_write_waits_until_its_vault_can_be_asked() {
    let (mut server, client, vault) = faulty().await;
    let name = registered(&client, "unasked").await;
    vault.set(Verb::Write, Fault::LoseAnswer);
    vault.set(Verb::FindWrite, Fault::Fail(Reason::VaultUnreachable));
    let put = rotating(&name, "new");
    unknown(client.put_value(put.clone()).await);
    server.restart().await;
    let client = server.unix();
    server.clock.advance(TIMEOUT);
    for _ in 0..2 {
        let asked = client.put_value(put.clone()).await;
        fails(asked, Code::Unavailable, "VAULT_UNREACHABLE");
        assert_eq!(client.text(&name).await, "old");
    }
    vault.heal();
    client.put_value(put).await.unwrap();
    assert_eq!(client.text(&name).await, "new");
    assert_eq!(vault.versions_held(), 2);
}

#[tokio::test]
async fn a_restart_finishes_a_registration_that_the_vault_has_taken() {
    let (mut server, client, vault) = faulty().await;
    let name = secret("taken");
    let put = registering(&name, "value");
    vault.set(Verb::Write, Fault::LoseAnswer);
    unknown(client.put_definition(put.clone()).await);
    invisible(&client, &name).await;
    vault.heal();

    server.restart().await;
    let client = server.unix();
    assert_eq!(client.text(&name).await, "value");
    let definition = client.definition(&name).await.unwrap();
    let repeated = client.put_definition(put).await.unwrap();
    assert_eq!(repeated.definition.unwrap(), definition);
    assert_eq!(repeated.version, versions(&client, &name).await[0].version);
    assert_eq!(vault.versions_held(), 1);
}

#[tokio::test]
async fn a_restart_removes_a_registration_that_never_reached_the_vault() {
    let (mut server, client, vault) = faulty().await;
    let name = secret("never");
    let put = registering(&name, "value");
    vault.set(Verb::Write, LOST_BEFORE);
    unknown(client.put_definition(put.clone()).await);
    invisible(&client, &name).await;
    vault.heal();

    server.restart().await;
    let client = server.unix();
    invisible(&client, &name).await;
    // The name is free, for the same request and for others.
    let mut other = put.clone();
    other.request_id = request_id();
    other.payload = Some(text_payload("other"));
    client.put_definition(other).await.expect("free");
    assert_eq!(client.text(&name).await, "other");
    delete(&client, &name, true).await.unwrap();
    client.put_definition(put).await.expect("not answered yet");
    assert_eq!(client.text(&name).await, "value");
}

#[tokio::test]
async fn a_restart_settles_a_rotation() {
    for (fault, wanted) in [(Fault::LoseAnswer, "new"), (LOST_BEFORE, "old")] {
        let (mut server, client, vault) = faulty().await;
        let name = registered(&client, "rotated").await;
        let put = rotating(&name, "new");
        vault.set(Verb::Write, fault);
        unknown(client.put_value(put.clone()).await);
        vault.heal();
        server.restart().await;
        let client = server.unix();
        assert_eq!(client.text(&name).await, wanted, "{fault:?}");
        client.put_value(put).await.expect("no time has passed");
        assert_eq!(client.text(&name).await, "new", "{fault:?}");
        assert_eq!(vault.versions_held(), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_leaves_a_finished_write() {
    let (server, client, vault) = faulty().await;
    let name = registered(&client, "left").await;
    vault.set(Verb::Write, Fault::Hang);
    let put = rotating(&name, "new");
    {
        let mut call = Box::pin(client.put_value(put.clone()));
        tokio::select! {
            result = &mut call => panic!("answered while the vault hangs: {result:?}"),
            () = vault.entered(Verb::Write, 2) => {}
        }
    }
    vault.heal();
    server.changes_ended().await;

    assert_eq!(client.text(&name).await, "new");
    let answer = client.put_value(put).await.expect("no time has passed");
    assert_eq!(answer.version, client.get(&name).await.unwrap().version);
    client.rotate(&name, "next").await.expect("nothing pending");
    let lines = server.audit_lines();
    let outcomes = lines.iter().filter(|line| {
        line["phase"] == "OUTCOME" && line["rpc"] == "claviger.v1.SecretService/PutSecretValue"
    });
    assert_eq!(
        outcomes.count(),
        2,
        "the caller that left has an outcome too"
    );
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_even_after_a_restart() {
    let (mut server, client, _vault) = faulty().await;
    let name = secret("stripe");
    let mut register = defining(&name);
    register.definition.as_mut().unwrap().kind = v1::secret_definition::Kind::StripeApiKey.into();
    register.payload = Some(text_payload(" rk_test_0123456789abcdefghijklmnone "));
    register.request_id = request_id();
    let registered = client.put_definition(register.clone()).await.unwrap();
    assert_eq!(registered.warnings.len(), 1);
    let rotate = rotating(&name, " rk_test_0123456789abcdefghijklmntwo ");
    let rotated = client.put_value(rotate.clone()).await.unwrap();
    assert_eq!(rotated.warnings.len(), 1);
    let empty = v1::PutSecretDefinitionRequest {
        request_id: request_id(),
        ..defining(&secret("empty"))
    };
    let made = client.put_definition(empty.clone()).await.unwrap();
    client
        .rotate(&name, "rk_test_0123456789abcdefghijklmnthree")
        .await
        .unwrap();

    for _ in 0..2 {
        let client = server.unix();
        let again = client.put_definition(register.clone()).await.unwrap();
        assert_eq!(again, registered);
        assert_eq!(client.put_value(rotate.clone()).await.unwrap(), rotated);
        assert_eq!(client.put_definition(empty.clone()).await.unwrap(), made);
        assert_eq!(
            client.text(&name).await,
            "rk_test_0123456789abcdefghijklmnthree"
        );
        assert_eq!(versions(&client, &name).await.len(), 3);
        server.restart().await;
    }
}

#[tokio::test]
async fn a_request_id_is_fresh_after_a_day() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = secret("daily");
    client.put(&name, "zero").await.unwrap();
    let put = rotating(&name, "one");
    let first = client.put_value(put.clone()).await.unwrap();
    let day = Duration::from_secs(24 * 60 * 60);
    server.clock.advance(day - Duration::from_secs(1));
    assert_eq!(client.put_value(put.clone()).await.unwrap(), first);
    server.clock.advance(Duration::from_secs(1));
    let next = client.put_value(put).await.unwrap();
    assert_ne!(next.version, first.version);
    assert_eq!(versions(&client, &name).await.len(), 3);
}

#[tokio::test]
async fn a_request_id_belongs_to_its_caller_and_its_rpc() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = secret("shared-id");
    client.put(&name, "zero").await.unwrap();
    let put = rotating(&name, "one");
    let first = client.put_value(put.clone()).await.unwrap();
    let token = client.token(&[(v1::Role::Operator, PROJECT)]).await;
    let other = server.tcp().await.with_token(&token.token);
    let of_other = other.put_value(put.clone()).await.unwrap();
    assert_ne!(of_other.version, first.version);
    let define = v1::PutSecretDefinitionRequest {
        request_id: put.request_id,
        ..defining(&secret("other"))
    };
    client.put_definition(define).await.expect("another RPC");
}

#[tokio::test]
async fn a_repeat_is_authorised_before_it_is_answered() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = secret("revoked");
    client.put(&name, "zero").await.unwrap();
    let token = client.token(&[(v1::Role::Operator, PROJECT)]).await;
    let operator = server.tcp().await.with_token(&token.token);
    let put = rotating(&name, "one");
    operator.put_value(put.clone()).await.unwrap();
    let principal = token.info.unwrap().principal;
    for grant in grants_of(&client, &principal).await {
        take_back(&client, &grant).await.unwrap();
    }
    let repeat = operator.put_value(put).await;
    fails(repeat, Code::PermissionDenied, "ACCESS_DENIED");
}

/// A definition whose first write is not finished is nowhere to be seen.
async fn invisible(client: &Client, name: &str) {
    fails(
        client.definition(name).await,
        Code::NotFound,
        "DEFINITION_NOT_FOUND",
    );
    fails(
        client.get(name).await,
        Code::NotFound,
        "DEFINITION_NOT_FOUND",
    );
    let request = v1::ListSecretDefinitionsRequest {
        parent: PROJECT.to_owned(),
        show_deleted: true,
        ..Default::default()
    };
    let listed = client.definitions().list_secret_definitions(request).await;
    assert_eq!(listed.unwrap().into_inner().definitions, []);
}
