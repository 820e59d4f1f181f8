//! Profiles with OAuth, before anything is exchanged.

use claviger_integration::{Options, Server, violation};
use claviger_proto::v1;
use claviger_proto::v1::connection_profile::Auth;
use claviger_proto::v1::environment::StripeMode;
use claviger_proto::v1::install::State;
use claviger_proto::v1::oauth_auth::Flavor;
use claviger_proto::v1::secret_definition::Kind;
use tonic::Code;

use super::{BODY, app, connecting, definition_of, get, key, masked, profile_name, put};
use crate::support::{check, fails, reasons};

/// With the host that Connect's tokens are exchanged at.
fn with_connect() -> Options {
    let url = "http://127.0.0.1:9";
    Options {
        stripe: format!("base_url = \"{url}\", connect_url = \"{url}\""),
        ..Options::default()
    }
}

#[tokio::test]
async fn client_secret_and_refresh_token_become_one_definition_of_the_managed_vault() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    let made = put(&client, connecting(&name, app())).await.unwrap();
    assert_eq!(made.version, "");
    assert_eq!(reasons(made.warnings), ["OAUTH_TOKEN_SHORT"]);
    let profile = made.profile.unwrap();
    let definition = client.definition(&definition_of(&profile)).await.unwrap();
    assert_eq!(definition.kind(), Kind::StripeOauth);
    assert_eq!(definition.location.unwrap().vault, "managed");
    assert!(definition.environment_fallback);
    assert_eq!(definition.labels["connection_profile"], "stripe");
    let install = profile.install.unwrap();
    assert_eq!(
        (install.state(), install.profiles),
        (State::Unverified, vec![name])
    );
}

#[tokio::test]
async fn each_wrong_field_is_refused_by_name_with_the_remedy() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    let with = |change: fn(&mut v1::OauthAuth)| {
        let mut auth = app();
        change(&mut auth);
        auth
    };
    for (auth, field, remedy) in [
        (
            with(|auth| auth.client_id.clear()),
            "client_id",
            "Client ID",
        ),
        (
            with(|auth| auth.client_id = key("sk_live_")),
            "client_id",
            "client_secret",
        ),
        (
            with(|auth| auth.client_id.push(' ')),
            "client_id",
            "white space",
        ),
        (
            with(|auth| auth.client_secret.clear()),
            "client_secret",
            "secret key",
        ),
        (
            with(|auth| auth.client_secret = key("rk_test_")),
            "client_secret",
            "restricted key",
        ),
        (
            with(|auth| auth.client_secret = key("rt_")),
            "client_secret",
            "refresh_token",
        ),
        (
            with(|auth| auth.client_secret = key("whsec_")),
            "client_secret",
            "webhook",
        ),
        (
            with(|auth| auth.client_secret.push('\n')),
            "client_secret",
            "white space",
        ),
        (
            with(|auth| auth.refresh_token.clear()),
            "refresh_token",
            "refresh_token",
        ),
        (
            with(|auth| auth.refresh_token = key("ac_")),
            "refresh_token",
            "authorization code",
        ),
        (
            with(|auth| auth.refresh_token = key("sk_test_")),
            "refresh_token",
            "secret key",
        ),
        (
            with(|auth| auth.refresh_token.insert(0, ' ')),
            "refresh_token",
            "white space",
        ),
        (
            with(|auth| auth.refresh_token = key("rt_").repeat(200)),
            "refresh_token",
            "4096",
        ),
        (
            with(|auth| auth.client_secret = key("sk_test_").repeat(200)),
            "client_secret",
            "4096",
        ),
        (
            with(|auth| auth.account = "cus_1".to_owned()),
            "account",
            "acct_",
        ),
        (with(|auth| auth.app = key("ca_")), "app", "client_id"),
        (
            with(|auth| auth.mode = StripeMode::Live.into()),
            "mode",
            "secret key",
        ),
        (with(|auth| auth.mode = 7), "mode", "proto"),
        (with(|auth| auth.flavor = 7), "flavor", "proto"),
    ] {
        let refused = put(&client, connecting(&name, auth)).await;
        let status = fails(refused, Code::InvalidArgument, "FIELD_INVALID");
        let (found, said) = violation(&status).unwrap();
        assert_eq!(found, format!("profile.oauth.{field}"), "{said}");
        assert!(said.contains(remedy), "{field}: {said}");
        assert!(!format!("{status:?}").contains(BODY), "{status:?}");
    }
    // Its beginning is not documented.
    let odd = with(|auth| auth.refresh_token = BODY.to_owned());
    let made = put(&client, connecting(&name, odd)).await.unwrap();
    assert!(reasons(made.warnings).contains(&"REFRESH_TOKEN_UNUSUAL".to_owned()));
}

#[tokio::test]
async fn what_is_left_out_of_a_put_stays() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    let made = put(&client, connecting(&name, app())).await.unwrap();
    let made = made.profile.unwrap();
    let definition = definition_of(&made);
    let version = async || check(&client, &definition).await.version;
    assert_eq!(version().await, "1");
    let kept = |change: fn(&mut v1::OauthAuth)| {
        let mut auth = v1::OauthAuth {
            client_secret: String::new(),
            refresh_token: String::new(),
            ..app()
        };
        change(&mut auth);
        connecting(&name, auth)
    };
    // Nothing new, also without an etag.
    put(&client, kept(|_| ())).await.unwrap();
    put(&client, connecting(&name, app())).await.unwrap();
    assert_eq!(version().await, "1");
    for (change, paths, after) in [
        (
            kept(|auth| auth.refresh_token = key("rt_x")),
            ["oauth.refresh_token"],
            "2",
        ),
        (
            kept(|auth| auth.client_secret = key("sk_test_x")),
            ["oauth.client_secret"],
            "3",
        ),
        (
            kept(|auth| auth.refresh_token = key("rt_y")),
            ["oauth"],
            "4",
        ),
    ] {
        let refused = put(&client, change.clone()).await;
        fails(refused, Code::AlreadyExists, "PROFILE_EXISTS");
        let profile = put(&client, masked(change.clone(), &paths)).await.unwrap();
        // New tokens are no change of the profile.
        assert_eq!(profile.profile.unwrap(), made);
        assert_eq!(version().await, after, "{paths:?}");
        put(&client, change).await.unwrap();
        assert_eq!(version().await, after, "{paths:?}");
    }
}

/// What somebody changes.
type Change = fn(&mut v1::OauthAuth);

#[tokio::test]
async fn another_app_account_or_mode_comes_with_its_own_refresh_token() {
    let (_server, client) = Server::prepared(with_connect()).await;
    let name = profile_name("stripe");
    let bound = v1::OauthAuth {
        account: "acct_1".to_owned(),
        mode: StripeMode::Test.into(),
        ..app()
    };
    let made = put(&client, connecting(&name, bound.clone()))
        .await
        .unwrap();
    let mut definition = definition_of(&made.profile.unwrap());
    let changes: [(Change, &str); 4] = [
        (|auth| auth.flavor = Flavor::Connect.into(), "oauth.flavor"),
        (|auth| auth.client_id.push('x'), "oauth.client_id"),
        (|auth| auth.account = "acct_2".to_owned(), "oauth.account"),
        (
            |auth| {
                auth.mode = StripeMode::Live.into();
                auth.client_secret = key("sk_live_");
            },
            "oauth",
        ),
    ];
    for (change, path) in changes {
        let mut auth = bound.clone();
        auth.refresh_token.clear();
        change(&mut auth);
        if path != "oauth" {
            // Whoever does not know the client secret reaches nothing else with it.
            let without = connecting(&name, auth.clone());
            let refused = put(&client, masked(without, &[path])).await;
            let status = fails(refused, Code::InvalidArgument, "FIELD_INVALID");
            let field = violation(&status).unwrap().0;
            assert_eq!(field, "profile.oauth.client_secret", "{path}");
        }
        let paths = [path, "oauth.client_secret"];
        let refused = put(&client, masked(connecting(&name, auth.clone()), &paths)).await;
        let status = fails(refused, Code::InvalidArgument, "FIELD_INVALID");
        let field = violation(&status).unwrap().0;
        assert_eq!(field, "profile.oauth.refresh_token", "{path}");
        auth.refresh_token = key("rt_new");
        let paths = [path, "oauth.client_secret", "oauth.refresh_token"];
        let changed = put(&client, masked(connecting(&name, auth), &paths))
            .await
            .unwrap();
        let changed = changed.profile.unwrap();
        // Another install: nothing that runs for the one before finds it.
        let before = std::mem::replace(&mut definition, definition_of(&changed));
        assert_ne!(before, definition, "{path}");
        fails(
            client.definition(&before).await,
            Code::NotFound,
            "DEFINITION_NOT_FOUND",
        );
        let reset = put(
            &client,
            masked(connecting(&name, bound.clone()), &["oauth"]),
        )
        .await;
        definition = definition_of(&reset.unwrap().profile.unwrap());
    }
}

#[tokio::test]
async fn account_and_mode_may_be_named_later() {
    let (_server, client) = Server::prepared(Options::default()).await;
    let name = profile_name("stripe");
    let made = put(&client, connecting(&name, app())).await.unwrap();
    let definition = definition_of(&made.profile.unwrap());
    let named = v1::OauthAuth {
        account: "acct_1".to_owned(),
        mode: StripeMode::Test.into(),
        ..Default::default()
    };
    let paths = ["oauth.account", "oauth.mode"];
    let named = put(&client, masked(connecting(&name, named), &paths)).await;
    let named = named.unwrap().profile.unwrap();
    assert_eq!(definition_of(&named), definition);
    let install = named.install.unwrap();
    assert_eq!(
        (install.account.as_str(), install.mode()),
        ("acct_1", StripeMode::Test)
    );
    let other = v1::OauthAuth {
        client_secret: key("sk_live_"),
        ..Default::default()
    };
    let other = masked(connecting(&name, other), &["oauth.client_secret"]);
    let status = fails(
        put(&client, other).await,
        Code::InvalidArgument,
        "FIELD_INVALID",
    );
    assert_eq!(violation(&status).unwrap().0, "profile.oauth.mode");
}

#[tokio::test]
async fn connect_is_advised_against_and_needs_its_host() {
    let auth = v1::OauthAuth {
        flavor: Flavor::Connect.into(),
        ..app()
    };
    let without = Options {
        stripe: "base_url = \"http://127.0.0.1:9\"".to_owned(),
        ..Options::default()
    };
    let (_server, client) = Server::prepared(without).await;
    let name = profile_name("stripe");
    let refused = put(&client, connecting(&name, auth.clone())).await;
    let status = fails(refused, Code::InvalidArgument, "FIELD_INVALID");
    let (field, said) = violation(&status).unwrap();
    assert_eq!(field, "profile.oauth.flavor");
    assert!(said.contains("stripe.hosts"), "{said}");

    let (_server, client) = Server::prepared(with_connect()).await;
    let made = put(&client, connecting(&profile_name("stripe"), auth))
        .await
        .unwrap();
    let [warning] = &made.warnings[..] else {
        panic!("{:?}", made.warnings);
    };
    assert_eq!(
        (warning.reason.as_str(), warning.field.as_str()),
        ("OAUTH_CONNECT", "profile.oauth.flavor")
    );
    assert!(
        warning.message.contains("api_key with account"),
        "{}",
        warning.message
    );
    let found = get(&client, &profile_name("stripe")).await.unwrap();
    let Some(Auth::Oauth(auth)) = found.auth else {
        panic!("OAuth");
    };
    assert_eq!(auth.flavor(), Flavor::Connect);
}
