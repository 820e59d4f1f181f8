//! What a read concluded is concluded again once a record that it rests on has changed: on every
//! serving thread, and whatever it was that changed.

use std::time::Duration;

use claviger_core::Clock as _;
use claviger_integration::{
    Client, FaultyBackend, Options, PROJECT, Server, reason, text_payload, volume,
};
use claviger_proto::v1;
use tokio::task::JoinSet;

use crate::support::{
    delete, give, grants_of, in_faulty, located, reading, replacing, runner, secret, take_back,
    undelete, versions,
};

const ROUNDS: usize = 150;

const HOUR: Duration = Duration::from_secs(3600);

const NAME: &str = "key";

/// A daemon, those that change it and those that read.
struct World {
    server: Server,
    keeper: Client,
    token: v1::Token,
    /// On a connection each, which another thread serves each.
    readers: [Client; 2],
    /// Counts what makes a read one that nobody has done before, and values that are new.
    number: usize,
    random: fastrand::Rng,
}

impl World {
    async fn new(seed: u64) -> Self {
        let backend = FaultyBackend::shared();
        backend.type_in(NAME, "elsewhere");
        let options = Options::with_faulty(&backend);
        let (server, keeper) = Server::prepared(options).await;
        keeper.put(&secret(NAME), "first").await.unwrap();
        let (token, readers) = reader(&server, &keeper).await;
        Self {
            server,
            keeper,
            token,
            readers,
            number: 0,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    fn next(&mut self) -> usize {
        self.number += 1;
        self.number
    }

    /// Changes something; not every change is possible at every time.
    async fn change(&mut self) -> &'static str {
        let (name, number) = (secret(NAME), self.next());
        let keeper = self.keeper.clone();
        let versions_of = async || match keeper.definition(&name).await {
            Ok(definition) if definition.delete_time.is_none() => versions(&keeper, &name).await,
            Ok(_) | Err(_) => Vec::new(),
        };
        match self.random.u8(..13) {
            0 => {
                keeper.rotate(&name, &format!("value-{number}")).await.ok();
                "rotated"
            }
            1 => {
                keeper.put(&secret("other"), "other").await.ok();
                "put elsewhere"
            }
            2 => {
                for grant in grants_of(&keeper, &self.token.principal).await {
                    take_back(&keeper, &grant).await.unwrap();
                }
                "grants taken back"
            }
            3 | 4 => {
                let resource = self.random.choice([PROJECT, "*", &name]).unwrap();
                let grant = runner(&self.token.principal, resource);
                give(&keeper, grant).await.ok();
                "granted"
            }
            5 => {
                let end = self.server.clock.now() + HOUR;
                let grant = v1::Grant {
                    expire_time: Some(end.into()),
                    ..runner(&self.token.principal, PROJECT)
                };
                give(&keeper, grant).await.unwrap();
                "granted for an hour"
            }
            6 => {
                self.server.clock.set_forward(HOUR);
                "an hour went by"
            }
            7 => {
                let is_purging = self.random.bool();
                delete(&keeper, &name, is_purging).await.ok();
                "deleted"
            }
            8 => {
                if undelete(&keeper, &name).await.is_err() {
                    keeper.put(&name, &format!("anew-{number}")).await.ok();
                }
                "made again"
            }
            9 => {
                if let Some(version) = self.random.choice(versions_of().await) {
                    let request = v1::DisableSecretVersionRequest {
                        name: version.name,
                        ..Default::default()
                    };
                    keeper.secrets().disable_secret_version(request).await.ok();
                }
                "version disabled"
            }
            10 => {
                for version in versions_of().await {
                    let request = v1::EnableSecretVersionRequest {
                        name: version.name,
                        ..Default::default()
                    };
                    keeper.secrets().enable_secret_version(request).await.ok();
                }
                "versions enabled"
            }
            11 => {
                if let Ok(mut definition) = keeper.definition(&name).await {
                    let is_elsewhere = definition.location.take().is_some();
                    if !is_elsewhere {
                        definition = v1::SecretDefinition {
                            location: located(&name, in_faulty(NAME)).definition.unwrap().location,
                            ..definition
                        };
                    }
                    keeper.put_definition(replacing(definition)).await.ok();
                }
                "moved"
            }
            _ => {
                let request = v1::RevokeTokenRequest {
                    name: self.token.name.clone(),
                    ..Default::default()
                };
                keeper.access().revoke_token(request).await.unwrap();
                for reader in &self.readers {
                    let refused = reader.get(&name).await.expect_err("revoked");
                    assert_eq!(reason(&refused), "TOKEN_REVOKED");
                }
                (self.token, self.readers) = reader(&self.server, &keeper).await;
                "token revoked"
            }
        }
    }

    /// What all reads come to: those that were done before, and one that nobody has done yet.
    async fn read(&mut self) -> Vec<String> {
        let new = v1::GetSecretRequest {
            purpose: format!("first-{}", self.next()),
            ..reading(&secret(NAME))
        };
        let mut outcomes = vec![outcome(&self.readers[0], new).await];
        for _ in 0..2 {
            for reader in &self.readers {
                outcomes.push(outcome(reader, reading(&secret(NAME))).await);
            }
        }
        outcomes
    }
}

/// A token that may read for ten hours, and two connections with it.
async fn reader(server: &Server, keeper: &Client) -> (v1::Token, [Client; 2]) {
    let made = keeper.token(&[(v1::Role::Runner, PROJECT)]).await;
    let readers = [
        server.tcp().await.with_token(&made.token),
        server.tcp().await.with_token(&made.token),
    ];
    (made.info.unwrap(), readers)
}

async fn outcome(reader: &Client, request: v1::GetSecretRequest) -> String {
    match reader.get_secret(request).await {
        Ok(served) => format!("{} {} {:?}", served.vault, served.version, value(&served)),
        Err(refused) => reason(&refused),
    }
}

fn value(served: &v1::GetSecretResponse) -> &str {
    match &served.value {
        Some(v1::get_secret_response::Value::Text(text)) => text,
        Some(v1::get_secret_response::Value::Data(_)) | None => "",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_come_to_what_a_first_read_comes_to_whatever_has_changed() {
    let seed = fastrand::u64(..);
    let rounds = ROUNDS * volume();
    println!("seed {seed}, {rounds} rounds");
    let mut world = World::new(seed).await;
    let mut said = Vec::new();
    for round in 0..rounds {
        let change = world.change().await;
        let outcomes = world.read().await;
        let first = &outcomes[0];
        assert!(
            outcomes.iter().all(|outcome| outcome == first),
            "seed {seed}, round {round}, {change}: {outcomes:?}"
        );
        said.push(first.split(' ').next().unwrap_or_default().to_owned());
    }
    // It did not deny all of them.
    for one in ["managed", "faulty", "ACCESS_DENIED"] {
        assert!(said.iter().any(|said| said == one), "seed {seed}: no {one}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_hear_of_each_change_at_once_although_others_go_on_putting() {
    let mut world = World::new(7).await;
    let busy = world.keeper.clone();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let mut putting = JoinSet::new();
    putting.spawn(async move {
        let mut puts = 0;
        while stopped.try_recv().is_err() {
            let payload = Some(text_payload("beside"));
            let put = v1::PutSecretValueRequest {
                name: secret("busy"),
                payload,
                ..Default::default()
            };
            match puts {
                0 => drop(busy.put(&secret("busy"), "beside").await.unwrap()),
                _ => drop(busy.put_value(put).await.unwrap()),
            }
            puts += 1;
        }
        puts
    });
    for number in 0..50 * volume() {
        let text = format!("value-{number}");
        world.keeper.rotate(&secret(NAME), &text).await.unwrap();
        for outcome in world.read().await {
            assert!(
                outcome.contains(&format!("{text:?}")),
                "{number}: {outcome}"
            );
        }
    }
    stop.send(()).expect("it goes on until then");
    assert!(putting.join_all().await.iter().all(|puts| *puts > 1));
}
