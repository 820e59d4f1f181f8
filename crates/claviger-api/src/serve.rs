//! The serve loop: connections, their number and their age.
//!
//! It is our own because several defaults of the gRPC library are unsafe for a secrets daemon: no
//! handshake deadline, no limit of connections or streams, the defence against reset floods off, no
//! connection age. One thread accepts; each core has a current-thread runtime that serves the
//! connections it is handed, because the multi-threaded runtime halves the throughput of small
//! calls.

mod connection;
mod handshakes;
mod paced;
mod places;
mod tls;
mod turns;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixSocket, UnixStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::counts::{Connections, Counts};
use crate::door::Doorway;
use crate::serve::connection::serve_connection;
use crate::serve::handshakes::in_turn;
use crate::serve::places::{Place, Places};
use crate::{Door, Peer};

pub use crate::limits::Limits;
pub(crate) use crate::serve::tls::Certificate;
pub use crate::serve::tls::{ClientAuth, Pair, Tls, TlsOptions, TlsState};

/// Where to listen.
#[derive(Debug)]
pub struct Listeners {
    /// The Unix socket.
    pub unix: Option<UnixListener>,
    /// TCP.
    pub tcp: Option<TcpListener>,
    /// What is spoken on TCP; without it in plain text.
    pub tls: Option<Arc<Tls>>,
}

/// Binds a TCP listener.
///
/// # Errors
/// If the address is not a loopback one; if it cannot be bound.
pub fn bind_loopback(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_loopback() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "only a loopback address can be listened on without TLS",
        ));
    }
    bind_tcp(address)
}

/// Binds a TCP listener that speaks TLS.
///
/// # Errors
/// If it cannot be bound.
pub fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // As the listener of the library does: a restart must not wait for the last connections.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Binds a Unix socket.
///
/// # Errors
/// If the path cannot be bound.
pub fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    socket.listen(BACKLOG)
}

/// Connections that wait to be accepted; the kernel makes `net.core.somaxconn` of more. At the top
/// of an hour thousands come at once: one that finds no room is reset, or waits a second.
const BACKLOG: u32 = 65_535;

/// A connection on its way to the thread that serves it.
struct Accepted {
    stream: Stream,
    place: Place,
}

enum Stream {
    Tcp(std::net::TcpStream, Option<Arc<Tls>>),
    Unix(std::os::unix::net::UnixStream),
}

/// Serves until `stop` is cancelled, then lets the calls in flight finish.
///
/// # Errors
/// If the serving threads cannot be started.
pub async fn serve(
    listeners: Listeners,
    door: Door,
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
            door.clone(),
            limits,
            stop.clone(),
        )?);
        queues.push(queue);
    }
    accept(listeners, &queues, limits, door.counts(), &stop).await;
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
    counts: &Counts,
    stop: &CancellationToken,
) {
    let hand_over = async |listener: Option<Listener>, counts: &Arc<Connections>| {
        if let Some(listener) = listener {
            hand_over(listener, queues, limits, Arc::clone(counts)).await;
        }
    };
    let unix = hand_over(listeners.unix.map(Listener::Unix), &counts.unix);
    let tcp = hand_over(
        listeners.tcp.map(|tcp| Listener::Tcp(tcp, listeners.tls)),
        &counts.tcp,
    );
    stop.run_until_cancelled(async { tokio::join!(unix, tcp) })
        .await;
}

async fn hand_over(
    listener: Listener,
    queues: &[mpsc::UnboundedSender<Accepted>],
    limits: Limits,
    counts: Arc<Connections>,
) {
    let own = match listener {
        Listener::Tcp(..) => None,
        Listener::Unix(_) => Some(Peer::Unix(limits.own_uid)),
    };
    let places = Places::new(limits, own, counts);
    for queue in queues.iter().cycle() {
        let (stream, place) = loop {
            match listener.accept().await {
                Ok((stream, peer)) => match places.take(peer) {
                    Some(place) => break (stream, place),
                    None => drop(stream),
                },
                Err(error) => {
                    // Out of descriptors, mostly: without a pause this loop would burn a core.
                    tracing::warn!(%error, "connection not accepted");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        };
        if queue.send(Accepted { stream, place }).is_err() {
            return;
        }
    }
}

enum Listener {
    Tcp(TcpListener, Option<Arc<Tls>>),
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener, tls) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let stream = Stream::Tcp(stream.into_std()?, tls.clone());
                Ok((stream, Peer::at(address.ip())))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred()?.uid();
                Ok((Stream::Unix(stream.into_std()?), Peer::Unix(uid)))
            }
        }
    }
}

fn start_worker(
    index: usize,
    mut connections: mpsc::UnboundedReceiver<Accepted>,
    door: Door,
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
                    open.spawn(serve_accepted(accepted, door.clone(), limits, stop.clone()));
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

async fn serve_accepted(accepted: Accepted, door: Door, limits: Limits, stop: CancellationToken) {
    let Accepted { stream, place } = accepted;
    let doorway = Doorway {
        door,
        peer: place.peer(),
        certificate: None,
        limits,
    };
    let result = match stream {
        Stream::Tcp(stream, None) => {
            let opening = async { Ok((TcpStream::from_std(stream)?, None)) };
            serve_connection(opening, place, doorway, stop).await
        }
        Stream::Tcp(stream, Some(tls)) => {
            let turns = place.handshakes();
            let opening = async move {
                let stream = TcpStream::from_std(stream)?;
                in_turn(&turns, tls.accept(stream)).await
            };
            serve_connection(opening, place, doorway, stop).await
        }
        Stream::Unix(stream) => {
            let opening = async { Ok((UnixStream::from_std(stream)?, None)) };
            serve_connection(opening, place, doorway, stop).await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
    }
}
