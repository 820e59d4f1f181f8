//! Claviger beside other brokers of secrets, on the same core, asked by the same load in turns.
//!
//! In flight are one call, or 64 of 64 connections: HTTP/1.1, which the peers speak, has no other
//! way. That is not the way in which gRPC is fastest; [`warm`](crate::warm) shows that one.

mod peer;

use claviger_proto::v1::Role;

use crate::figures::{figure, load_figures, median};
use crate::load::{Load, Measured, Rpc};
use crate::machine::{Cores, on_core};
use crate::peers::peer::{LEFT_OUT, PEERS};
use crate::put::appends_per_second;
use crate::server::{self, Home, PUT_DEFINITIONS, Server, put_name, read_name};
use crate::step::{Error, Plan, Result, runtime};

/// Connections, with one call in flight on each.
const SHAPES: [usize; 2] = [1, 64];

/// A server, and how it is asked.
struct Contender<'a> {
    name: &'static str,
    server: &'a Server,
    rpc: Rpc,
    token: Option<&'a str>,
}

/// Measures reads against an echo and puts against appends, and Claviger against each peer.
pub(crate) fn run(plan: Plan) -> Result {
    let cores = Cores::find()?;
    let home = Home::new()?;
    let daemon = on_core(cores.server, || Server::daemon_in(&home))?;
    let (reader, writer, reply) = runtime()?.block_on(async {
        let client = daemon.connect().await?;
        server::register(&client, read_name()).await?;
        for index in 0..PUT_DEFINITIONS {
            server::register(&client, put_name(index)).await?;
        }
        let reader = server::token(&client, Role::Runner).await?;
        let writer = server::token(&client, Role::Operator).await?;
        Ok::<_, Error>((reader, writer, server::read(&client).await?))
    })?;
    let echo = on_core(cores.server, || Server::echo(&reply))?;
    let mut peers = Vec::new();
    for peer in &PEERS {
        match on_core(cores.server, || peer.start(home.kept.path())) {
            Ok(running) => {
                println!("peer {}: {}", peer.name, peer.about);
                peers.push((peer, running));
            }
            Err(error) => println!("peer {}: left out: {error}", peer.name),
        }
    }
    for (name, reason) in LEFT_OUT {
        println!("peer {name}: left out: {reason}");
    }
    let ours = |rpc, token| Contender {
        name: "claviger",
        server: &daemon,
        rpc,
        token: Some(token),
    };
    let theirs = |rpc| {
        let able = peers.iter();
        let able = able.filter(move |(peer, _)| rpc == Rpc::PeerGet || peer.writes);
        able.map(move |(peer, running)| Contender {
            name: peer.name,
            server: &running.server,
            rpc,
            token: Some(&running.token),
        })
    };
    let floor = Contender {
        name: "echo",
        server: &echo,
        rpc: Rpc::Get,
        token: None,
    };
    let mut reads = vec![ours(Rpc::Get, &reader)];
    reads.extend(theirs(Rpc::PeerGet));
    for shape in SHAPES {
        let asked = || floor.measure(cores, plan, shape);
        let (asked, rounds) = in_turns(cores, plan, shape, &reads, asked)?;
        load_figures(&format!("peer_echo_read_{shape}"), &asked);
        let floor = asked
            .iter()
            .map(|round| round.per_second)
            .collect::<Vec<_>>();
        print(&reads, "read", shape, &rounds, &floor);
    }
    let mut writes = vec![ours(Rpc::Put, &writer)];
    writes.extend(theirs(Rpc::PeerPut));
    for shape in SHAPES {
        let append = || {
            let append = || appends_per_second(home.kept.path(), plan.run);
            on_core(cores.server, append)
        };
        let (floor, rounds) = in_turns(cores, plan, shape, &writes, append)?;
        figure(
            &format!("peer_append_put_{shape}"),
            median(floor.iter().copied()),
            "append/s",
        );
        print(&writes, "put", shape, &rounds, &floor);
    }
    Ok(())
}

/// The floor and the rounds of each contender; each round asks every one of them.
fn in_turns<F>(
    cores: Cores,
    plan: Plan,
    shape: usize,
    contenders: &[Contender<'_>],
    floor: impl Fn() -> Result<F>,
) -> Result<(Vec<F>, Vec<Vec<Measured>>)> {
    let mut floors = Vec::new();
    let mut rounds: Vec<Vec<Measured>> = contenders.iter().map(|_| Vec::new()).collect();
    for _ in 0..plan.rounds {
        floors.push(floor()?);
        for (contender, rounds) in contenders.iter().zip(&mut rounds) {
            rounds.push(contender.measure(cores, plan, shape)?);
        }
    }
    Ok((floors, rounds))
}

impl Contender<'_> {
    fn measure(&self, cores: Cores, plan: Plan, connections: usize) -> Result<Measured> {
        let load = Load {
            address: self.server.tcp,
            files: None,
            rpc: self.rpc,
            connections,
            streams: 1,
            warm_up: plan.warm_up,
            run: plan.run,
            server_pid: self.server.pid(),
        };
        on_core(cores.load, || load.measure(self.token))
            .map_err(|error| format!("{}: {error}", self.name).into())
    }
}

/// Prints what each contender did, then, side by side, its share of the floor and how many times
/// more Claviger did, which is the first of them.
fn print(
    contenders: &[Contender<'_>],
    what: &str,
    shape: usize,
    rounds: &[Vec<Measured>],
    floor: &[f64],
) {
    let name = |contender: &Contender<'_>| format!("peer_{}_{what}_{shape}", contender.name);
    for (contender, rounds) in contenders.iter().zip(rounds) {
        load_figures(&name(contender), rounds);
    }
    for (contender, rounds) in contenders.iter().zip(rounds) {
        let pairs = rounds.iter().zip(floor);
        let share = median(pairs.map(|(theirs, floor)| theirs.per_second / floor));
        figure(&format!("{}_ratio", name(contender)), share, "ratio");
    }
    let ours = rounds.first().map(Vec::as_slice).unwrap_or_default();
    for (contender, rounds) in contenders.iter().zip(rounds).skip(1) {
        let pairs = ours.iter().zip(rounds);
        let times = median(pairs.map(|(ours, theirs)| ours.per_second / theirs.per_second));
        figure(&format!("{}_claviger", name(contender)), times, "times");
    }
}
