//! A stand-in for Stripe, and ours: it plays recorded answers that stripe-mock cannot give, and
//! shows what it was asked, which stripe-mock does not.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use serde_json::Value;

/// What is asked to learn that everything before it has been seen.
const MARK: &str = "GET /mark ";

/// A call to Stripe, without its body.
#[derive(Clone, Debug)]
pub struct StripeRequest {
    lines: Vec<String>,
}

impl StripeRequest {
    /// Method, path and query, for example `GET /v1/customers?limit=100`.
    pub fn target(&self) -> &str {
        let line = self.lines.first().map(String::as_str).unwrap_or_default();
        line.trim_end_matches(" HTTP/1.1")
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.lines.iter().skip(1).filter_map(|l| l.split_once(':'));
        let found = headers.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }
}

/// Listens on a port of its own until the test's process ends. One connection at a time, one call
/// on each: so all that came before a call has been seen when that is answered.
#[derive(Debug)]
pub struct StripeStub {
    address: SocketAddr,
    asked: Receiver<StripeRequest>,
}

impl StripeStub {
    /// Starts one that gives this answer to everything.
    pub fn start(status: u16, body: &Value) -> Self {
        Self::answering(status, "", body)
    }

    /// Starts one that sends everybody elsewhere.
    pub fn moved_to(url: &str) -> Self {
        Self::answering(307, &format!("Location: {url}\r\n"), &Value::Null)
    }

    fn answering(status: u16, headers: &str, body: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let body = body.to_string();
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n\
             {headers}Content-Length: {length}\r\n\r\n{body}"
        );
        let (sender, asked) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.expect("accepted"), &answer, &sender);
            }
        });
        Self { address, asked }
    }

    /// What goes into `STRIPE_API_BASE`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked since this was called last, by programs that have ended.
    pub fn take_asked(&self) -> Vec<StripeRequest> {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        let mark = format!("{MARK}HTTP/1.1\r\n\r\n");
        stream.write_all(mark.as_bytes()).expect("it reads");
        stream.read_to_end(&mut Vec::new()).expect("it answers");
        let asked = self.asked.try_iter();
        asked
            .filter(|request| !request.lines.iter().any(|line| line.starts_with(MARK)))
            .collect()
    }
}

/// Takes every call and says nothing.
#[derive(Debug)]
pub struct SilentStripe {
    address: SocketAddr,
    left: Receiver<()>,
}

impl SilentStripe {
    /// Starts one, which listens until the test's process ends.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (sender, left) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("accepted");
                // Ends when the other side hangs up.
                stream.read_to_end(&mut Vec::new()).ok();
                sender.send(()).ok();
            }
        });
        Self { address, left }
    }

    /// What goes into `STRIPE_API_BASE`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until somebody who asked has hung up.
    pub fn await_hang_up(&self) {
        self.left
            .recv()
            .expect("it listens as long as the test runs");
    }
}

fn serve(mut stream: TcpStream, answer: &str, asked: &Sender<StripeRequest>) {
    let reader = BufReader::new(stream.try_clone().expect("cloned"));
    let lines = reader.lines().map_while(Result::ok);
    let lines: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    // A connection without a call counts as well.
    asked.send(StripeRequest { lines }).ok();
    // Whoever asked may have gone.
    stream.write_all(answer.as_bytes()).ok();
}
