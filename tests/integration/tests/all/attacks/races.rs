//! Two callers at once where one takes away a thing that the other needs: an acknowledgement holds.

use std::time::Duration;

use claviger_integration::{Client, Options, PROJECT, Server, reason, volume};
use claviger_proto::v1;
use claviger_proto::v1::Role;
use tonic::{Code, Status};

use super::holder;
use crate::support::{
    creating, defining, delete, fails, replacing, request_id, secret, storing, undelete, versions,
};

/// How often each pair of calls meets.
#[expect(
    clippy::print_stdout,
    reason = "how much a run tried is for its reader"
)]
fn rounds() -> usize {
    let rounds = 50 * volume();
    println!("{rounds} rounds");
    rounds
}

/// Two callers over connections of their own, which two threads serve.
async fn two_callers() -> (Server, Client, Client) {
    let (server, client) = Server::prepared(Options::default()).await;
    let other = holder(&server, &client, Role::Operator, "*").await;
    (server, client, other)
}

/// Runs two calls: at the same moment, or one just when the other's intent is in the log.
async fn met<T, U>(
    server: &Server,
    round: usize,
    first: impl Future<Output = T>,
    second: impl Future<Output = U>,
) -> (T, U) {
    let (first, second) = (Box::pin(first), Box::pin(second));
    match round % 3 {
        0 => tokio::join!(first, second),
        1 => tokio::join!(first, after_a_record(server, round / 3, second)),
        _ => tokio::join!(after_a_record(server, round / 3, first), second),
    }
}

async fn after_a_record<T>(server: &Server, later: usize, call: impl Future<Output = T>) -> T {
    let log = server.dir().join("audit.jsonl");
    let size = || std::fs::metadata(&log).unwrap().len();
    let before = size();
    while size() == before {
        tokio::task::yield_now().await;
    }
    for _ in 0..later {
        tokio::task::yield_now().await;
    }
    call.await
}

/// How often each outcome came up: a race that always ends the same way shows nothing.
#[derive(Debug, Default)]
struct Tally {
    first: usize,
    second: usize,
    both: usize,
}

impl Tally {
    fn count<T, U>(&mut self, first: &Result<T, Status>, second: &Result<U, Status>) {
        match (first, second) {
            (Ok(_), Ok(_)) => self.both += 1,
            (Ok(_), Err(_)) => self.first += 1,
            (Err(_), Ok(_)) => self.second += 1,
            (Err(_), Err(_)) => {}
        }
    }
}

#[track_caller]
fn absent<T: std::fmt::Debug>(result: Result<T, Status>) {
    fails(result, Code::NotFound, "DEFINITION_NOT_FOUND");
}

#[tokio::test]
async fn a_purge_takes_no_acknowledged_value_and_leaves_its_definition() {
    let (server, client, other) = two_callers().await;
    let mut tally = Tally::default();
    for round in 0..rounds() {
        let name = secret(&format!("purged-{round}"));
        client.put(&name, "old").await.unwrap();
        let (put, purged) = met(
            &server,
            round,
            client.rotate(&name, "new"),
            delete(&other, &name, true),
        )
        .await;
        tally.count(&put, &purged);
        match (put, purged) {
            // The put came first, as far as anyone can tell.
            (_, Ok(_)) => absent(client.get(&name).await),
            (Ok(_), Err(_)) => assert_eq!(client.text(&name).await, "new", "round {round}"),
            (Err(put), Err(purged)) => panic!("round {round}: {put:?}, {purged:?}"),
        }
    }
    println!("{tally:?}");
    // Either may be first, and nothing is half done that a purge would have to wait for.
    assert!(tally.second > 0 && tally.both > 0, "{tally:?}");
}

#[tokio::test]
async fn a_purge_takes_no_value_of_the_definition_that_follows() {
    let (server, client, other) = two_callers().await;
    for round in 0..rounds() {
        let name = secret(&format!("followed-{round}"));
        client.put(&name, "old").await.unwrap();
        delete(&client, &name, false).await.unwrap();
        let purge = delete(&other, &name, true);
        let (put, purged) = met(&server, round, put_when_free(&client, &name), purge).await;
        purged.expect("nobody else deletes or brings back");
        put.expect("the name is free in the end");
        assert_eq!(client.text(&name).await, "new", "round {round}");
        assert_eq!(versions(&client, &name).await.len(), 1, "round {round}");
    }
}

/// Asks again at once for as long as the name is not free.
async fn put_when_free(client: &Client, name: &str) -> Result<(), Status> {
    for _ in 0..10_000 {
        match client.put(name, "new").await {
            Err(status) if reason(&status) == "DEFINITION_DELETED" => {}
            result => return result.map(drop),
        }
    }
    panic!("{name} is never free");
}

#[tokio::test]
async fn of_two_registrations_of_an_expired_name_exactly_one_stays() {
    let options = Options {
        deleted_retention: Duration::from_secs(60),
        ..Options::default()
    };
    let (server, client) = Server::prepared(options).await;
    let other = holder(&server, &client, Role::Operator, "*").await;
    for round in 0..rounds() {
        let name = secret(&format!("expired-{round}"));
        client.put(&name, "old").await.unwrap();
        delete(&client, &name, false).await.unwrap();
        server.clock.advance(Duration::from_secs(60));
        let puts = met(
            &server,
            round,
            client.put(&name, "one"),
            other.put(&name, "two"),
        );
        let wanted = match puts.await {
            (Ok(_), Err(_)) => "one",
            (Err(_), Ok(_)) => "two",
            (one, two) => panic!("round {round}: {one:?}, {two:?}"),
        };
        assert_eq!(client.text(&name).await, wanted, "round {round}");
        assert_eq!(versions(&client, &name).await.len(), 1, "round {round}");
    }
}

#[tokio::test]
async fn of_an_undelete_and_a_purge_no_definition_is_left_without_its_value() {
    let (server, client, other) = two_callers().await;
    let mut tally = Tally::default();
    for round in 0..rounds() {
        let name = secret(&format!("undeleted-{round}"));
        client.put(&name, "kept").await.unwrap();
        delete(&client, &name, false).await.unwrap();
        let (undeleted, purged) = met(
            &server,
            round,
            undelete(&client, &name),
            delete(&other, &name, true),
        )
        .await;
        tally.count(&undeleted, &purged);
        match (undeleted, purged) {
            (_, Ok(_)) => {
                absent(client.definition(&name).await);
                absent(client.get(&name).await);
            }
            (Ok(_), Err(_)) => assert_eq!(client.text(&name).await, "kept", "round {round}"),
            (Err(undeleted), Err(purged)) => panic!("round {round}: {undeleted:?}, {purged:?}"),
        }
    }
    println!("{tally:?}");
    assert!(tally.both > 0 && tally.second > 0, "{tally:?}");
}

#[tokio::test]
async fn a_project_is_not_deleted_while_a_definition_is_added() {
    let (server, client, other) = two_callers().await;
    let mut tally = Tally::default();
    for round in 0..rounds() {
        let project = format!("projects/short-{round}");
        let name = format!("{project}/secrets/a");
        client.project(&project, &[]).await;
        let delete_project = async {
            let request = v1::DeleteProjectRequest {
                name: project.clone(),
                ..Default::default()
            };
            other.projects().delete_project(request).await
        };
        let (put, deleted) = met(&server, round, client.put(&name, "value"), delete_project).await;
        tally.count(&put, &deleted);
        match (put, deleted) {
            (Ok(_), Err(status)) => {
                assert_eq!(reason(&status), "PROJECT_NOT_EMPTY", "{status:?}");
                assert_eq!(client.text(&name).await, "value");
            }
            (Err(status), Ok(_)) => {
                assert_eq!(reason(&status), "PROJECT_NOT_FOUND", "{status:?}");
                // Nothing of it comes back with the name.
                client.project(&project, &[]).await;
                absent(client.definition(&name).await);
            }
            (put, deleted) => panic!("round {round}: {put:?}, {deleted:?}"),
        }
    }
    println!("{tally:?}");
    assert!(tally.first > 0 && tally.second > 0, "{tally:?}");
}

#[tokio::test]
async fn of_an_edit_and_a_delete_with_its_etag_exactly_one_happens() {
    let (server, client, other) = two_callers().await;
    let name = secret("edited");
    let mut tally = Tally::default();
    let put = client.put_definition(defining(&name)).await.unwrap();
    let mut current = put.definition.unwrap();
    for round in 0..rounds() {
        let edited = v1::SecretDefinition {
            description: format!("edit {round}"),
            ..current.clone()
        };
        let delete = async {
            let request = v1::DeleteSecretDefinitionRequest {
                name: name.clone(),
                etag: current.etag.clone(),
                ..Default::default()
            };
            other.definitions().delete_secret_definition(request).await
        };
        let edit = client.put_definition(replacing(edited.clone()));
        let (edit, deleted) = met(&server, round, edit, delete).await;
        tally.count(&edit, &deleted);
        let stored = client.definition(&name).await.unwrap();
        match (edit, deleted) {
            (Ok(_), Err(status)) => {
                assert_eq!(reason(&status), "ETAG_MISMATCH", "{status:?}");
                assert_eq!(stored.description, edited.description);
                assert_eq!(stored.delete_time, None);
            }
            (Err(_), Ok(_)) => {
                assert_eq!(stored.description, current.description);
                assert!(stored.delete_time.is_some());
                undelete(&client, &name).await.unwrap();
            }
            (edit, deleted) => panic!("round {round}: {edit:?}, {deleted:?}"),
        }
        current = client.definition(&name).await.unwrap();
    }
    println!("{tally:?}");
    assert!(tally.first > 0 && tally.second > 0, "{tally:?}");
}

/// Eight times the same call at once, each over a connection of its own.
async fn eightfold<T, F>(callers: &[Client], call: impl Fn(Client) -> F) -> Vec<Result<T, Status>>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Status>> + Send + 'static,
{
    let mut calls = tokio::task::JoinSet::new();
    for caller in callers {
        calls.spawn(call(caller.clone()));
    }
    calls.join_all().await
}

/// Callers with one token.
async fn eight_callers() -> (Server, Client, Vec<Client>) {
    let (server, client) = Server::prepared(Options::default()).await;
    let made = client.token(&[(Role::Operator, PROJECT)]).await;
    let mut callers = Vec::new();
    for _ in 0..8 {
        callers.push(server.tcp().await.with_token(&made.token));
    }
    (server, client, callers)
}

/// Checks that those that were answered got one answer, and how the others were put off.
#[track_caller]
fn one_answer<T: Clone + std::fmt::Debug + PartialEq>(
    round: usize,
    results: Vec<Result<T, Status>>,
) -> T {
    let (done, put_off): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    for result in put_off {
        let status = result.unwrap_err();
        // Both say that a repeat gets the answer.
        assert_eq!(status.code(), Code::Aborted, "round {round}: {status:?}");
    }
    let answers: Vec<_> = done.into_iter().map(Result::unwrap).collect();
    let first = answers.first().expect("somebody is answered").clone();
    assert!(
        answers.iter().all(|answer| *answer == first),
        "round {round}: {answers:?}"
    );
    first
}

#[tokio::test]
async fn one_request_id_sent_eight_times_at_once_stores_one_version() {
    let (_server, client, callers) = eight_callers().await;
    let name = secret("once");
    client.put(&name, "start").await.unwrap();
    for round in 0..rounds() {
        let put = v1::PutSecretValueRequest {
            request_id: request_id(),
            ..storing(&name, &format!("value {round}"))
        };
        let call = |caller: Client| {
            let put = put.clone();
            async move { caller.put_value(put).await }
        };
        let answer = one_answer(round, eightfold(&callers, call).await);
        assert_eq!(versions(&client, &name).await.len(), round + 2);
        assert_eq!(client.get(&name).await.unwrap().version, answer.version);
        assert_eq!(callers[0].put_value(put).await.unwrap(), answer);
    }
}

#[tokio::test]
async fn one_request_id_sent_eight_times_at_once_registers_one_definition() {
    let (_server, client, callers) = eight_callers().await;
    for round in 0..rounds() {
        let name = secret(&format!("once-{round}"));
        let put = v1::PutSecretDefinitionRequest {
            request_id: request_id(),
            ..creating(&name, "value")
        };
        let call = |caller: Client| {
            let put = put.clone();
            async move { caller.put_definition(put).await }
        };
        let answer = one_answer(round, eightfold(&callers, call).await);
        assert_eq!(versions(&client, &name).await.len(), 1);
        let registered = client.definition(&name).await.unwrap();
        assert_eq!(answer.definition, Some(registered));
        assert_eq!(callers[0].put_definition(put).await.unwrap(), answer);
    }
}
