//! Grants: the right to act, and how much each caller sees of the rest.

use std::time::Duration;

use claviger_integration::{Client, Fault, FaultyBackend, Options, PROJECT, Server, Verb, own_uid};
use claviger_proto::v1;
use claviger_proto::v1::Role;
use tonic::{Code, Status};

use crate::support::{
    defining, denied, fails, give, grants_of, in_faulty, located, reading, reading_in, runner,
    secret, storing, take_back, who_am_i,
};

/// A caller on TCP with a token that can do nothing yet, and its principal.
async fn nobody(server: &Server, admin: &Client) -> (Client, String) {
    // A token needs a grant: one on a thing that nobody asks for.
    let token = admin.token(&[(Role::Runner, PROJECT)]).await;
    let principal = token.info.unwrap().principal;
    for grant in grants_of(admin, &principal).await {
        take_back(admin, &grant).await.unwrap();
    }
    let client = server.tcp().await.with_token(&token.token);
    (client, principal)
}

#[tokio::test]
async fn the_first_admin_reads_and_puts_nothing_until_it_grants_itself() {
    let server = Server::start(Options::default()).await;
    let client = server.unix();
    let own = format!("unix:{}", own_uid());
    let me = who_am_i(&client).await;
    assert_eq!((me.principal.as_str(), me.grants.len()), (own.as_str(), 1));
    assert_eq!(
        (me.grants[0].role(), me.grants[0].resource.as_str()),
        (Role::Admin, "*")
    );

    let put = || v1::PutProjectRequest {
        project: Some(v1::Project {
            name: PROJECT.to_owned(),
            ..Default::default()
        }),
        validate_only: false,
    };
    denied(client.projects().put_project(put()).await);
    denied(client.put_definition(defining(&secret("a"))).await);
    denied(client.get(&secret("a")).await);

    client.grant(&own, Role::Operator, "*").await;
    client.projects().put_project(put()).await.unwrap();
    client.put(&secret("a"), "value").await.unwrap();
    denied(client.get(&secret("a")).await);
    client.grant(&own, Role::Runner, "*").await;
    assert_eq!(client.text(&secret("a")).await, "value");
}

#[tokio::test]
async fn a_caller_on_the_socket_without_grants_is_a_nobody() {
    let (mut server, client) = Server::prepared(Options::default()).await;
    let name = secret("kept");
    client.put(&name, "value").await.unwrap();
    for grant in grants_of(&client, &format!("unix:{}", own_uid())).await {
        take_back(&client, &grant).await.unwrap();
    }
    server
        .restart_with(|options| options.first_admin = own_uid() + 1)
        .await;
    let client = server.unix();
    assert_eq!(who_am_i(&client).await.grants, []);
    let existing = denied(client.get(&name).await);
    let absent = denied(client.get(&secret("absent")).await);
    // Denied and missing look the same.
    assert_eq!(
        existing.message().replace("kept", "absent"),
        absent.message()
    );
    denied(client.rotate(&name, "x").await);
    denied(client.definition(&name).await);
    let grant = runner(&format!("unix:{}", own_uid()), PROJECT);
    denied(give(&client, grant).await);
}

#[tokio::test]
async fn a_grant_on_one_definition_covers_no_other() {
    let (server, client) = Server::prepared(Options::default()).await;
    client.put(&secret("mine"), "value").await.unwrap();
    client.put(&secret("mine2"), "other").await.unwrap();
    let made = client.token(&[(Role::Runner, &secret("mine"))]).await;
    let holder = server.tcp().await.with_token(&made.token);
    assert_eq!(holder.text(&secret("mine")).await, "value");
    denied(holder.get(&secret("mine2")).await);
    denied(holder.get(&secret("absent")).await);
}

#[tokio::test]
async fn a_grant_for_an_environment_covers_no_other() {
    let (server, client) = Server::prepared(Options::default()).await;
    client.project("projects/staged", &["dev", "prod"]).await;
    let name = "projects/staged/secrets/key";
    client.put_definition(defining(name)).await.unwrap();
    let put = v1::PutSecretValueRequest {
        environment: "dev".to_owned(),
        ..storing(name, "value")
    };
    client.put_value(put).await.unwrap();
    let (holder, principal) = nobody(&server, &client).await;
    let grant = v1::Grant {
        environment: "dev".to_owned(),
        ..runner(&principal, "projects/staged")
    };
    give(&client, grant).await.unwrap();
    holder
        .get_secret(reading_in(name, "dev"))
        .await
        .expect("granted");
    denied(holder.get_secret(reading_in(name, "prod")).await);
    denied(holder.get_secret(reading_in(name, "prdo")).await);
    denied(holder.get_secret(reading(name)).await);
}

#[tokio::test]
async fn a_grant_for_a_purpose_covers_only_calls_that_state_it() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = secret("a");
    client.put(&name, "value").await.unwrap();
    let (holder, principal) = nobody(&server, &client).await;
    let grant = v1::Grant {
        purpose: "nightly/sync".to_owned(),
        ..runner(&principal, &name)
    };
    give(&client, grant).await.unwrap();
    let stating = |purpose: &str| v1::GetSecretRequest {
        purpose: purpose.to_owned(),
        ..reading(&name)
    };
    holder
        .get_secret(stating("nightly/sync"))
        .await
        .expect("stated");
    denied(holder.get_secret(stating("nightly")).await);
    denied(holder.get_secret(stating("")).await);
}

#[tokio::test]
async fn a_grant_ends_at_its_time() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = secret("a");
    client.put(&name, "value").await.unwrap();
    let (holder, principal) = nobody(&server, &client).await;
    let now = who_am_i(&holder).await.expire_time.unwrap().seconds - 24 * 60 * 60;
    let grant = v1::Grant {
        expire_time: Some(prost_types::Timestamp {
            seconds: now + 3600,
            nanos: 0,
        }),
        ..runner(&principal, &name)
    };
    give(&client, grant).await.unwrap();
    server.clock.advance(Duration::from_secs(3599));
    assert_eq!(holder.text(&name).await, "value");
    server.clock.advance(Duration::from_secs(1));
    denied(holder.get(&name).await);
}

#[tokio::test]
async fn giving_the_same_grant_again_is_the_same_grant_and_taking_it_back_counts_at_once() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = secret("a");
    client.put(&name, "value").await.unwrap();
    let (holder, principal) = nobody(&server, &client).await;
    let first = give(&client, runner(&principal, &name)).await.unwrap();
    let second = give(&client, runner(&principal, &name)).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(
        grants_of(&client, &principal).await,
        std::slice::from_ref(&first)
    );
    assert_eq!(holder.text(&name).await, "value");

    take_back(&client, &first).await.unwrap();
    denied(holder.get(&name).await);
    let again = take_back(&client, &first).await;
    fails(again, Code::NotFound, "GRANT_NOT_FOUND");
    let third = give(&client, runner(&principal, &name)).await.unwrap();
    assert_ne!(third.name, first.name, "an id is never used twice");
}

#[tokio::test]
async fn a_read_that_waits_for_its_vault_loses_its_permission_with_its_grant() {
    let vault = FaultyBackend::new();
    let (server, client) = Server::prepared(Options::with_faulty(&vault)).await;
    let name = secret("slow");
    let put = located(&name, in_faulty(""));
    client.put_definition(put).await.unwrap();
    client.rotate(&name, "canary").await.unwrap();
    for (reads, is_revoking) in [false, true].into_iter().enumerate() {
        let made = client.token(&[(Role::Runner, &name)]).await;
        let info = made.info.unwrap();
        let holder = server.tcp().await.with_token(&made.token);
        vault.set(Verb::Read, Fault::Hang);
        let read = holder.get(&name);
        let meanwhile = async {
            vault.entered(Verb::Read, reads + 1).await;
            if is_revoking {
                let request = v1::RevokeTokenRequest {
                    name: info.name,
                    cascade: false,
                };
                client.access().revoke_token(request).await.unwrap();
            } else {
                let grants = grants_of(&client, &info.principal).await;
                take_back(&client, &grants[0]).await.unwrap();
            }
            vault.heal();
        };
        let (read, ()) = tokio::join!(read, meanwhile);
        denied(read);
        let last = server.audit_lines().pop().unwrap();
        assert_eq!(
            (&last["outcome"], &last["reason"]),
            (&"DENIED".into(), &"ACCESS_DENIED".into())
        );
    }
}

#[tokio::test]
async fn a_listing_of_projects_shows_only_those_covered() {
    let (server, client) = Server::prepared(Options::default()).await;
    for name in ["projects/b", "projects/c"] {
        client.project(name, &[]).await;
    }
    let names = async |client: Client| {
        let mut names = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListProjectsRequest {
                page_size: 1,
                page_token,
            };
            let reply = client.projects().list_projects(request).await;
            let reply = reply.unwrap().into_inner();
            names.extend(reply.projects.into_iter().map(|p| p.name));
            page_token = reply.next_page_token;
            if page_token.is_empty() {
                return names;
            }
        }
    };
    assert_eq!(
        names(client.clone()).await,
        [PROJECT, "projects/b", "projects/c"]
    );
    let made = client
        .token(&[(Role::Auditor, "projects/b"), (Role::Runner, "projects/c")])
        .await;
    let tcp = server.tcp().await;
    assert_eq!(names(tcp.with_token(&made.token)).await, ["projects/b"]);
    let made = client.token(&[(Role::Runner, "projects/c")]).await;
    let runner = tcp.with_token(&made.token);
    let listed = runner
        .projects()
        .list_projects(v1::ListProjectsRequest::default())
        .await;
    denied(listed);
}

#[tokio::test]
async fn a_check_tells_existence_format_and_access_without_the_value() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = secret("checked");
    client.put_definition(defining(&name)).await.unwrap();
    let empty = check(&client, &name, "").await.unwrap();
    let existence = empty.existence.unwrap();
    assert_eq!(
        (existence.ok, existence.reason.as_str()),
        (false, "SECRET_NOT_FOUND")
    );
    assert!(existence.message.contains("PutSecretValue"));
    assert_eq!((empty.format, empty.version.as_str()), (None, ""));
    assert!(empty.access.unwrap().ok);

    let version = client.rotate(&name, "canary").await.unwrap().version;
    let full = check(&client, &name, "").await.unwrap();
    assert!(!format!("{full:?}").contains("canary"));
    assert!(full.existence.unwrap().ok && full.format.unwrap().ok && full.access.unwrap().ok);
    assert_eq!(full.version, version);
    assert_eq!(full.principal, format!("unix:{}", own_uid()));
    let route = full.route.unwrap();
    assert_eq!(
        (route.vault.as_str(), route.secret.as_str()),
        ("managed", "checked")
    );

    // Of another principal: an admin or auditor may ask, an operator only about itself.
    let made = client.token(&[(Role::Operator, PROJECT)]).await;
    let operator = server.tcp().await.with_token(&made.token);
    let principal = made.info.unwrap().principal;
    for (asking, about) in [
        (&client, principal.as_str()),
        (&operator, ""),
        (&operator, &principal),
    ] {
        let checked = check(asking, &name, about).await.unwrap();
        let access = checked.access.unwrap();
        assert_eq!(
            (access.ok, access.reason.as_str()),
            (false, "ACCESS_DENIED")
        );
        assert_eq!(checked.principal, principal);
    }
    denied(check(&operator, &name, &format!("unix:{}", own_uid())).await);
    give(&client, runner(&principal, &name)).await.unwrap();
    assert!(
        check(&client, &name, &principal)
            .await
            .unwrap()
            .access
            .unwrap()
            .ok
    );
}

#[tokio::test]
async fn a_check_tells_that_a_version_is_disabled() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = secret("checked");
    let version = client.put(&name, "value").await.unwrap().version;
    let disable = v1::DisableSecretVersionRequest {
        name: format!("{name}/versions/{version}"),
        ..Default::default()
    };
    client
        .secrets()
        .disable_secret_version(disable)
        .await
        .unwrap();
    let disabled = check(&client, &name, "").await.unwrap().existence.unwrap();
    assert_eq!(
        (disabled.ok, disabled.reason.as_str()),
        (false, "VERSION_DISABLED")
    );
}

async fn check(
    client: &Client,
    name: &str,
    principal: &str,
) -> Result<v1::CheckSecretDefinitionResponse, Status> {
    let request = v1::CheckSecretDefinitionRequest {
        name: name.to_owned(),
        principal: principal.to_owned(),
        ..Default::default()
    };
    let reply = client.definitions().check_secret_definition(request).await;
    reply.map(tonic::Response::into_inner)
}
