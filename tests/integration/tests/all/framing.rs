//! The same bytes go to the daemon, which frames its calls itself, and to a server that the gRPC
//! library makes: all that leaves is the same, but for what is written down here.

use std::iter;
use std::net::{Ipv4Addr, SocketAddr};

use claviger_integration::{Options, Server, reason};
use claviger_proto::v1::daemon_service_server::{DaemonService, DaemonServiceServer};
use claviger_proto::v1::{GetStatusRequest, GetStatusResponse, Role};
use claviger_raw::{Raw, Whole, message};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Request};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Response, Status};

const METHOD: &str = "claviger.v1.DaemonService/GetStatus";

/// Gives one reply to every call.
struct Library(GetStatusResponse);

#[tonic::async_trait]
impl DaemonService for Library {
    async fn get_status(
        &self,
        _: tonic::Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }
}

/// A server of the library, until the set is dropped.
async fn library(reply: GetStatusResponse) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let service = DaemonServiceServer::new(Library(reply));
    let server = tonic::transport::Server::builder().add_service(service);
    let mut running = JoinSet::new();
    running.spawn(async move {
        let served = server.serve_with_incoming(TcpIncoming::from(listener));
        served.await.expect("serves until it is dropped");
    });
    (address, running)
}

/// A request as it is sent.
struct Sent {
    request: Request<()>,
    /// Each in a frame of its own.
    parts: Vec<Vec<u8>>,
    /// Or its body stays open.
    is_ended: bool,
}

impl Sent {
    fn whole(body: impl AsRef<[u8]>) -> Self {
        let request = Request::post(format!("http://localhost/{METHOD}"))
            .header(CONTENT_TYPE, "application/grpc")
            .header("te", "trailers")
            .body(())
            .expect("a request");
        Self {
            request,
            parts: vec![body.as_ref().to_vec()],
            is_ended: true,
        }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        let value = value.parse().expect("a header");
        self.request.headers_mut().insert(name, value);
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.request.headers_mut().remove(name);
        self
    }

    fn to(mut self, target: &str) -> Self {
        let target = format!("http://localhost/{target}").parse();
        *self.request.uri_mut() = target.expect("a target");
        self
    }

    fn in_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self {
            parts: parts.into_iter().map(<[u8]>::to_vec).collect(),
            ..Self::whole([])
        }
    }

    fn open(self) -> Self {
        Self {
            is_ended: false,
            ..self
        }
    }

    async fn answer(&self, raw: &mut Raw, token: &str) -> Whole {
        let mut request = self.request.clone();
        let token = token.parse().expect("a header");
        request.headers_mut().insert(AUTHORIZATION, token);
        let mut begun = raw.begin_with(request).await.expect("open");
        for part in &self.parts {
            begun.send(part.clone()).await;
        }
        if self.is_ended {
            begun.send_end();
        }
        begun.whole().await.expect("an answer")
    }
}

/// Both servers.
struct Both {
    ours: Raw,
    token: String,
    theirs: Raw,
    _servers: (Server, JoinSet<()>),
}

impl Both {
    async fn new() -> Self {
        let (server, client) = Server::prepared(Options::default()).await;
        let token = client.token(&[(Role::Admin, "*")]).await.token;
        let token = format!("Bearer {token}");
        let mut ours = server.raw("127.0.0.1").await;
        let plain = Sent::whole(message(0, &[])).answer(&mut ours, &token).await;
        let reply = GetStatusResponse::decode(&plain.bytes[5..]).expect("a reply");
        assert_ne!(reply.parts, [], "something to compare");
        let (library, running) = library(reply).await;
        let theirs = Raw::address(Ipv4Addr::LOCALHOST.into(), library).await;
        Self {
            ours,
            token,
            theirs,
            _servers: (server, running),
        }
    }

    /// What the daemon answers, and what the library does without the header that nobody needs.
    async fn answers(&mut self, sent: &Sent) -> (Whole, Whole) {
        let ours = sent.answer(&mut self.ours, &self.token).await;
        let mut theirs = sent.answer(&mut self.theirs, &self.token).await;
        theirs.headers.remove("date").expect("one");
        (ours, theirs)
    }

    async fn same(&mut self, case: &str, sent: Sent) {
        let (ours, theirs) = self.answers(&sent).await;
        assert_eq!(theirs.trailers["grpc-status"], "0", "{case}");
        assert_eq!(ours, theirs, "{case}");
    }

    /// Both refuse, in headers alone. Our status says more, and may be another one.
    async fn refused(&mut self, case: &str, sent: Sent, library: Code, code: Code, why: &str) {
        let (mut ours, mut theirs) = self.answers(&sent).await;
        assert_eq!(taken(&mut theirs.headers).code(), library, "{case}");
        let status = taken(&mut ours.headers);
        assert_eq!((status.code(), &*reason(&status)), (code, why), "{case}");
        let is_compressed = why == "COMPRESSION_UNSUPPORTED";
        let accepted = ours.headers.remove("grpc-accept-encoding");
        assert_eq!(accepted.is_some(), is_compressed, "{case}");
        // The first with every refusal of an encoding, the other by its router alone.
        for name in ["grpc-accept-encoding", "content-length"] {
            theirs.headers.remove(name);
        }
        assert_eq!(ours, theirs, "{case}");
        assert_eq!((ours.bytes, ours.trailers.len()), (vec![], 0), "{case}");
    }

    /// The library answers as ever; we do not.
    async fn only_ours_refuses(&mut self, case: &str, sent: Sent, code: Code, why: &str) {
        let (mut ours, theirs) = self.answers(&sent).await;
        assert_eq!(theirs.trailers["grpc-status"], "0", "{case}");
        assert_eq!(ours.headers[CONTENT_TYPE], "application/grpc", "{case}");
        let status = taken(&mut ours.headers);
        assert_eq!((status.code(), &*reason(&status)), (code, why), "{case}");
        assert_eq!((ours.bytes, ours.trailers.len()), (vec![], 0), "{case}");
    }
}

/// The status of headers, which are without it then.
fn taken(headers: &mut HeaderMap) -> Status {
    let status = Status::from_header_map(headers).expect("a status");
    for name in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
        headers.remove(name);
    }
    status
}

#[tokio::test]
async fn a_message_is_read_however_it_is_cut_into_frames() {
    let mut both = Both::new().await;
    // A field that nobody knows.
    let whole = message(6, b"\x7a\x04rest");
    for at in 0..=whole.len() {
        let (one, other) = whole.split_at(at);
        let cut = Sent::in_parts([one, other]);
        both.same(&format!("cut at {at}"), cut).await;
        let empty = Sent::in_parts([one, &[], other]);
        both.same(&format!("an empty frame at {at}"), empty).await;
    }
    both.same("a byte a frame", Sent::in_parts(whole.chunks(1)))
        .await;
    both.same("an empty message", Sent::whole(message(0, &[])))
        .await;
    let long = [&b"\x7a\xfc\xff\x0f"[..], &vec![b'x'; 256 * 1024 - 4]].concat();
    let long = message(long.len(), &long);
    both.same("the longest message", Sent::whole(long)).await;
}

#[tokio::test]
async fn what_is_not_one_message_is_refused() {
    let mut both = Both::new().await;
    let whole = message(6, b"\x7a\x04rest");
    let (malformed, is) = (Code::InvalidArgument, "REQUEST_MALFORMED");
    for length in 0..whole.len() {
        let case = format!("{length} of its bytes");
        let sent = Sent::whole(&whole[..length]);
        both.refused(&case, sent, Code::Internal, malformed, is)
            .await;
        // An end in the middle of a message is one however the bytes came.
        let sent = Sent::in_parts(whole[..length].chunks(1));
        both.refused(&case, sent, Code::Internal, malformed, is)
            .await;
    }
    for (case, body) in [
        ("a byte after it", [&whole[..], &[0]].concat()),
        ("half a prefix after it", [&whole[..], &[0; 4]].concat()),
        (
            "more than it promises",
            message(5, b"\x7a\x04rest").to_vec(),
        ),
        ("a flag that there is not", [&[2], &whole[1..]].concat()),
        ("all flags", [&[255], &whole[1..]].concat()),
        ("no protobuf", message(3, &[0xff; 3]).to_vec()),
        ("a field that is cut", message(2, b"\x7a\x04").to_vec()),
        ("a group that does not end", message(1, b"\x7b").to_vec()),
    ] {
        let sent = Sent::whole(body);
        both.refused(case, sent, Code::Internal, malformed, is)
            .await;
    }
    let compressed = || [&[1], &whole[1..]].concat();
    let (unknown, is) = (Code::Unimplemented, "COMPRESSION_UNSUPPORTED");
    let unsaid = Sent::whole(compressed());
    both.refused("compressed", unsaid, Code::Internal, unknown, is)
        .await;
    for encoding in ["gzip", "deflate", "zstd", "no-such"] {
        let said = Sent::whole(compressed()).with("grpc-encoding", encoding);
        both.refused(encoding, said, unknown, unknown, is).await;
    }
}

#[tokio::test]
async fn headers_mean_the_same() {
    let mut both = Both::new().await;
    let sent = || Sent::whole(message(0, &[]));
    both.same("without te", sent().without("te")).await;
    for content_type in ["application/grpc+proto", "application/grpc;charset=utf-8"] {
        both.same(content_type, sent().with("content-type", content_type))
            .await;
    }
    for (name, value) in [
        ("grpc-encoding", "identity"),
        ("grpc-accept-encoding", "gzip,zstd,identity"),
        ("user-agent", "grpc-none/0"),
        ("x-bin", "AAA="),
    ] {
        both.same(name, sent().with(name, value)).await;
    }
    // Long enough, or none.
    for timeout in [
        "99999999H",
        "1H",
        "1M",
        "60S",
        "60000m",
        "1",
        "S",
        "",
        "-1S",
        "5X",
        "123456789S",
    ] {
        both.same(timeout, sent().with("grpc-timeout", timeout))
            .await;
    }
    let (late, is) = (Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    for timeout in ["0S", "0H", "1n", "1u", "1m"] {
        let sent = sent().open().with("grpc-timeout", timeout);
        both.refused(timeout, sent, Code::Cancelled, late, is).await;
    }
    let (unknown, is) = (Code::Unimplemented, "METHOD_UNKNOWN");
    for method in [
        "claviger.v1.DaemonService/NoSuch",
        "claviger.v1.NoSuch/GetStatus",
        "",
    ] {
        both.refused(method, sent().to(method), unknown, unknown, is)
            .await;
    }
}

#[tokio::test]
async fn we_take_less_than_the_library() {
    let mut both = Both::new().await;
    let one = message(6, b"\x7a\x04rest");
    // It takes the first of several.
    let two = Sent::whole([&one[..], &one[..]].concat());
    let (refused, is) = (Code::InvalidArgument, "REQUEST_MALFORMED");
    both.only_ours_refuses("two messages", two, refused, is)
        .await;
    // Up to 4 MiB.
    let long: Vec<u8> = iter::repeat_n(&b"\x7a\x04rest"[..], 50_000)
        .flatten()
        .copied()
        .collect();
    let long = Sent::whole(message(long.len(), &long));
    both.only_ours_refuses("too long", long, refused, "REQUEST_TOO_LARGE")
        .await;
    let queried = Sent::whole(message(0, &[])).to(&format!("{METHOD}?a=b"));
    both.only_ours_refuses("a query", queried, Code::Unimplemented, "METHOD_UNKNOWN")
        .await;
    // Whatever calls itself so.
    for foreign in [
        Sent::whole(message(0, &[])).without("content-type"),
        Sent::whole(message(0, &[])).with("content-type", "text/plain"),
        Sent::whole(message(0, &[])).with("content-type", "application/grpc-web"),
    ] {
        let (ours, theirs) = both.answers(&foreign).await;
        assert_eq!(theirs.trailers["grpc-status"], "0");
        let empty = Whole {
            status: 415,
            headers: HeaderMap::new(),
            bytes: Vec::new(),
            trailers: HeaderMap::new(),
        };
        assert_eq!(ours, empty);
    }
}
