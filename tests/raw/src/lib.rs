//! A client for the tests that does what no gRPC library would: begins requests and does not end
//! them, resets them, holds connections, comes as another user or from another address, and has
//! certificates that no authority would sign.
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "part of the tests: whatever goes wrong here has to end the test"
)]

mod authority;

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Ping, PingPong, Reason, SendStream};
use http::{HeaderMap, Request};
use rustix::thread::{Uid, set_thread_res_uid};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

pub use authority::{Authority, Certificate};

/// Whether this process may come as another user.
pub fn may_be_others() -> bool {
    rustix::process::geteuid().is_root()
}

/// Connects to a Unix socket as another user; only root may.
///
/// # Errors
/// If the user cannot reach the socket.
pub fn connect_as(uid: u32, socket: &Path) -> io::Result<UnixStream> {
    let socket = PathBuf::from(socket);
    // Credentials are a thread's own, and this one ends with them.
    let connecting = std::thread::spawn(move || {
        let uid = Uid::from_raw(uid);
        set_thread_res_uid(uid, uid, uid)?;
        UnixStream::connect(socket)
    });
    connecting.join().expect("no panic")
}

/// Connects from one of the addresses of this host.
///
/// # Errors
/// If nobody listens there.
pub async fn connect_from(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = match from {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind((from, 0).into())?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A connection whose frames the test chooses.
#[derive(Debug)]
pub struct Raw {
    requests: SendRequest<Bytes>,
    pings: PingPong,
    driver: JoinHandle<Result<(), h2::Error>>,
}

impl Raw {
    /// Begins to speak over a connection; the task that drives it is on this runtime.
    ///
    /// # Errors
    /// If the other end does not.
    pub async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Self, h2::Error> {
        let (requests, mut connection) = h2::client::handshake(stream).await?;
        let pings = connection.ping_pong().expect("taken once");
        Ok(Self {
            requests,
            pings,
            driver: tokio::spawn(connection),
        })
    }

    /// Comes as another user.
    pub async fn user(uid: u32, socket: &Path) -> Self {
        let stream = connect_as(uid, socket).expect("a socket that all may reach");
        stream.set_nonblocking(true).expect("set");
        let stream = tokio::net::UnixStream::from_std(stream).expect("a stream");
        Self::over(stream).await.expect("speaks")
    }

    /// Comes from one of the addresses of this host.
    pub async fn address(from: IpAddr, to: SocketAddr) -> Self {
        let stream = connect_from(from, to).await.expect("connects");
        Self::over(stream).await.expect("speaks")
    }

    /// Begins a request and leaves its body open.
    ///
    /// # Errors
    /// If the connection has ended.
    pub async fn begin(
        &mut self,
        method: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Begun, h2::Error> {
        let mut request = Request::post(format!("http://localhost/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .expect("a request");
        for (name, value) in headers {
            let value = value.parse().expect("a header");
            request.headers_mut().insert(*name, value);
        }
        self.begin_with(request).await
    }

    /// The same with all headers of the request.
    ///
    /// # Errors
    /// If the connection has ended.
    pub async fn begin_with(&mut self, request: Request<()>) -> Result<Begun, h2::Error> {
        poll_fn(|cx| self.requests.poll_ready(cx)).await?;
        let (answer, body) = self.requests.send_request(request, false)?;
        Ok(Begun { answer, body })
    }

    /// Waits until the other end has seen all that was sent so far.
    ///
    /// # Errors
    /// If the connection has ended.
    pub async fn ping(&mut self) -> Result<(), h2::Error> {
        self.pings.ping(Ping::opaque()).await.map(drop)
    }

    /// Waits until the other end closes the connection.
    pub async fn ended(self) {
        let Self {
            requests, driver, ..
        } = self;
        driver.await.expect("no panic").ok();
        drop(requests);
    }
}

/// What the other end has room for again, once it has read most of what was sent.
const ROOM: usize = 30 * 1024;

/// A request that has not ended.
#[derive(Debug)]
pub struct Begun {
    answer: ResponseFuture,
    body: SendStream<Bytes>,
}

impl Begun {
    /// Sends a part of the body as far as it is wanted, and waits until most of it has been read.
    pub async fn send(&mut self, data: impl Into<Bytes>) {
        let mut data = data.into();
        while !data.is_empty() {
            let Some(ready) = self.room(1).await else {
                return;
            };
            let part = data.split_to(ready.min(data.len()));
            self.body.send_data(part, false).ok();
        }
        // The other end gives room back as it reads.
        self.room(ROOM).await;
        // Room that is not used is the other streams'.
        self.body.reserve_capacity(0);
    }

    /// Waits until so many bytes may be sent; `None` if none may any more.
    async fn room(&mut self, bytes: usize) -> Option<usize> {
        self.body.reserve_capacity(ROOM);
        while self.body.capacity() < bytes {
            poll_fn(|cx| self.body.poll_capacity(cx)).await?.ok()?;
        }
        Some(self.body.capacity())
    }

    /// Ends the body.
    pub fn send_end(&mut self) {
        self.body.send_data(Bytes::new(), true).ok();
    }

    /// Resets the request.
    pub fn cancel(mut self) {
        self.body.send_reset(Reason::CANCEL);
    }

    /// Waits for the status of HTTP and the headers and trailers of gRPC; the body stays open.
    ///
    /// # Errors
    /// If the stream or the connection ends without an answer.
    pub async fn answer(self) -> Result<(u16, HeaderMap), h2::Error> {
        let mut whole = self.whole().await?;
        whole.headers.extend(whole.trailers);
        Ok((whole.status, whole.headers))
    }

    /// Waits for all of the answer; the body stays open.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub async fn whole(self) -> Result<Whole, h2::Error> {
        let Self { answer, body } = self;
        let answer = answer.await?;
        let status = answer.status().as_u16();
        let headers = answer.headers().clone();
        let mut rest = answer.into_body();
        let mut bytes = Vec::new();
        while let Some(data) = rest.data().await {
            let data = data?;
            rest.flow_control().release_capacity(data.len())?;
            bytes.extend_from_slice(&data);
        }
        let trailers = rest.trailers().await?.unwrap_or_default();
        drop(body);
        Ok(Whole {
            status,
            headers,
            bytes,
            trailers,
        })
    }
}

/// An answer as it came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Whole {
    /// Of HTTP.
    pub status: u16,
    /// Before the body.
    pub headers: HeaderMap,
    /// The body.
    pub bytes: Vec<u8>,
    /// After the body.
    pub trailers: HeaderMap,
}

/// A message of gRPC with its prefix, which may promise more than there is.
pub fn message(promised: usize, bytes: &[u8]) -> Bytes {
    let promised = u32::try_from(promised).expect("short");
    let prefix = [&[0], &promised.to_be_bytes()[..]].concat();
    [&prefix, bytes].concat().into()
}
