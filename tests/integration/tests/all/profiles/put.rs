//! Puts: what they need, what they keep, and what a repeat gets.

use claviger_integration::{Options, Server, violation};
use claviger_proto::v1;
use claviger_proto::v1::connection_profile::{Adapter, Auth};
use tonic::Code;

use super::{BODY, app, connecting, delete, get, key, masked, pasting, profile_name, put};
use crate::support::{fails, request_id};

#[tokio::test]
async fn a_put_in_one_step_is_read_without_what_was_pasted() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    let mut request = connecting(&name, app());
    let wanted = request.profile.as_mut().unwrap();
    wanted.description = "for the nightly load".to_owned();
    wanted.labels = [("team".to_owned(), "data".to_owned())].into();
    let made = put(&client, request).await.unwrap().profile.unwrap();
    assert_eq!(
        (made.id.as_str(), made.adapter()),
        ("stripe", Adapter::Stripe)
    );
    assert_eq!(made.description, "for the nightly load");
    assert_eq!(made.labels["team"], "data");
    let Some(Auth::Oauth(auth)) = &made.auth else {
        panic!("{made:?}");
    };
    assert_eq!(auth.client_id, key("ca_"));
    assert_eq!(
        (auth.client_secret.as_str(), auth.refresh_token.as_str()),
        ("", "")
    );
    assert_eq!(
        made.install.as_ref().unwrap().state(),
        v1::install::State::Unverified
    );
    assert_eq!(get(&client, &name).await.unwrap(), made);
}

#[tokio::test]
async fn a_change_needs_the_etag_or_the_fields_that_are_meant() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    let made = put(&client, pasting(&name, &key("rk_test_")))
        .await
        .unwrap();
    let made = made.profile.unwrap();

    // The same again is no change.
    let again = put(&client, pasting(&name, &key("rk_test_")))
        .await
        .unwrap();
    assert_eq!(again.profile.unwrap(), made);
    let described = |etag: &str| {
        let mut request = pasting(&name, "");
        let profile = request.profile.as_mut().unwrap();
        (profile.description, profile.etag) = ("new".to_owned(), etag.to_owned());
        request
    };
    for request in [described(""), pasting(&name, &key("rk_test_x"))] {
        let refused = put(&client, request.clone()).await;
        fails(refused, Code::AlreadyExists, "PROFILE_EXISTS");
        let refused = put(&client, masked(request, &["*"])).await;
        fails(refused, Code::AlreadyExists, "PROFILE_EXISTS");
    }
    let stale = put(&client, described("0-none")).await;
    fails(stale, Code::Aborted, "ETAG_MISMATCH");

    let changed = put(&client, described(&made.etag)).await.unwrap();
    let changed = changed.profile.unwrap();
    assert_eq!(
        (changed.description.as_str(), &changed.auth),
        ("new", &made.auth)
    );
    let cleared = put(&client, masked(pasting(&name, ""), &["description"])).await;
    assert_eq!(cleared.unwrap().profile.unwrap().description, "");
    // New values are no change of the profile.
    let before = get(&client, &name).await.unwrap();
    let rotated = masked(pasting(&name, &key("rk_test_x")), &["api_key.api_key"]);
    let rotated = put(&client, rotated).await.unwrap();
    assert_eq!(rotated.version, "2");
    assert_eq!(rotated.profile.unwrap(), before);
}

#[tokio::test]
async fn a_mask_names_fields_that_are_filled_and_of_the_profile() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    put(&client, connecting(&name, app())).await.unwrap();
    let none = || connecting(&name, v1::OauthAuth::default());
    for (request, path, field) in [
        (none(), "name", "update_mask"),
        (none(), "oauth.nothing", "update_mask"),
        (none(), "api_key.account", "update_mask"),
        (none(), "api_key", "profile.api_key"),
        (none(), "oauth.refresh_token", "profile.oauth.refresh_token"),
        (none(), "oauth.client_secret", "profile.oauth.client_secret"),
        (none(), "oauth.client_id", "profile.oauth.client_id"),
        (pasting(&name, ""), "oauth", "profile.oauth"),
    ] {
        let refused = put(&client, masked(request, &[path])).await;
        let status = fails(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(violation(&status).unwrap().0, field, "{path}");
    }
    let mut labelled = none();
    let labels = [("team".to_owned(), "data".to_owned())];
    labelled.profile.as_mut().unwrap().labels = labels.into();
    let labelled = put(&client, masked(labelled, &["labels"])).await.unwrap();
    let labelled = labelled.profile.unwrap();
    assert_eq!(labelled.labels["team"], "data");
    let set = v1::OauthAuth {
        app: "app_1".to_owned(),
        client_secret: key("sk_test_"),
        ..Default::default()
    };
    let paths = ["oauth.app", "oauth.client_secret"];
    let set = put(&client, masked(connecting(&name, set), &paths)).await;
    let Some(Auth::Oauth(auth)) = set.unwrap().profile.unwrap().auth else {
        panic!("OAuth");
    };
    assert_eq!((auth.app.as_str(), auth.client_id), ("app_1", key("ca_")));
}

#[tokio::test]
async fn a_change_of_what_is_not_there_is_not_a_creation() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    let request = masked(pasting(&name, &key("rk_test_")), &["api_key"]);
    let refused = put(&client, request).await;
    fails(refused, Code::NotFound, "PROFILE_NOT_FOUND");
    let mut request = pasting("projects/none/connectionProfiles/x", &key("rk_test_"));
    let refused = put(&client, request.clone()).await;
    fails(refused, Code::NotFound, "PROJECT_NOT_FOUND");
    request.profile.as_mut().unwrap().name = "projects/acme/secrets/x".to_owned();
    let refused = put(&client, request).await;
    fails(refused, Code::InvalidArgument, "NAME_INVALID");
}

#[tokio::test]
async fn a_dry_run_says_all_and_changes_nothing() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    let dry = |request| v1::PutConnectionProfileRequest {
        validate_only: true,
        ..request
    };
    let reply = put(&client, dry(pasting(&name, &key("sk_test_"))))
        .await
        .unwrap();
    assert!(!reply.warnings.is_empty());
    fails(
        get(&client, &name).await,
        Code::NotFound,
        "PROFILE_NOT_FOUND",
    );
    let refused = put(&client, dry(pasting(&name, &key("pk_test_")))).await;
    fails(refused, Code::InvalidArgument, "VALUE_WRONG_KIND");

    put(&client, connecting(&name, app())).await.unwrap();
    let before = get(&client, &name).await.unwrap();
    let switch = masked(pasting(&name, &key("rk_test_")), &["api_key"]);
    put(&client, dry(switch)).await.unwrap();
    assert_eq!(get(&client, &name).await.unwrap(), before);
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_and_other_content_is_refused() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    let id = request_id();
    let with_id = |request| v1::PutConnectionProfileRequest {
        request_id: id.clone(),
        ..request
    };
    let first = put(&client, with_id(pasting(&name, &key("rk_test_"))))
        .await
        .unwrap();
    let repeat = put(&client, with_id(pasting(&name, &key("rk_test_"))))
        .await
        .unwrap();
    assert_eq!(repeat, first);
    // Also what was pasted is content.
    for other in [
        pasting(&name, &key("rk_test_x")),
        connecting(&name, app()),
        masked(pasting(&name, &key("rk_test_")), &["api_key"]),
    ] {
        let refused = put(&client, with_id(other)).await;
        let status = fails(refused, Code::InvalidArgument, "REQUEST_ID_REUSED");
        assert!(!format!("{status:?}").contains(BODY), "{status:?}");
    }
    // A re-made name inherits nothing.
    delete(&client, &name, true).await.unwrap();
    put(&client, pasting(&name, &key("rk_test_")))
        .await
        .unwrap();
    let refused = put(&client, with_id(pasting(&name, &key("rk_test_")))).await;
    fails(refused, Code::InvalidArgument, "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn description_and_labels_are_bounded_as_those_of_definitions() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let with = |description: &str, label: &str| {
        let mut request = pasting(&profile_name("stripe"), &key("rk_test_"));
        let profile = request.profile.as_mut().unwrap();
        profile.description = description.to_owned();
        profile.labels = [("team".to_owned(), label.to_owned())].into();
        request
    };
    for (request, field) in [
        (with(&"x".repeat(257), ""), "profile.description"),
        (with("", &"x".repeat(129)), "profile.labels"),
        (with("", "a\nb"), "profile.labels"),
        (with(&key("sk_live_"), ""), "profile.description"),
        (with("", &key("rt_")), "profile.labels"),
    ] {
        let refused = put(&client, request).await;
        let status = fails(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(violation(&status).unwrap().0, field);
    }
    let mut neither = pasting(&profile_name("stripe"), "");
    neither.profile.as_mut().unwrap().auth = None;
    let status = fails(
        put(&client, neither).await,
        Code::InvalidArgument,
        "FIELD_INVALID",
    );
    assert_eq!(violation(&status).unwrap().0, "profile.api_key");
}
