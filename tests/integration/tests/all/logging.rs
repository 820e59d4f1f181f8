//! What is logged on behalf of a call.

use std::fs;
use std::sync::Arc;

use claviger_integration::{Fault, FaultyBackend, Options, PROJECT, Server, Verb, text_payload};
use claviger_proto::v1;

use crate::support::{defining, denied, secret, storing};

#[tokio::test]
async fn what_a_backend_logs_tells_its_call() {
    let log = tempfile::NamedTempFile::new().unwrap();
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(Arc::new(log.reopen().unwrap()))
        .init();
    let vault = FaultyBackend::shared();
    let mut options = Options::with_faulty(&vault);
    // Another system: calls to it leave the thread that serves.
    options.vaults[0].limits.concurrent_calls = Some(4);
    let (mut server, client) = Server::prepared(options).await;
    let name = secret("logged");
    let mut put = defining(&name);
    put.definition.as_mut().unwrap().location = Some(v1::Location {
        vault: "faulty".to_owned(),
        secret: "acme/logged".to_owned(),
        ..Default::default()
    });
    put.payload = Some(text_payload("old"));
    client.put_definition(put).await.unwrap();

    let logged = |server: &Server, verb: Verb| {
        let last = server.audit_lines().pop().unwrap();
        let call = last["call"].as_str().unwrap().to_owned();
        let log = fs::read_to_string(log.path()).unwrap();
        let span = format!(" call{{id={call}}}: ");
        let asked = format!("asked verb={verb:?}");
        let found = log
            .lines()
            .find(|line| line.contains(&span) && line.ends_with(&asked));
        assert!(found.is_some(), "no {asked:?} of {last} in\n{log}");
    };
    logged(&server, Verb::Write);
    vault.type_in("acme/logged", "typed");
    client.get(&name).await.unwrap();
    logged(&server, Verb::Read);
    let browsing = v1::ListVaultSecretsRequest {
        parent: "vaults/faulty".to_owned(),
        project: PROJECT.to_owned(),
        ..Default::default()
    };
    client.vaults().list_vault_secrets(browsing).await.unwrap();
    logged(&server, Verb::List);
    vault.set(Verb::Write, Fault::LoseAnswer);
    client.put_value(storing(&name, "lost")).await.unwrap_err();
    logged(&server, Verb::Write);

    // Denials are as few as in the audit log.
    let token = client.token(&[(v1::Role::Auditor, PROJECT)]).await;
    let auditor = server.tcp().await.with_token(&token.token);
    for _ in 0..30 {
        denied(auditor.get(&name).await);
    }
    let text = fs::read_to_string(log.path()).unwrap();
    let denials = text.lines().filter(|line| line.contains("ACCESS_DENIED"));
    let denials: Vec<_> = denials.filter(|line| line.contains("token:")).collect();
    assert_eq!(denials.len(), 10, "{denials:#?}");
    assert!(denials.iter().all(|line| line.contains("call denied")));

    // At a start nobody calls: what settles it is told apart all the same.
    server.restart().await;
    let log = fs::read_to_string(log.path()).unwrap();
    let settled = log
        .lines()
        .find(|line| line.contains("asked verb=FindWrite"));
    assert!(settled.unwrap().contains(" call{id="), "{settled:?}");
}
