use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use claviger_proto::v1::Role;

use crate::figures::{figure, load_figures, median};
use crate::load::{Load, Rpc};
use crate::machine::{Cores, on_core};
use crate::server::{self, Home, PUT_DEFINITIONS, Server, put_name};
use crate::step::{Plan, Result, runtime};

/// Name, connections, calls in flight per connection.
const SHAPES: [(&str, usize, usize); 2] = [("c1", 1, 1), ("c64", 8, 8)];

/// The record that the floor appends: about a sealed record of a value as long as ours.
const RECORD: [u8; 300] = [b'x'; 300];

/// Measures `PutSecretValue` into the managed vault against appending to a file and making each
/// append durable.
pub(crate) fn run(plan: Plan) -> Result {
    let cores = Cores::find()?;
    let home = Home::new()?;
    let daemon = on_core(cores.server, || Server::daemon_in(&home))?;
    let token = runtime()?.block_on(async {
        let client = daemon.connect().await?;
        for index in 0..PUT_DEFINITIONS {
            server::register(&client, put_name(index)).await?;
        }
        server::token(&client, Role::Operator).await
    })?;

    let mut floor = Vec::new();
    let mut ours = SHAPES.map(|_| Vec::new());
    for _ in 0..plan.rounds {
        let append = || appends_per_second(home.kept.path(), plan.run);
        floor.push(on_core(cores.server, append)?);
        for ((_, connections, streams), measured) in SHAPES.into_iter().zip(&mut ours) {
            let load = Load {
                address: daemon.tcp,
                rpc: Rpc::Put,
                connections,
                streams,
                warm_up: plan.warm_up,
                run: plan.run,
                server_pid: daemon.pid(),
            };
            measured.push(on_core(cores.load, || load.measure(Some(&token)))?);
        }
    }
    figure("put_floor", median(floor.iter().copied()), "append/s");
    for ((shape, ..), measured) in SHAPES.into_iter().zip(&ours) {
        load_figures(&format!("put_{shape}"), measured);
        let pairs = measured.iter().zip(&floor);
        let ratio = median(pairs.map(|(ours, floor)| ours.per_second / floor));
        figure(&format!("put_{shape}_ratio"), ratio, "ratio");
    }
    Ok(())
}

fn appends_per_second(dir: &Path, run: Duration) -> Result<f64> {
    let mut file: File = tempfile::tempfile_in(dir)?;
    let start = Instant::now();
    let mut appends = 0_u32;
    while start.elapsed() < run {
        file.write_all(&RECORD)?;
        file.sync_data()?;
        appends += 1;
    }
    Ok(f64::from(appends) / start.elapsed().as_secs_f64())
}
