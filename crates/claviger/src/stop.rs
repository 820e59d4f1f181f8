use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use claviger_client::{Code, Response, Status, reason, retry_delay};
use claviger_core::Reason;
use claviger_proto::v1::batch_get_secrets_response;

use crate::shown::shown;

/// The daemon refused, or something else failed.
const EXIT_FAILED: u8 = 1;

/// A command line or a file that cannot be used.
const EXIT_USAGE: u8 = 2;

/// Ended by Ctrl-C, as shells have it.
const EXIT_INTERRUPTED: u8 = 130;

/// No daemon answers.
const EXIT_NO_DAEMON: u8 = 3;

/// Nobody reads what is written any more: what shells say of a program that SIGPIPE has ended.
const EXIT_UNREAD: u8 = 141;

/// Whatever keeps `run` from starting the job, as env(1) has it.
const EXIT_RUN: u8 = 125;

/// Why the command ends without having done what it was asked: the cause and the remedy.
#[derive(Debug)]
pub struct Stop {
    exit_code: u8,
    message: String,
    may_pass: bool,
    delay: Option<Duration>,
}

impl Stop {
    /// A failure of the command's own, or of the system around it.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(EXIT_FAILED, message, false)
    }

    /// It was asked for what cannot be done.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(EXIT_USAGE, message, false)
    }

    /// No daemon answers.
    pub(crate) fn no_daemon(message: impl Into<String>) -> Self {
        Self::new(EXIT_NO_DAEMON, message, true)
    }

    /// It was ended by Ctrl-C.
    pub(crate) fn interrupted(message: impl Into<String>) -> Self {
        Self::new(EXIT_INTERRUPTED, message, false)
    }

    /// Whoever read the answer is gone, as `head` is after its lines, and needs no word about it.
    pub(crate) fn unread() -> Self {
        Self::new(EXIT_UNREAD, "", false)
    }

    /// Whether there is nothing to say.
    pub fn is_silent(&self) -> bool {
        self.message.is_empty()
    }

    /// The same stop of what may work a little later.
    pub(crate) fn passing(mut self) -> Self {
        self.may_pass = true;
        self
    }

    /// Anything that has an exit code of its own.
    pub(crate) fn with_code(exit_code: u8, message: impl Into<String>) -> Self {
        Self::new(exit_code, message, false)
    }

    /// The same stop, with the thing that it is about.
    pub(crate) fn about(mut self, thing: &str) -> Self {
        self.message = format!("{thing}: {}", self.message);
        self
    }

    /// The same stop, told in other words.
    pub(crate) fn saying(self, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { message, ..self }
    }

    /// A change that failed. What somebody else has changed meanwhile has to be looked at again.
    pub(crate) fn of_change(status: Status, name: &str, look: &str) -> Self {
        match reason(&status).as_deref() {
            Some(reason @ "ETAG_MISMATCH") => Self::failed(format!(
                "{name} was changed by somebody else meanwhile, and nothing was done; look at it \
                (claviger {look} {name}) and repeat [{reason}]"
            )),
            _ => status.into(),
        }
    }

    fn refused(code: Code, message: &str, reason: &str) -> Self {
        let may_pass = code == Code::Unavailable;
        Self::new(EXIT_FAILED, format!("{message} [{reason}]"), may_pass)
    }

    fn new(exit_code: u8, message: impl Into<String>, may_pass: bool) -> Self {
        let message = message.into();
        Self {
            exit_code,
            message,
            may_pass,
            delay: None,
        }
    }

    /// Whether it may work a little later.
    pub(crate) fn may_pass(&self) -> bool {
        self.may_pass
    }

    /// How long the daemon wants to be left alone until then, if it says so.
    pub(crate) fn delay(&self) -> Option<Duration> {
        self.delay
    }

    /// What the process ends with, which `run` keeps apart from the codes of its job.
    pub fn exit_code(&self, is_run: bool) -> ExitCode {
        ExitCode::from(match is_run {
            true => self.exit_code.max(EXIT_RUN),
            false => self.exit_code,
        })
    }
}

/// What the process ends with after an answer: whether all that was asked about is well.
pub(crate) fn judged(is_well: bool) -> ExitCode {
    match is_well {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_FAILED),
    }
}

/// What is there, if there is one: the daemon's reason for none is `missing`.
pub(crate) fn found<T>(
    answer: Result<Response<T>, Status>,
    missing: Reason,
) -> Result<Option<T>, Stop> {
    match answer {
        Ok(answer) => Ok(Some(answer.into_inner())),
        Err(status) if reason(&status).as_deref() == Some(missing.as_str()) => Ok(None),
        Err(status) => Err(status.into()),
    }
}

/// A call that failed.
impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        let said = status.message();
        match reason(&status) {
            Some(reason) => Self {
                delay: retry_delay(&status),
                ..Self::refused(status.code(), said, &reason)
            },
            None if is_broken(status.code()) => Self::no_daemon(format!(
                "the daemon does not answer ({said}); see its log, or pass --address if it is \
                elsewhere, and --ca-file if TLS is spoken there"
            )),
            None => Self::failed(format!(
                "what answers is no clavigerd, or one that this command does not fit ({:?}: {said}); \
                look at --address and at what stands before it",
                status.code()
            )),
        }
    }
}

/// Whether a connection that breaks or hangs is told as this.
pub(crate) fn is_broken(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::Unavailable
            | Code::Unknown
    )
}

/// One of several reads in a call, which failed.
impl From<batch_get_secrets_response::Error> for Stop {
    fn from(error: batch_get_secrets_response::Error) -> Self {
        let delay = error.retry_after.and_then(|delay| delay.try_into().ok());
        Self {
            delay,
            ..Self::refused(error.code.into(), &error.message, &error.reason)
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_daemon_says_does_nothing_to_a_terminal() {
        let stop = Stop::from(Status::internal("\x1b[2Jgone\u{202e}"));
        let said = stop.to_string();
        assert!(said.contains("(?[2Jgone?)"), "{said}");
    }

    #[test]
    fn only_a_broken_connection_is_no_daemon_and_may_pass() {
        for (status, exit_code) in [
            (Status::unknown("transport error"), EXIT_NO_DAEMON),
            (Status::unavailable("busy"), EXIT_NO_DAEMON),
            (Status::deadline_exceeded("late"), EXIT_NO_DAEMON),
            (Status::unimplemented("no such RPC"), EXIT_FAILED),
            (Status::permission_denied("says a proxy"), EXIT_FAILED),
            (Status::out_of_range("4 MiB"), EXIT_FAILED),
        ] {
            let said = status.message().to_owned();
            let stop = Stop::from(status);
            assert_eq!(stop.exit_code, exit_code, "{stop}");
            assert_eq!(stop.may_pass(), exit_code == EXIT_NO_DAEMON, "{stop}");
            assert!(stop.to_string().contains(&said), "{stop}");
        }
    }
}
