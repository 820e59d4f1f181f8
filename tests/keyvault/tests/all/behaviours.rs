//! Behaviour on demand, and the requests that are shown afterwards.

use std::io::BufReader;
use std::sync::mpsc;
use std::thread;

use claviger_keyvault_fake::{Behaviour, Fake, Filter};
use tokio::runtime::Builder;

use crate::client::{Client, open, read, send};

const HOST: &str = "records.vault.azure.net";
const PUT: &str = r#"{"value":"v"}"#;

/// Waits for as many requests to be held.
fn wait_until_held(fake: &Fake, count: usize) {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(fake.held(count));
}

#[test]
fn hanging_request_is_executed_only_when_let_go_and_the_next_one_does_not_hang() {
    let fake = Fake::start();
    let vault = fake.vault("records");
    fake.next(Filter::ANY, usize::MAX, Behaviour::Hang);
    thread::scope(|scope| {
        let held = scope.spawn(|| Client::new(&fake, HOST).call("PUT", "/secrets/n", PUT));
        wait_until_held(&fake, 1);
        assert_eq!(vault.versions("n").len(), 0);
        fake.release();
        assert_eq!(held.join().expect("no panic").status, 200);
    });
    assert_eq!(vault.versions("n").len(), 1);
    assert_eq!(Client::new(&fake, HOST).get("/secrets/n").status, 200);
}

#[test]
fn hanging_vault_does_not_hold_up_another() {
    let fake = Fake::start();
    fake.vault("records");
    fake.vault("other").set("n", "v", &[]);
    let hanging = Filter {
        method: None,
        path_contains: "records.vault",
    };
    fake.next(hanging, usize::MAX, Behaviour::Hang);
    thread::scope(|scope| {
        let held = scope.spawn(|| Client::new(&fake, HOST).get("/secrets/n"));
        wait_until_held(&fake, 1);
        let other = Client::new(&fake, "other.vault.azure.net");
        assert_eq!(other.get("/secrets/n").status, 200);
        fake.release();
        assert_eq!(held.join().expect("no panic").status, 404);
    });
}

#[test]
fn slow_answer_sends_its_second_half_when_let_go() {
    let fake = Fake::start();
    fake.vault("records").set("n", "v", &[]);
    let client = Client::new(&fake, HOST);
    let whole = client.get("/secrets/n").body;
    fake.next(Filter::ANY, 1, Behaviour::Slow);
    let (sender, answers) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| sender.send(client.get("/secrets/n")).expect("a listener"));
        wait_until_held(&fake, 1);
        assert!(answers.try_recv().is_err(), "not before it is let go");
        fake.release();
        assert_eq!(answers.recv().expect("an answer").body, whole);
    });
}

#[test]
fn half_an_answer_ends_with_the_connection() {
    let fake = Fake::start();
    let vault = fake.vault("records");
    let client = Client::new(&fake, HOST);
    fake.next(Filter::ANY, 1, Behaviour::HalfBody);
    let half = client.call("PUT", "/secrets/n", PUT);
    assert_eq!(half.status, 200);
    assert!(half.is_cut);
    assert!(half.body.starts_with(r#"{"value":"v""#), "{}", half.body);
    assert_eq!(vault.versions("n").len(), 1);
}

#[test]
fn write_that_is_cut_off_was_executed() {
    let fake = Fake::start();
    let vault = fake.vault("records");
    let filter = Filter {
        method: Some("PUT"),
        path_contains: "/secrets/n",
    };
    fake.next(filter, 1, Behaviour::CutAfterExecuting);
    let bearer = format!("Bearer {}", fake.issue_token());
    let headers = [("Authorization", bearer.as_str())];
    let target = "/secrets/n?api-version=7.4";
    assert!(send(&fake, HOST, "PUT", target, &headers, PUT).is_none());
    assert_eq!(vault.versions("n").len(), 1);
    assert!(send(&fake, HOST, "PUT", target, &headers, PUT).is_some());
}

#[test]
fn given_answers_execute_nothing_and_meet_only_the_requests_meant() {
    let fake = Fake::start();
    let vault = fake.vault("records");
    let client = Client::new(&fake, HOST);
    let puts = Filter {
        method: Some("PUT"),
        path_contains: "/secrets/n",
    };
    fake.next(puts, 1, Behaviour::Garbage200);
    let unavailable = Behaviour::Status {
        status: 503,
        headers: vec![("Retry-After".to_owned(), "30".to_owned())],
        body: "busy".to_owned(),
    };
    fake.next(puts, 1, unavailable);
    assert_eq!(client.get("/secrets/n").status, 404);
    assert_eq!(client.call("PUT", "/secrets/other", PUT).status, 200);
    let garbage = client.call("PUT", "/secrets/n", PUT);
    assert_eq!(garbage.status, 200);
    assert!(serde_json::from_str::<serde_json::Value>(&garbage.body).is_err());
    let busy = client.call("PUT", "/secrets/n", PUT);
    assert_eq!((busy.status, busy.body.as_str()), (503, "busy"));
    assert_eq!(busy.header("retry-after"), Some("30"));
    assert_eq!(vault.versions("n").len(), 0);
    assert_eq!(client.call("PUT", "/secrets/n", PUT).status, 200);
}

#[test]
fn next_link_leads_to_a_foreign_host_that_records_whether_a_bearer_came() {
    let fake = Fake::start();
    fake.vault("records").set("n", "v", &[]);
    fake.terminate("evil.example.com");
    let link = "https://evil.example.com/secrets";
    fake.next(Filter::ANY, 1, Behaviour::NextLink(link.to_owned()));
    let page = Client::new(&fake, HOST).get("/secrets").json();
    assert_eq!(page["nextLink"], link);
    assert_eq!(page["value"].as_array().map(Vec::len), Some(1));
    assert_eq!(fake.other_hosts(), []);

    let headers = [("Authorization", "Bearer stolen")];
    let answer = send(&fake, "evil.example.com", "GET", "/secrets", &headers, "");
    assert_eq!(answer.expect("an answer").status, 200);
    let seen = fake.other_hosts();
    let seen = seen
        .iter()
        .map(|seen| (seen.method.as_str(), seen.has_bearer));
    assert_eq!(
        seen.collect::<Vec<_>>(),
        [("CONNECT", false), ("GET", true)]
    );
}

#[test]
fn unknown_hosts_and_vaults_do_not_resolve() {
    let fake = Fake::start();
    fake.vault("records");
    for host in [
        "unknown.vault.azure.net",
        "example.com",
        "records.vault.azure.cn",
    ] {
        assert_eq!(open(&fake, host).err(), Some(502), "{host}");
        let seen = fake.other_hosts();
        assert_eq!(seen.last().map(|seen| seen.host.as_str()), Some(host));
    }
    assert!(open(&fake, HOST).is_ok());
    assert_eq!(fake.other_hosts().len(), 3);
}

#[test]
fn token_that_expired_is_refused_once_and_one_we_never_issued_always() {
    let fake = Fake::start();
    fake.vault("records");
    let old = Client::new(&fake, HOST);
    assert_eq!(old.get("/secrets").status, 200);
    fake.expire_tokens();
    let new = Client::new(&fake, HOST);
    assert_eq!(new.get("/secrets").status, 200);
    let refused = old.get("/secrets");
    assert_eq!(
        refused.error().2,
        "[TokenExpired] Error validating token: 'S2S12086'."
    );
    assert_eq!(old.get("/secrets").status, 200);

    let headers = [("Authorization", "Bearer made-up")];
    for _ in 0..2 {
        let answer = send(&fake, HOST, "GET", "/secrets?api-version=7.4", &headers, "");
        assert_eq!(answer.expect("an answer").status, 401);
    }
}

#[test]
fn requests_are_shown_as_they_were_sent() {
    let fake = Fake::start();
    let vault = fake.vault("records");
    let target = "/secrets/%2e%2e/keys?api-version=7.4";
    send(&fake, HOST, "GET", target, &[], "").expect("an answer");
    let seen = vault.requests();
    assert_eq!(seen[0].path_and_query, target);
    assert_eq!(
        (seen[0].method.as_str(), seen[0].has_bearer),
        ("GET", false)
    );
}

#[test]
fn one_connection_serves_many_requests() {
    let fake = Fake::start();
    let vault = fake.vault("records");
    let mut tls = BufReader::new(open(&fake, HOST).expect("a tunnel"));
    for _ in 0..3 {
        let request = format!("GET /secrets HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        std::io::Write::write_all(tls.get_mut(), request.as_bytes()).expect("sent");
        assert_eq!(read(&mut tls).expect("an answer").status, 401);
    }
    assert_eq!(vault.requests().len(), 3);
}

#[test]
fn dropped_fake_no_longer_listens() {
    let fake = Fake::start();
    let url = fake.proxy_url();
    let address = url.strip_prefix("http://").expect("plain HTTP").to_owned();
    assert!(std::net::TcpStream::connect(&address).is_ok());
    drop(fake);
    assert!(std::net::TcpStream::connect(&address).is_err());
}
