//! The load generator: a process of its own, so that it can sit on a core of its own.
//!
//! Speaks h2 directly instead of through a gRPC client, because the client must cost less than the
//! server or it is the client that gets measured; [`http1`] is that for brokers without gRPC. The
//! token comes on the standard input.

pub(crate) mod http1;

use std::future::poll_fn;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use claviger_proto::v1;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use prost::Message;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::load::http1::Http1;
use crate::machine::cpu_us;
use crate::secure;
use crate::server::{PUT_DEFINITIONS, VALUE_BYTES, external_name, put_name, read_name};
use crate::step::{Result, runtime};

/// The method that is called.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rpc {
    /// `GetSecret`, always of the same definition.
    Get,
    /// The same, of the definition whose value lies in another system.
    GetExternal,
    /// `PutSecretValue`; no two workers write to one definition.
    Put,
    /// A read of a peer over HTTP/1.1, always of the same secret.
    PeerGet,
    /// A write to a peer over HTTP/1.1; no two workers write to one secret.
    PeerPut,
}

impl Rpc {
    const ALL: [Self; 5] = [
        Self::Get,
        Self::GetExternal,
        Self::Put,
        Self::PeerGet,
        Self::PeerPut,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::GetExternal => "get-external",
            Self::Put => "put",
            Self::PeerGet => "peer-get",
            Self::PeerPut => "peer-put",
        }
    }
}

/// The secret of a peer that is read.
pub(crate) const PEER_SECRET: &str = "bench";

/// Path of a secret of a peer: one that RustyVault and the agent of AWS both take.
pub(crate) fn peer_path(secret: &str) -> String {
    format!("/v1/secret/data/{secret}")
}

/// One measurement to make.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    /// Where the files for TLS with a certificate are, if it is spoken.
    pub(crate) files: Option<PathBuf>,
    pub(crate) rpc: Rpc,
    pub(crate) connections: usize,
    /// Calls in flight per connection.
    pub(crate) streams: usize,
    pub(crate) warm_up: Duration,
    pub(crate) run: Duration,
    /// The server's process, to see how busy it is.
    pub(crate) server_pid: u32,
}

/// The result of one measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Processor time of the server per call.
    pub(crate) server_us: f64,
}

impl Load {
    /// Measures in a new process, which runs on the core of the caller.
    pub(crate) fn measure(&self, token: Option<&str>) -> Result<Measured> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("load")
            .args(self.to_words())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(token.unwrap_or_default().as_bytes())?;
        }
        // It ends by itself: its time is limited, and a server that dies ends its calls.
        let output = child.wait_with_output()?;
        let text = String::from_utf8(output.stdout)?;
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            [per_second, p50_us, p99_us, server_us] if output.status.success() => Ok(Measured {
                per_second: per_second.parse()?,
                p50_us: p50_us.parse()?,
                p99_us: p99_us.parse()?,
                server_us: server_us.parse()?,
            }),
            _ => Err(format!("the load generator failed: {}", output.status).into()),
        }
    }

    fn to_words(&self) -> [String; 8] {
        let files = self.files.as_ref().map(|dir| dir.display().to_string());
        [
            self.address.to_string(),
            files.unwrap_or_default(),
            self.rpc.name().to_owned(),
            self.connections.to_string(),
            self.streams.to_string(),
            self.warm_up.as_millis().to_string(),
            self.run.as_millis().to_string(),
            self.server_pid.to_string(),
        ]
    }

    fn from_words(words: &[&str]) -> Result<Self> {
        let [address, files, rpc, connections, streams, warm_up, run, pid] = words else {
            return Err("load is started by the benchmarks".into());
        };
        let known = Rpc::ALL.into_iter().find(|known| known.name() == *rpc);
        Ok(Self {
            address: address.parse()?,
            files: Some(PathBuf::from(files)).filter(|dir| !dir.as_os_str().is_empty()),
            rpc: known.ok_or_else(|| format!("no call {rpc}"))?,
            connections: connections.parse()?,
            streams: streams.parse()?,
            warm_up: Duration::from_millis(u64::from_str(warm_up)?),
            run: Duration::from_millis(u64::from_str(run)?),
            server_pid: pid.parse()?,
        })
    }
}

/// The process that [`Load::measure`] starts.
pub(crate) fn run(words: &[&str]) -> Result {
    let load = Load::from_words(words)?;
    let token = std::io::read_to_string(std::io::stdin())?;
    let measured = runtime()?.block_on(measure(load, &token))?;
    let Measured {
        per_second,
        p50_us,
        p99_us,
        server_us,
    } = measured;
    println!("{per_second} {p50_us} {p99_us} {server_us}");
    Ok(())
}

async fn measure(load: Load, token: &str) -> Result<Measured> {
    let mut connections = JoinSet::new();
    let mut lines = Vec::new();
    let tls = load.files.as_deref().map(secure::connector).transpose()?;
    for _ in 0..load.connections {
        let stream = TcpStream::connect(load.address).await?;
        stream.set_nodelay(true)?;
        let method = match load.rpc {
            Rpc::Get | Rpc::GetExternal => "GetSecret",
            Rpc::Put => "PutSecretValue",
            Rpc::PeerGet | Rpc::PeerPut if load.streams > 1 => {
                return Err("HTTP/1.1 has one call in flight per connection".into());
            }
            Rpc::PeerGet | Rpc::PeerPut => {
                lines.push(Line::Http1(Http1::over(stream)));
                continue;
            }
        };
        let sender = match &tls {
            Some(tls) => {
                let stream = tls.connect(secure::server_name()?, stream).await?;
                connect(stream, &mut connections).await?
            }
            None => connect(stream, &mut connections).await?,
        };
        let head = Arc::new(head(method, token)?);
        let line = || Line::Grpc(sender.clone(), Arc::clone(&head));
        lines.extend(std::iter::repeat_with(line).take(load.streams));
    }
    let begin = Instant::now() + load.warm_up;
    let window = Window {
        begin,
        end: begin + load.run,
    };
    let mut workers = JoinSet::new();
    let count = lines.len();
    for (index, line) in lines.into_iter().enumerate() {
        let calls = Calls::new(load.rpc, index, count, token);
        workers.spawn(work(line, calls, window));
    }
    sleep_until(window.begin).await;
    let cpu_before = cpu_us(load.server_pid)?;
    sleep_until(window.end).await;
    let cpu_used = cpu_us(load.server_pid)? - cpu_before;

    let mut latencies = Vec::new();
    while let Some(worker) = workers.join_next().await {
        latencies.extend(worker??);
    }
    latencies.sort_unstable();
    let calls = f64::from(u32::try_from(latencies.len())?);
    Ok(Measured {
        per_second: calls / load.run.as_secs_f64(),
        p50_us: percentile(&latencies, 50)?,
        p99_us: percentile(&latencies, 99)?,
        server_us: cpu_used / calls,
    })
}

/// Speaks HTTP/2 on a connection, which lives in `connections`.
pub(crate) async fn connect<S>(
    stream: S,
    connections: &mut JoinSet<()>,
) -> Result<SendRequest<Bytes>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(1 << 20)
        .handshake(stream)
        .await?;
    // The calls on it tell how it ends.
    connections.spawn(async { connection.await.unwrap_or_default() });
    Ok(sender)
}

/// The headers of a call of this method.
pub(crate) fn head(method: &str, token: &str) -> Result<http::request::Parts> {
    let uri = format!("http://localhost/claviger.v1.SecretService/{method}");
    let mut request = Request::post(uri)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    Ok(request.body(())?.into_parts().0)
}

/// The time in which answers count.
#[derive(Clone, Copy)]
struct Window {
    begin: Instant,
    end: Instant,
}

/// What one worker calls over.
enum Line {
    Grpc(SendRequest<Bytes>, Arc<http::request::Parts>),
    Http1(Http1),
}

impl Line {
    async fn call(&mut self, message: Bytes) -> Result {
        match self {
            Self::Grpc(sender, head) => {
                poll_fn(|context| sender.poll_ready(context)).await?;
                let head = Request::from_parts((**head).clone(), ());
                call(sender, head, message).await?;
            }
            Self::Http1(connection) => {
                connection.call(&message).await?;
            }
        }
        Ok(())
    }
}

/// The messages that one worker sends.
enum Calls {
    Get(Bytes),
    Put {
        names: Vec<String>,
        sent: usize,
        worker: usize,
        message: PutMessage,
    },
}

/// Makes the message of a write, of the secret's name and its value.
type PutMessage = Box<dyn Fn(&str, String) -> Bytes + Send>;

impl Calls {
    fn new(rpc: Rpc, worker: usize, workers: usize, token: &str) -> Self {
        let put = |name: fn(usize) -> String, message: PutMessage| Self::Put {
            names: (worker..PUT_DEFINITIONS)
                .step_by(workers)
                .map(name)
                .collect(),
            sent: 0,
            worker,
            message,
        };
        match rpc {
            Rpc::Get => Self::get(read_name()),
            Rpc::GetExternal => Self::get(external_name(0)),
            Rpc::PeerGet => {
                Self::Get(http1::request("GET", &peer_path(PEER_SECRET), token, "").into())
            }
            Rpc::Put => put(put_name, Box::new(put_message)),
            Rpc::PeerPut => {
                let token = token.to_owned();
                let message =
                    move |name: &str, value: String| peer_put_message(name, &value, &token);
                put(|index| format!("put-{index}"), Box::new(message))
            }
        }
    }

    fn get(name: String) -> Self {
        Self::Get(frame(&v1::GetSecretRequest {
            name,
            ..Default::default()
        }))
    }

    fn next(&mut self) -> Option<Bytes> {
        match self {
            Self::Get(message) => Some(message.clone()),
            Self::Put {
                names,
                sent,
                worker,
                message,
            } => {
                let name = names.get(*sent % names.len().max(1))?;
                *sent += 1;
                let text = format!("{worker}-{sent:0>VALUE_BYTES$}");
                Some(message(name, text.chars().take(VALUE_BYTES).collect()))
            }
        }
    }
}

fn put_message(name: &str, value: String) -> Bytes {
    frame(&v1::PutSecretValueRequest {
        name: name.to_owned(),
        payload: Some(v1::Payload {
            value: Some(v1::payload::Value::Text(value)),
            crc32c: None,
        }),
        ..Default::default()
    })
}

/// What a write of a peer's secret says.
pub(crate) fn peer_body(value: &str) -> Value {
    json!({ "data": { "value": value } })
}

fn peer_put_message(name: &str, value: &str, token: &str) -> Bytes {
    let body = peer_body(value).to_string();
    http1::request("POST", &peer_path(name), token, &body).into()
}

/// A message as it travels: a flag, its length, itself.
pub(crate) fn frame(message: &impl Message) -> Bytes {
    let body = message.encode_to_vec();
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0], length.as_slice(), body.as_slice()].concat().into()
}

/// Calls until the window closes; returns how many nanoseconds each call in it took.
async fn work(mut line: Line, mut calls: Calls, window: Window) -> Result<Vec<u32>> {
    let mut latencies = Vec::new();
    loop {
        let message = calls.next().ok_or("more workers than definitions")?;
        let start = Instant::now();
        line.call(message).await?;
        let now = Instant::now();
        if now >= window.end {
            return Ok(latencies);
        }
        if now >= window.begin {
            let took = now.duration_since(start).as_nanos();
            latencies.push(u32::try_from(took).unwrap_or(u32::MAX));
        }
    }
}

/// Makes a call; returns the body of the answer.
pub(crate) async fn call(
    sender: &mut SendRequest<Bytes>,
    head: Request<()>,
    message: Bytes,
) -> Result<Vec<u8>> {
    let (response, mut request_body) = sender.send_request(head, false)?;
    request_body.send_data(message, true)?;
    let mut response = response.await?;
    let body = response.body_mut();
    let mut read = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        read.extend_from_slice(&chunk);
        body.flow_control().release_capacity(chunk.len())?;
    }
    match body.trailers().await? {
        Some(trailers) => check(&trailers),
        None => check(response.headers()),
    }?;
    Ok(read)
}

fn check(trailers: &HeaderMap) -> Result {
    let text = |name| trailers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        Some("0") => Ok(()),
        status => Err(format!(
            "a call failed: grpc-status {}: {}",
            status.unwrap_or("missing"),
            text("grpc-message").unwrap_or_default()
        )
        .into()),
    }
}

/// Nearest rank, of sorted nanoseconds, in microseconds.
pub(crate) fn percentile(sorted: &[u32], percent: usize) -> Result<f64> {
    let rank = sorted.len() * percent / 100;
    let found = sorted.get(rank.min(sorted.len().saturating_sub(1)));
    let nanoseconds = found.ok_or("not one call was answered in time")?;
    Ok(f64::from(*nanoseconds) / 1e3)
}
