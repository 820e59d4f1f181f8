//! The serve loop: connections, their number and their age.
//!
//! It is our own because several defaults of the gRPC library are unsafe for a secrets daemon: no
//! handshake deadline, no limit of connections or streams, the defence against reset floods off, no
//! connection age. One thread accepts; each core has a current-thread runtime that serves the
//! connections it is handed, because the multi-threaded runtime halves the throughput of small
//! calls.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use claviger_core::{Error, Reason, Uid};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tower::{ServiceExt, service_fn};

use crate::{Peer, status_of};

/// The first bytes of every HTTP/2 client.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bounds of the serve loop.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections open at a time on each listener; more wait in its queue. One listener's cannot
    /// take the other's places.
    pub connections_max: usize,
    /// Calls at a time on one connection.
    pub streams_max: u32,
    /// How long a client may take to say that it speaks HTTP/2.
    pub handshake: Duration,
    /// How long a call may take from the first byte of its request to the beginning of its answer;
    /// a client can only shorten it.
    pub request: Duration,
    /// How long a connection is used before its client is asked to make a new one, and then how
    /// long its last calls may take.
    pub connection_age: Duration,
    /// How long the calls in flight may take when the daemon stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            streams_max: 128,
            handshake: Duration::from_secs(5),
            request: Duration::from_secs(30),
            connection_age: Duration::from_secs(600),
            drain: Duration::from_secs(30),
        }
    }
}

/// Where to listen.
#[derive(Debug)]
pub struct Listeners {
    /// The Unix socket.
    pub unix: Option<UnixListener>,
    /// Loopback TCP.
    pub tcp: Option<TcpListener>,
}

/// Binds a TCP listener.
///
/// # Errors
/// If the address is not a loopback one, because there is no TLS yet; if it cannot be bound.
pub async fn bind_loopback(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_loopback() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "only a loopback address can be listened on without TLS",
        ));
    }
    TcpListener::bind(address).await
}

/// A connection on its way to the thread that serves it.
struct Accepted {
    stream: Stream,
    _permit: OwnedSemaphorePermit,
}

enum Stream {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream, u32),
}

/// Serves until `stop` is cancelled, then lets the calls in flight finish.
///
/// # Errors
/// If the serving threads cannot be started.
pub async fn serve(
    listeners: Listeners,
    routes: Routes,
    limits: Limits,
    threads: usize,
    stop: CancellationToken,
) -> io::Result<()> {
    let mut workers = Vec::new();
    let mut queues = Vec::new();
    for index in 0..threads.max(1) {
        let (queue, connections) = mpsc::unbounded_channel();
        workers.push(start_worker(
            index,
            connections,
            routes.clone(),
            limits,
            stop.clone(),
        )?);
        queues.push(queue);
    }
    accept(listeners, &queues, limits, &stop).await;
    drop(queues);
    // The workers end by themselves within `limits.drain`.
    let joined = tokio::task::spawn_blocking(move || workers.into_iter().try_for_each(join));
    joined.await.map_err(io::Error::other)?
}

fn join(worker: JoinHandle<()>) -> io::Result<()> {
    worker
        .join()
        .map_err(|_| io::Error::other("a serving thread panicked"))
}

/// Hands connections to the workers in turn.
async fn accept(
    listeners: Listeners,
    queues: &[mpsc::UnboundedSender<Accepted>],
    limits: Limits,
    stop: &CancellationToken,
) {
    let hand_over = async |listener: Option<Listener>| {
        if let Some(listener) = listener {
            hand_over(listener, queues, limits).await;
        }
    };
    let unix = hand_over(listeners.unix.map(Listener::Unix));
    let tcp = hand_over(listeners.tcp.map(Listener::Tcp));
    stop.run_until_cancelled(async { tokio::join!(unix, tcp) })
        .await;
}

async fn hand_over(listener: Listener, queues: &[mpsc::UnboundedSender<Accepted>], limits: Limits) {
    let places = Arc::new(Semaphore::new(limits.connections_max));
    for queue in queues.iter().cycle() {
        let Ok(permit) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let stream = loop {
            match listener.accept().await {
                Ok(stream) => break stream,
                Err(error) => {
                    // Out of descriptors, mostly: without a pause this loop would burn a core.
                    tracing::warn!(%error, "connection not accepted");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        };
        if queue
            .send(Accepted {
                stream,
                _permit: permit,
            })
            .is_err()
        {
            return;
        }
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => from_tcp(listener.accept().await?.0),
            Self::Unix(listener) => from_unix(listener.accept().await?.0),
        }
    }
}

fn from_unix(stream: UnixStream) -> io::Result<Stream> {
    let uid = stream.peer_cred()?.uid();
    Ok(Stream::Unix(stream.into_std()?, uid))
}

fn from_tcp(stream: TcpStream) -> io::Result<Stream> {
    stream.set_nodelay(true)?;
    stream.into_std().map(Stream::Tcp)
}

fn start_worker(
    index: usize,
    mut connections: mpsc::UnboundedReceiver<Accepted>,
    routes: Routes,
    limits: Limits,
    stop: CancellationToken,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name(format!("serve-{index}"))
        .spawn(move || {
            runtime.block_on(async move {
                let open = TaskTracker::new();
                while let Some(accepted) = connections.recv().await {
                    open.spawn(serve_accepted(
                        accepted,
                        routes.clone(),
                        limits,
                        stop.clone(),
                    ));
                }
                open.close();
                if timeout(limits.drain, open.wait()).await.is_err() {
                    tracing::warn!(
                        connections = open.len(),
                        "connections cut at the end of the drain"
                    );
                }
            });
        })
}

async fn serve_accepted(
    accepted: Accepted,
    routes: Routes,
    limits: Limits,
    stop: CancellationToken,
) {
    let result = match accepted.stream {
        Stream::Tcp(stream) => match TcpStream::from_std(stream) {
            Ok(stream) => serve_connection(stream, Peer::Tcp, routes, limits, stop).await,
            Err(error) => Err(error.into()),
        },
        Stream::Unix(stream, uid) => match UnixStream::from_std(stream) {
            Ok(stream) => serve_connection(stream, Peer::Unix(uid), routes, limits, stop).await,
            Err(error) => Err(error.into()),
        },
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
    }
}

async fn serve_connection(
    mut stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: Peer,
    routes: Routes,
    limits: Limits,
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut preface = [0; PREFACE.len()];
    let handshake = timeout(limits.handshake, stream.read_exact(&mut preface));
    let Some(handshake) = stop.run_until_cancelled(handshake).await else {
        return Ok(());
    };
    handshake??;
    if preface != *PREFACE {
        return Err("the client does not speak HTTP/2".into());
    }
    let (reader, writer) = tokio::io::split(stream);
    let io = tokio::io::join(io::Cursor::new(preface).chain(reader), writer);

    let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        let answer = routes.clone().oneshot(request);
        async move {
            match timeout(limits.request, answer).await {
                Ok(answer) => answer,
                Err(_) => {
                    let error = Error::new(Reason::DeadlineExceeded);
                    Ok(status_of(&error, Uid::random()).into_http())
                }
            }
        }
    });
    let connection =
        http2(limits).serve_connection(TokioIo::new(io), TowerToHyperService::new(service));
    tokio::pin!(connection);
    tokio::select! {
        result = &mut connection => return Ok(result?),
        () = stop.cancelled() => {}
        () = sleep(aged(limits.connection_age)) => {}
    }
    connection.as_mut().graceful_shutdown();
    timeout(limits.drain, connection).await??;
    Ok(())
}

fn http2(limits: Limits) -> hyper::server::conn::http2::Builder<TokioExecutor> {
    let mut http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_max)
        // RUSTSEC-2024-0003: the gRPC library's own server switches this defence off.
        .max_local_error_reset_streams(Some(1024))
        .max_header_list_size(16 * 1024)
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(512 * 1024)
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(10));
    http2
}

/// The age give or take a tenth, so that connections made in one second do not end in one.
fn aged(age: Duration) -> Duration {
    let random = Uid::random().first_byte();
    age.mul_f64(0.9 + 0.2 * f64::from(random) / 255.0)
}
