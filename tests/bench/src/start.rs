use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::figures::{figure, median};
use crate::machine::resident_kib;
use crate::server::{self, Home, Server, read_name};
use crate::step::{Plan, Result, runtime};

/// How long a server is left alone before its memory is looked at.
const IDLE: Duration = Duration::from_secs(2);

/// Measures how long a restarted daemon takes to give its first answer, and how much memory it
/// holds when nobody asks; the floor is the echo server. No core is set aside: nothing else runs.
pub(crate) fn run(plan: Plan) -> Result {
    let home = Home::new()?;
    let first = Server::daemon_in(&home)?;
    let reply = runtime()?.block_on(async {
        let client = first.connect().await?;
        server::register(&client, read_name()).await?;
        server::read(&client).await
    })?;
    drop(first);

    let start_daemon = || Server::daemon_in(&home);
    let start_echo = || Server::echo(&reply);
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..plan.starts {
        ours.push(first_answer_ms(start_daemon)?);
        floor.push(first_answer_ms(start_echo)?);
    }
    figure("start_claviger", median(ours.iter().copied()), "ms");
    figure("start_echo", median(floor.iter().copied()), "ms");
    let ratio = median(ours.iter().zip(&floor).map(|(ours, floor)| ours / floor));
    figure("start_ratio", ratio, "ratio");
    figure("idle_rss_claviger", idle_kib(start_daemon)?, "KiB");
    figure("idle_rss_echo", idle_kib(start_echo)?, "KiB");
    Ok(())
}

fn first_answer_ms(start: impl Fn() -> Result<Server>) -> Result<f64> {
    let runtime = runtime()?;
    let begin = Instant::now();
    let server = start()?;
    runtime.block_on(async { server::read(&server.connect().await?).await })?;
    let took = begin.elapsed();
    drop(runtime);
    Ok(took.as_secs_f64() * 1e3)
}

fn idle_kib(start: impl Fn() -> Result<Server>) -> Result<f64> {
    let server = start()?;
    sleep(IDLE);
    resident_kib(server.pid())
}
