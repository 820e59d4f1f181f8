//! SIGTERM: calls that are under way end well, writes that were acknowledged stay.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll, ready};

use claviger_e2e::{Client, Home, reason, tools};
use claviger_proto::v1;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tonic::Request;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::tokio_stream::Stream;
use uuid::Uuid;

use crate::python::generate_stubs;
use crate::writers::{self, Tally};

/// Events that writes have before the daemon is told to stop.
const EVENTS: usize = 60;

/// Clients that read meanwhile.
const READERS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_lose_nothing_to_a_drain() {
    let home = Home::new();
    let daemon = home.start_dev();
    let socket = daemon.socket();
    let (sender, mut happened) = mpsc::unbounded_channel();
    let writers = writers::start(&socket, "drain", &sender).await;
    for _ in 0..EVENTS {
        happened.recv().await.expect("writers write");
    }
    assert_eq!(daemon.stop().code(), Some(0), "{}", home.log());
    assert!(!socket.exists(), "the socket is removed");

    let mut secrets = Vec::new();
    for (written, status) in writers.join_all().await {
        // This library has several codes for a connection that takes no more calls.
        assert_eq!(reason(&status), None, "the daemon refused it: {status:?}");
        secrets.extend(written);
    }
    let daemon = home.start_dev();
    let client = Client::connect(&daemon.socket()).await;
    let mut tally = Tally::default();
    for secret in &mut secrets {
        secret.compare(&client, &mut tally).await;
        secret.repeat(&client, &mut tally).await;
    }
    tally.assert_clean("after a drain");
    println!(
        "{} writes acknowledged, {} refused",
        tally.acknowledged, tally.unknown
    );
    assert_eq!(tally.unknown, writers::WRITERS);
    assert_eq!(tally.unknown_done, 0, "a call that began was answered");
}

/// A Python client that reads until it gets an error.
fn reader(stubs: &Path, address: SocketAddr, token: &str) -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/read_until_error.py");
    Command::new(tools::python())
        .arg(script)
        .arg(address.to_string())
        .env_clear()
        .env("PYTHONPATH", stubs)
        .env("CLAVIGER_TOKEN", token)
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runners_of_another_language_get_a_clean_unavailable() {
    let home = Home::new();
    let daemon = home.start_dev();
    let client = Client::connect(&daemon.socket()).await;
    client
        .create("read", "again and again", Uuid::new_v4())
        .await
        .expect("created");
    let token = client.runner_token().await.expect("a token");
    drop(client);
    let stubs = home.path().join("stubs");
    generate_stubs(&stubs);
    let mut readers: Vec<Child> = (0..READERS)
        .map(|_| reader(&stubs, daemon.tcp(), &token))
        .collect();
    let mut lines: Vec<_> = readers
        .iter_mut()
        .map(|reader| BufReader::new(reader.stdout.take().expect("a pipe")).lines())
        .collect();
    for lines in &mut lines {
        let line = lines.next().expect("a line").expect("text");
        assert_eq!(line, "reading");
    }
    assert_eq!(daemon.stop().code(), Some(0), "{}", home.log());
    for (mut lines, mut reader) in lines.into_iter().zip(readers) {
        let line = lines.next().expect("a line").expect("text");
        assert_eq!(line, "UNAVAILABLE");
        assert!(reader.wait().expect("it is our child").success());
    }
}

/// The body of a request whose headers are sent at once, and whose message once it is there.
struct Late {
    begun: Option<oneshot::Sender<()>>,
    message: Option<oneshot::Receiver<v1::GetSecretRequest>>,
}

impl Stream for Late {
    type Item = v1::GetSecretRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(begun) = self.begun.take() {
            begun.send(()).ok();
        }
        let Some(message) = self.message.as_mut() else {
            return Poll::Ready(None);
        };
        let message = ready!(Pin::new(message).poll(cx));
        self.message = None;
        Poll::Ready(message.ok())
    }
}

/// An HTTP/2 connection without calls, open on both sides.
fn idle_connection(address: SocketAddr) -> TcpStream {
    const SETTINGS: u8 = 4;
    let mut connection = TcpStream::connect(address).expect("a daemon listens there");
    let mut opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    opening.extend([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]);
    connection.write_all(&opening).expect("open");
    wait_for_frame(&mut connection, |kind, flags| {
        (kind, flags) == (SETTINGS, 1)
    });
    connection
}

/// Waits for a frame of this kind and flags.
fn wait_for_frame(connection: &mut TcpStream, is_wanted: impl Fn(u8, u8) -> bool) {
    let mut head = [0; 9];
    while !is_wanted(head[3], head[4]) {
        connection.read_exact(&mut head).expect("a frame");
        let len = u64::from(u32::from_be_bytes([0, head[0], head[1], head[2]]));
        let frame = connection.try_clone().expect("a descriptor");
        std::io::copy(&mut frame.take(len), &mut std::io::sink()).expect("a frame");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_under_way_is_answered_although_the_daemon_was_told_to_stop() {
    let home = Home::new();
    let daemon = home.start_dev();
    let client = Client::connect(&daemon.socket()).await;
    client
        .create("late", "worth waiting for", Uuid::new_v4())
        .await
        .expect("created");
    let mut witness = idle_connection(daemon.tcp());

    let (message, receiver) = oneshot::channel();
    let (begun, has_begun) = oneshot::channel();
    let body = Late {
        begun: Some(begun),
        message: Some(receiver),
    };
    let mut grpc = tonic::client::Grpc::new(client.channel());
    let mut calls = JoinSet::new();
    calls.spawn(async move {
        grpc.ready().await.expect("connected");
        let path = PathAndQuery::from_static("/claviger.v1.SecretService/GetSecret");
        let codec = tonic_prost::ProstCodec::<_, v1::GetSecretResponse>::default();
        grpc.client_streaming(Request::new(body), path, codec).await
    });
    has_begun
        .await
        .expect("the body is asked for after the headers");
    // Answered on the same connection, so the headers before it have arrived.
    client.read("late", "").await.expect("readable");

    daemon.terminate();
    let witness = tokio::task::spawn_blocking(move || {
        const GOAWAY: u8 = 7;
        wait_for_frame(&mut witness, |kind, _| kind == GOAWAY);
    });
    witness.await.expect("the drain began");
    let request = v1::GetSecretRequest {
        name: "projects/dev/secrets/late".to_owned(),
        ..Default::default()
    };
    message.send(request).expect("still wanted");
    let answer = calls.join_next().await.expect("one call").expect("it ends");
    let answer = answer.expect("answered").into_inner();
    let text = v1::get_secret_response::Value::Text("worth waiting for".to_owned());
    assert_eq!(answer.value, Some(text));
    assert_eq!(daemon.wait().code(), Some(0));
}
