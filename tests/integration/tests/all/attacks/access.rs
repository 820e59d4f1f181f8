//! Grants that outlived their resources, could not be taken back, or showed too much.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use claviger_core::Clock as _;
use claviger_integration::{Fault, Options, PROJECT, Server, Verb, own_uid};
use claviger_proto::v1;
use claviger_proto::v1::Role;
use tonic::Code;

use super::{HOUR, holder, patient, revoke};
use crate::support::{
    defining, delete, denied, fails, give, grants_of, in_faulty, located, runner, secret, take_back,
};

#[tokio::test]
async fn a_grant_on_an_expired_definition_makes_its_name_not_anew() {
    let options = Options {
        deleted_retention: HOUR,
        ..Options::default()
    };
    let (server, client) = Server::prepared(options).await;
    let name = secret("expired");
    client.put(&name, "value").await.unwrap();
    let operator = holder(&server, &client, Role::Operator, &name).await;
    let admin = holder(&server, &client, Role::Admin, &name).await;
    delete(&operator, &name, false).await.expect("its own");
    give(&admin, runner("unix:7", &name))
        .await
        .expect("its own");
    server.clock.advance(HOUR);
    denied(operator.put(&name, "anew").await);
    denied(operator.put_definition(defining(&name)).await);
    denied(give(&admin, runner("unix:8", &name)).await);
    let given = give(&client, runner("unix:8", &name)).await;
    fails(given, Code::NotFound, "DEFINITION_NOT_FOUND");
    client.put(&name, "anew").await.expect("free for others");
    denied(operator.rotate(&name, "again").await);
}

#[tokio::test]
async fn the_admin_of_a_project_takes_back_what_it_gave_on_a_definition_in_it() {
    let (server, client) = Server::prepared(Options::default()).await;
    let name = secret("own");
    client.put(&name, "value").await.unwrap();
    let admin = holder(&server, &client, Role::Admin, PROJECT).await;
    let given = give(&admin, runner("unix:7", &name)).await.unwrap();
    let listed = grants_of(&admin, "unix:7").await;
    assert_eq!(listed, std::slice::from_ref(&given));
    take_back(&admin, &given).await.unwrap();
    assert_eq!(grants_of(&client, "unix:7").await, []);

    let made = admin.token(&[(Role::Runner, &name)]).await;
    let reader = server.tcp().await.with_token(&made.token);
    assert_eq!(reader.text(&name).await, "value");
    let revoked = revoke(&admin, &made.info.unwrap()).await.unwrap();
    assert!(revoked.info.unwrap().revoked);
    let late = reader.get(&name).await;
    fails(late, Code::Unauthenticated, "TOKEN_REVOKED");
}

#[tokio::test]
async fn a_token_stays_revocable_by_the_project_that_made_it() {
    let (server, client) = Server::prepared(Options::default()).await;
    client.project("projects/other", &[]).await;
    let admin = holder(&server, &client, Role::Admin, PROJECT).await;
    let other = holder(&server, &client, Role::Admin, "projects/other").await;

    let given_more = admin.token(&[(Role::Runner, PROJECT)]).await.info.unwrap();
    let elsewhere = runner(&given_more.principal, "projects/other");
    give(&other, elsewhere).await.unwrap();
    let stripped = admin.token(&[(Role::Runner, PROJECT)]).await.info.unwrap();
    for grant in grants_of(&admin, &stripped.principal).await {
        take_back(&admin, &grant).await.unwrap();
    }
    assert_eq!(grants_of(&client, &stripped.principal).await, []);
    for token in [given_more, stripped] {
        // Giving it something does not make it the other's.
        let of_other = revoke(&other, &token).await;
        fails(of_other, Code::NotFound, "TOKEN_NOT_FOUND");
        assert!(revoke(&admin, &token).await.unwrap().info.unwrap().revoked);
        assert_eq!(grants_of(&client, &token.principal).await, []);
    }
}

#[tokio::test]
async fn no_page_of_projects_names_one_that_is_hidden() {
    let (server, client) = Server::prepared(Options::default()).await;
    for id in ["a-hidden", "m", "n-hidden", "o-hidden", "q", "z-hidden"] {
        client.project(&format!("projects/{id}"), &[]).await;
    }
    let made = client
        .token(&[
            (Role::Operator, "projects/m"),
            (Role::Auditor, "projects/q"),
        ])
        .await;
    let caller = server.tcp().await.with_token(&made.token);
    for page_size in [1, 2, 3] {
        let mut names = Vec::new();
        let mut page_token = String::new();
        // More pages than there are projects would be a walk without an end.
        for _ in 0..10 {
            let request = v1::ListProjectsRequest {
                page_size,
                page_token,
            };
            let page = caller.projects().list_projects(request).await;
            let page = page.unwrap().into_inner();
            names.extend(page.projects.into_iter().map(|project| project.name));
            page_token = page.next_page_token;
            assert!(
                !page_token.contains("hidden") && !page_token.contains("acme"),
                "{page_token}"
            );
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(page_token, "", "the end, with pages of {page_size}");
        assert_eq!(names, ["projects/m", "projects/q"]);
    }
}

#[tokio::test]
async fn a_read_whose_grant_ends_while_the_vault_is_asked_gives_no_value() {
    let (server, client, vault) = patient().await;
    let name = secret("slow");
    let put = located(&name, in_faulty(""));
    client.put_definition(put).await.unwrap();
    client.rotate(&name, "canary").await.unwrap();
    for (reads, is_expiring) in [true, false].into_iter().enumerate() {
        let made = client.token(&[(Role::Operator, PROJECT)]).await;
        let reader = server.tcp().await.with_token(&made.token);
        let now = server.clock.now().duration_since(SystemTime::UNIX_EPOCH);
        let end = now.unwrap() + Duration::from_secs(60);
        let grant = v1::Grant {
            expire_time: is_expiring.then(|| prost_types::Timestamp {
                seconds: i64::try_from(end.as_secs()).unwrap(),
                nanos: 0,
            }),
            ..runner(&made.info.unwrap().principal, &name)
        };
        let grant = give(&client, grant).await.unwrap();
        vault.set(Verb::Read, Fault::Hang);
        let meanwhile = async {
            vault.entered(Verb::Read, reads + 1).await;
            if is_expiring {
                server.clock.advance(Duration::from_secs(60));
            } else {
                take_back(&client, &grant).await.unwrap();
            }
            vault.heal();
        };
        let (read, ()) = tokio::join!(reader.get(&name), meanwhile);
        let status = denied(read);
        assert!(!format!("{status:?}").contains("canary"));
    }
}

/// Who the caller is, if not the process of the test: the path of the socket.
const AS_ANOTHER: &str = "CLAVIGER_TEST_CALL_AS_OVERFLOW_UID";

#[tokio::test]
async fn the_uid_that_stands_for_every_unmapped_one_is_nobody_s() {
    if own_uid() != 0 {
        eprintln!("skipped: only root can call with another uid");
        return;
    }
    let (server, client) = Server::prepared(Options::default()).await;
    let text = std::fs::read_to_string("/proc/sys/kernel/overflowuid").unwrap();
    let uid: u32 = text.trim().parse().unwrap();
    client
        .grant(&format!("unix:{uid}"), Role::Runner, "*")
        .await;
    // The test's own directory keeps others out, as the daemon's does not.
    let socket = server.dir().join("clavigerd.sock");
    for path in socket.ancestors().take(3) {
        std::fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--ignored", "--exact", "attacks::access::call_as_another"]);
    let child = child.env(AS_ANOTHER, &socket).uid(uid).output().unwrap();
    let heard = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{heard}");
    assert!(heard.contains("1 passed"), "{heard}");
}

#[tokio::test]
#[ignore = "run by the test above, in a process with another uid"]
#[expect(
    clippy::disallowed_methods,
    reason = "how the test above tells where to call"
)]
async fn call_as_another() {
    let socket = std::env::var_os(AS_ANOTHER).expect("the path of a socket");
    let client = claviger_client::Client::connect_unix(Path::new(&socket)).await;
    let client = client.expect("connects");
    let asked = client.access().who_am_i(v1::WhoAmIRequest {}).await;
    let status = fails(asked, Code::Unauthenticated, "UID_UNMAPPED");
    assert!(status.message().contains("with a token"), "{status:?}");
}
