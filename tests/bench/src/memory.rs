//! What remembered values take.

use claviger_proto::v1::Role;
use tokio::task::JoinSet;

use crate::aws::Aws;
use crate::figures::{figure, median};
use crate::jobs::{Door, Job, sharing};
use crate::machine::{Cores, on_core, resident_kib};
use crate::server::{self, Server};
use crate::step::{Plan, Result, runtime};

const VALUE_BYTES: usize = 1024;

const CONNECTIONS: usize = 8;

/// The memory of a daemon, in KiB.
struct Held {
    registered: f64,
    remembered: f64,
}

/// Measures the memory of a daemon before and after it has read that many values.
pub(crate) fn run(plan: Plan) -> Result {
    let cores = Cores::find()?;
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        rounds.push(on_core(cores.load, || round(cores, plan.jobs))?);
    }
    let of = |field: fn(&Held) -> f64| median(rounds.iter().map(field));
    figure("memory_registered_rss", of(|held| held.registered), "KiB");
    figure("memory_remembered_rss", of(|held| held.remembered), "KiB");
    let values = f64::from(u32::try_from(plan.jobs)?);
    let more = of(|held| held.remembered - held.registered);
    figure("memory_per_value", more * 1024.0 / values, "bytes");
    let ratio = of(|held| held.remembered / held.registered);
    figure("memory_ratio", ratio, "ratio");
    Ok(())
}

fn round(cores: Cores, values: usize) -> Result<Held> {
    let aws = Aws::start(VALUE_BYTES);
    let config = aws.config("timeout = \"20s\"");
    let daemon = on_core(cores.server, || Server::ephemeral_daemon_with(&config))?;
    runtime()?.block_on(async {
        let client = daemon.connect().await?;
        let names = server::register_external(&client, values).await?;
        let door = Door::Tcp(daemon.tcp, server::token(&client, Role::Runner).await?);
        let mut connections = JoinSet::new();
        let mut connected = Vec::new();
        for _ in 0..CONNECTIONS {
            connected.push(Job::connect(&door, &mut connections).await?);
        }
        let registered = resident_kib(daemon.pid())?;
        // Not more at once than the vault is asked for: nobody shall wait too long.
        for names in names.chunks(256) {
            let reads = sharing(&connected, names.len(), names).await;
            if reads.iter().any(|read| read.reply.is_none()) {
                return Err("a read was refused".into());
            }
        }
        aws.take_reads();
        for names in names.chunks(256) {
            sharing(&connected, names.len(), names).await;
        }
        let again = aws.take_reads();
        if again > 0 {
            return Err(format!("{again} of {values} values were not remembered").into());
        }
        Ok(Held {
            registered,
            remembered: resident_kib(daemon.pid())?,
        })
    })
}
