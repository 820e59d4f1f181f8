//! A vault that fails under load: how many are served all the same, with what, and how often it is
//! asked.

use std::time::Duration;

use claviger_proto::v1::Role;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::aws::{Aws, Mood};
use crate::figures::{figure, median};
use crate::jobs::{Door, Job, Read, percentiles};
use crate::machine::{Cores, on_core};
use crate::server::{self, Server, VALUE_BYTES};
use crate::step::{Plan, Result, runtime};

const CONNECTIONS: usize = 8;

/// Calls in flight per connection.
const STREAMS: usize = 8;

/// Values are too old soon after the vault begins to fail.
const SHORT: &str = "max_age = \"1s\"\ntimeout = \"1s\"";

/// What one time of load came to.
struct Time {
    served: f64,
    stale: f64,
    upstream: f64,
    p99_us: f64,
}

/// Measures each way in which the vault fails, after a time in which it is well.
pub(crate) fn run(plan: Plan) -> Result {
    let cores = Cores::find()?;
    for mood in Mood::BAD {
        let mut rounds = Vec::new();
        for _ in 0..plan.rounds {
            rounds.push(on_core(cores.load, || round(cores, plan, mood))?);
        }
        let of = |field: fn(&Time) -> f64| median(rounds.iter().map(|(_, bad)| field(bad)));
        let name = format!("outage_{}", mood.name());
        figure(&format!("{name}_served"), of(|time| time.served), "share");
        figure(&format!("{name}_stale"), of(|time| time.stale), "share");
        figure(
            &format!("{name}_upstream"),
            of(|time| time.upstream),
            "calls",
        );
        figure(&format!("{name}_p99"), of(|time| time.p99_us), "us");
        let ratio = rounds.iter().map(|(well, bad)| bad.p99_us / well.p99_us);
        figure(&format!("{name}_p99_ratio"), median(ratio), "ratio");
    }
    Ok(())
}

fn round(cores: Cores, plan: Plan, mood: Mood) -> Result<(Time, Time)> {
    let aws = Aws::start(VALUE_BYTES);
    let config = aws.config(SHORT);
    let daemon = on_core(cores.server, || Server::ephemeral_daemon_with(&config))?;
    runtime()?.block_on(async {
        let client = daemon.connect().await?;
        let names = server::register_external(&client, 1).await?;
        let name = names.first().ok_or("no name")?;
        let door = Door::Tcp(daemon.tcp, server::token(&client, Role::Runner).await?);
        let mut connections = JoinSet::new();
        let mut connected = Vec::new();
        for _ in 0..CONNECTIONS {
            connected.push(Job::connect(&door, &mut connections).await?);
        }
        load(&connected, name, plan.warm_up, &aws).await?;
        let well = load(&connected, name, plan.run, &aws).await?;
        aws.is(mood);
        let bad = load(&connected, name, plan.outage, &aws).await?;
        Ok((well, bad))
    })
}

/// Reads for so long.
async fn load(connected: &[Job], name: &str, run: Duration, aws: &Aws) -> Result<Time> {
    aws.take_reads();
    let end = Instant::now() + run;
    let mut working = JoinSet::new();
    for job in connected.iter().cycle().take(CONNECTIONS * STREAMS) {
        let (job, name) = (job.clone(), name.to_owned());
        working.spawn(async move {
            let mut reads = Vec::new();
            while Instant::now() < end {
                reads.push(job.clone().read(name.clone()).await);
            }
            reads
        });
    }
    let reads: Vec<Read> = working.join_all().await.into_iter().flatten().collect();
    let share = |is: fn(&Read) -> bool| {
        let count = u32::try_from(reads.iter().filter(|read| is(read)).count())?;
        Ok::<_, std::num::TryFromIntError>(
            f64::from(count) / f64::from(u32::try_from(reads.len())?),
        )
    };
    Ok(Time {
        served: share(|read| read.reply.is_some())?,
        stale: share(|read| {
            let freshness = read
                .reply
                .as_ref()
                .and_then(|reply| reply.freshness.as_ref());
            freshness.is_some_and(|freshness| freshness.stale)
        })?,
        upstream: aws.take_reads().into(),
        p99_us: percentiles(&reads)?.1,
    })
}
