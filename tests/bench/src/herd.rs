//! Jobs that start at once, as at the top of the hour: how often the vault is asked, how long they
//! take, and what the daemon holds for them.

use claviger_proto::v1::Role;
use tokio::task::JoinSet;

use crate::aws::Aws;
use crate::figures::{figure, median};
use crate::jobs::{Door, Job, Read, connecting, percentiles, raise_files, sharing};
use crate::machine::{Cores, on_core, resident_kib};
use crate::server::{self, Server, VALUE_BYTES, read_name};
use crate::step::{Plan, Result, runtime};

/// Jobs that share a few connections and read one secret.
const HERD: usize = 300;
const CONNECTIONS: usize = 8;

/// Secrets that jobs with connections of their own read.
const SECRETS: usize = 100;

/// Descriptors that are no connections.
const FILES: u64 = 512;

/// What one herd came to.
struct Herd {
    upstream: f64,
    served: f64,
    p50_us: f64,
    p99_us: f64,
    rss_kib: f64,
}

impl Herd {
    fn of(reads: &[Read], aws: &Aws, rss_kib: f64) -> Result<Self> {
        let (p50_us, p99_us) = percentiles(reads)?;
        let served = reads.iter().filter(|read| read.reply.is_some()).count();
        Ok(Self {
            upstream: aws.take_reads().into(),
            served: f64::from(u32::try_from(served)?) / f64::from(u32::try_from(reads.len())?),
            p50_us,
            p99_us,
            rss_kib,
        })
    }
}

/// One round with a daemon that knows nothing yet: the herds by name.
type Round = Vec<(&'static str, Herd)>;

/// Measures herds.
pub(crate) fn run(plan: Plan) -> Result {
    let cores = Cores::find()?;
    let files = raise_files()?;
    // Half of the descriptors are left to it for each listener.
    let most = files.map_or(u64::MAX, |files| files.saturating_sub(FILES) / 2);
    let jobs = plan.jobs.min(usize::try_from(most).unwrap_or(usize::MAX));
    if jobs < plan.jobs {
        eprintln!(
            "{jobs} jobs instead of {}: no more descriptors (ulimit -Hn)",
            plan.jobs
        );
    }
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        rounds.push(round(cores, jobs)?);
    }
    let first = rounds.first().ok_or("no rounds")?;
    for (index, (name, _)) in first.iter().enumerate() {
        let of = |field: fn(&Herd) -> f64| {
            median(
                rounds
                    .iter()
                    .filter_map(|round| Some(field(&round.get(index)?.1))),
            )
        };
        figure(
            &format!("herd_{name}_upstream"),
            of(|herd| herd.upstream),
            "calls",
        );
        figure(
            &format!("herd_{name}_served"),
            of(|herd| herd.served),
            "share",
        );
        figure(&format!("herd_{name}_p50"), of(|herd| herd.p50_us), "us");
        figure(&format!("herd_{name}_p99"), of(|herd| herd.p99_us), "us");
        figure(&format!("herd_{name}_rss"), of(|herd| herd.rss_kib), "KiB");
    }
    figure("herd_jobs", f64::from(u32::try_from(jobs)?), "jobs");
    let p99 = |round: &Round, wanted: &str| {
        let found = round.iter().find(|(name, _)| *name == wanted);
        found.map_or(f64::NAN, |(_, herd)| herd.p99_us)
    };
    let ratio = rounds
        .iter()
        .map(|round| p99(round, "again") / p99(round, "managed"));
    figure("herd_again_ratio", median(ratio), "ratio");
    let ratio = rounds
        .iter()
        .map(|round| p99(round, "socket") / p99(round, "tcp"));
    figure("herd_socket_ratio", median(ratio), "ratio");
    Ok(())
}

fn round(cores: Cores, jobs: usize) -> Result<Round> {
    on_core(cores.load, || {
        let mut herds = shared(cores)?;
        herds.push(("tcp", own(cores, jobs, false)?));
        herds.push(("socket", own(cores, jobs, true)?));
        Ok(herds)
    })
}

/// Jobs that share connections, which read one secret: of AWS, again, and of the managed vault.
fn shared(cores: Cores) -> Result<Round> {
    let aws = Aws::start(VALUE_BYTES);
    let config = aws.config("");
    let daemon = on_core(cores.server, || Server::ephemeral_daemon_with(&config))?;
    runtime()?.block_on(async {
        let client = daemon.connect().await?;
        server::register(&client, read_name()).await?;
        let external = server::register_external(&client, 1).await?;
        let door = Door::Tcp(daemon.tcp, server::token(&client, Role::Runner).await?);
        let mut connections = JoinSet::new();
        let mut connected = Vec::new();
        for _ in 0..CONNECTIONS {
            connected.push(Job::connect(&door, &mut connections).await?);
        }
        // The first read of each connection pays for more than a read.
        sharing(&connected, CONNECTIONS, &[read_name()]).await;
        let mut herds = Vec::new();
        for (name, names) in [
            ("managed", [read_name()].as_slice()),
            ("cold", &external),
            ("again", &external),
        ] {
            aws.take_reads();
            let reads = sharing(&connected, HERD, names).await;
            herds.push((name, Herd::of(&reads, &aws, resident_kib(daemon.pid())?)?));
        }
        Ok(herds)
    })
}

/// Jobs that connect for themselves and read secrets of AWS that nobody has read yet.
fn own(cores: Cores, jobs: usize, is_on_socket: bool) -> Result<Herd> {
    let aws = Aws::start(VALUE_BYTES);
    let config = aws.config("timeout = \"20s\"");
    let daemon = on_core(cores.server, || Server::ephemeral_daemon_with(&config))?;
    runtime()?.block_on(async {
        let client = daemon.connect().await?;
        let names = server::register_external(&client, SECRETS).await?;
        let door = match daemon.socket() {
            Some(socket) if is_on_socket => Door::Socket(socket.to_owned()),
            _ => Door::Tcp(daemon.tcp, server::token(&client, Role::Runner).await?),
        };
        aws.take_reads();
        let look = || resident_kib(daemon.pid());
        let (reads, rss_kib) = connecting(&door, jobs, &names, look).await?;
        Herd::of(&reads, &aws, rss_kib)
    })
}
