//! A runner in another language, with stubs generated from the proto as its authors would.

use std::path::Path;
use std::process::Command;

use claviger_e2e::{Client, Home, tools};
use uuid::Uuid;

const VALUE: &str = "rk_test_from_python \u{e9}\u{1f511}";

/// Makes a directory with the modules that Python imports to call the daemon.
pub(crate) fn generate_stubs(into: &Path) {
    std::fs::create_dir(into).expect("a writable home");
    let proto = tools::repository().join("proto");
    let files = std::fs::read_dir(proto.join("claviger/v1")).expect("the proto files");
    let output = Command::new(tools::python())
        .args(["-m", "grpc_tools.protoc", "--proto_path"])
        .arg(&proto)
        .arg(format!("--python_out={}", into.display()))
        .arg(format!("--grpc_python_out={}", into.display()))
        .args(files.map(|file| file.expect("an entry").path()))
        .output()
        .expect("Python runs");
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_fetches_over_the_socket_and_over_tcp_and_reads_errors() {
    let home = Home::new();
    let daemon = home.start_dev();
    let client = Client::connect(&daemon.socket()).await;
    let created = client.create("python", VALUE, Uuid::new_v4()).await;
    created.expect("created");
    let token = client.runner_token().await.expect("a token");

    let stubs = home.path().join("stubs");
    generate_stubs(&stubs);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/runner.py");
    let output = Command::new(tools::python())
        .arg(script)
        .arg(daemon.socket())
        .arg(daemon.tcp().to_string())
        .env_clear()
        .env("PYTHONPATH", &stubs)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("CLAVIGER_TOKEN", token)
        .env("EXPECTED", VALUE)
        .env("PYTHONUTF8", "1")
        .output()
        .expect("Python runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{output:?}");
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        ["socket", "tcp", "errors", "reflection v1alpha", "health"]
    );
}
