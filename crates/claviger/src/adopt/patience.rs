use std::time::Duration;

use claviger_client::{Code, Status, retry_delay};
use tokio::time::{sleep, timeout};

/// How long is waited at first where the daemon does not say.
const PAUSE: Duration = Duration::from_millis(200);

/// Makes a call again while the daemon or a vault is away or asked too often, until the time is
/// over. Calls that were refused together do not come back together.
pub(crate) async fn patiently<T>(
    patience: Duration,
    mut call: impl AsyncFnMut() -> Result<T, Status>,
) -> Result<T, Status> {
    let mut last = None;
    let mut pause = PAUSE;
    let answered = timeout(patience, async {
        loop {
            match call().await {
                Err(status) if may_pass(&status) => {
                    let told = retry_delay(&status).unwrap_or(pause);
                    last = Some(status);
                    sleep(told.mul_f64(1.0 + fastrand::f64() / 2.0)).await;
                    pause *= 2;
                }
                answered => return answered,
            }
        }
    })
    .await;
    answered.unwrap_or_else(|_| {
        Err(last.unwrap_or_else(|| Status::deadline_exceeded("nothing came in time")))
    })
}

fn may_pass(status: &Status) -> bool {
    [Code::Unavailable, Code::ResourceExhausted].contains(&status.code())
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_call_that_may_pass_is_made_again_after_a_pause() {
        for code in [Code::Unavailable, Code::ResourceExhausted] {
            let (start, mut calls) = (Instant::now(), 0);
            let answered = patiently(LONG, async || {
                calls += 1;
                match calls {
                    3 => Ok("done"),
                    _ => Err(Status::new(code, "busy")),
                }
            });
            assert_eq!(answered.await.unwrap(), "done");
            let waited = start.elapsed();
            assert!(waited >= PAUSE * 3 && waited <= PAUSE * 5, "{waited:?}");
            assert_eq!(calls, 3);
        }
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

        let hanging = patiently(LONG, async || std::future::pending::<Result<(), _>>().await);
        assert_eq!(hanging.await.unwrap_err().code(), Code::DeadlineExceeded);
    }
}
