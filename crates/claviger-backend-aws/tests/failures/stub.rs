//! A stand-in for AWS, and ours: it plays answers that moto cannot give, from recordings where there
//! are some, and remembers what it was asked.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

/// What the stub does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Answers with this status, further header lines and body.
    Answer(u16, String, String),
    /// Promises a longer body than it sends.
    HalfBody,
    /// Takes the request and never answers.
    Hang,
    /// Takes the request and resets the connection.
    Reset,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::Answer(status, String::new(), body.to_owned())
    }

    /// An error as AWS words it.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(
            status,
            &format!(r#"{{"__type":"{code}","Message":"{message}"}}"#),
        )
    }

    /// With a header line more.
    pub(crate) fn header(self, line: &str) -> Self {
        match self {
            Self::Answer(status, headers, body) => {
                Self::Answer(status, format!("{headers}{line}\r\n"), body)
            }
            other @ (Self::HalfBody | Self::Hang | Self::Reset) => other,
        }
    }
}

/// Operation → what to reply; the last one stays.
type Script = Vec<(&'static str, Vec<Reply>)>;

struct Request {
    operation: String,
    body: String,
    /// The access key it is signed with.
    key: String,
}

#[derive(Default)]
struct State {
    script: Script,
    asked: Vec<Request>,
    open: Vec<TcpStream>,
    is_over: bool,
}

/// Listens on a port of its own until it is dropped.
pub(crate) struct Stub {
    address: String,
    state: Arc<Mutex<State>>,
    accepting: Option<JoinHandle<()>>,
}

impl Stub {
    pub(crate) fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let state = Arc::new(Mutex::new(State {
            script,
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        let accepting = thread::spawn(move || accept(&listener, &shared));
        Self {
            address,
            state,
            accepting: Some(accepting),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often this operation was asked for.
    pub(crate) fn count(&self, operation: &str) -> usize {
        let state = lock(&self.state);
        let asked = state.asked.iter();
        asked.filter(|one| one.operation == operation).count()
    }

    /// All that it was asked: operations and bodies.
    pub(crate) fn asked(&self) -> Vec<(String, String)> {
        let state = lock(&self.state);
        let asked = state.asked.iter();
        asked
            .map(|request| (request.operation.clone(), request.body.clone()))
            .collect()
    }

    /// The access keys by which it was asked.
    pub(crate) fn keys(&self) -> Vec<String> {
        let state = lock(&self.state);
        let keys = state.asked.iter().map(|request| request.key.clone());
        keys.collect()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        let open = {
            let mut state = lock(&self.state);
            state.is_over = true;
            std::mem::take(&mut state.open)
        };
        for stream in open {
            // May be closed already.
            stream.shutdown(Shutdown::Both).ok();
        }
        // Wakes the accept loop.
        TcpStream::connect(&self.address).ok();
        if let Some(accepting) = self.accepting.take() {
            let ended = accepting.join();
            // Of two panics at once nobody would hear.
            if !thread::panicking() {
                ended.expect("the stub ended well");
            }
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, state: &Arc<Mutex<State>>) {
    thread::scope(|scope| {
        for stream in listener.incoming() {
            let stream = stream.expect("accepted");
            let mut shared = lock(state);
            if shared.is_over {
                return;
            }
            shared.open.push(stream.try_clone().expect("cloned"));
            drop(shared);
            scope.spawn(move || serve(stream, state));
        }
    });
}

/// Serves requests until either side has enough.
fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().expect("cloned"));
    while let Some(request) = read_request(&mut reader) {
        let reply = {
            let mut state = lock(state);
            let reply = next_reply(&mut state.script, &request.operation);
            state.asked.push(request);
            reply
        };
        let sent = match reply {
            Reply::Answer(status, headers, body) => {
                let length = body.len();
                stream.write_all(
                    format!(
                        "HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
                    )
                    .as_bytes(),
                )
            }
            Reply::HalfBody => {
                stream
                    .write_all(
                        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"SecretString\":\"",
                    )
                    .ok();
                break;
            }
            Reply::Hang => continue,
            Reply::Reset => {
                set_socket_linger(&stream, Some(Duration::ZERO)).expect("set");
                let peer = stream.peer_addr().expect("connected");
                let is_other = |open: &TcpStream| open.peer_addr().is_ok_and(|addr| addr != peer);
                // Reset once the last handle is gone.
                lock(state).open.retain(is_other);
                return;
            }
        };
        if sent.is_err() {
            break;
        }
    }
    // The clone in `open` would keep it up.
    stream.shutdown(Shutdown::Both).ok();
}

/// The next request; `None` at the end.
fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let (mut operation, mut key) = (String::new(), String::new());
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "x-amz-target" => {
                operation = value
                    .trim()
                    .trim_start_matches("secretsmanager.")
                    .to_owned();
            }
            "authorization" => {
                let key_and_rest = value.split("Credential=").nth(1).expect("signed");
                key = key_and_rest.split('/').next().expect("one").to_owned();
            }
            "content-length" => length = value.trim().parse().expect("a number"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        operation,
        body: String::from_utf8(body).expect("JSON"),
        key,
    })
}

fn next_reply(script: &mut Script, operation: &str) -> Reply {
    let replies = script.iter_mut().find(|(name, _)| *name == operation);
    let (_, replies) = replies.unwrap_or_else(|| panic!("{operation} is not in the script"));
    match replies.len() {
        1 => replies.first().cloned().expect("one"),
        _ => replies.remove(0),
    }
}
