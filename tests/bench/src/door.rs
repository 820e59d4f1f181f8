//! What strangers cost others: the latency of a reader while somebody without any grant attacks the
//! daemon, against its latency in peace in the same run, and the memory that is held for them.

mod attack;

use std::path::Path;

use claviger_proto::v1::Role;

use crate::door::attack::{Attack, Attacker, Target};
use crate::figures::{figure, median};
use crate::load::{Load, Measured, Rpc};
use crate::machine::{Cores, on_core, resident_kib};
use crate::server::{self, Home, Server, read_name};
use crate::step::{Error, Plan, Result, runtime};

/// Measures each attack.
pub(crate) fn run(plan: Plan) -> Result {
    let cores = Cores::find()?;
    let home = Home::new()?;
    home.open_to_all()?;
    for attack in Attack::ALL {
        // A daemon of its own: what the last one left must not count.
        let daemon = on_core(cores.server, || Server::daemon_in(&home))?;
        let token = runtime()?.block_on(async {
            let client = daemon.connect().await?;
            server::register(&client, read_name()).await.ok();
            let token = server::token(&client, Role::Runner).await?;
            Ok::<_, Error>(token)
        })?;
        let target = Target {
            socket: daemon.socket().map(Path::to_path_buf),
            tcp: daemon.tcp,
        };
        let measure = || {
            let load = Load {
                address: daemon.tcp,
                files: None,
                rpc: Rpc::Get,
                connections: 1,
                streams: 1,
                warm_up: plan.warm_up,
                run: plan.run,
                server_pid: daemon.pid(),
            };
            on_core(cores.load, || load.measure(Some(&token)))
        };
        let (mut peace, mut under, mut held) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..plan.rounds {
            peace.push(measure()?);
            let before = resident_kib(daemon.pid())?;
            let attacker = Attacker::start(*attack, target.clone(), cores.load)?;
            under.push(measure()?);
            let more = resident_kib(daemon.pid())? - before;
            held.push(more / f64::from(attack.connections()));
            attacker.stop()?;
        }
        let name = attack.name();
        let p99 = |rounds: &[Measured]| median(rounds.iter().map(|round| round.p99_us));
        figure(&format!("door_{name}_p99_peace"), p99(&peace), "us");
        figure(&format!("door_{name}_p99_attacked"), p99(&under), "us");
        let pairs = under.iter().zip(&peace);
        let ratio = median(pairs.map(|(under, peace)| under.p99_us / peace.p99_us));
        figure(&format!("door_{name}_p99_ratio"), ratio, "ratio");
        let held = median(held.into_iter());
        figure(&format!("door_{name}_held"), held, "KiB/connection");
    }
    Ok(())
}
