use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use claviger_proto::v1::Role;

use crate::figures::{figure, load_figures, median};
use crate::load::{Load, Rpc};
use crate::machine::{Cores, on_core};
use crate::server::{self, Home, PUT_DEFINITIONS, Server, put_name, read_name};
use crate::step::{Error, Plan, Result, runtime};

/// Name, connections, calls in flight per connection.
const SHAPES: [(&str, usize, usize); 2] = [("c1", 1, 1), ("c64", 8, 8)];

/// Puts as fast as they go one by one, and the reads beside them.
const PUTS_BESIDE: (&str, usize, usize) = ("c1", 1, 1);
const READS: (&str, usize, usize) = ("put_reads_beside", 8, 8);

/// The record that the floor appends: about a sealed record of a value as long as ours.
const RECORD: [u8; 300] = [b'x'; 300];

/// Measures `PutSecretValue` into the managed vault against appending to a file and making each
/// append durable, and reads beside puts against reads alone.
pub(crate) fn run(plan: Plan) -> Result {
    let cores = Cores::find()?;
    let home = Home::new()?;
    let daemon = on_core(cores.server, || Server::daemon_in(&home))?;
    let (writer, reader) = runtime()?.block_on(async {
        let client = daemon.connect().await?;
        server::register(&client, read_name()).await?;
        for index in 0..PUT_DEFINITIONS {
            server::register(&client, put_name(index)).await?;
        }
        let writer = server::token(&client, Role::Operator).await?;
        let reader = server::token(&client, Role::Runner).await?;
        Ok::<_, Error>((writer, reader))
    })?;
    let load = |rpc, connections, streams| Load {
        address: daemon.tcp,
        files: None,
        rpc,
        connections,
        streams,
        warm_up: plan.warm_up,
        run: plan.run,
        server_pid: daemon.pid(),
    };
    let put = |(_, connections, streams)| {
        let load = load(Rpc::Put, connections, streams);
        on_core(cores.load, || load.measure(Some(&writer)))
    };
    let (_, connections, streams) = READS;
    let reads = load(Rpc::Get, connections, streams);
    let read = || on_core(cores.load, || reads.measure(Some(&reader)));

    let mut floor = Vec::new();
    let mut ours = SHAPES.map(|_| Vec::new());
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let append = || appends_per_second(home.kept.path(), plan.run);
        floor.push(on_core(cores.server, append)?);
        for (shape, measured) in SHAPES.into_iter().zip(&mut ours) {
            measured.push(put(shape)?);
        }
        alone.push(read()?);
        let (reads, puts) = thread::scope(|scope| {
            let puts = scope.spawn(|| put(PUTS_BESIDE).map_err(|error| error.to_string()));
            (read(), puts.join())
        });
        puts.map_err(|_| "the load of puts panicked")??;
        beside.push(reads?);
    }
    figure("put_floor", median(floor.iter().copied()), "append/s");
    for ((shape, ..), measured) in SHAPES.into_iter().zip(&ours) {
        load_figures(&format!("put_{shape}"), measured);
        let pairs = measured.iter().zip(&floor);
        let ratio = median(pairs.map(|(ours, floor)| ours.per_second / floor));
        figure(&format!("put_{shape}_ratio"), ratio, "ratio");
    }
    let (name, ..) = READS;
    load_figures(name, &beside);
    let pairs = beside.iter().zip(&alone);
    let ratio = median(pairs.map(|(beside, alone)| beside.per_second / alone.per_second));
    // On the cores that the puts need too, theirs and their load's.
    figure(&format!("{name}_ratio"), ratio, "ratio");
    Ok(())
}

/// How many records a file in this directory takes, each made durable.
pub(crate) fn appends_per_second(dir: &Path, run: Duration) -> Result<f64> {
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
