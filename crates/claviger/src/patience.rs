//! Asks again while the daemon or a vault is away, until the time is over.

use std::time::Duration;

use claviger_client::{Code, Status, retry_delay};
use tokio::time::{sleep, timeout};

use crate::stop::Stop;

/// How long is waited at first and at most, where the daemon does not say.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// What stands in the way of an answer.
pub(crate) trait Obstacle {
    /// Whether it may work a little later.
    fn may_pass(&self) -> bool;
    /// How long the daemon wants to be left alone, if it says so.
    fn delay(&self) -> Option<Duration>;
    /// That nothing came.
    fn silence() -> Self;
}

/// Asks until there is an answer, or an obstacle that does not pass, or the time is over: then the last
/// obstacle is returned. Callers that were refused together do not come back together.
pub(crate) async fn patiently<T, O: Obstacle>(
    patience: Duration,
    mut ask: impl AsyncFnMut() -> Result<T, O>,
) -> Result<T, O> {
    let mut last = None;
    let (mut pause, longest) = PAUSES;
    let answered = timeout(patience, async {
        loop {
            match ask().await {
                Err(obstacle) if obstacle.may_pass() => {
                    let told = obstacle.delay().unwrap_or(pause);
                    last = Some(obstacle);
                    sleep(told.mul_f64(1.0 + fastrand::f64() / 2.0)).await;
                    pause = (pause * 2).min(longest);
                }
                answered => return answered,
            }
        }
    })
    .await;
    answered.unwrap_or_else(|_| Err(last.unwrap_or_else(O::silence)))
}

impl Obstacle for Status {
    fn may_pass(&self) -> bool {
        self.code() == Code::Unavailable
    }

    fn delay(&self) -> Option<Duration> {
        retry_delay(self)
    }

    fn silence() -> Self {
        Self::deadline_exceeded("nothing came in time")
    }
}

impl Obstacle for Stop {
    fn may_pass(&self) -> bool {
        Self::may_pass(self)
    }

    fn delay(&self) -> Option<Duration> {
        Self::delay(self)
    }

    fn silence() -> Self {
        Self::no_daemon("the daemon does not answer; see its log")
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_call_that_may_pass_is_made_again_after_a_pause() {
        let (start, mut calls) = (Instant::now(), 0);
        let answered = patiently(LONG, async || {
            calls += 1;
            match calls {
                3 => Ok("done"),
                _ => Err(Status::unavailable("busy")),
            }
        });
        assert_eq!(answered.await.unwrap(), "done");
        let (waited, pause) = (start.elapsed(), PAUSES.0);
        assert!(waited >= pause * 3 && waited <= pause * 5, "{waited:?}");
        assert_eq!(calls, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_become_longer_up_to_a_bound() {
        let mut asked = Vec::new();
        let away = patiently(LONG, async || {
            asked.push(Instant::now());
            Err::<(), _>(Stop::no_daemon("away"))
        });
        away.await.unwrap_err();
        let pauses = asked.windows(2).map(|pair| pair[1] - pair[0]);
        let longest = pauses.max().unwrap();
        assert!(
            longest >= PAUSES.1 && longest <= PAUSES.1 * 3 / 2,
            "{longest:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_daemon_says_how_long_is_waited() {
        let delay = Duration::from_secs(7);
        let (start, mut calls) = (Instant::now(), 0);
        let answered = patiently(LONG, async || {
            calls += 1;
            match calls {
                2 => Ok(()),
                _ => Err(overloaded(delay)),
            }
        });
        answered.await.unwrap();
        let waited = start.elapsed();
        assert!(waited >= delay && waited <= delay * 3 / 2, "{waited:?}");
    }

    fn overloaded(delay: Duration) -> Status {
        use tonic_types::{ErrorDetails, StatusExt as _};
        let details = ErrorDetails::with_retry_info(Some(delay));
        Status::with_error_details(Code::Unavailable, "busy", details)
    }

    #[tokio::test(start_paused = true)]
    async fn another_failure_is_told_at_once_and_the_last_one_when_time_is_over() {
        let mut calls = 0;
        let refused = patiently(LONG, async || {
            calls += 1;
            Err::<(), _>(Status::permission_denied("no"))
        });
        assert_eq!(refused.await.unwrap_err().message(), "no");
        assert_eq!(calls, 1);

        let start = Instant::now();
        let away = patiently(LONG, async || Err::<(), _>(Status::unavailable("away")));
        assert_eq!(away.await.unwrap_err().message(), "away");
        assert_eq!(start.elapsed(), LONG);

        let hanging = patiently(LONG, async || {
            std::future::pending::<Result<(), Status>>().await
        });
        assert_eq!(hanging.await.unwrap_err().code(), Code::DeadlineExceeded);
    }
}
