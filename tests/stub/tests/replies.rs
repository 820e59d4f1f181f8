//! Each reply as a client meets it.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "the surroundings of tests may fail like a test"
)]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use claviger_stub::{Reply, Stub, next_reply};

fn connect(stub: &Stub) -> TcpStream {
    let url = stub.url();
    let address = url.strip_prefix("http://").expect("plain HTTP");
    TcpStream::connect(address).expect("it listens")
}

fn ask(stub: &Stub, target: &str) -> TcpStream {
    let mut stream = connect(stub);
    let request =
        format!("{target} HTTP/1.1\r\nX-Name:  a value \r\nContent-Length: 4\r\n\r\nbody");
    stream.write_all(request.as_bytes()).expect("it reads");
    stream
}

/// All that comes until the stub hangs up.
fn answer(stub: &Stub) -> String {
    let mut answer = String::new();
    let mut stream = ask(stub, "GET /");
    stream.read_to_string(&mut answer).expect("it hangs up");
    answer
}

#[test]
fn whole_and_half_answers_end_with_the_connection_if_they_are_to() {
    let whole = Reply::json(503, "{}").header("Retry-After: 7");
    let stub = Stub::always(whole.header("Connection: close"));
    assert_eq!(
        answer(&stub),
        "HTTP/1.1 503 X\r\nContent-Type: application/json\r\nRetry-After: 7\r\n\
         Connection: close\r\nContent-Length: 2\r\n\r\n{}"
    );
    let stub = Stub::always(Reply::HalfBody("half".to_owned()));
    assert_eq!(
        answer(&stub),
        "HTTP/1.1 200 X\r\nContent-Length: 104\r\n\r\nhalf"
    );
}

#[test]
fn endless_answer_goes_on_as_long_as_it_is_read_and_reset_is_one() {
    let stub = Stub::always(Reply::Endless(200, "more".to_owned()));
    let mut read = vec![0; 1_000_000];
    ask(&stub, "GET /").read_exact(&mut read).expect("more");
    assert!(stub.sent() >= 1_000_000);
    let stub = Stub::always(Reply::Reset);
    let error = ask(&stub, "GET /").read(&mut [0]).expect_err("reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn silence_lasts_until_somebody_hangs_up() {
    for reply in [Reply::Hang, Reply::Stall("{".to_owned())] {
        let stub = Stub::always(reply);
        drop(ask(&stub, "GET /"));
        stub.await_hang_ups(1);
        assert_eq!(stub.asked().len(), 1);
        let open = ask(&stub, "GET /");
        // Ends although somebody still waits.
        drop(stub);
        drop(open);
    }
}

#[test]
fn requests_are_shown_as_they_came_and_connections_without_one_as_empty() {
    let stub = Stub::always(Reply::text(200, ""));
    assert_eq!(stub.take_asked().len(), 0);
    drop(ask(&stub, "PUT /a?b=c"));
    stub.await_hang_ups(1);
    drop(connect(&stub));
    stub.await_hang_ups(2);
    let asked = stub.take_asked();
    let targets: Vec<&str> = asked.iter().map(|request| request.target()).collect();
    assert_eq!(targets, ["PUT /a?b=c", ""]);
    let put = asked.first().expect("two");
    assert_eq!(
        (put.header("x-name"), &*put.body),
        (Some("a value"), "body")
    );
    assert_eq!(put.header("x-other"), None);
    stub.await_hang_ups(2);
    assert_eq!(
        stub.take_asked().len(),
        0,
        "its own connections do not count"
    );
}

#[test]
fn last_reply_of_a_script_stays() {
    let mut script = vec![("a", vec![1, 2]), ("b", vec![3])];
    let replies = ["a", "b", "a", "a", "c"].map(|asked| next_reply(&mut script, asked));
    assert_eq!(replies, [Some(1), Some(3), Some(2), Some(2), None]);
}
