//! Profiles with an API key: pasted, or a definition that exists.

use claviger_integration::{FaultyBackend, Options, Server, reason, violation};
use claviger_proto::v1;
use claviger_proto::v1::connection_profile::Auth;
use claviger_proto::v1::environment::StripeMode;
use claviger_proto::v1::secret_definition::Kind;
use tonic::Code;

use super::{
    BODY, app, connecting, definition_of, get, key, masked, pasting, pointing, profile_name, put,
    wanting,
};
use crate::support::{creating, defining, denied, fails, reading_in, reasons, secret, versions};

#[tokio::test]
async fn a_pasted_key_becomes_a_definition_of_the_managed_vault_for_all_environments() {
    let (_server, client) = Server::prepared(Options::default()).await;
    client.project("projects/staged", &["dev", "prod"]).await;
    let name = "projects/staged/connectionProfiles/stripe";
    let made = put(&client, pasting(name, &key("rk_live_"))).await.unwrap();
    assert_eq!(made.version, "1");
    let definition = definition_of(made.profile.as_ref().unwrap());
    let id = definition
        .strip_prefix("projects/staged/secrets/stripe-")
        .unwrap();
    assert_eq!(id.len(), 10);
    let found = client.definition(&definition).await.unwrap();
    assert_eq!(found.kind(), Kind::StripeApiKey);
    assert_eq!(found.location.unwrap().vault, "managed");
    assert_eq!(found.labels["connection_profile"], "stripe");
    assert!(
        found.description.contains("stripe"),
        "{}",
        found.description
    );
    for environment in ["dev", "prod"] {
        let read = client
            .get_secret(reading_in(&definition, environment))
            .await
            .unwrap();
        assert_eq!(read.stripe.unwrap().mode, "LIVE");
    }
}

#[tokio::test]
async fn a_long_id_is_cut_so_that_the_definition_has_one() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = profile_name(&"p".repeat(128));
    let made = put(&client, pasting(&name, &key("rk_test_")))
        .await
        .unwrap();
    let definition = definition_of(made.profile.as_ref().unwrap());
    assert_eq!(definition.rsplit('/').next().unwrap().len(), 128);
}

#[tokio::test]
async fn a_new_key_is_the_next_version_of_the_same_definition() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    let made = put(&client, pasting(&name, &key("rk_test_a")))
        .await
        .unwrap();
    let made = made.profile.unwrap();
    let definition = definition_of(&made);
    // With the etag and another description, all of it at once.
    let mut request = pasting(&name, &key("rk_test_b"));
    let wanted = request.profile.as_mut().unwrap();
    (wanted.etag, wanted.description) = (made.etag, "new".to_owned());
    let put_again = put(&client, request).await.unwrap();
    assert_eq!(put_again.version, "2");
    let profile = put_again.profile.unwrap();
    assert_eq!(
        (definition_of(&profile), profile.description.as_str()),
        (definition.clone(), "new")
    );
    assert_eq!(client.text(&definition).await, key("rk_test_b"));
    assert_eq!(versions(&client, &definition).await.len(), 2);
    // White space around it is what a paste brings, and said.
    let pasted = format!(" {}\n", key("rk_test_c"));
    let request = masked(pasting(&name, &pasted), &["api_key.api_key"]);
    let put_again = put(&client, request).await.unwrap();
    assert!(reasons(put_again.warnings).contains(&"VALUE_TRIMMED".to_owned()));
    assert_eq!(client.text(&definition).await, key("rk_test_c"));
    // Naming its own definition with the key is fine; a key that is switched off is replaced.
    let switched = v1::DisableSecretVersionRequest {
        name: format!("{definition}/versions/3"),
        ..Default::default()
    };
    client
        .secrets()
        .disable_secret_version(switched)
        .await
        .unwrap();
    let auth = v1::ApiKeyAuth {
        definition: definition.clone(),
        api_key: key("rk_test_d"),
        ..Default::default()
    };
    let request = masked(wanting(&name, Auth::ApiKey(auth)), &["api_key"]);
    assert_eq!(put(&client, request).await.unwrap().version, "4");
}

#[tokio::test]
async fn what_is_no_key_is_refused_with_the_field_and_the_remedy() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    for (value, why) in [
        (key("pk_live_"), "VALUE_WRONG_KIND"),
        (key("whsec_"), "VALUE_WRONG_KIND"),
        (format!("Bearer {}", key("sk_live_")), "VALUE_MALFORMED"),
        (format!("\"{}\"", key("sk_live_")), "VALUE_MALFORMED"),
        (format!("rk_live_0123 {BODY}"), "VALUE_MALFORMED"),
        (" \n".to_owned(), "PAYLOAD_EMPTY"),
        (key("rk_live_").repeat(3000), "PAYLOAD_TOO_LARGE"),
    ] {
        let status = put(&client, pasting(&name, &value)).await.unwrap_err();
        assert_eq!(reason(&status), why, "{status:?}");
        assert_eq!(violation(&status).unwrap().0, "profile.api_key.api_key");
        assert!(!format!("{status:?}").contains(BODY), "{status:?}");
    }
    let auth = |account: &str, context: &str, start: &str| v1::ApiKeyAuth {
        api_key: key(start),
        account: account.to_owned(),
        context: context.to_owned(),
        ..Default::default()
    };
    for (auth, field) in [
        (auth("cus_1", "", "rk_test_"), "profile.api_key.account"),
        (auth("acct_1 ", "", "rk_test_"), "profile.api_key.account"),
        (auth("", "acct_1/", "rk_test_"), "profile.api_key.context"),
        (auth("", "", "sk_org_"), "profile.api_key.context"),
    ] {
        let refused = put(&client, wanting(&name, Auth::ApiKey(auth))).await;
        let status = fails(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(violation(&status).unwrap().0, field);
    }
    fails(
        get(&client, &name).await,
        Code::NotFound,
        "PROFILE_NOT_FOUND",
    );
    let organization = auth("", "acct_1/acct_2", "sk_org_");
    put(&client, wanting(&name, Auth::ApiKey(organization)))
        .await
        .unwrap();
    // The definition says the same: it is read on its own too.
    let definition = definition_of(&get(&client, &name).await.unwrap());
    let read = client.get(&definition).await.unwrap();
    assert_eq!(read.stripe.unwrap().context, "acct_1/acct_2");
    let other = v1::ApiKeyAuth {
        context: "acct_3".to_owned(),
        ..Default::default()
    };
    let other = wanting(&name, Auth::ApiKey(other));
    put(&client, masked(other, &["api_key.context"]))
        .await
        .unwrap();
    let read = client.get(&definition).await.unwrap();
    assert_eq!(
        (read.stripe.unwrap().context.as_str(), read.version.as_str()),
        ("acct_3", "1")
    );
}

#[tokio::test]
async fn a_profile_points_at_a_key_of_its_own_project_only() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    let register = async |definition: &str| {
        let mut request = creating(definition, &key("rk_test_"));
        request.definition.as_mut().unwrap().kind = Kind::StripeApiKey.into();
        client.put_definition(request).await.unwrap();
    };
    register(&secret("key")).await;
    client.project("projects/other", &[]).await;
    register("projects/other/secrets/key").await;
    client.put(&secret("opaque"), "x").await.unwrap();
    register(&secret("gone")).await;
    crate::support::delete(&client, &secret("gone"), false)
        .await
        .unwrap();
    let own = put(&client, pasting(&profile_name("own"), &key("rk_test_")))
        .await
        .unwrap();
    let own = definition_of(&own.profile.unwrap());

    for (definition, code, why) in [
        (
            "projects/other/secrets/key".to_owned(),
            Code::InvalidArgument,
            "FIELD_INVALID",
        ),
        (secret("opaque"), Code::InvalidArgument, "FIELD_INVALID"),
        (own, Code::InvalidArgument, "FIELD_INVALID"),
        (
            secret("gone"),
            Code::FailedPrecondition,
            "DEFINITION_DELETED",
        ),
        (secret("none"), Code::NotFound, "DEFINITION_NOT_FOUND"),
    ] {
        let refused = put(&client, pointing(&name, &definition)).await;
        let status = fails(refused, code, why);
        let field = violation(&status).unwrap().0;
        assert_eq!(field, "profile.api_key.definition", "{definition}");
    }
    let auth = v1::ApiKeyAuth {
        definition: secret("key"),
        api_key: key("rk_test_"),
        ..Default::default()
    };
    let refused = put(&client, wanting(&name, Auth::ApiKey(auth))).await;
    let status = fails(refused, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(violation(&status).unwrap().0, "profile.api_key.definition");
    let refused = put(&client, pasting(&name, "")).await;
    let status = fails(refused, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(violation(&status).unwrap().0, "profile.api_key.api_key");

    let made = put(&client, pointing(&name, &secret("key"))).await.unwrap();
    assert_eq!(definition_of(&made.profile.unwrap()), secret("key"));
    let again = put(&client, pointing(&name, &secret("key"))).await.unwrap();
    assert_eq!(again.profile.unwrap(), get(&client, &name).await.unwrap());
}

#[tokio::test]
async fn pointing_somewhere_needs_the_right_on_the_project_and_keeping_it_does_not() {
    let (server, client) = Server::prepared(Options::default()).await;
    let mut request = creating(&secret("key"), &key("rk_test_"));
    request.definition.as_mut().unwrap().kind = Kind::StripeApiKey.into();
    client.put_definition(request).await.unwrap();
    let name = profile_name("stripe");
    put(&client, pasting(&name, &key("rk_test_")))
        .await
        .unwrap();
    let token = client.token(&[(v1::Role::Operator, &name)]).await;
    let operator = server.unix().with_token(&token.token);

    let pointed = masked(pointing(&name, &secret("key")), &["api_key"]);
    denied(put(&operator, pointed.clone()).await);
    // Neither does it say what there is.
    denied(
        put(
            &operator,
            masked(pointing(&name, &secret("none")), &["api_key"]),
        )
        .await,
    );
    put(&client, pointed).await.unwrap();
    let mut described = pointing(&name, &secret("key"));
    described.profile.as_mut().unwrap().description = "mine".to_owned();
    let kept = masked(described, &["description", "api_key"]);
    let kept = put(&operator, kept).await.unwrap().profile.unwrap();
    assert_eq!(kept.description, "mine");
    let pasted = masked(pasting(&name, &key("rk_test_")), &["api_key"]);
    put(&operator, pasted).await.unwrap();
}

#[tokio::test]
async fn a_change_of_the_way_to_authenticate_ends_what_went_with_the_other() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    let made = put(&client, pasting(&name, &key("rk_test_")))
        .await
        .unwrap();
    let with_key = definition_of(&made.profile.unwrap());
    // With pointing it goes too.
    let request = masked(connecting(&name, app()), &["oauth"]);
    let connected = put(&client, request).await.unwrap().profile.unwrap();
    let with_oauth = definition_of(&connected);
    assert_ne!(with_key, with_oauth);
    fails(
        client.get(&with_key).await,
        Code::NotFound,
        "DEFINITION_NOT_FOUND",
    );
    assert!(connected.install.is_some());

    let request = masked(pasting(&name, &key("rk_test_")), &["api_key"]);
    let back = put(&client, request).await.unwrap().profile.unwrap();
    let again = definition_of(&back);
    assert!(back.install.is_none());
    assert!(again != with_key && again != with_oauth, "{again}");
    let gone = client.definition(&with_oauth).await;
    fails(gone, Code::NotFound, "DEFINITION_NOT_FOUND");

    let mut request = creating(&secret("key"), &key("rk_test_"));
    request.definition.as_mut().unwrap().kind = Kind::StripeApiKey.into();
    client.put_definition(request).await.unwrap();
    let request = masked(pointing(&name, &secret("key")), &["api_key"]);
    put(&client, request).await.unwrap();
    fails(
        client.definition(&again).await,
        Code::NotFound,
        "DEFINITION_NOT_FOUND",
    );
    let request = masked(pasting(&name, &key("rk_test_")), &["api_key"]);
    put(&client, request).await.unwrap();
    assert_eq!(client.text(&secret("key")).await, key("rk_test_"));
}

#[tokio::test]
async fn a_mode_that_no_environment_takes_is_warned_of() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let environment = |mode: StripeMode| v1::Environment {
        stripe_mode: mode.into(),
        ..Default::default()
    };
    let project = v1::Project {
        name: "projects/live".to_owned(),
        environments: [("prod".to_owned(), environment(StripeMode::Live))].into(),
        ..Default::default()
    };
    let request = v1::PutProjectRequest {
        project: Some(project),
        validate_only: false,
    };
    client.projects().put_project(request).await.unwrap();
    let warned = async |request| {
        let warnings = put(&client, request).await.unwrap().warnings;
        reasons(warnings).contains(&"MODE_UNUSED".to_owned())
    };
    let name = |id: &str| format!("projects/live/connectionProfiles/{id}");
    assert!(warned(pasting(&name("a"), &key("rk_test_"))).await);
    assert!(!warned(pasting(&name("b"), &key("rk_live_"))).await);
    assert!(warned(connecting(&name("c"), app())).await);
    let live = v1::OauthAuth {
        client_secret: key("sk_live_"),
        ..app()
    };
    assert!(!warned(connecting(&name("d"), live)).await);
    // Without environments nothing is demanded.
    assert!(!warned(pasting(&profile_name("e"), &key("rk_test_"))).await);
}

#[tokio::test]
async fn a_put_leaves_an_own_definition_alone_that_was_led_elsewhere() {
    let backend = FaultyBackend::shared();
    let (_server, client) = Server::prepared(Options::with_faulty(&backend)).await;
    let name = profile_name("stripe");
    let made = put(&client, pasting(&name, &key("rk_test_")))
        .await
        .unwrap();
    let definition = definition_of(&made.profile.unwrap());
    let mut moved = defining(&definition);
    moved.definition.as_mut().unwrap().location = Some(crate::support::in_faulty("acme/key"));
    moved.update_mask = Some(prost_types::FieldMask {
        paths: vec!["location".to_owned()],
    });
    client.put_definition(moved).await.unwrap();
    let request = masked(pasting(&name, &key("rk_test_b")), &["api_key"]);
    let status = fails(
        put(&client, request).await,
        Code::InvalidArgument,
        "FIELD_INVALID",
    );
    assert_eq!(violation(&status).unwrap().0, "profile.api_key.api_key");
}

#[tokio::test]
async fn a_definition_that_becomes_another_kind_gives_jobs_nothing_by_a_profile() {
    let backend = FaultyBackend::shared();
    let (_server, client) = Server::prepared(Options::with_faulty(&backend)).await;
    backend.type_in("acme/typed", &key("rk_test_"));
    let definition = |kind: Kind| v1::SecretDefinition {
        name: secret("typed"),
        kind: kind.into(),
        location: Some(v1::Location {
            vault: "faulty".to_owned(),
            secret: "acme/typed".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let made = v1::PutSecretDefinitionRequest {
        definition: Some(definition(Kind::StripeApiKey)),
        ..Default::default()
    };
    client.put_definition(made).await.unwrap();
    let name = profile_name("stripe");
    put(&client, pointing(&name, &secret("typed")))
        .await
        .unwrap();
    let resolve = async || {
        let request = v1::ResolveConnectionRequest {
            name: name.clone(),
            ..Default::default()
        };
        client.profiles().resolve_connection(request).await
    };
    resolve().await.unwrap();
    backend.type_in("acme/typed", &key("whsec_"));
    for kind in [Kind::StripeWebhookSecret, Kind::Opaque] {
        let changed = v1::PutSecretDefinitionRequest {
            definition: Some(definition(kind)),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["kind".to_owned()],
            }),
            ..Default::default()
        };
        client.put_definition(changed).await.unwrap();
        fails(
            resolve().await,
            Code::FailedPrecondition,
            "VALUE_WRONG_KIND",
        );
    }
}
