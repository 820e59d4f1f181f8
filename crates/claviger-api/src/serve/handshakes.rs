//! Whose handshake goes on next.
//!
//! A thread goes on with what is ready in the order in which it became so. A peer that says hello a
//! thousand times at once would keep everybody waiting for as long as a thousand signatures take. So
//! only a few of a peer's handshakes are among what is ready, and each goes to the end of it for
//! every step; the others wait for one of those to be through with its step. A peer that is alone
//! has the thread to itself all the same, and one that says nothing keeps no turn.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use tokio::sync::Semaphore;
use tokio::task::yield_now;

/// Does `work`, each step of it in one of the turns.
pub(super) async fn in_turn<W: Future>(turns: &Semaphore, work: W) -> W::Output {
    let mut work = pin!(work);
    loop {
        let turn = turns.acquire().await;
        yield_now().await;
        let step = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
        drop(turn);
        if let Poll::Ready(output) = step {
            return output;
        }
        woken().await;
    }
}

/// Waits until whatever else this task waits for has happened.
async fn woken() {
    let mut is_woken = false;
    poll_fn(|_| match std::mem::replace(&mut is_woken, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::{Arc, Mutex};

    use futures_util::poll;
    use tokio::task::JoinSet;

    use super::*;

    /// Who did a step, in that order.
    type Steps = Arc<Mutex<Vec<&'static str>>>;

    async fn two_steps(turns: Arc<Semaphore>, steps: Steps, who: &'static str) {
        let work = async {
            steps.lock().unwrap().push(who);
            yield_now().await;
            steps.lock().unwrap().push(who);
        };
        in_turn(&turns, work).await;
    }

    #[tokio::test]
    async fn a_thousand_handshakes_of_one_peer_let_those_of_others_pass() {
        let steps = Steps::default();
        let mut handshakes = JoinSet::new();
        let flood = Arc::new(Semaphore::new(4));
        for _ in 0..1000 {
            handshakes.spawn(two_steps(Arc::clone(&flood), Arc::clone(&steps), "flood"));
        }
        for _ in 0..2 {
            let turns = Arc::new(Semaphore::new(4));
            handshakes.spawn(two_steps(turns, Arc::clone(&steps), "other"));
        }
        handshakes.join_all().await;
        let steps = steps.lock().unwrap();
        assert_eq!(steps.len(), 2004);
        let last = steps.iter().rposition(|who| *who == "other").unwrap();
        assert!(last < 50, "{last}");
    }

    #[tokio::test]
    async fn a_handshake_that_says_nothing_or_is_given_up_keeps_no_turn() {
        let turns = Semaphore::new(1);
        let mut silent = pin!(in_turn(&turns, pending::<()>()));
        assert!(poll!(&mut silent).is_pending());
        assert_eq!(turns.available_permits(), 0, "it has not been looked at");
        assert!(poll!(&mut silent).is_pending());
        assert_eq!(turns.available_permits(), 1);
        {
            let mut given_up = pin!(in_turn(&turns, ready(())));
            assert!(poll!(&mut given_up).is_pending());
            assert_eq!(turns.available_permits(), 0);
        }
        in_turn(&turns, ready(())).await;
    }
}
