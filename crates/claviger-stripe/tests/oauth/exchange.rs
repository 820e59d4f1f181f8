//! What an authorization code yields, and what is known about it when it yields nothing.

use claviger_stripe::Mode;
use claviger_stripe::oauth::{Flavor, GrantFailure, OauthClient, Tokens};
use claviger_stub::stripe_oauth::{
    CANARY, CLIENT_SECRET, Fault, Oddity, Rules, StripeOauth, Twist,
};

use super::{ACCOUNT, client, secret, text};

async fn exchange(client: &OauthClient, code: &str) -> Result<Tokens, GrantFailure> {
    exchange_as(client, Flavor::Apps, code).await
}

async fn exchange_as(
    client: &OauthClient,
    flavor: Flavor,
    code: &str,
) -> Result<Tokens, GrantFailure> {
    let (client_secret, code) = (secret(CLIENT_SECRET), secret(code));
    let answer = client.exchange(flavor, &client_secret, &code).await;
    let printed = format!("{answer:?}");
    assert!(!printed.contains(CANARY), "{printed}");
    answer
}

#[tokio::test]
async fn a_code_is_one_form_with_the_secret_as_user_at_the_endpoint_of_its_flavor() {
    let stripe = StripeOauth::start(Rules::default());
    let client = client(&stripe.url());
    for (flavor, target) in [
        (Flavor::Apps, "POST /v1/oauth/token"),
        (Flavor::Connect, "POST /oauth/token"),
    ] {
        let code = stripe.authorize(ACCOUNT, false);
        let tokens = exchange_as(&client, flavor, &code).await.expect("tokens");
        let refresh_token = tokens.refresh_token.as_ref().expect("one");
        assert_eq!(text(refresh_token), stripe.newest_refresh_token(ACCOUNT));
        assert_eq!(tokens.account.as_deref(), Some(ACCOUNT));
        assert_eq!(tokens.mode, Some(Mode::Test));
        assert_eq!(tokens.flavor, Some(flavor));
        let asked = stripe.stub().take_asked();
        let [call] = &asked[..] else {
            panic!("one call, and not {}", asked.len());
        };
        assert_eq!(call.target(), target);
        let form = format!("grant_type=authorization_code&code={code}");
        assert_eq!(call.body, form);
        // The secret and a colon.
        let basic = "Basic c2tfdGVzdF9jQW5Bclk1MUg4WnhRbUMwbkY6";
        assert_eq!(call.header("authorization"), Some(basic));
    }
}

#[tokio::test]
async fn a_code_that_is_spent_unknown_or_of_the_other_mode_is_refused() {
    let stripe = StripeOauth::start(Rules::default());
    let client = client(&stripe.url());
    let code = stripe.authorize(ACCOUNT, false);
    exchange(&client, &code).await.expect("tokens");
    let live = stripe.authorize(ACCOUNT, true);
    for code in [code.as_str(), "ac_unknown", &live] {
        let failure = exchange(&client, code).await.expect_err("refused");
        assert_eq!(failure, GrantFailure::InvalidGrant, "{code}");
    }
    assert!(!stripe.is_over(ACCOUNT));
}

#[tokio::test]
async fn a_second_exchange_with_connect_would_end_the_connection() {
    let stripe = StripeOauth::start(Rules::default());
    let client = client(&stripe.url());
    let code = stripe.authorize(ACCOUNT, false);
    let exchanged = exchange_as(&client, Flavor::Connect, &code).await;
    exchanged.expect("tokens");
    let again = exchange_as(&client, Flavor::Connect, &code).await;
    assert_eq!(again.expect_err("refused"), GrantFailure::InvalidGrant);
    assert!(stripe.is_over(ACCOUNT));
}

#[tokio::test]
async fn a_lost_answer_is_lost_and_a_call_is_made_once() {
    let stripe = StripeOauth::start(Rules::default());
    let client = client(&stripe.url());
    for twist in [
        Twist::Before(Fault::Cut),
        Twist::After(Fault::Cut),
        Twist::After(Fault::Status(503)),
        Twist::Answer(Oddity::Half),
        Twist::Answer(Oddity::NotJson),
    ] {
        let calls = stripe.calls();
        let code = stripe.authorize(ACCOUNT, false);
        stripe.twist_next([twist.clone()]);
        let failure = exchange(&client, &code).await.expect_err("no answer");
        assert_eq!(failure, GrantFailure::Lost, "{twist:?}");
        assert_eq!(stripe.calls(), calls + 1, "{twist:?}");
    }
}

#[tokio::test]
async fn the_scope_tells_the_flavor_where_it_is_known() {
    let stripe = StripeOauth::start(Rules::default());
    let client = client(&stripe.url());
    for (scope, flavor) in [
        ("stripe_apps", Some(Flavor::Apps)),
        ("read_only", Some(Flavor::Connect)),
        ("read_write", Some(Flavor::Connect)),
        ("of_next_year", None),
    ] {
        let code = stripe.authorize(ACCOUNT, false);
        stripe.twist_next([Twist::Answer(Oddity::OtherScope(scope.to_owned()))]);
        let tokens = exchange(&client, &code).await.expect("tokens");
        assert_eq!(tokens.flavor, flavor, "{scope}");
    }
}
