//! Catches the browser that Stripe sends back to this host.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, REFERRER_POLICY};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::link::State;
use super::redirected::{self, Redirected};

/// Where the browser is sent.
pub(super) const PATH: &str = "/callback";

/// So many failures in a row mean that the host has hardly any port free on both addresses.
const RETRIES_MAX: usize = 15;

/// Connections at a time. Browsers open some in advance and ask nothing by them.
const CONNECTIONS_MAX: usize = 16;

/// How long one may take to ask.
const ASKING: Duration = Duration::from_secs(10);

/// The longest request; the usual ones have one or two KiB. The least that hyper takes.
const REQUEST_BYTES_MAX: usize = 8192;

const ARRIVED: &str =
    "Claviger has Stripe's answer. Go on in the terminal; this page can be closed.\n";
const REFUSED: &str = "This is no answer to the link that claviger waits for. Open that link.\n";

/// All that `localhost` is to a browser: on the address that is left free another user of this host
/// could catch the code.
pub(super) struct Listener {
    v4: TcpListener,
    /// Nothing where the host has no IPv6.
    v6: Option<TcpListener>,
}

impl Listener {
    /// Listens on this host alone; 0 is any free port.
    pub(super) fn bind(port: u16) -> io::Result<Self> {
        bound(port, Self::bind_once)
    }

    fn bind_once(port: u16) -> io::Result<Self> {
        let v4 = listen((Ipv4Addr::LOCALHOST, port).into())?;
        let port = v4.local_addr()?.port();
        let v6 = match listen((Ipv6Addr::LOCALHOST, port).into()) {
            Ok(v6) => Some(v6),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT) => None,
                Some(_) | None => return Err(error),
            },
        };
        Ok(Self { v4, v6 })
    }

    pub(super) fn port(&self) -> io::Result<u16> {
        Ok(self.v4.local_addr()?.port())
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        let on_v6 = async {
            match &self.v6 {
                Some(v6) => v6.accept().await,
                None => pending().await,
            }
        };
        let accepted = tokio::select! {
            accepted = self.v4.accept() => accepted,
            accepted = on_v6 => accepted,
        };
        accepted.map(|(stream, _)| stream)
    }
}

/// Tries again where any port will do: the one that is free on the first address may be taken on the
/// second.
fn bound<T>(port: u16, mut bind: impl FnMut(u16) -> io::Result<T>) -> io::Result<T> {
    let retries = match port {
        0 => RETRIES_MAX,
        _ => 0,
    };
    for _ in 0..retries {
        match bind(port) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
    bind(port)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Waits for the one answer. Anything else is refused and the wait goes on: whoever is on this host
/// could end the walk otherwise.
pub(super) async fn redirected(listener: Listener, state: State) -> io::Result<Redirected> {
    let state = Arc::new(Mutex::new(Some(state)));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                connections.spawn(serve(accepted?, Arc::clone(&state)));
            }
            // With its page written, so that the browser shows it.
            Some(served) = connections.join_next() => {
                if let Ok(Some(redirected)) = served {
                    return Ok(redirected);
                }
            }
        }
    }
}

/// Answers one request; what Stripe said, if it was that.
async fn serve(stream: TcpStream, state: Arc<Mutex<Option<State>>>) -> Option<Redirected> {
    let found = Mutex::new(None);
    let service = service_fn(async |request| Ok::<_, Infallible>(answer(&request, &state, &found)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ASKING)
        .max_buf_size(REQUEST_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // SECURITY: an error would repeat what was asked.
    connection.await.ok();
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn answer<B>(
    request: &Request<B>,
    state: &Mutex<Option<State>>,
    found: &Mutex<Option<Redirected>>,
) -> Response<String> {
    let is_callback = request.method() == Method::GET && request.uri().path() == PATH;
    let query = request.uri().query().filter(|_| is_callback);
    let redirected = query.and_then(|query| {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let redirected = redirected::read(query, state.as_ref()?).ok()?;
        // Used up: whoever comes with it again is refused.
        *state = None;
        Some(redirected)
    });
    let (status, text) = match redirected.is_some() {
        true => (StatusCode::OK, ARRIVED),
        false => (StatusCode::BAD_REQUEST, REFUSED),
    };
    if redirected.is_some() {
        *found.lock().unwrap_or_else(PoisonError::into_inner) = redirected;
    }
    let mut response = Response::new(text.to_owned());
    *response.status_mut() = status;
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    response.headers_mut().extend(headers);
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::runtime::Handle;

    use super::*;

    async fn ask(port: u16, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    fn get(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    }

    #[tokio::test]
    async fn whatever_is_not_the_answer_is_refused_and_the_wait_goes_on() {
        let listener = Listener::bind(0).unwrap();
        let port = listener.port().unwrap();
        let state = State::random();
        let good = format!("code=ac_cAnArY&state={}", state.as_str());
        let waiting = Handle::current().spawn(redirected(listener, state));
        // Of a browser that asks nothing.
        let mut silent = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        for request in [
            get("/"),
            get("/callback"),
            get("/callback?code=ac_cAnArY&state=other"),
            get("/callback?code=ac_cAnArY"),
            get(&format!("/other?{good}")),
            get(&format!("/callback?{}", "x".repeat(REQUEST_BYTES_MAX))),
            format!("POST /callback?{good} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            "nonsense\r\n\r\n".to_owned(),
        ] {
            let answer = ask(port, &request).await;
            assert!(answer.starts_with("HTTP/1.1 4"), "{request}: {answer}");
            assert!(!answer.contains("cAnArY"), "{answer}");
            assert!(!waiting.is_finished());
        }
        let answer = ask(port, &get(&format!("/callback?{good}"))).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.ends_with(ARRIVED), "{answer}");
        for header in ["cache-control: no-store", "referrer-policy: no-referrer"] {
            assert!(answer.contains(header), "{answer}");
        }
        let Redirected::Code(code) = waiting.await.unwrap().unwrap() else {
            panic!("a code");
        };
        assert_eq!(code.expose(), b"ac_cAnArY");
        // Closed, or reset.
        assert_eq!(silent.read(&mut [0]).await.unwrap_or_default(), 0);
    }

    #[test]
    fn any_port_is_tried_again_when_it_is_taken_and_a_certain_one_is_not() {
        let (in_use, denied) = (io::ErrorKind::AddrInUse, io::ErrorKind::PermissionDenied);
        for (port, failures, error, calls, is_bound) in [
            (0, 0, in_use, 1, true),
            (0, RETRIES_MAX, in_use, RETRIES_MAX + 1, true),
            (0, RETRIES_MAX + 1, in_use, RETRIES_MAX + 1, false),
            (0, 1, denied, 1, false),
            (7433, 1, in_use, 1, false),
        ] {
            let mut made = 0;
            let found = bound(port, |asked| {
                assert_eq!(asked, port);
                made += 1;
                match made > failures {
                    true => Ok(()),
                    false => Err(error.into()),
                }
            });
            assert_eq!((made, found.is_ok()), (calls, is_bound), "{port} {error}");
        }
    }

    #[tokio::test]
    async fn all_that_localhost_is_brings_the_answer_or_is_refused() {
        let Ok(taken) = StdListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
            // A host without IPv6.
            return;
        };
        let port = taken.local_addr().unwrap().port();
        let refused = Listener::bind(port).err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        drop(taken);

        let listener = Listener::bind(0).unwrap();
        let port = listener.port().unwrap();
        let state = State::random();
        let answer = get(&format!("/callback?code=ac_1&state={}", state.as_str()));
        let waiting = Handle::current().spawn(redirected(listener, state));
        let mut stream = TcpStream::connect((Ipv6Addr::LOCALHOST, port))
            .await
            .unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        let redirected = waiting.await.unwrap().unwrap();
        assert!(matches!(redirected, Redirected::Code(_)));
    }

    #[test]
    fn a_state_is_taken_once() {
        let state = State::random();
        let uri = format!("/callback?code=ac_1&state={}", state.as_str());
        let (state, found) = (Mutex::new(Some(state)), Mutex::new(None));
        let request = Request::get(uri).body(()).unwrap();
        assert_eq!(answer(&request, &state, &found).status(), 200);
        assert!(found.lock().unwrap().take().is_some());
        assert_eq!(answer(&request, &state, &found).status(), 400);
        assert!(found.lock().unwrap().is_none());
    }
}
