//! The limits of one vault: who leaves gives back what was taken, and who is too many is told so.

use claviger_e2e::{AwsReply, AwsStub, Client, Home, Moto, REGION, reason};
use serde_json::json;
use tokio::task::JoinSet;

/// Calls that the vault takes at a time.
const PLACES: usize = 2;

/// Calls that may wait for them.
const WAITING: usize = 16 * PLACES;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_whose_callers_left_take_nobodys_place() {
    let (home, moto) = (Home::new(), Moto::start());
    for id in ["slow", "quick"] {
        let create = json!({ "Name": format!("acme/{id}"), "SecretString": id });
        moto.call("CreateSecret", &create);
    }
    let console = moto.console();
    let stub = AwsStub::start(move |request| match request.secret() {
        "acme/slow" => AwsReply::Hang,
        _ => console.play(request),
    });
    let config = format!(
        "[vaults.aws-eu]\n\
         kind = \"aws\"\n\
         timeout = \"25s\"\n\
         concurrent_calls = {PLACES}\n\
         allow = [{{ project = \"dev\", names = [\"acme/*\"] }}]\n\
         settings = {{ region = \"{REGION}\", endpoint_url = \"{}\" }}\n",
        stub.url()
    );
    let mut command = home.configured(&config);
    command
        .env("AWS_ACCESS_KEY_ID", "AKIAMOTO")
        .env("AWS_SECRET_ACCESS_KEY", "secret");
    let daemon = home.start(&mut command);
    let client = Client::connect(&daemon.socket()).await;
    for id in ["slow", "quick"] {
        let put = client.register(id, "aws-eu", &format!("acme/{id}")).await;
        put.expect("registered");
    }

    let mut hanging = JoinSet::new();
    let full = loop {
        let client = client.clone();
        let read = async move { client.read("slow", "").await.map(drop) };
        hanging.spawn(read);
        // More than fit are refused at once, while nobody before them is answered.
        if hanging.len() > PLACES + WAITING {
            break hanging
                .join_next()
                .await
                .expect("one of them")
                .expect("no panic");
        }
    };
    let refused = full.expect_err("nobody is answered");
    assert_eq!(
        reason(&refused).as_deref(),
        Some("OVERLOADED"),
        "{refused:?}"
    );

    hanging.shutdown().await;
    // Their ends reach the daemon a little later than the next call may.
    let text = loop {
        match client.read("quick", "").await {
            Ok((_, text)) => break text,
            Err(status) => assert_eq!(reason(&status).as_deref(), Some("OVERLOADED")),
        }
    };
    assert_eq!(text, "quick");
}
