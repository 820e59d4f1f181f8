//! Starts a job, and stays with it where no terminal does.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::task::Poll;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::signal::unix::{self, SignalKind};

use super::surroundings::Surroundings;
use crate::stop::Stop;

/// The job cannot be executed, as env(1) has it.
const EXIT_NOT_EXECUTABLE: u8 = 126;

/// There is no such job, as env(1) has it.
const EXIT_NOT_FOUND: u8 = 127;

/// Added to the number of the signal that ended the job.
const EXIT_SIGNAL: i32 = 128;

/// What supervisors and people send to a job, from asking it to stop to reading its settings anew.
const HANDED_ON: [Signal; 9] = [
    Signal::CONT,
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::TSTP,
    Signal::USR1,
    Signal::USR2,
    Signal::WINCH,
];

type Caught = (Signal, unix::Signal);

pub(crate) async fn start(job: &[OsString], surroundings: Surroundings) -> Result<ExitCode, Stop> {
    let [program, arguments @ ..] = job else {
        return Err(Stop::usage("there is no job; name it after --"));
    };
    let mut command = Command::new(program);
    command.args(arguments);
    surroundings.surround(&mut command);
    if has_terminal() {
        // Between the keys, the shell and the job nothing may stand: a Ctrl-C would reach the job
        // twice, and in a group of its own it could not read what is typed.
        return Err(not_started(program, &command.exec()));
    }
    let uncaught = |error: io::Error| Stop::failed(format!("signals cannot be caught: {error}"));
    // Before there is a job, so that none is lost to it.
    let caught = catch().map_err(uncaught)?;
    // A shell does not hand signals on to what it waits for.
    let child = command.process_group(0).spawn();
    let child = child.map_err(|error| not_started(program, &error))?;
    // The job has its own by now.
    drop((command, surroundings));
    ended(child, caught).await
}

/// Whether a terminal sends signals to this process and what it starts.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

fn catch() -> io::Result<Vec<Caught>> {
    [Signal::CHILD]
        .into_iter()
        .chain(HANDED_ON)
        .map(|signal| {
            let kind = SignalKind::from_raw(signal.as_raw());
            Ok((signal, unix::signal(kind)?))
        })
        .collect()
}

/// Hands signals on to the job until it ends.
async fn ended(mut child: Child, mut caught: Vec<Caught>) -> Result<ExitCode, Stop> {
    loop {
        let ending = child.try_wait();
        let ending = ending
            .map_err(|error| Stop::failed(format!("the job cannot be waited for: {error}")))?;
        if let Some(status) = ending {
            return Ok(code_of(status));
        }
        let signal = next(&mut caught).await;
        if signal != Signal::CHILD {
            // Fails only if it may not be sent to, which the job has brought about itself.
            kill_process_group(Pid::from_child(&child), signal).ok();
        }
    }
}

async fn next(caught: &mut [Caught]) -> Signal {
    poll_fn(|cx| {
        let mut caught = caught.iter_mut();
        let came =
            caught.find_map(|(signal, stream)| stream.poll_recv(cx).is_ready().then_some(*signal));
        came.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

fn not_started(program: &OsStr, error: &io::Error) -> Stop {
    let is = |kind| error.kind() == kind;
    let code = match is(io::ErrorKind::NotFound) {
        true => EXIT_NOT_FOUND,
        false => EXIT_NOT_EXECUTABLE,
    };
    let remedy = match is(io::ErrorKind::ArgumentListTooLong) {
        true => "; hand long values over by --file",
        false => "",
    };
    Stop::with_code(code, format!("{}: {error}{remedy}", program.display()))
}

/// The code of the job, or what a shell makes of its signal.
fn code_of(status: ExitStatus) -> ExitCode {
    let of_signal = || Some(EXIT_SIGNAL + status.signal()?);
    let code = status.code().or_else(of_signal);
    let code = code.and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_a_job_is_ours() {
        // As wait(2) has them: the code in the second byte, or a signal in the first.
        for (raw, code) in [(0, 0), (7 << 8, 7), (255 << 8, 255), (15, 143), (9, 137)] {
            let ours = code_of(ExitStatus::from_raw(raw));
            assert_eq!(ours, ExitCode::from(code), "{raw}");
        }
    }
}
