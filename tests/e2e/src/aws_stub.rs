//! A stand-in for AWS, and ours: it plays answers that moto cannot give, or lets something happen
//! between two calls that moto answers itself.

use std::fmt;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use serde_json::Value;

use crate::Moto;

/// A call to AWS.
#[derive(Clone, Debug)]
pub struct AwsRequest {
    /// `GetSecretValue` for example.
    pub operation: String,
    /// What it says.
    pub body: Value,
}

impl AwsRequest {
    /// The secret that is meant.
    pub fn secret(&self) -> &str {
        let named = self.body.get("SecretId").or_else(|| self.body.get("Name"));
        named.and_then(Value::as_str).unwrap_or_default()
    }
}

/// What the stub does with a call.
#[derive(Clone, Debug)]
pub enum AwsReply {
    /// Answers with this status, further header lines and body.
    Answer(u16, String, String),
    /// Promises a longer body than this and hangs up after it.
    HalfBody(String),
    /// Never answers.
    Hang,
}

impl AwsReply {
    /// An answer without further headers.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::Answer(status, String::new(), body.to_string())
    }
}

/// Holds calls back until it is opened, or until as many have come as it waits for.
#[derive(Debug)]
pub struct Gate {
    awaited: usize,
    /// How many have come, and whether it is open.
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Gate {
    /// Opens by itself when this many have come.
    pub fn for_arrivals(awaited: usize) -> Self {
        Self {
            awaited,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Waits until it is open, and returns how many had come with this one.
    pub fn pass(&self) -> usize {
        let mut state = lock(&self.state);
        state.0 += 1;
        let arrivals = state.0;
        state.1 |= arrivals >= self.awaited;
        self.changed.notify_all();
        let is_shut = |state: &mut (usize, bool)| !state.1;
        drop(self.changed.wait_while(state, is_shut));
        arrivals
    }

    /// Waits until as many have come.
    pub fn await_arrivals(&self, count: usize) {
        let is_fewer = |state: &mut (usize, bool)| state.0 < count;
        drop(self.changed.wait_while(lock(&self.state), is_fewer));
    }

    /// How many have come.
    pub fn arrivals(&self) -> usize {
        lock(&self.state).0
    }

    /// Whether it lets everyone through.
    pub fn is_open(&self) -> bool {
        lock(&self.state).1
    }

    /// Lets everyone through, now and later.
    pub fn open(&self) {
        lock(&self.state).1 = true;
        self.changed.notify_all();
    }
}

type Play = dyn Fn(&AwsRequest) -> AwsReply + Send + Sync;

/// What the threads of a stub share.
struct Shared {
    play: Box<Play>,
    asked: Mutex<Vec<AwsRequest>>,
    /// The connections; `None` at the end.
    open: Mutex<Option<Vec<TcpStream>>>,
}

/// Listens on a port of its own until it is dropped.
pub struct AwsStub {
    address: String,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl AwsStub {
    /// Starts one that answers as told. Calls on different connections are played at once.
    pub fn start(play: impl Fn(&AwsRequest) -> AwsReply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let shared = Arc::new(Shared {
            play: Box::new(play),
            asked: Mutex::default(),
            open: Mutex::new(Some(Vec::new())),
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

    /// What goes into `endpoint_url`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked of single secrets since this was called last. The daemon also looks by itself
    /// whether a vault is well, which names none.
    pub fn take_asked(&self) -> Vec<AwsRequest> {
        let mut asked = std::mem::take(&mut *lock(&self.shared.asked));
        asked.retain(|request| !request.secret().is_empty());
        asked
    }

    /// Passes everything on to moto, to see what is asked.
    pub fn before(moto: &Moto) -> Self {
        let console = moto.console();
        Self::start(move |request| console.play(request))
    }
}

impl fmt::Debug for AwsStub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsStub")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Drop for AwsStub {
    fn drop(&mut self) {
        let open = lock(&self.shared.open).take().unwrap_or_default();
        for stream in open {
            // May be closed already.
            stream.shutdown(Shutdown::Both).ok();
        }
        // Wakes the accept loop.
        TcpStream::connect(&self.address).ok();
        if let Some(accepting) = self.accepting.take() {
            accepting.join().ok();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        let stream = stream.expect("accepted");
        let mut open = lock(&shared.open);
        let Some(streams) = open.as_mut() else {
            return;
        };
        streams.push(stream.try_clone().expect("cloned"));
        drop(open);
        let shared = Arc::clone(shared);
        thread::spawn(move || serve(stream, &shared));
    }
}

/// Serves calls until either side has enough.
fn serve(mut stream: TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream.try_clone().expect("cloned"));
    while let Some(request) = read_request(&mut reader) {
        lock(&shared.asked).push(request.clone());
        let (head, body, is_last) = match (shared.play)(&request) {
            AwsReply::Answer(status, headers, body) => {
                let length = body.len();
                let head = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}");
                (head, body, false)
            }
            AwsReply::HalfBody(body) => {
                let length = body.len() + 100;
                (
                    format!("HTTP/1.1 200 X\r\nContent-Length: {length}"),
                    body,
                    true,
                )
            }
            AwsReply::Hang => continue,
        };
        let sent = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes());
        if is_last || sent.is_err() {
            break;
        }
    }
    // The clone among the open ones would keep it up.
    stream.shutdown(Shutdown::Both).ok();
}

/// The next call; `None` at the end.
fn read_request(reader: &mut impl BufRead) -> Option<AwsRequest> {
    let mut operation = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        match name.to_ascii_lowercase().as_str() {
            "x-amz-target" => {
                let target = value.trim();
                let target = target.strip_prefix("secretsmanager.").unwrap_or(target);
                target.clone_into(&mut operation);
            }
            "content-length" => length = value.trim().parse().expect("a number"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Some(AwsRequest { operation, body })
}
