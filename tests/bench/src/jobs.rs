//! Jobs: each reads a value, on a connection that is its own or shared.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use claviger_proto::v1;
use h2::client::SendRequest;
use prost::Message as _;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::load::percentile;
use crate::load::{call, connect, frame, head};
use crate::step::{Error, Result};

/// How long somebody waits to whom a socket has said that it has too many callers.
const AGAIN: Duration = Duration::from_millis(1);

/// Where the daemon is reached.
#[derive(Clone, Debug)]
pub(crate) enum Door {
    /// Over TCP, with a token.
    Tcp(SocketAddr, String),
    Socket(PathBuf),
}

/// An answer, and how long the job took.
pub(crate) struct Read {
    pub(crate) took: Duration,
    /// `None` if it was refused.
    pub(crate) reply: Option<v1::GetSecretResponse>,
}

/// Somebody who is connected.
#[derive(Clone)]
pub(crate) struct Job {
    sender: SendRequest<Bytes>,
    head: Arc<http::request::Parts>,
}

impl Job {
    /// Connects. The connection lives in `connections`.
    pub(crate) async fn connect(door: &Door, connections: &mut JoinSet<()>) -> Result<Self> {
        let (sender, head) = match door {
            Door::Tcp(address, token) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                (
                    connect(stream, connections).await?,
                    head("GetSecret", token)?,
                )
            }
            Door::Socket(path) => {
                let stream = connect_socket(path).await?;
                (connect(stream, connections).await?, head("GetSecret", "")?)
            }
        };
        let head = Arc::new(head);
        Ok(Self { sender, head })
    }

    /// Reads a secret.
    pub(crate) async fn read(mut self, name: String) -> Read {
        let begin = Instant::now();
        let request = v1::GetSecretRequest {
            name,
            ..Default::default()
        };
        let reply = self.ask(frame(&request)).await.ok();
        Read {
            took: begin.elapsed(),
            reply,
        }
    }

    async fn ask(&mut self, message: Bytes) -> Result<v1::GetSecretResponse> {
        let mut sender = self.sender.clone().ready().await?;
        let head = http::Request::from_parts((*self.head).clone(), ());
        let body = call(&mut sender, head, message).await?;
        // Behind a flag and its length.
        Ok(v1::GetSecretResponse::decode(
            body.get(5..).unwrap_or_default(),
        )?)
    }
}

async fn connect_socket(path: &Path) -> Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.raw_os_error() == Some(Errno::AGAIN.raw_os_error()) => {
                sleep(AGAIN).await;
            }
            connected => return Ok(connected?),
        }
    }
}

/// So many jobs at once share the connections, which are there; they read the secrets in turn.
pub(crate) async fn sharing(connected: &[Job], jobs: usize, names: &[String]) -> Vec<Read> {
    let mut reading = JoinSet::new();
    let jobs = connected.iter().cycle().take(jobs);
    for (job, name) in jobs.zip(names.iter().cycle()) {
        reading.spawn(job.clone().read(name.clone()));
    }
    reading.join_all().await
}

/// So many jobs at once, each of which connects for itself and stays connected; they read the
/// secrets in turn. `look` is called while all are there.
pub(crate) async fn connecting<T>(
    door: &Door,
    jobs: usize,
    names: &[String],
    look: impl FnOnce() -> Result<T>,
) -> Result<(Vec<Read>, T)> {
    let mut working = JoinSet::new();
    for name in names.iter().cycle().take(jobs) {
        let (door, name) = (door.clone(), name.clone());
        working.spawn(async move {
            let begin = Instant::now();
            let mut connection = JoinSet::new();
            let job = Job::connect(&door, &mut connection).await?;
            let Read { reply, .. } = job.clone().read(name).await;
            let took = begin.elapsed();
            Ok::<_, Error>((Read { took, reply }, job, connection))
        });
    }
    let mut done = Vec::new();
    while let Some(job) = working.join_next().await {
        done.push(job??);
    }
    let looked = look()?;
    Ok((done.into_iter().map(|(read, ..)| read).collect(), looked))
}

/// As many descriptors as this process and those that it starts may have.
pub(crate) fn raise_files() -> Result<Option<u64>> {
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files)?;
    Ok(files.current)
}

/// The middle of the times that jobs took, and the longest but one in a hundred.
pub(crate) fn percentiles(reads: &[Read]) -> Result<(f64, f64)> {
    let nanoseconds = |read: &Read| u32::try_from(read.took.as_nanos()).unwrap_or(u32::MAX);
    let mut took: Vec<u32> = reads.iter().map(nanoseconds).collect();
    took.sort_unstable();
    Ok((percentile(&took, 50)?, percentile(&took, 99)?))
}
