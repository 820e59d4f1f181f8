//! The stand-in itself: that it plays both kinds of servers as they were measured.

use std::sync::Arc;

use claviger_stripe::Settings;
use claviger_stripe::live::Outcome;
use claviger_stripe::oauth::GrantFailure;
use claviger_stub::stripe_oauth::{Hold, Rules, StripeOauth};

use super::{ACCOUNT, client, installed, refresh, secret, text};

#[tokio::test]
async fn a_spent_token_is_refused_and_the_install_survives_or_ends_by_the_rules() {
    for revokes_on_reuse in [false, true] {
        let (stripe, first) = installed(Rules {
            revokes_on_reuse,
            ..Rules::default()
        });
        let client = client(&stripe.url());
        let second = refresh(&client, &first)
            .await
            .expect("tokens")
            .refresh_token;
        let second = second.expect("one");
        let spent = refresh(&client, &first).await.expect_err("spent");
        assert_eq!(spent, GrantFailure::InvalidGrant);
        assert_eq!(stripe.spent_presented(), [first]);
        assert_eq!(stripe.is_over(ACCOUNT), revokes_on_reuse);
        let third = refresh(&client, text(&second)).await;
        assert_eq!(third.is_ok(), !revokes_on_reuse);
        assert_eq!(stripe.calls(), 3);
    }
}

#[tokio::test]
async fn an_old_access_token_works_for_a_number_of_calls_at_most() {
    for (old_access_calls, works) in [(Some(0), 0), (Some(2), 2), (None, 4)] {
        let (stripe, first) = installed(Rules {
            old_access_calls,
            ..Rules::default()
        });
        let client = client(&stripe.url());
        let old = secret(&stripe.newest_access_token(ACCOUNT));
        refresh(&client, &first).await.expect("tokens");
        let mut worked = 0;
        for _ in 0..4 {
            let answer = client.account(&old, &Settings::default()).await;
            worked += i32::from(answer.outcome == Outcome::Works);
        }
        assert_eq!(worked, works, "{old_access_calls:?}");
        let new = secret(&stripe.newest_access_token(ACCOUNT));
        let answer = client.account(&new, &Settings::default()).await;
        assert_eq!(answer.outcome, Outcome::Works);
    }
}

#[tokio::test]
async fn of_two_refreshes_at_once_both_succeed_or_one_ends_the_install() {
    for revokes_on_reuse in [false, true] {
        let (stripe, first) = installed(Rules {
            revokes_on_reuse,
            ..Rules::default()
        });
        let client = client(&stripe.url());
        stripe.hold(Hold::BeforeCommit);
        let release = async {
            await_held(&stripe, 2).await;
            stripe.release();
        };
        let (one, two, ()) =
            tokio::join!(refresh(&client, &first), refresh(&client, &first), release);
        assert_eq!(stripe.most_under_way(ACCOUNT), 2);
        let both = [one, two];
        let succeeded = both.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(succeeded, if revokes_on_reuse { 1 } else { 2 });
        assert_eq!(stripe.is_over(ACCOUNT), revokes_on_reuse);
        let mut alive = 0;
        for tokens in both.iter().flatten() {
            let answer = client
                .account(&tokens.access_token, &Settings::default())
                .await;
            alive += usize::from(answer.outcome == Outcome::Works);
        }
        assert_eq!(alive, if revokes_on_reuse { 0 } else { 1 });
    }
}

#[tokio::test]
async fn an_answer_that_is_held_has_been_committed() {
    let (stripe, first) = installed(Rules::default());
    let client = client(&stripe.url());
    stripe.hold(Hold::BeforeAnswer);
    let look = async {
        await_held(&stripe, 1).await;
        assert_eq!(stripe.refreshes(ACCOUNT), 1);
        stripe.release();
    };
    let (tokens, ()) = tokio::join!(refresh(&client, &first), look);
    let token = tokens.expect("tokens").refresh_token.expect("one");
    assert_eq!(text(&token), stripe.newest_refresh_token(ACCOUNT));
}

#[tokio::test]
async fn a_second_install_ends_the_tokens_of_the_first() {
    let (stripe, first) = installed(Rules::default());
    let second = stripe.install(ACCOUNT, false);
    let client = client(&stripe.url());
    let failure = refresh(&client, &first).await.expect_err("over");
    assert_eq!(failure, GrantFailure::InvalidGrant);
    assert!(refresh(&client, &second).await.is_ok());
}

async fn await_held(stripe: &Arc<StripeOauth>, count: usize) {
    let stripe = Arc::clone(stripe);
    let waiting = tokio::task::spawn_blocking(move || stripe.await_held(count));
    waiting.await.expect("it waited");
}
