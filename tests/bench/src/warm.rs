use claviger_proto::v1::Role;

use crate::figures::{figure, load_figures, median};
use crate::load::{Load, Measured, Rpc};
use crate::machine::{Cores, on_core};
use crate::server::{self, Server, read_name};
use crate::step::{Error, Plan, Result, runtime};

/// Name, connections, calls in flight per connection.
const SHAPES: [(&str, usize, usize); 3] = [("c1", 1, 1), ("c64", 8, 8), ("c512", 16, 32)];

/// Measures `GetSecret` of a value in the managed vault against an echo of the same reply. The
/// echo gets no token: the cost of sending one is measured, too.
pub(crate) fn run(plan: Plan) -> Result {
    let cores = Cores::find()?;
    let daemon = on_core(cores.server, Server::ephemeral_daemon)?;
    let (token, reply) = runtime()?.block_on(async {
        let client = daemon.connect().await?;
        server::register(&client, read_name()).await?;
        let token = server::token(&client, Role::Runner).await?;
        Ok::<_, Error>((token, server::read(&client).await?))
    })?;
    let echo = on_core(cores.server, || Server::echo(&reply))?;

    for (shape, connections, streams) in SHAPES {
        let load = |server: &Server| Load {
            address: server.tcp,
            rpc: Rpc::Get,
            connections,
            streams,
            warm_up: plan.warm_up,
            run: plan.run,
            server_pid: server.pid(),
        };
        let (mut ours, mut floor) = (Vec::new(), Vec::new());
        for _ in 0..plan.rounds {
            let measure = || load(&daemon).measure(Some(&token));
            ours.push(on_core(cores.load, measure)?);
            floor.push(on_core(cores.load, || load(&echo).measure(None))?);
        }
        load_figures(&format!("warm_{shape}_claviger"), &ours);
        load_figures(&format!("warm_{shape}_echo"), &floor);
        let ratio = |of: fn(&Measured, &Measured) -> f64| {
            let pairs = ours.iter().zip(&floor);
            median(pairs.map(|(ours, floor)| of(ours, floor)))
        };
        let by_calls = ratio(|ours, floor| ours.per_second / floor.per_second);
        figure(&format!("warm_{shape}_ratio"), by_calls, "ratio");
        // Holds also while others use the machine; leaves out the waiting.
        let by_cpu = ratio(|ours, floor| floor.server_us / ours.server_us);
        figure(&format!("warm_{shape}_cpu_ratio"), by_cpu, "ratio");
    }
    Ok(())
}
