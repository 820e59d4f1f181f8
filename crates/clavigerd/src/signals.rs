//! What the daemon does at each signal: none ends it without a drain.
//!
//! Left to the system are those that cannot be caught, those that stop and continue a process, and
//! those that tell of a fault of the process itself, which must not go on.

use std::io::{self, IsTerminal as _};

use rustix::process::Signal;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What is done at a signal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answer {
    /// Drains, and ends.
    Drain,
    /// Says that there is nothing to read anew.
    Reload,
    /// Says that it came.
    Remark,
    /// Nothing: what came of it is told elsewhere.
    Nothing,
}

/// Every signal that would end a process which does not catch it; `SIGPIPE` is ignored by then.
const ANSWERS: [(Signal, Answer); 14] = [
    (Signal::TERM, Answer::Drain),
    (Signal::INT, Answer::Drain),
    (Signal::QUIT, Answer::Drain),
    // The power fails; some container runtimes ask to stop in this way.
    (Signal::POWER, Answer::Drain),
    (Signal::HUP, Answer::Reload),
    (Signal::USR1, Answer::Remark),
    (Signal::USR2, Answer::Remark),
    (Signal::ALARM, Answer::Remark),
    (Signal::IO, Answer::Remark),
    (Signal::PROF, Answer::Remark),
    (Signal::STKFLT, Answer::Remark),
    (Signal::VTALARM, Answer::Remark),
    (Signal::XCPU, Answer::Remark),
    // The write that was too long fails, and whoever wrote says so.
    (Signal::XFSZ, Answer::Nothing),
];

/// The real-time signals, without those that every C library keeps for itself.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// Catches them from now on, also where whoever started this process had them ignored. `stop` is
/// cancelled when one says to drain.
///
/// # Errors
/// If one cannot be caught.
pub(crate) fn catch(stop: &CancellationToken) -> io::Result<()> {
    let is_on_terminal = io::stderr().is_terminal();
    for (caught, answer) in ANSWERS {
        let answer = match is_on_terminal && answer == Answer::Reload {
            // The terminal goes, and nobody could stop the daemon with it any longer.
            true => Answer::Drain,
            false => answer,
        };
        listen(caught, answer, stop.clone())?;
    }
    for number in REAL_TIME {
        // Stays caught when it is no longer listened for. One that is refused is the C library's.
        signal(SignalKind::from_raw(number)).ok();
    }
    Ok(())
}

fn listen(caught: Signal, answer: Answer, stop: CancellationToken) -> io::Result<()> {
    let mut signals = signal(SignalKind::from_raw(caught.as_raw()))?;
    if answer == Answer::Nothing {
        return Ok(());
    }
    Handle::current().spawn(async move {
        while signals.recv().await.is_some() {
            match answer {
                Answer::Drain if stop.is_cancelled() => {
                    tracing::info!(signal = ?caught, "draining already");
                }
                Answer::Drain => {
                    tracing::info!(signal = ?caught, "draining");
                    stop.cancel();
                }
                Answer::Reload => tracing::info!(
                    signal = ?caught,
                    "there is nothing to reload yet: restart the daemon for another configuration"
                ),
                Answer::Remark => tracing::info!(signal = ?caught, "means nothing here"),
                Answer::Nothing => {}
            }
        }
    });
    Ok(())
}
