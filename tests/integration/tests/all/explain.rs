//! Why somebody may do something or not: by the evaluator's own words, and no more of them than the
//! caller may list.

use std::time::Duration;

use claviger_core::Clock as _;
use claviger_integration::{Client, Options, PROJECT, Server, violation};
use claviger_proto::v1;
use claviger_proto::v1::Role;
use claviger_proto::v1::explain_access_response::Attribute;
use tonic::{Code, Status};

use crate::foreign::options;
use crate::support::{denied, fails, give, runner, secret};

fn asking(principal: &str, permission: &str, name: &str) -> v1::ExplainAccessRequest {
    v1::ExplainAccessRequest {
        principal: principal.to_owned(),
        permission: permission.to_owned(),
        name: name.to_owned(),
        ..Default::default()
    }
}

async fn explain(
    client: &Client,
    request: v1::ExplainAccessRequest,
) -> Result<v1::ExplainAccessResponse, Status> {
    let reply = client.access().explain_access(request).await;
    reply.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn it_names_the_grant_that_decides_or_the_nearest_and_what_that_fails_in() {
    let (server, client) = Server::prepared(Options::default()).await;
    client.project("projects/staged", &["dev", "prod"]).await;
    let holder = "unix:4242";
    let purposed = v1::Grant {
        purpose: "nightly".to_owned(),
        environment: "prod".to_owned(),
        ..runner(holder, "projects/staged")
    };
    let purposed = give(&client, purposed).await.unwrap();
    let end = server.clock.now() + Duration::from_secs(60);
    let ending = v1::Grant {
        role: Role::Operator.into(),
        expire_time: Some(end.into()),
        ..runner(holder, PROJECT)
    };
    let ending = give(&client, ending).await.unwrap();
    let read = |environment: &str, purpose: &str| v1::ExplainAccessRequest {
        environment: environment.to_owned(),
        purpose: purpose.to_owned(),
        ..asking(holder, "secrets.get", "projects/staged/secrets/key")
    };
    let put = |name: &str| asking(holder, "definitions.put", name);
    let check = async |request: v1::ExplainAccessRequest, nearest: &v1::Grant, fails| {
        let said = explain(&client, request).await.unwrap();
        assert!(!said.allowed && said.grant.is_none(), "{said:?}");
        assert_eq!(said.failed_attribute(), fails, "{said:?}");
        assert_eq!(said.nearest_grant.as_ref(), Some(nearest));
        assert_eq!(said.principal, holder);
    };
    let allowed = async |request: v1::ExplainAccessRequest, by: &v1::Grant| {
        let said = explain(&client, request).await.unwrap();
        assert!(said.allowed && said.nearest_grant.is_none(), "{said:?}");
        assert_eq!(said.grant.as_ref(), Some(by));
        assert_eq!(said.failed_attribute(), Attribute::Unspecified);
    };
    allowed(read("prod", "nightly"), &purposed).await;
    allowed(put(&secret("key")), &ending).await;
    check(read("prod", ""), &purposed, Attribute::Purpose).await;
    check(read("dev", "nightly"), &purposed, Attribute::Environment).await;
    check(read("", ""), &purposed, Attribute::Environment).await;
    check(
        put("projects/other/secrets/key"),
        &ending,
        Attribute::Resource,
    )
    .await;
    check(put("*"), &ending, Attribute::Resource).await;
    let role = asking(holder, "secrets.get", PROJECT);
    check(role, &ending, Attribute::Role).await;
    server.clock.advance(Duration::from_secs(60));
    check(put(PROJECT), &ending, Attribute::ExpireTime).await;

    let nobody = explain(&client, asking("unix:4243", "secrets.get", PROJECT)).await;
    let nobody = nobody.unwrap();
    assert!(!nobody.allowed && nobody.nearest_grant.is_none());
    assert_eq!(nobody.failed_attribute(), Attribute::Unspecified);
    for (request, field) in [
        (asking(holder, "secrets.gett", PROJECT), "permission"),
        (asking("oidc:ci#1/2/*", "secrets.get", PROJECT), "principal"),
        (asking("nobody", "secrets.get", PROJECT), "principal"),
    ] {
        let status = explain(&client, request).await;
        let status = fails(status, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(violation(&status).unwrap().0, field);
    }
}

#[tokio::test]
async fn of_others_it_says_what_the_caller_may_list_and_of_oneself_everything() {
    let (server, client) = Server::prepared(options()).await;
    client.put(&secret("key"), "value").await.unwrap();
    let job = "oidc:ci#1/2/ref/main";
    let everywhere = client.grant("oidc:ci#1/2/*", Role::Runner, "*").await;
    let of_project = client.token(&[(Role::Admin, PROJECT)]).await;
    let of_project = server.tcp().await.with_token(&of_project.token);
    let stranger = client.token(&[(Role::Runner, PROJECT)]).await;
    let stranger = server.tcp().await.with_token(&stranger.token);

    let asked = || asking(job, "secrets.get", &secret("key"));
    let all = explain(&client, asked()).await.unwrap();
    assert_eq!(all.grant, Some(everywhere), "the pattern's");
    // The grant is on everything, which an administrator of the project may not list.
    let some = explain(&of_project, asked()).await.unwrap();
    assert!(some.allowed && some.grant.is_none(), "{some:?}");
    denied(explain(&stranger, asked()).await);

    let own = explain(&stranger, asking("", "secrets.get", &secret("key"))).await;
    assert!(own.unwrap().allowed);
    let lines = server.audit_lines();
    let of_explain = lines
        .iter()
        .filter(|line| line["rpc"] == "claviger.v1.AccessService/ExplainAccess");
    let said: Vec<_> = of_explain.map(|line| line["outcome"].clone()).collect();
    assert_eq!(said.len(), 4, "each is on record: {said:?}");
    assert!(said.contains(&"DENIED".into()));
}

#[tokio::test]
async fn it_does_not_tell_a_definition_that_is_there_from_one_that_is_not() {
    let (server, client) = Server::prepared(Options::default()).await;
    client.project("projects/staged", &["dev", "prod"]).await;
    client.put(&secret("there"), "value").await.unwrap();
    let made = client.token(&[(Role::Auditor, "projects/staged")]).await;
    let stranger = server.tcp().await.with_token(&made.token);
    let answer = async |name: &str| {
        let mut said = Vec::new();
        for permission in ["secrets.get", "definitions.get"] {
            said.push(
                explain(&stranger, asking("", permission, name))
                    .await
                    .unwrap(),
            );
            let of_other = explain(&stranger, asking("unix:1", permission, name)).await;
            let refused = denied(of_other).message().replace(name, "");
            assert!(refused.contains("(or it does not exist)"), "{refused}");
        }
        said
    };
    assert_eq!(
        answer(&secret("there")).await,
        answer(&secret("absent")).await
    );
}
