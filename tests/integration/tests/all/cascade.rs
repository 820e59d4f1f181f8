//! Revoking a token with all that it made.

use claviger_integration::{Client, Gate, Options, PROJECT, Server};
use claviger_proto::v1;
use claviger_proto::v1::Role;
use tonic::{Code, Status};

use crate::refusals::snapshot;
use crate::support::{denied, fails, give, grants_of, runner, take_back, who_am_i};

/// A token and a caller that holds it.
struct Holder {
    client: Client,
    token: v1::Token,
}

impl Holder {
    /// With a token that `maker` makes for an administrator of everything.
    async fn made_by(server: &Server, maker: &Client) -> Self {
        Self::with(server, maker, &[(Role::Admin, "*")]).await
    }

    async fn with(server: &Server, maker: &Client, grants: &[(Role, &str)]) -> Self {
        let made = maker.token(grants).await;
        Self {
            client: server.tcp().await.with_token(&made.token),
            token: made.info.unwrap(),
        }
    }

    #[track_caller]
    fn is_over(result: Result<impl std::fmt::Debug, Status>) {
        fails(result, Code::Unauthenticated, "TOKEN_REVOKED");
    }

    async fn ask(&self) -> Result<(), Status> {
        let asked = self.client.access().who_am_i(v1::WhoAmIRequest {}).await;
        asked.map(drop)
    }
}

async fn revoke(
    client: &Client,
    token: &v1::Token,
    cascade: bool,
) -> Result<v1::RevokeTokenResponse, Status> {
    let name = token.name.clone();
    let request = v1::RevokeTokenRequest { name, cascade };
    let reply = client.access().revoke_token(request).await;
    reply.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn all_that_a_token_made_ends_with_it_and_nothing_else() {
    let (server, keeper) = Server::prepared(Options::default()).await;
    let root = Holder::made_by(&server, &keeper).await;
    let child = Holder::made_by(&server, &root.client).await;
    let grandchild = Holder::made_by(&server, &child.client).await;
    let beside = Holder::made_by(&server, &keeper).await;
    // More than one page of the walk, and more than one commit.
    for _ in 0..120 {
        root.client.token(&[(Role::Runner, PROJECT)]).await;
    }
    for (maker, number) in [(&root, 1), (&grandchild, 2), (&beside, 3)] {
        let grant = runner(&format!("unix:{number}"), PROJECT);
        give(&maker.client, grant).await.unwrap();
    }
    let own = give(&keeper, runner("unix:1", "*")).await.unwrap();

    let revoked = revoke(&keeper, &root.token, true).await.unwrap();
    assert!(revoked.info.unwrap().revoked);
    assert_eq!(revoked.remaining, Vec::<String>::new());
    for holder in [&root, &child, &grandchild] {
        Holder::is_over(holder.ask().await);
    }
    beside.ask().await.unwrap();
    assert_eq!(grants_of(&keeper, "unix:1").await, [own]);
    assert_eq!(grants_of(&keeper, "unix:2").await, []);
    assert_eq!(grants_of(&keeper, "unix:3").await.len(), 1);
    let alive = snapshot(&keeper).await.tokens.into_iter();
    let alive: Vec<_> = alive.filter(|token| !token.revoked).collect();
    assert_eq!(alive, [beside.token]);
}

#[tokio::test]
async fn without_cascade_what_a_token_made_stays() {
    let (server, keeper) = Server::prepared(Options::default()).await;
    let root = Holder::made_by(&server, &keeper).await;
    let child = Holder::made_by(&server, &root.client).await;
    revoke(&keeper, &root.token, false).await.unwrap();
    Holder::is_over(root.ask().await);
    child.ask().await.unwrap();
    // Revoked before is no way out: its tree is still found.
    revoke(&keeper, &root.token, true).await.unwrap();
    Holder::is_over(child.ask().await);
}

#[tokio::test]
async fn a_caller_in_the_tree_and_one_without_the_right_over_all_of_it_end_nothing() {
    let (server, keeper) = Server::prepared(Options::default()).await;
    keeper.project("projects/other", &[]).await;
    let both = [(Role::Admin, PROJECT), (Role::Admin, "projects/other")];
    let root = Holder::with(&server, &keeper, &[(Role::Admin, PROJECT)]).await;
    let child = Holder::with(&server, &root.client, &[(Role::Admin, PROJECT)]).await;
    let wide = Holder::with(&server, &keeper, &both).await;
    let narrow = Holder::with(&server, &keeper, &[(Role::Admin, PROJECT)]).await;
    let before = snapshot(&keeper).await;

    for inside in [&root, &child] {
        let refused = revoke(&inside.client, &root.token, true).await;
        fails(refused, Code::InvalidArgument, "FIELD_INVALID");
    }
    assert_eq!(snapshot(&keeper).await, before);

    // Of a tree that reaches into a project where the caller may do nothing, it ends nothing, and
    // hears of nothing there.
    let other = give(&keeper, runner(&root.token.principal, "projects/other")).await;
    let grant = v1::Grant {
        role: Role::Admin.into(),
        ..other.unwrap()
    };
    give(&keeper, grant).await.unwrap();
    give(&root.client, runner("unix:7", "projects/other"))
        .await
        .unwrap();
    let before = snapshot(&keeper).await;
    let status = denied(revoke(&narrow.client, &root.token, true).await);
    assert!(!format!("{status:?}").contains("other"), "{status:?}");
    assert_eq!(snapshot(&keeper).await, before);
    // Without the tree it may end the token, and a caller with both rights all of it.
    let revoked = revoke(&wide.client, &root.token, true).await.unwrap();
    assert_eq!(revoked.remaining, Vec::<String>::new());
    assert_eq!(grants_of(&keeper, "unix:7").await, []);
    Holder::is_over(child.ask().await);
    assert_eq!(who_am_i(&narrow.client).await.grants.len(), 1);
}

#[tokio::test]
async fn what_appears_while_a_tree_ends_is_ended_too_or_named() {
    let gate = Gate::default();
    let options = Options {
        gate: gate.clone(),
        ..Options::default()
    };
    let (server, keeper) = Server::prepared(options).await;
    keeper.project("projects/other", &[]).await;
    let both = [(Role::Admin, PROJECT), (Role::Admin, "projects/other")];
    let narrow = Holder::with(&server, &keeper, &[(Role::Admin, PROJECT)]).await;
    let root = Holder::with(&server, &keeper, &[(Role::Admin, PROJECT)]).await;
    let other = v1::Grant {
        role: Role::Admin.into(),
        ..runner(&root.token.principal, "projects/other")
    };
    give(&keeper, other).await.unwrap();

    // The caller has looked at the tree, and its first commit waits.
    gate.hold(&narrow.token.name);
    let meanwhile = async {
        gate.entered().await;
        let late = Holder::with(&server, &root.client, &[(Role::Admin, PROJECT)]).await;
        let not_its = Holder::with(&server, &root.client, &both).await;
        let below = Holder::with(&server, &not_its.client, &[(Role::Runner, PROJECT)]).await;
        let grant = give(&root.client, runner("unix:8", "projects/other")).await;
        gate.release();
        (late, not_its, below, grant.unwrap())
    };
    let (revoked, (late, not_its, below, grant)) =
        tokio::join!(revoke(&narrow.client, &root.token, true), meanwhile);
    let mut remaining = revoked.unwrap().remaining;
    remaining.sort();
    assert_eq!(remaining, [grant.name, not_its.token.name.clone()]);
    Holder::is_over(root.ask().await);
    Holder::is_over(late.ask().await);
    not_its.ask().await.unwrap();
    // What that one made is the caller's to end.
    Holder::is_over(below.ask().await);
}

#[tokio::test]
async fn a_cascade_takes_nothing_from_its_caller_and_is_not_stopped_by_what_has_ended() {
    let (server, keeper) = Server::prepared(Options::default()).await;
    keeper.project("projects/other", &[]).await;
    let root = Holder::made_by(&server, &keeper).await;
    let ended = Holder::with(&server, &root.client, &[(Role::Admin, "projects/other")]).await;
    let child = Holder::with(&server, &root.client, &[(Role::Admin, PROJECT)]).await;
    revoke(&keeper, &ended.token, false).await.unwrap();
    // Its own grant is from the token that it wants to end.
    let caller = Holder::with(&server, &keeper, &[(Role::Admin, "*")]).await;
    let own = runner(&caller.token.principal, PROJECT);
    let own = give(&root.client, own).await.unwrap();
    let refused = revoke(&caller.client, &root.token, true).await;
    fails(refused, Code::InvalidArgument, "FIELD_INVALID");
    child.ask().await.unwrap();
    take_back(&keeper, &own).await.unwrap();

    // A token in a project where the caller may do nothing, but it is over.
    let narrow = Holder::with(&server, &keeper, &[(Role::Admin, PROJECT)]).await;
    let inner = Holder::with(&server, &child.client, &[(Role::Runner, PROJECT)]).await;
    let revoked = revoke(&narrow.client, &child.token, true).await.unwrap();
    assert_eq!(revoked.remaining, Vec::<String>::new());
    Holder::is_over(inner.ask().await);
    let revoked = revoke(&keeper, &root.token, true).await.unwrap();
    assert_eq!(revoked.remaining, Vec::<String>::new());
    // Everything that ended is in the log by its id.
    let (_, id) = inner.token.name.split_once('/').unwrap();
    let said = server.audit_lines().into_iter();
    let said = said.filter(|line| {
        line["rpc"]
            .as_str()
            .is_some_and(|rpc| rpc.ends_with("RevokeToken"))
            && (&line["phase"], &line["subject"]) == (&"INTENT".into(), &id.into())
    });
    assert_eq!(said.count(), 1);
}
