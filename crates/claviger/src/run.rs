//! `claviger run`: a job with values in its environment.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{self, ExitCode, ExitStatus};
use std::time::Duration;

use claviger_proto::v1::GetSecretRequest;
use claviger_proto::v1::get_secret_response::Value;
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use crate::ask::Asking;
use crate::cli::{Run, Variable};
use crate::stop::Stop;

/// The job cannot be executed, as env(1) has it.
const EXIT_NOT_EXECUTABLE: u8 = 126;

/// There is no such job, as env(1) has it.
const EXIT_NOT_FOUND: u8 = 127;

/// Added to the number of the signal that ended the job.
const EXIT_SIGNAL: i32 = 128;

/// How long is waited at first before the daemon is asked again, and at most, give or take a half:
/// jobs that start together do not ask together.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

pub(crate) async fn run(asking: &Asking, run: &Run) -> Result<ExitCode, Stop> {
    refuse_twice(&run.variables)?;
    let names = run.variables.iter().map(|variable| {
        let name = asking.secret(&variable.id)?;
        Ok((variable.name.clone(), name))
    });
    let names = names.collect::<Result<Vec<_>, Stop>>()?;
    let values = fetch_patiently(asking, &names).await?;
    start(&run.job, values).await
}

fn refuse_twice(variables: &[Variable]) -> Result<(), Stop> {
    let mut seen = BTreeSet::new();
    let twice = variables
        .iter()
        .find(|variable| !seen.insert(&variable.name));
    match twice {
        None => Ok(()),
        Some(Variable { name, .. }) => Err(Stop::usage(format!(
            "the variable {name} is set twice; give it one secret"
        ))),
    }
}

/// Asks again while the daemon or a vault is away, until the time is over.
async fn fetch_patiently(
    asking: &Asking,
    names: &[(String, String)],
) -> Result<Vec<(String, OsString)>, Stop> {
    let mut last = None;
    let (mut pause, longest) = PAUSES;
    let fetched = timeout(asking.patience, async {
        loop {
            match fetch(asking, names).await {
                Err(stop) if stop.may_pass() => last = Some(stop),
                fetched => return fetched,
            }
            sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            pause = (pause * 2).min(longest);
        }
    })
    .await;
    let given_up = || {
        let patience = humantime::format_duration(asking.patience);
        let cause = last.map_or_else(|| "no answer".to_owned(), |stop| stop.to_string());
        Stop::failed(format!(
            "the job is not started, after {patience} (--timeout): {cause}"
        ))
    };
    fetched.unwrap_or_else(|_| Err(given_up()))
}

async fn fetch(
    asking: &Asking,
    names: &[(String, String)],
) -> Result<Vec<(String, OsString)>, Stop> {
    let mut values = Vec::new();
    if names.is_empty() {
        return Ok(values);
    }
    let mut secrets = asking.client().await?.secrets();
    for (variable, name) in names {
        let request = GetSecretRequest {
            name: name.clone(),
            environment: asking.environment.clone(),
            ..Default::default()
        };
        let answer = secrets.get_secret(request).await.map_err(|status| {
            Stop::from(status).about(&format!("the job is not started without {name}"))
        })?;
        let value = match answer.into_inner().value {
            Some(Value::Text(text)) => text.into_bytes(),
            Some(Value::Data(data)) => data,
            None => Vec::new(),
        };
        if value.contains(&0) {
            return Err(Stop::failed(format!(
                "the value of {name} has a zero byte in it, which no variable can hold; let the \
                job fetch it itself"
            )));
        }
        values.push((variable.clone(), OsString::from_vec(value)));
    }
    Ok(values)
}

/// Starts the job, hands signals on to it and waits for its end.
async fn start(job: &[OsString], values: Vec<(String, OsString)>) -> Result<ExitCode, Stop> {
    let [program, arguments @ ..] = job else {
        return Err(Stop::usage("there is no job; name it after --"));
    };
    let uncaught = |error: io::Error| Stop::failed(format!("signals cannot be caught: {error}"));
    // Caught before there is a job, so that none is lost to it.
    let mut ended = signal(SignalKind::child()).map_err(uncaught)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(uncaught)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(uncaught)?;
    let mut hung_up = signal(SignalKind::hangup()).map_err(uncaught)?;

    let mut command = process::Command::new(program);
    command.args(arguments).envs(values);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Err(not_started(program, &error)),
    };
    // Its copy of the values is of no use any longer.
    drop(command);
    loop {
        let ending = child.try_wait();
        let ending = ending
            .map_err(|error| Stop::failed(format!("the job cannot be waited for: {error}")))?;
        if let Some(status) = ending {
            return Ok(code_of(status));
        }
        let handed_on = tokio::select! {
            _ = ended.recv() => continue,
            _ = terminated.recv() => Signal::TERM,
            _ = interrupted.recv() => Signal::INT,
            _ = hung_up.recv() => Signal::HUP,
        };
        // Fails only if it may not be sent to, which the job has brought about itself.
        kill_process(Pid::from_child(&child), handed_on).ok();
    }
}

fn not_started(program: &OsStr, error: &io::Error) -> Stop {
    let code = match error.kind() == io::ErrorKind::NotFound {
        true => EXIT_NOT_FOUND,
        false => EXIT_NOT_EXECUTABLE,
    };
    Stop::with_code(code, format!("{}: {error}", program.display()))
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
    fn a_variable_that_is_set_twice_is_named() {
        let variable = |name: &str, id: &str| Variable {
            name: name.to_owned(),
            id: id.to_owned(),
        };
        assert!(refuse_twice(&[variable("A", "a"), variable("B", "a")]).is_ok());
        let stop = refuse_twice(&[variable("A", "a"), variable("A", "b")]).unwrap_err();
        assert!(stop.to_string().contains("variable A is set twice"));
    }

    #[test]
    fn the_code_of_a_job_is_ours() {
        // As wait(2) has them: the code in the second byte, or a signal in the first.
        for (raw, code) in [(0, 0), (7 << 8, 7), (255 << 8, 255), (15, 143), (9, 137)] {
            let ours = code_of(ExitStatus::from_raw(raw));
            assert_eq!(ours, ExitCode::from(code), "{raw}");
        }
    }
}
