use claviger_stub::{Reply, Stub};
use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::SnowflakeSettings;

const BOUNDS: Bounds = Bounds {
    bytes: 1_000,
    time: Duration::from_secs(60),
    tunnels: 8,
};

fn places(base_url: Option<&str>) -> Places {
    let settings = SnowflakeSettings {
        account: "ACME-PROD".to_owned(),
        base_url: base_url.map(str::to_owned),
        result_hosts: vec!["stage.s3.amazonaws.com".to_owned()],
        ..SnowflakeSettings::default()
    };
    Places::of(&settings).expect("an account")
}

fn straight() -> Way {
    Way::of(Matcher::builder().build())
}

/// Somebody at the other end, who gets each connection as it is.
struct Peer(TcpListener);

impl Peer {
    async fn start() -> Self {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        Self(bound.expect("a free port"))
    }

    fn authority(&self) -> String {
        self.0.local_addr().expect("bound").to_string()
    }

    async fn connection(&self) -> TcpStream {
        self.0.accept().await.expect("a connection").0
    }

    /// Whether the next connection, or the first one that nobody has taken, is ours.
    async fn is_unasked(&self) -> bool {
        let own = TcpStream::connect(self.authority()).await.expect("listens");
        let own = own.local_addr().expect("connected");
        self.0.accept().await.expect("a connection").1 == own
    }

    /// A guard whose account this is.
    fn guard(&self, bounds: Bounds) -> Guard {
        let places = places(Some(&format!("https://{}", self.authority())));
        Guard::start(places, straight(), bounds).expect("a free port")
    }
}

/// Up to the end of the head.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("more"));
    }
    String::from_utf8(head).expect("text")
}

impl Guard {
    async fn connect(&self) -> TcpStream {
        let address = self.url.socket_addrs(|| None).expect("an address");
        TcpStream::connect(&address[..]).await.expect("it listens")
    }

    fn credential(&self) -> String {
        let header = String::from_utf8_lossy(self.shared.authorization.expose()).into_owned();
        format!("Proxy-Authorization: {header}\r\n")
    }

    async fn ask(&self, line: &str, headers: &str) -> (TcpStream, u16, String) {
        let mut stream = self.connect().await;
        let request = format!("{line} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.expect("taken");
        let head = head(&mut stream).await;
        let status = head.split(' ').nth(1).expect("a status");
        (stream, status.parse().expect("a number"), head.clone())
    }

    async fn tunnel(&self, authority: &str) -> (TcpStream, u16) {
        let line = format!("CONNECT {authority}");
        let (stream, status, _) = self.ask(&line, &self.credential()).await;
        (stream, status)
    }
}

#[tokio::test]
async fn nobody_passes_without_the_credential() {
    let peer = Peer::start().await;
    let guard = peer.guard(BOUNDS);
    let right = guard.credential();
    let right = right.trim_end();
    for headers in [
        String::new(),
        "Proxy-Authorization: Basic Y2xhdmlnZXI6\r\n".to_owned(),
        format!(
            "{}\r\n",
            right.replace("Proxy-Authorization", "Authorization")
        ),
        format!("{}\r\n", right.replace("Basic", "Bearer")),
        format!("{}\r\n", right.trim_end_matches('=').split_at(60).0),
        format!("{right}x\r\n"),
    ] {
        let places = [
            format!("CONNECT {}", peer.authority()),
            "GET http://x/".to_owned(),
        ];
        for line in places {
            let (_, status, head) = guard.ask(&line, &headers).await;
            assert_eq!(status, 407, "{line}");
            let head = head.to_lowercase();
            assert!(head.contains("proxy-authenticate: basic"), "{head}");
        }
    }
    let other = peer.guard(BOUNDS);
    let line = format!("CONNECT {}", peer.authority());
    let (_, status, _) = guard.ask(&line, &other.credential()).await;
    assert_eq!(status, 407, "one guard's credential opens another");
    assert!(peer.is_unasked().await);
    let shown = format!("{guard:?} {:?}", guard.transport());
    let password = String::from_utf8_lossy(guard.password.expose()).into_owned();
    assert!(!shown.contains(&password), "{shown}");
}

#[test]
fn way_leads_to_the_account_and_to_listed_hosts_only() {
    let own = "acme-prod.snowflakecomputing.com";
    let link = "https://acme.privatelink.snowflakecomputing.com:8443";
    for (base_url, asked, is_let) in [
        (None, "acme-prod.snowflakecomputing.com:443", true),
        (None, "ACME-PROD.SnowflakeComputing.com:443", true),
        (None, "stage.s3.amazonaws.com:443", true),
        (None, "acme-prod.snowflakecomputing.com:8443", false),
        (None, "stage.s3.amazonaws.com:80", false),
        (None, "other.s3.amazonaws.com:443", false),
        (
            None,
            "acme-prod.snowflakecomputing.com.evil.example:443",
            false,
        ),
        (None, "evil-acme-prod.snowflakecomputing.com:443", false),
        (None, "127.0.0.1:443", false),
        (
            Some(link),
            "acme.privatelink.snowflakecomputing.com:8443",
            true,
        ),
        (
            Some(link),
            "acme.privatelink.snowflakecomputing.com:443",
            false,
        ),
        (Some(link), "acme-prod.snowflakecomputing.com:443", false),
        (Some("https://[::1]:8443"), "[::1]:8443", true),
        (Some("http://127.0.0.1:8080"), "127.0.0.1:8080", false),
    ] {
        let uri: Uri = asked.parse().expect("an authority");
        let found = places(base_url).tunnel(&uri);
        assert_eq!(found.is_some(), is_let, "{base_url:?} {asked}");
    }
    for (base_url, asked, is_let) in [
        (
            Some("http://127.0.0.1:8080"),
            "http://127.0.0.1:8080/x?y",
            true,
        ),
        (Some("http://127.0.0.1"), "http://127.0.0.1/", true),
        (Some("http://[::1]:8080"), "http://[::1]:8080/", true),
        (
            Some("http://127.0.0.1:8080"),
            "http://127.0.0.1:8081/",
            false,
        ),
        (
            Some("http://127.0.0.1:8080"),
            "http://localhost:8080/",
            false,
        ),
        (
            Some("http://127.0.0.1:8080"),
            "https://127.0.0.1:8080/",
            false,
        ),
        (Some("http://127.0.0.1:8080"), "/x", false),
        (
            Some("https://127.0.0.1:8080"),
            "http://127.0.0.1:8080/",
            false,
        ),
        (None, &format!("http://{own}/"), false),
        (None, &format!("http://{own}:443/"), false),
        (None, "http://stage.s3.amazonaws.com/", false),
    ] {
        let uri: Uri = asked.parse().expect("a URI");
        let found = places(base_url).plain(&uri);
        assert_eq!(found.is_some(), is_let, "{base_url:?} {asked}");
    }
}

#[tokio::test]
async fn who_asks_for_another_way_is_refused_and_counted() {
    let (peer, other) = (Peer::start().await, Peer::start().await);
    let guard = peer.guard(BOUNDS);
    for line in [
        format!("CONNECT {}", other.authority()),
        format!("POST http://{}/", other.authority()),
        format!("POST http://{}/", peer.authority()),
        "POST /".to_owned(),
    ] {
        let before = guard.strayed();
        let (_, status, _) = guard.ask(&line, &guard.credential()).await;
        assert_eq!((status, guard.strayed() - before), (403, 1), "{line}");
    }
    assert!(peer.is_unasked().await && other.is_unasked().await);
}

#[tokio::test]
async fn tunnel_passes_bytes_as_they_are_and_ends_at_their_bound() {
    let peer = Peer::start().await;
    let guard = peer.guard(BOUNDS);
    let (mut inside, status) = guard.tunnel(&peer.authority()).await;
    assert_eq!(status, 200);
    let mut outside = peer.connection().await;
    inside.write_all(b"hello").await.expect("taken");
    let mut heard = [0; 5];
    outside.read_exact(&mut heard).await.expect("passed on");
    assert_eq!(&heard, b"hello");
    let endless = async { while outside.write_all(&[b'x'; 1024]).await.is_ok() {} };
    let mut answer = Vec::new();
    let (ended, ()) = tokio::join!(inside.read_to_end(&mut answer), endless);
    ended.expect("closed");
    assert_eq!(answer, [b'x'; 1000]);
}

#[tokio::test]
async fn tunnel_that_hangs_ends() {
    let peer = Peer::start().await;
    let time = Duration::from_millis(200);
    let guard = peer.guard(Bounds { time, ..BOUNDS });
    let (mut inside, status) = guard.tunnel(&peer.authority()).await;
    assert_eq!(status, 200);
    let mut outside = peer.connection().await;
    assert_eq!(inside.read(&mut [0]).await.expect("ended"), 0);
    assert_eq!(outside.read(&mut [0]).await.expect("ended"), 0);
}

#[tokio::test]
async fn tunnels_are_so_many_at_a_time() {
    let peer = Peer::start().await;
    let tunnels = 1;
    let guard = peer.guard(Bounds { tunnels, ..BOUNDS });
    let (first, status) = guard.tunnel(&peer.authority()).await;
    assert_eq!(status, 200);
    assert_eq!(guard.tunnel(&peer.authority()).await.1, 503);
    drop(first);
    while guard.tunnel(&peer.authority()).await.1 != 200 {}
}

#[tokio::test]
async fn strangers_keep_nobody_out() {
    let peer = Peer::start().await;
    let guard = peer.guard(BOUNDS);
    let (mut early, _) = guard.tunnel(&peer.authority()).await;
    let mut outside = peer.connection().await;
    let mut strangers = Vec::new();
    for _ in 0..=STRANGERS_MAX {
        strangers.push(guard.connect().await);
    }
    let oldest = strangers.first_mut().expect("several");
    let ended = oldest.read(&mut [0]).await;
    assert!(ended.is_ok_and(|read| read == 0), "the oldest ends");
    assert_eq!(guard.tunnel(&peer.authority()).await.1, 200);
    outside.write_all(b"!").await.expect("open");
    assert_eq!(early.read_u8().await.expect("still open"), b'!');
}

#[tokio::test]
async fn environments_proxy_is_asked_for_the_same_place_with_its_own_credential() {
    let proxy = Peer::start().await;
    let url = format!("http://user:pass@{}", proxy.authority());
    let way = Way::of(Matcher::builder().https(url).build());
    let guard = Guard::start(places(None), way, BOUNDS).expect("a free port");
    let own = "acme-prod.snowflakecomputing.com:443";
    let asked = async {
        let mut outside = proxy.connection().await;
        let asked = head(&mut outside).await;
        let granted = outside.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        granted.expect("taken");
        (outside, asked)
    };
    let ((mut inside, status), (mut outside, asked)) = tokio::join!(guard.tunnel(own), asked);
    assert_eq!(status, 200);
    assert!(
        asked.starts_with(&format!("CONNECT {own} HTTP/1.1\r\n")),
        "{asked}"
    );
    let credential = "Proxy-Authorization: Basic dXNlcjpwYXNz\r\n";
    assert!(asked.contains(credential), "{asked}");
    assert_eq!(asked.matches("Proxy-Authorization").count(), 1, "{asked}");
    outside.write_all(b"!").await.expect("open");
    assert_eq!(inside.read_u8().await.expect("passed on"), b'!');
}

#[tokio::test]
async fn guard_knows_why_there_is_no_way() {
    let own = "acme-prod.snowflakecomputing.com:443";
    let gone = Stub::always(Reply::Reset).url();
    let refusing = Stub::always(Reply::text(407, ""));
    let through = |url: &str| Way::of(Matcher::builder().https(url).build());
    for (base_url, way, cause) in [
        (None, through(&refusing.url()), Cause::Proxy),
        (None, through(&gone), Cause::Proxy),
        (Some("https://claviger.invalid:443"), straight(), Cause::Dns),
        (
            Some(gone.replace("http://", "https://").as_str()),
            straight(),
            Cause::Connection,
        ),
    ] {
        let guard = Guard::start(places(base_url), way, BOUNDS).expect("a free port");
        let place = base_url.map_or(own, |url| url.trim_start_matches("https://"));
        assert_eq!(guard.tunnel(place).await.1, 502);
        assert_eq!(guard.cause(), cause, "{place}");
    }
}

#[tokio::test]
async fn place_of_no_proxy_is_reached_straight() {
    let (peer, proxy) = (Peer::start().await, Peer::start().await);
    let url = format!("http://{}", proxy.authority());
    let way = Way::of(Matcher::builder().https(url).no("127.0.0.1").build());
    let places = places(Some(&format!("https://{}", peer.authority())));
    let guard = Guard::start(places, way, BOUNDS).expect("a free port");
    assert_eq!(guard.tunnel(&peer.authority()).await.1, 200);
    assert!(proxy.is_unasked().await);
}

#[test]
fn proxy_that_would_be_told_its_credential_in_the_clear_is_refused() {
    for (proxy, is_taken) in [
        ("", true),
        ("http://proxy.example:3128", true),
        ("https://proxy.example:3128", false),
        ("socks5://proxy.example:1080", false),
    ] {
        let way = Way::of(Matcher::builder().all(proxy).build());
        assert_eq!(way.fault(&places(None)).is_none(), is_taken, "{proxy}");
    }
    let none = Matcher::builder()
        .all("https://proxy.example")
        .no("*")
        .build();
    assert_eq!(Way::of(none).fault(&places(None)), None);
}

/// A proxy of the environment's is not asked.
fn emulator(stub: &Stub) -> Guard {
    let way = Way::of(Matcher::builder().all("http://127.0.0.1:1").build());
    Guard::start(places(Some(&stub.url())), way, BOUNDS).expect("a free port")
}

#[tokio::test]
async fn emulator_gets_the_request_as_it_was_but_for_the_credential() {
    let stub = Stub::always(Reply::json(200, "{}").header("X-Its: own"));
    let guard = emulator(&stub);
    let headers = format!("{}X-Our: own\r\nContent-Length: 0\r\n", guard.credential());
    let line = format!("POST {}/queries/v1?a=b", stub.url());
    let (mut stream, status, head) = guard.ask(&line, &headers).await;
    assert_eq!(status, 200);
    assert!(head.to_lowercase().contains("x-its: own\r\n"), "{head}");
    let mut body = String::new();
    stream
        .read_to_string(&mut body)
        .await
        .expect("closed after");
    assert_eq!(body, "{}");
    let asked = stub.asked();
    let [request] = asked.as_slice() else {
        panic!("asked once: {asked:?}");
    };
    assert_eq!(request.target(), "POST /queries/v1?a=b");
    assert_eq!(request.header("x-our"), Some("own"));
    assert_eq!(request.header("host"), stub.url().strip_prefix("http://"));
    assert_eq!(request.header("proxy-authorization"), None);
}

#[tokio::test]
async fn emulators_answer_has_the_same_bound() {
    for (reply, status) in [
        (Reply::text(200, &"x".repeat(1_000)), 200),
        (Reply::text(200, &"x".repeat(1_001)), 502),
        (Reply::Endless(200, "x".repeat(64 * 1024)), 502),
    ] {
        let stub = Stub::always(reply);
        let guard = emulator(&stub);
        let line = format!("GET {}/", stub.url());
        let (_, found, _) = guard.ask(&line, &guard.credential()).await;
        assert_eq!(found, status);
        assert!(stub.sent() < 48 * 1024 * 1024);
    }
}
