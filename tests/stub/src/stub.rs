//! The server: from its start to the end of its last connection.

use std::collections::HashSet;
use std::fmt;
use std::io::{BufReader, Read as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};

use crate::message::{Reply, Request};

type Play = dyn Fn(&Request) -> Reply + Send + Sync;

/// The part that the threads of a stub share.
struct Shared {
    play: Box<Play>,
    state: Mutex<State>,
    /// Bytes of replies that were taken.
    sent: AtomicU64,
    /// A connection has ended.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    asked: Vec<Request>,
    /// All that were made; those that have ended lead nowhere.
    connections: Vec<Weak<TcpStream>>,
    /// Where connections come from that are ours, see [`Stub::knock`].
    knocking: HashSet<SocketAddr>,
    is_over: bool,
}

/// Listens on a port of its own until it is dropped.
pub struct Stub {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl Stub {
    /// Starts one that answers as told. Requests on different connections are played at once.
    pub fn start(play: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            play: Box::new(play),
            state: Mutex::default(),
            sent: AtomicU64::new(0),
            ended: Condvar::new(),
        });
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self {
            address,
            shared,
            accepting: Some(accepting),
        }
    }

    /// Starts one that does the same with every request.
    pub fn always(reply: Reply) -> Self {
        Self::start(move |_| reply.clone())
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far, answered or not yet. A connection that ended without a request counts as
    /// an empty one.
    pub fn asked(&self) -> Vec<Request> {
        self.shared.state().asked.clone()
    }

    /// How many bytes of its replies were taken so far, from the sockets or by their buffers.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// The requests since this was called last.
    pub fn take_asked(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.state().asked)
    }

    /// Waits until this many connections at least were made and none is open.
    pub fn await_hang_ups(&self, count: usize) {
        self.knock();
        let is_open = |state: &mut State| {
            let mut made = state.connections.iter();
            state.connections.len() < count || made.any(|one| one.strong_count() > 0)
        };
        let waited = self.shared.ended.wait_while(self.shared.state(), is_open);
        drop(waited);
    }

    /// Connects, and returns when this connection and all before it have been accepted.
    fn knock(&self) {
        let mut state = self.shared.state();
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        let own = stream.local_addr().expect("connected");
        state.knocking.insert(own);
        drop(state);
        stream.read_to_end(&mut Vec::new()).ok();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        let connections = {
            let mut state = self.shared.state();
            state.is_over = true;
            std::mem::take(&mut state.connections)
        };
        for stream in connections.iter().filter_map(Weak::upgrade) {
            // May be closed already.
            stream.shutdown(Shutdown::Both).ok();
        }
        // Wakes the accept loop.
        TcpStream::connect(self.address).ok();
        // A test that has failed may hold requests for ever; and of two panics nobody would hear.
        if let Some(accepting) = self.accepting.take()
            && !thread::panicking()
        {
            accepting.join().expect("the stub ended well");
        }
    }
}

impl fmt::Debug for Stub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stub")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Returns when all connections have ended.
fn accept(listener: &TcpListener, shared: &Shared) {
    thread::scope(|scope| {
        for stream in listener.incoming() {
            let stream = Arc::new(stream.expect("accepted"));
            let mut state = shared.state();
            if state.is_over {
                return;
            }
            let peer = stream.peer_addr();
            if peer.is_ok_and(|peer| state.knocking.remove(&peer)) {
                continue;
            }
            state.connections.push(Arc::downgrade(&stream));
            drop(state);
            scope.spawn(move || serve(stream, shared));
        }
    });
}

/// Serves requests until either side has enough.
fn serve(stream: Arc<TcpStream>, shared: &Shared) {
    let mut reader = BufReader::new(&*stream);
    let mut next = Request::read(&mut reader);
    if next.is_none() {
        shared.state().asked.push(Request::default());
    }
    while let Some(request) = next {
        shared.state().asked.push(request.clone());
        let reply = (shared.play)(&request);
        // The other side may have hung up.
        let goes_on = reply.play(&stream, &shared.sent).unwrap_or_default();
        next = goes_on.then(|| Request::read(&mut reader)).flatten();
    }
    drop(stream);
    // Locked, so that nobody begins to wait in between.
    let _state = shared.state();
    shared.ended.notify_all();
}
