//! Two callers at once: one wins, the other is told, and the winner's change stays.

use claviger_integration::{Client, Options, PROJECT, Server, reason};
use claviger_proto::v1;
use tonic::{Code, Status};

use crate::support::{defining, replacing, secret, storing, versions};

const ROUNDS: usize = 500;

#[tokio::test]
async fn of_two_puts_with_one_if_version_exactly_one_wins_and_is_current() {
    let (_server, client, other) = two_callers().await;
    let name = secret("raced");
    let mut current = client.put(&name, "start").await.unwrap().version;
    for round in 0..ROUNDS {
        let put = |client: &Client, text: &str| {
            let put = v1::PutSecretValueRequest {
                if_version: current.clone(),
                ..storing(&name, text)
            };
            let client = client.clone();
            Box::pin(async move { client.put_value(put).await })
        };
        let texts = [format!("{round}-a"), format!("{round}-b")];
        let (first, second) = raced(round, put(&client, &texts[0]), put(&other, &texts[1])).await;
        let (winner, won, lost) = one_winner(first, second);
        assert!(
            ["VERSION_MISMATCH", "WRITE_IN_PROGRESS"].contains(&reason(&lost).as_str()),
            "{lost:?}"
        );

        let got = client.get(&name).await.unwrap();
        assert_eq!(got.version, won.version, "round {round}");
        assert_eq!(client.text(&name).await, texts[winner], "round {round}");
        current = won.version;
    }
    // The losers left nothing behind.
    assert_eq!(versions(&client, &name).await.len(), ROUNDS + 1);
}

#[tokio::test]
async fn of_two_updates_with_one_etag_exactly_one_wins_and_stays() {
    let (_server, client, other) = two_callers().await;
    let name = secret("edited");
    let put = client.put_definition(defining(&name)).await.unwrap();
    let mut current = put.definition.unwrap();
    for round in 0..ROUNDS {
        let update = |client: &Client, description: &str| {
            let update = replacing(v1::SecretDefinition {
                description: description.to_owned(),
                ..current.clone()
            });
            let client = client.clone();
            Box::pin(async move { client.put_definition(update).await })
        };
        let texts = [format!("{round}-a"), format!("{round}-b")];
        let (first, second) =
            raced(round, update(&client, &texts[0]), update(&other, &texts[1])).await;
        let (winner, won, lost) = one_winner(first, second);
        assert_eq!(reason(&lost), "ETAG_MISMATCH", "{lost:?}");

        let stored = client.definition(&name).await.unwrap();
        assert_eq!(stored.description, texts[winner], "round {round}");
        assert_eq!(Some(&stored), won.definition.as_ref(), "round {round}");
        current = stored;
    }
}

#[tokio::test]
async fn a_rotation_and_an_update_at_once_both_stay() {
    let (_server, client, other) = two_callers().await;
    let name = secret("both");
    client.put(&name, "start").await.unwrap();
    for round in 0..50 {
        let text = format!("value {round}");
        let description = format!("description {round}");
        let update = v1::PutSecretDefinitionRequest {
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["description".to_owned()],
            }),
            ..replacing(v1::SecretDefinition {
                name: name.clone(),
                description: description.clone(),
                ..Default::default()
            })
        };
        let (rotated, updated) =
            tokio::join!(client.rotate(&name, &text), other.put_definition(update));
        let version = rotated.expect("a rotation").version;
        updated.expect("an update");
        assert_eq!(client.text(&name).await, text);
        assert_eq!(
            client.definition(&name).await.unwrap().description,
            description
        );
        assert_eq!(versions(&client, &name).await[0].version, version);
    }
}

/// Two operators over two connections, which two threads serve.
async fn two_callers() -> (Server, Client, Client) {
    let (server, client) = Server::prepared(Options::default()).await;
    let token = client.token(&[(v1::Role::Operator, PROJECT)]).await;
    let other = server.tcp().await.with_token(&token.token);
    (server, client, other)
}

/// Runs two calls: at the same moment, the second a little later, or one after the other, so that
/// every way to lose comes up.
async fn raced<T>(
    round: usize,
    first: impl Future<Output = T>,
    second: impl Future<Output = T>,
) -> (T, T) {
    if round.is_multiple_of(10) {
        return (first.await, second.await);
    }
    let later = async {
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        second.await
    };
    tokio::join!(first, later)
}

/// Which of two won, its answer, and how the other lost.
#[track_caller]
fn one_winner<T: std::fmt::Debug>(
    first: Result<T, Status>,
    second: Result<T, Status>,
) -> (usize, T, Status) {
    let (winner, won, lost) = match (first, second) {
        (Ok(won), Err(lost)) => (0, won, lost),
        (Err(lost), Ok(won)) => (1, won, lost),
        (first, second) => panic!("not one winner: {first:?}, {second:?}"),
    };
    assert_eq!(lost.code(), Code::Aborted, "{lost:?}");
    (winner, won, lost)
}
