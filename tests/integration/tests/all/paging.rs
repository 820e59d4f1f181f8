//! Lists page by page: tokens that are no list's own, and lists that are longer than clients take.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use claviger_integration::{FaultyBackend, Options, PROJECT, Server, reason, violation};
use claviger_proto::v1::{self, Role};
use prost_types::DescriptorProto;

use crate::profiles::{key, pasting, profile_name, put};
use crate::raw_rpc::{Step, base_of, call, encoded, inputs, messages};
use crate::support::{in_faulty, located, secret};

/// The number of a field of a message, if it has it.
fn number(message: &str, field: &str) -> Option<i32> {
    static MESSAGES: LazyLock<BTreeMap<String, DescriptorProto>> = LazyLock::new(messages);
    let fields = &MESSAGES[message].field;
    fields
        .iter()
        .find(|f| f.name() == field)
        .map(|f| f.number())
}

/// The RPCs that list, with their requests.
fn lists() -> BTreeMap<String, String> {
    let is_list = |(_, input): &(String, String)| number(input, "page_token").is_some();
    inputs().into_iter().filter(is_list).collect()
}

/// A request for a page of one item behind this token.
fn asking(input: &str, token: &str) -> Vec<u8> {
    let mut message = base_of(input);
    let size = u8::try_from(number(input, "page_size").unwrap()).unwrap();
    message.extend([size << 3, 1]);
    let step = Step {
        number: number(input, "page_token").unwrap(),
        message: None,
    };
    message.extend(encoded(&[step], token.as_bytes()));
    message
}

/// The token in an answer: all lists have it in the field behind their items.
fn next_token(mut answer: &[u8]) -> String {
    let mut token = String::new();
    while let [tag, rest @ ..] = answer {
        let mut rest = rest;
        let length = prost::encoding::decode_varint(&mut rest).unwrap();
        let (value, behind) = rest.split_at(usize::try_from(length).unwrap());
        if *tag == 2 << 3 | 2 {
            token = String::from_utf8(value.to_vec()).unwrap();
        }
        answer = behind;
    }
    token
}

#[tokio::test]
async fn a_token_that_a_list_did_not_give_out_is_refused_by_every_list() {
    let backend = FaultyBackend::new();
    let (_server, client) = Server::prepared(Options::with_faulty(&backend)).await;
    backend.add_foreign(&["acme/a", "acme/b", "acme/c"]);
    for id in ["pasted-kept", "second"] {
        client.put(&secret(id), "first").await.unwrap();
    }
    for id in ["a", "b"] {
        let name = profile_name(id);
        put(&client, pasting(&name, &key("rk_test_")))
            .await
            .unwrap();
    }
    client.rotate(&secret("pasted-kept"), "next").await.unwrap();
    client.project("projects/second", &[]).await;
    for _ in 0..2 {
        client.token(&[(Role::Runner, PROJECT)]).await;
    }

    let mut tokens = BTreeMap::new();
    for (method, input) in lists() {
        let first = call(&client, &method, asking(&input, "")).await.unwrap();
        let token = next_token(&first);
        assert!(!token.is_empty(), "{method} has one page only");
        let second = call(&client, &method, asking(&input, &token))
            .await
            .unwrap();
        assert_ne!(next_token(&second), token, "{method}");
        tokens.insert(method, token);
    }
    assert!(tokens.len() >= 6, "{tokens:?}");
    for (method, input) in lists() {
        let own = &tokens[&method];
        let others = tokens.iter().filter(|(other, _)| **other != method);
        let mut wrong: Vec<String> = others.map(|(_, token)| token.clone()).collect();
        for (start, end) in (1..own.len()).map(|middle| own.split_at(middle)) {
            wrong.extend([start.to_owned(), end.to_owned()]);
        }
        let (_, key) = own.split_at(16);
        wrong.extend([
            format!("{own}x"),
            format!("{own}/"),
            format!(" {own}"),
            own.to_uppercase() + "A",
            format!("{}{key}", "0".repeat(16)),
            "x".to_owned(),
            "bm90IGEgdG9rZW4=".to_owned(),
            "acme/stripe".to_owned(),
            "é".repeat(9),
            "\u{1}".to_owned(),
            "x".repeat(200_000),
        ]);
        for token in wrong {
            let refused = call(&client, &method, asking(&input, &token)).await;
            let status = refused.expect_err(&format!("{method} takes {token}"));
            assert_eq!(reason(&status), "FIELD_INVALID", "{method} {token}");
            let (field, remedy) = violation(&status).expect("a field");
            assert_eq!(field, "page_token", "{method} {token}");
            assert!(remedy.contains("start again without it"), "{remedy}");
        }
    }
}

#[tokio::test]
async fn a_token_of_another_parent_is_refused() {
    let (_server, client) = Server::prepared(Options::default()).await;
    client.project("projects/other", &[]).await;
    for project in [PROJECT, "projects/other"] {
        for id in ["a", "b"] {
            let name = format!("{project}/secrets/{id}");
            client.put(&name, "first").await.unwrap();
            client.rotate(&name, "next").await.unwrap();
        }
    }
    let definitions = |parent: &str, page_token: &str| v1::ListSecretDefinitionsRequest {
        parent: parent.to_owned(),
        page_size: 1,
        page_token: page_token.to_owned(),
        ..Default::default()
    };
    let mut service = client.definitions();
    let page = service.list_secret_definitions(definitions(PROJECT, ""));
    let token = page.await.unwrap().into_inner().next_page_token;
    let wrong = service.list_secret_definitions(definitions("projects/other", &token));
    assert_eq!(reason(&wrong.await.unwrap_err()), "FIELD_INVALID");

    let versions = |parent: &str, page_token: &str| v1::ListSecretVersionsRequest {
        parent: secret(parent),
        page_size: 1,
        page_token: page_token.to_owned(),
        ..Default::default()
    };
    let mut service = client.secrets();
    let page = service.list_secret_versions(versions("a", ""));
    let token = page.await.unwrap().into_inner().next_page_token;
    let wrong = service.list_secret_versions(versions("b", &token));
    assert_eq!(reason(&wrong.await.unwrap_err()), "FIELD_INVALID");
}

#[tokio::test]
async fn a_list_of_the_longest_definitions_fits_a_default_client() {
    const COUNT: usize = 60;
    let backend = FaultyBackend::shared();
    let (_server, client) = Server::prepared(Options::with_faulty(&backend)).await;
    let environments: Vec<String> = (0..25).map(|n| format!("{n:0>128}")).collect();
    let ids: Vec<&str> = environments.iter().map(String::as_str).collect();
    client.project("projects/long", &ids).await;
    for index in 0..COUNT {
        let location = |environment: &String| {
            let place = format!("acme/{index}/{environment}/");
            let location = v1::Location {
                property: "p".repeat(2048),
                ..in_faulty(&format!("{place:x<2048}"))
            };
            (environment.clone(), location)
        };
        let name = format!("projects/long/secrets/{index:0>3}");
        let mut put = located(&name, in_faulty("unused"));
        put.skip_value_check = true;
        let definition = put.definition.as_mut().unwrap();
        definition.location = None;
        definition.environments = environments.iter().map(location).collect();
        client.put_definition(put).await.unwrap();
    }
    let mut request = v1::ListSecretDefinitionsRequest {
        parent: "projects/long".to_owned(),
        page_size: 1000,
        ..Default::default()
    };
    let (mut names, mut pages) = (Vec::new(), 0);
    loop {
        let list = client.definitions();
        // Which takes 4 MiB.
        let reply = { list }.list_secret_definitions(request.clone()).await;
        let reply = reply.unwrap().into_inner();
        assert!(!reply.definitions.is_empty());
        names.extend(reply.definitions.into_iter().map(|found| found.id));
        pages += 1;
        if reply.next_page_token.is_empty() {
            break;
        }
        request.page_token = reply.next_page_token;
    }
    let wanted: Vec<String> = (0..COUNT).map(|index| format!("{index:0>3}")).collect();
    assert_eq!(names, wanted);
    assert!((2..=4).contains(&pages), "{pages} pages");
}

#[tokio::test]
async fn grants_are_listed_in_pages_of_the_size_asked_for() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let mut given = Vec::new();
    for uid in [7001, 7002, 7003] {
        for project in 0..12 {
            let (name, principal) = (format!("projects/p{project}"), format!("unix:{uid}"));
            client.project(&name, &[]).await;
            given.push(client.grant(&principal, Role::Runner, &name).await.name);
        }
    }
    let taken = given.remove(17);
    let request = v1::DeleteGrantRequest { name: taken };
    client.access().delete_grant(request).await.unwrap();
    for (principal, size) in [("", 1), ("", 5), ("", 12), ("", 1000), ("unix:7002", 5)] {
        let mut request = v1::ListGrantsRequest {
            principal: principal.to_owned(),
            page_size: size,
            ..Default::default()
        };
        let mut listed = Vec::new();
        loop {
            let reply = client.access().list_grants(request.clone()).await;
            let reply = reply.unwrap().into_inner();
            assert!(reply.grants.len() <= usize::try_from(size).unwrap());
            listed.extend(reply.grants.into_iter().map(|grant| grant.name));
            if reply.next_page_token.is_empty() {
                break;
            }
            request.page_token = reply.next_page_token;
        }
        let wanted = match principal {
            "" => given.clone(),
            _ => given[12..23].to_vec(),
        };
        listed.retain(|name| given.contains(name));
        assert_eq!(listed.len(), wanted.len(), "{principal} {size}");
        assert!(wanted.iter().all(|name| listed.contains(name)));
    }
}
