//! The answers that no backend may believe.

use std::sync::Arc;

use claviger_backend::testkit::{Facing, Lie, address, hostile_answers};
use claviger_core::Uid;
use claviger_stub::aws::operation;

use crate::stub::Reply;
use crate::support::{LONG, aws_at};

const SECRET: &str = "acme/stripe";

/// Longest value of AWS's, in bytes.
const VALUE_BYTES_MAX: usize = 65_536;

fn value(name: &str, len: usize) -> Reply {
    let (version, value) = (Uid::random(), "x".repeat(len));
    Reply::json(
        200,
        &format!(
            r#"{{"ARN":"arn:x","Name":"{name}","VersionId":"{version}","SecretString":"{value}"}}"#
        ),
    )
}

#[tokio::test]
async fn hostile_answers_are_not_believed() {
    hostile_answers(async |lie| {
        let elsewhere = claviger_stub::Stub::always(value(SECRET, 1));
        let endless = |status| Reply::Endless(status, "x".repeat(64 * 1024));
        let reply = match lie {
            Lie::Endless => endless(200),
            Lie::EndlessRefusal => endless(400),
            // Its credentials are fixed; see `credentials`.
            Lie::EndlessLogin => return None,
            Lie::Garbage => Reply::text(200, Lie::CANARY),
            Lie::LongValue => value(SECRET, VALUE_BYTES_MAX + 1),
            Lie::OtherName => value("acme/other", 1),
            Lie::Redirect => Reply::text(307, "").header(&format!("Location: {}", elsewhere.url())),
        };
        let stub = Arc::new(claviger_stub::Stub::always(reply));
        let sent = Arc::clone(&stub);
        Some(Facing {
            backend: Arc::new(aws_at(&stub.url(), LONG).await),
            address: address(SECRET),
            version: None,
            sent: Box::new(move || sent.sent()),
            strayed: Box::new(move || elsewhere.asked().len()),
        })
    })
    .await;
}

#[tokio::test]
async fn answer_that_is_too_long_is_not_asked_for_again() {
    let stub = claviger_stub::Stub::always(Reply::Endless(200, "x".repeat(64 * 1024)));
    let aws = aws_at(&stub.url(), LONG).await;
    let error = crate::support::read_fails(&aws, None).await;
    assert!(format!("{error:?}").contains("too long"), "{error:?}");
    let asked = stub.asked();
    let gets = asked
        .iter()
        .filter(|asked| operation(asked) == "GetSecretValue");
    assert_eq!(gets.count(), 1);
}
