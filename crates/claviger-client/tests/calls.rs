//! The calls on the wire, and the token that never shows.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "helpers of tests, outside the test functions themselves"
)]

use std::future::ready;
use std::path::{Path, PathBuf};
use std::time::Duration;

use claviger_client::{Client, Status, Token, TokenError, retry_delay};
use claviger_proto::v1::WhoAmIRequest;
use http::request::Parts;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tonic::{Code, Request};
use tonic_types::{ErrorDetails, StatusExt as _};

const TOKEN: &str = "clv_canary";

/// A server for one connection that notes the head of each call.
struct Stub {
    heads: UnboundedReceiver<Parts>,
    _serving: JoinSet<()>,
}

impl Stub {
    fn on<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        accepted: impl Future<Output = S> + Send + 'static,
    ) -> Self {
        let (noted, heads) = unbounded_channel();
        let mut serving = JoinSet::new();
        serving.spawn(async move { serve(accepted.await, noted).await });
        Self {
            heads,
            _serving: serving,
        }
    }

    fn on_unix(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).expect("a socket");
        Self::on(async move { listener.accept().await.expect("a client").0 })
    }

    /// The head of a call as it came in.
    async fn head_of(&mut self, client: &Client, call: Request<WhoAmIRequest>) -> Parts {
        let answer = client.access().who_am_i(call).await;
        assert_eq!(answer.expect_err("refused").code(), Code::NotFound);
        self.heads.recv().await.expect("the call came in")
    }
}

/// Refuses each call, in one frame.
async fn serve(stream: impl AsyncRead + AsyncWrite + Send + Unpin, noted: UnboundedSender<Parts>) {
    let service = service_fn(move |request: http::Request<Incoming>| {
        noted.send(request.into_parts().0).ok();
        let refusal = http::Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", i32::from(Code::NotFound))
            .body(String::new());
        ready(refusal)
    });
    let http2 = http2::Builder::new(TokioExecutor::new());
    let served = http2.serve_connection(TokioIo::new(stream), service);
    served.await.ok();
}

fn call() -> Request<WhoAmIRequest> {
    Request::new(WhoAmIRequest {})
}

fn header<'p>(head: &'p Parts, name: &str) -> Option<&'p str> {
    head.headers.get(name)?.to_str().ok()
}

fn socket() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("a socket");
    (dir, socket)
}

#[tokio::test]
async fn over_the_socket_a_valid_authority_goes_out_and_no_credentials() {
    let (_dir, socket) = socket();
    let mut stub = Stub::on_unix(&socket);
    let client = Client::connect_unix(&socket).await.unwrap();
    let head = stub.head_of(&client, call()).await;
    assert_eq!(head.uri.authority().unwrap(), "localhost");
    assert_eq!(header(&head, "authorization"), None);
    assert_eq!(header(&head, "grpc-timeout"), None);
}

#[tokio::test]
async fn over_tcp_the_address_and_the_token_go_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut stub = Stub::on(async move { listener.accept().await.unwrap().0 });
    let client = Client::connect_tcp(address).await.unwrap();
    let client = client.with_token(Token::new(TOKEN).unwrap());
    let head = stub.head_of(&client, call()).await;
    assert_eq!(head.uri.authority().unwrap(), &address.to_string());
    let wanted = format!("Bearer {TOKEN}");
    assert_eq!(header(&head, "authorization"), Some(wanted.as_str()));
}

#[tokio::test]
async fn the_daemon_is_told_the_deadline_of_the_call_else_that_of_the_client() {
    let (_dir, socket) = socket();
    let mut stub = Stub::on_unix(&socket);
    let client = Client::connect_unix(&socket).await.unwrap();
    let client = client.with_deadline(Duration::from_secs(60));
    let head = stub.head_of(&client, call()).await;
    assert_eq!(header(&head, "grpc-timeout"), Some("60000000u"));
    let mut own = call();
    own.set_timeout(Duration::from_secs(90));
    let head = stub.head_of(&client, own).await;
    assert_eq!(header(&head, "grpc-timeout"), Some("90000000u"));
}

#[tokio::test]
async fn a_call_that_nobody_answers_ends_at_its_deadline() {
    let (_dir, socket) = socket();
    let _silent = UnixListener::bind(&socket).unwrap();
    let client = Client::connect_unix(&socket).await.unwrap();
    let client = client.with_deadline(Duration::from_millis(1));
    let status = client.access().who_am_i(call()).await.unwrap_err();
    assert_eq!(status.code(), Code::Cancelled, "{status:?}");
}

#[tokio::test]
async fn where_nobody_listens_the_address_is_named() {
    let (_dir, socket) = socket();
    let error = Client::connect_unix(&socket).await.unwrap_err();
    let wanted = format!("no daemon answers at {}", socket.display());
    assert_eq!(error.to_string(), wanted);
}

#[tokio::test]
async fn a_token_shows_nowhere() {
    let (_dir, socket) = socket();
    let _listening = UnixListener::bind(&socket).unwrap();
    let client = Client::connect_unix(&socket).await.unwrap();
    let client = client.with_token(Token::new(TOKEN).unwrap());
    let shown = format!("{client:?} {:?}", client.access());
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn a_token_is_read_from_a_file_that_holds_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let missing = Token::from_file(&file).unwrap_err();
    assert!(matches!(missing, TokenError::Unreadable(..)), "{missing:?}");
    for text in ["", "\n", "canary clv_x", "clv_x\ncanary", "canärie"] {
        std::fs::write(&file, text).unwrap();
        let error = Token::from_file(&file).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(matches!(error, TokenError::NotIn(_)), "{shown}");
        assert!(!shown.contains("can"), "{shown}");
        assert!(Token::new(text).is_err());
    }
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    assert!(Token::from_file(&file).is_ok());
}

#[test]
fn a_refusal_says_when_to_come_back_or_does_not() {
    let delay = Duration::from_millis(1500);
    let details = ErrorDetails::with_retry_info(Some(delay));
    let busy = Status::with_error_details(Code::Unavailable, "busy", details);
    assert_eq!(retry_delay(&busy), Some(delay));
    assert_eq!(retry_delay(&Status::unavailable("away")), None);
}
