//! A permission that is lost while a call waits changes nothing more: for every RPC that changes
//! something, at every place where it can wait, however the permission is lost.

use std::time::Duration;

use claviger_api::rpc::TABLE;
use claviger_core::Clock;
use claviger_integration::{
    AuditLog, Client, FaultyBackend, FaultySink, Gate, Options, PROJECT, Server, Verb,
};
use claviger_integration::{Fault, text_payload};
use claviger_proto::v1;
use claviger_proto::v1::Role;
use claviger_proto::v1::secret_definition::Kind;
use tonic::{Code, Status};

use crate::every_rpc::{Narrowed, Scene, VARIANTS};
use crate::support::{
    defining, delete, fails, give, grants_of, secret, storing, take_back, undelete,
};

/// How a caller loses what allowed its call.
#[derive(Clone, Copy, Debug)]
enum Loss {
    GrantDeleted,
    GrantExpired,
    TokenExpired,
    TokenRevoked,
}

const LOSSES: [Loss; 4] = [
    Loss::GrantDeleted,
    Loss::GrantExpired,
    Loss::TokenExpired,
    Loss::TokenRevoked,
];

const HOUR: Duration = Duration::from_secs(3600);

/// A caller that may do everything, and can lose it.
struct Caller {
    client: Client,
    token: v1::Token,
}

impl Caller {
    /// With grants that end in an hour, or a token that does.
    async fn new(server: &Server, keeper: &Client, loss: Loss) -> Self {
        let ends = |wanted| if wanted { HOUR } else { 10 * HOUR };
        let is_token = matches!(loss, Loss::TokenExpired);
        let grant = v1::TokenGrant {
            role: Role::Auditor.into(),
            resource: PROJECT.to_owned(),
            ..Default::default()
        };
        let request = v1::CreateTokenRequest {
            grants: vec![grant],
            ttl: Some(prost_types::Duration::try_from(ends(is_token)).unwrap()),
            ..Default::default()
        };
        let made = keeper.access().create_token(request).await.unwrap();
        let made = made.into_inner();
        let token = made.info.unwrap();
        let is_grant = matches!(loss, Loss::GrantExpired);
        let end = server.clock.now() + ends(is_grant);
        for role in [Role::Admin, Role::Operator, Role::Runner] {
            let grant = v1::Grant {
                principal: token.principal.clone(),
                role: role.into(),
                resource: "*".to_owned(),
                expire_time: Some(prost_types::Timestamp::from(end)),
                ..Default::default()
            };
            give(keeper, grant).await.unwrap();
        }
        let client = server.tcp().await.with_token(&made.token);
        Self { client, token }
    }

    /// One call of its.
    fn scene(&self, keeper: &Client, number: u32) -> Scene {
        Scene {
            caller: self.client.clone(),
            keeper: keeper.clone(),
            number,
            value: "value".to_owned(),
            narrowed: Narrowed::No,
        }
    }

    /// The key of its token's record, on which commits for it rely.
    fn key(&self) -> &str {
        &self.token.name
    }

    async fn lose(&self, server: &Server, keeper: &Client, loss: Loss) {
        match loss {
            Loss::GrantDeleted => {
                for grant in grants_of(keeper, &self.token.principal).await {
                    take_back(keeper, &grant).await.unwrap();
                }
            }
            // By the wall clock alone: a record that takes so long to write fails for that.
            Loss::GrantExpired | Loss::TokenExpired => server.clock.set_forward(HOUR),
            Loss::TokenRevoked => {
                let name = self.token.name.clone();
                let request = v1::RevokeTokenRequest {
                    name,
                    cascade: false,
                };
                keeper.access().revoke_token(request).await.unwrap();
            }
        }
    }
}

#[track_caller]
fn lost<T: std::fmt::Debug>(result: Result<T, Status>, loss: Loss) {
    let (code, why) = match loss {
        Loss::TokenExpired => (Code::Unauthenticated, "TOKEN_EXPIRED"),
        Loss::GrantDeleted | Loss::GrantExpired | Loss::TokenRevoked => {
            (Code::PermissionDenied, "ACCESS_DENIED")
        }
    };
    fails(result, code, why);
}

/// Every RPC that changes something, with its variants. One that only looks says so in its name.
fn changes() -> Vec<(&'static str, &'static str)> {
    let looks = [
        "BatchGet", "Check", "Explain", "Get", "Inspect", "List", "Resolve", "Test", "WhoAmI",
    ];
    let is_change = |method: &str| {
        let (_, rpc) = method.split_once('/').unwrap();
        !looks.iter().any(|look| rpc.starts_with(look))
    };
    let all = TABLE.iter().map(|rpc| {
        let method = rpc.name.strip_prefix("claviger.v1.").unwrap();
        (method, "")
    });
    // These take the proof of another system, and ask Stripe first; they have tests of their own.
    let is_apart = |method: &str| {
        [
            "AccessService/ExchangeToken",
            "ConnectionProfileService/DisconnectInstall",
        ]
        .contains(&method)
    };
    let changes: Vec<_> = all
        .chain(VARIANTS)
        .filter(|(method, _)| is_change(method) && !is_apart(method))
        .collect();
    assert_eq!(changes.len(), 25, "{changes:?}");
    changes
}

/// Runs a call until it waits, which it must.
async fn until_held<T>(call: &mut (impl Future<Output = T> + Unpin), held: impl Future) {
    tokio::select! {
        _ = held => {}
        _ = call => panic!("the call did not wait"),
    }
}

#[tokio::test]
async fn a_commit_that_waits_is_refused_once_its_permission_is_lost() {
    let gate = Gate::default();
    let options = Options {
        gate: gate.clone(),
        ..Options::with_faulty(&FaultyBackend::shared())
    };
    let (server, keeper) = Server::prepared(options).await;
    let mut number = 0;
    for (method, variant) in changes() {
        for loss in LOSSES {
            number += 1;
            let caller = Caller::new(&server, &keeper, loss).await;
            let scene = caller.scene(&keeper, number);
            let gate = Gate::clone(&gate);
            gate.hold(caller.key());
            let mut call = Box::pin(scene.call(method, variant));
            until_held(&mut call, gate.entered()).await;
            caller.lose(&server, &keeper, loss).await;
            let before = gate.done();
            gate.release();
            lost(call.await, loss);
            assert_eq!(gate.done(), before, "{method} {variant} {loss:?} committed");
        }
    }
}

#[tokio::test]
async fn a_change_whose_intent_waits_is_refused_once_its_permission_has_ended() {
    // Nobody can be heard while the log hangs, so only time takes a permission away.
    let is_staged = |(method, variant): &(&str, &str)| {
        [
            "ConnectionProfileService/PutConnectionProfile",
            "SecretService/PutSecretValue",
        ]
        .contains(method)
            || *variant == "with a payload"
    };
    // The intent of a put to the managed vault, or of a profile, does not wait: it is in
    // the commit.
    let changes = changes().into_iter().filter(|change| !is_staged(change));
    for (number, (method, variant)) in (1..).zip(changes) {
        let sink = FaultySink::default();
        let gate = Gate::default();
        let options = Options {
            audit: AuditLog::Sink(sink.clone()),
            gate: gate.clone(),
            ..Options::with_faulty(&FaultyBackend::shared())
        };
        let (server, keeper) = Server::prepared(options).await;
        let loss = [Loss::GrantExpired, Loss::TokenExpired][number as usize % 2];
        let caller = Caller::new(&server, &keeper, loss).await;
        let scene = caller.scene(&keeper, number);
        sink.hold([caller.token.principal.clone(), "\"INTENT\"".to_owned()]);
        let mut call = Box::pin(scene.call(method, variant));
        until_held(&mut call, sink.entered()).await;
        caller.lose(&server, &keeper, loss).await;
        let before = gate.done();
        sink.release();
        lost(call.await, loss);
        assert_eq!(gate.done(), before, "{method} {variant} committed");
    }
}

/// Puts that ask a vault before they change anything.
async fn ask_vault(client: &Client, what: &str) -> Result<(), Status> {
    let location = |secret: &str, property: &str| v1::Location {
        vault: "faulty".to_owned(),
        secret: secret.to_owned(),
        property: property.to_owned(),
        ..Default::default()
    };
    let registering = |location| {
        let mut put = defining(&secret("at-a-vault"));
        let definition = put.definition.as_mut().unwrap();
        definition.kind = Kind::StripeApiKey.into();
        definition.location = Some(location);
        put
    };
    match what {
        "register" => {
            let put = registering(location("typed", ""));
            client.put_definition(put).await.map(drop)
        }
        "merge" => {
            let mut put = registering(location("document", "apiKey"));
            put.payload = Some(text_payload("rk_test_abc"));
            client.put_definition(put).await.map(drop)
        }
        "rotate" => {
            let mut put = storing(&secret("registered"), "value");
            put.if_version = "typed".to_owned();
            client.put_value(put).await.map(drop)
        }
        _ => panic!("{what}"),
    }
}

#[tokio::test]
async fn a_put_that_waits_for_a_vault_changes_nothing_once_its_permission_is_lost() {
    for what in ["register", "merge", "rotate"] {
        for loss in LOSSES {
            let faulty = FaultyBackend::shared();
            faulty.type_in("typed", "rk_test_abc");
            faulty.type_in("document", r#"{"other":"1"}"#);
            let gate = Gate::default();
            let options = Options {
                gate: gate.clone(),
                ..Options::with_faulty(&faulty)
            };
            let (server, keeper) = Server::prepared(options).await;
            let mut put = defining(&secret("registered"));
            put.definition.as_mut().unwrap().location = Some(v1::Location {
                vault: "faulty".to_owned(),
                secret: "typed".to_owned(),
                ..Default::default()
            });
            keeper.put_definition(put).await.unwrap();
            let caller = Caller::new(&server, &keeper, loss).await;
            faulty.set(Verb::Read, Fault::Hang);
            let reads = faulty.count(Verb::Read);
            let mut call = Box::pin(ask_vault(&caller.client, what));
            until_held(&mut call, faulty.entered(Verb::Read, reads + 1)).await;
            caller.lose(&server, &keeper, loss).await;
            let before = gate.done();
            faulty.heal();
            lost(call.await, loss);
            assert_eq!(gate.done(), before, "{what} {loss:?} committed");
            assert_eq!(faulty.versions_held(), 0, "{what} {loss:?} wrote");
        }
    }
}

#[tokio::test]
async fn a_name_that_is_made_anew_destroys_nothing_that_was_brought_back_meanwhile() {
    let gate = Gate::default();
    let options = Options {
        gate: gate.clone(),
        ..Options::with_faulty(&FaultyBackend::shared())
    };
    let retention = options.deleted_retention;
    let (server, keeper) = Server::prepared(options).await;
    let name = secret("kept");
    keeper.put(&name, "old").await.unwrap();
    delete(&keeper, &name, false).await.unwrap();
    server.clock.advance(retention - Duration::from_secs(1));
    let one = Caller::new(&server, &keeper, Loss::TokenRevoked).await;
    let other = Caller::new(&server, &keeper, Loss::TokenRevoked).await;

    gate.hold(one.key());
    let mut undeleted = Box::pin(undelete(&one.client, &name));
    until_held(&mut undeleted, gate.entered()).await;
    server.clock.advance(Duration::from_secs(1));
    // Now the name is free, so this one begins to destroy what had it.
    gate.hold(other.key());
    let mut put = Box::pin(other.client.put(&name, "new"));
    until_held(&mut put, gate.entered()).await;
    gate.let_pass(one.key());
    undeleted.await.unwrap();
    gate.release();
    fails(put.await, Code::Aborted, "CONFLICT");
    assert_eq!(keeper.text(&name).await, "old");
}
