//! One request and its reply.

use std::fmt::Display;
use std::io::{self, BufRead, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The request line and the headers.
    lines: Vec<String>,
    /// The body.
    pub body: String,
}

impl Request {
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

    /// The next one of a connection; `None` at its end.
    pub(crate) fn read(reader: &mut impl BufRead) -> Option<Self> {
        let mut request = Self::default();
        loop {
            let line = reader.by_ref().lines().next()?.ok()?;
            if line.is_empty() {
                break;
            }
            request.lines.push(line);
        }
        let length = request.header("content-length");
        let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a number"))];
        reader.read_exact(&mut body).ok()?;
        request.body = String::from_utf8(body).expect("text");
        Some(request)
    }
}

/// One way to treat a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Answers with this status, further header lines and body.
    Answer(u16, String, String),
    /// Answers with this status and this body over and over, and never comes to its end.
    Endless(u16, String),
    /// Promises a longer body than this and hangs up after it.
    HalfBody(String),
    /// Never answers.
    Hang,
    /// Resets the connection.
    Reset,
    /// Promises a longer body than this and never sends the rest.
    Stall(String),
}

impl Reply {
    /// An answer with this body of no named type.
    pub fn text(status: u16, body: &str) -> Self {
        Self::Answer(status, String::new(), body.to_owned())
    }

    /// An answer with a body in JSON.
    pub fn json(status: u16, body: &(impl Display + ?Sized)) -> Self {
        Self::text(status, &body.to_string()).header("Content-Type: application/json")
    }

    /// With a header line more, if it is an answer.
    pub fn header(mut self, line: &str) -> Self {
        if let Self::Answer(_, headers, _) = &mut self {
            headers.extend([line, "\r\n"]);
        }
        self
    }

    /// Does it; whether the connection goes on.
    pub(crate) fn play(&self, stream: &TcpStream, sent: &AtomicU64) -> io::Result<bool> {
        let mut stream = Counted { stream, sent };
        let mut send = |headers: &str, body: &str| {
            stream.write_all(format!("{headers}\r\n\r\n{body}").as_bytes())
        };
        match self {
            Self::Answer(status, headers, body) => {
                let length = body.len();
                let head = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}");
                send(&head, body)?;
                Ok(!headers.contains("Connection: close"))
            }
            Self::Endless(status, body) => {
                send(&format!("HTTP/1.1 {status} X"), body)?;
                loop {
                    stream.write_all(body.as_bytes())?;
                }
            }
            Self::HalfBody(body) | Self::Stall(body) => {
                let length = body.len() + 100;
                send(&format!("HTTP/1.1 200 X\r\nContent-Length: {length}"), body)?;
                Ok(matches!(self, Self::Stall(_)))
            }
            Self::Hang => Ok(true),
            Self::Reset => {
                // A connection that closes without lingering is reset.
                set_socket_linger(stream.stream, Some(Duration::ZERO))?;
                Ok(false)
            }
        }
    }
}

/// Counts what the other side's machine took.
struct Counted<'a> {
    stream: &'a TcpStream,
    sent: &'a AtomicU64,
}

impl io::Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.stream.write(bytes)?;
        self.sent.fetch_add(taken as u64, Ordering::Relaxed);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
