use claviger_proto::v1::Role;

use crate::aws::Aws;
use crate::figures::{figure, load_figures, median};
use crate::load::{Load, Measured, Rpc};
use crate::machine::{Cores, on_core};
use crate::server::{self, Server, VALUE_BYTES, read_name};
use crate::step::{Error, Plan, Result, runtime};

/// Name, connections, calls in flight per connection.
const SHAPES: [(&str, usize, usize); 3] = [("c1", 1, 1), ("c64", 8, 8), ("c512", 16, 32)];

/// Measures `GetSecret` of a value in the managed vault against an echo of the same reply, and of a
/// remembered value of another vault against the managed one. The echo gets no token: the cost of
/// sending one is measured, too.
pub(crate) fn run(plan: Plan) -> Result {
    let cores = Cores::find()?;
    let aws = Aws::start(VALUE_BYTES);
    let config = aws.config("");
    let daemon = on_core(cores.server, || Server::ephemeral_daemon_with(&config))?;
    let (token, reply) = runtime()?.block_on(async {
        let client = daemon.connect().await?;
        server::register(&client, read_name()).await?;
        server::register_external(&client, 1).await?;
        let token = server::token(&client, Role::Runner).await?;
        Ok::<_, Error>((token, server::read(&client).await?))
    })?;
    let echo = on_core(cores.server, || Server::echo(&reply))?;

    for (shape, connections, streams) in SHAPES {
        let load = |server: &Server, rpc: Rpc| Load {
            address: server.tcp,
            files: None,
            rpc,
            connections,
            streams,
            warm_up: plan.warm_up,
            run: plan.run,
            server_pid: server.pid(),
        };
        let (mut ours, mut external, mut floor) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..plan.rounds {
            let measure = |rpc| on_core(cores.load, || load(&daemon, rpc).measure(Some(&token)));
            ours.push(measure(Rpc::Get)?);
            external.push(measure(Rpc::GetExternal)?);
            let measure = || load(&echo, Rpc::Get).measure(None);
            floor.push(on_core(cores.load, measure)?);
        }
        load_figures(&format!("warm_{shape}_claviger"), &ours);
        load_figures(&format!("warm_{shape}_external"), &external);
        load_figures(&format!("warm_{shape}_echo"), &floor);
        ratios(&format!("warm_{shape}"), &ours, &floor);
        ratios(&format!("warm_{shape}_external"), &external, &ours);
    }
    Ok(())
}

fn ratios(name: &str, ours: &[Measured], floor: &[Measured]) {
    let ratio = |of: fn(&Measured, &Measured) -> f64| {
        let pairs = ours.iter().zip(floor);
        median(pairs.map(|(ours, floor)| of(ours, floor)))
    };
    let by_calls = ratio(|ours, floor| ours.per_second / floor.per_second);
    figure(&format!("{name}_ratio"), by_calls, "ratio");
    // Holds also while others use the machine; leaves out the waiting.
    let by_cpu = ratio(|ours, floor| floor.server_us / ours.server_us);
    figure(&format!("{name}_cpu_ratio"), by_cpu, "ratio");
}
