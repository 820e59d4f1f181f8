//! The limits of one vault: who leaves gives back what was taken, and who is too many is told so.

use std::fs;

use claviger_e2e::{AwsReply, AwsStub, Client, Home, Moto, REGION, reason};
use claviger_proto::v1;
use claviger_proto::v1::secret_definition_service_client::SecretDefinitionServiceClient;
use serde_json::json;
use tokio::task::JoinSet;

/// Calls that the vault takes at a time.
const PLACES: usize = 2;

/// Calls that may wait for them.
const WAITING: usize = 16 * PLACES;

async fn register(client: &Client, id: &str) {
    let request = v1::PutSecretDefinitionRequest {
        definition: Some(v1::SecretDefinition {
            name: format!("projects/dev/secrets/{id}"),
            location: Some(v1::Location {
                vault: "aws-eu".to_owned(),
                secret: format!("acme/{id}"),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut service = SecretDefinitionServiceClient::new(client.channel());
    let put = service.put_secret_definition(request).await;
    put.expect("registered");
}

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
    let file = home.path().join("clavigerd.toml");
    fs::write(&file, config).expect("a writable home");
    let mut command = home.clavigerd(&["--dev", "--config"]);
    command
        .arg(file)
        .env("AWS_ACCESS_KEY_ID", "AKIAMOTO")
        .env("AWS_SECRET_ACCESS_KEY", "secret");
    let daemon = home.start(&mut command);
    let client = Client::connect(&daemon.socket()).await;
    register(&client, "slow").await;
    register(&client, "quick").await;

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
