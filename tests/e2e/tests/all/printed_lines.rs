//! Lines that the daemon prints for a newcomer work as printed, and show the key to nobody.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use claviger_e2e::{Daemon, Home, output_of, tools};
use serde_json::{Value, json};

/// The first line about grpcurl; before it are those with the command.
const OTHER_WAY: &str = "# The same with grpcurl";

/// Part of the last line that is printed.
const LAST_LINE: &str = "-expand-headers";

const CANARY: &str = "rk_test_cAnAry51a7b2e9d0f4c8";

/// Runs a program to its end in an empty environment.
fn run(home: &Home, program: &[&str], input: &str) -> Output {
    let mut command = Command::new("env");
    command.arg("-i").args(program);
    output_of(command.current_dir(home.path()), input)
}

fn path_variable() -> String {
    format!("PATH={}", tools::path().display())
}

fn succeeded(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    text
}

/// The JSON objects that follow each other in a text.
fn objects(text: &str) -> Vec<Value> {
    let stream = serde_json::Deserializer::from_str(text).into_iter();
    stream.map(|value| value.expect("JSON")).collect()
}

/// The lines with the command, and those with grpcurl.
fn printed(daemon: &mut Daemon) -> [Vec<String>; 2] {
    let mut with_command = daemon.lines_until(OTHER_WAY);
    let first = with_command.pop().expect("a line");
    let rest = daemon.lines_until(LAST_LINE);
    [with_command, [vec![first], rest].concat()]
}

/// Writes the lines to a script and returns its path.
fn script(home: &Home, lines: &[String]) -> String {
    let path = home.path().join("lines.sh");
    fs::write(&path, lines.join("\n")).expect("a writable home");
    path.display().to_string()
}

#[test]
fn printed_lines_with_the_command_register_and_run_a_job_as_printed_in_an_empty_environment() {
    let home = Home::new();
    let mut daemon = home.start_dev();
    let [lines, _] = printed(&mut daemon);
    let script = script(&home, &lines);
    let trace = home.path().join("trace");

    let mut command = Command::new(tools::strace());
    command
        .args(["-f", "-e", "trace=execve", "-s", "4096", "-o"])
        .arg(&trace)
        .args(["env", "-i", &path_variable(), "bash", &script]);
    let output = output_of(&mut command, &format!("{CANARY}\n"));
    let length = CANARY.len();
    let expected =
        format!("projects/dev/secrets/stripe, version 1\n{CANARY}a key of {length} characters\n");
    assert_eq!(succeeded(&output), expected);
    let trace = fs::read_to_string(trace).expect("strace wrote it");
    assert!(trace.contains("STRIPE_API_KEY=stripe"), "it sees arguments");
    assert!(!trace.contains(CANARY));
}

#[test]
fn printed_lines_with_grpcurl_register_and_fetch_as_printed_in_an_empty_environment() {
    let home = Home::new();
    let mut daemon = home.start_dev();
    let [_, lines] = printed(&mut daemon);
    let script = script(&home, &lines);

    let program = [&path_variable(), "bash", &script];
    let output = run(&home, &program, &format!("{CANARY}\n"));
    let answers = objects(&succeeded(&output));
    let [put, by_socket, by_token] = answers.as_slice() else {
        panic!("not three answers: {answers:?}");
    };
    let definition = &put["definition"];
    assert_eq!(definition["name"], "projects/dev/secrets/stripe");
    assert_eq!(definition["id"], "stripe");
    assert_eq!(definition["kind"], "STRIPE_API_KEY");
    assert_eq!(definition["format"], "TEXT");
    assert!(!put.to_string().contains(CANARY));
    for fetched in [by_socket, by_token] {
        assert_eq!(fetched["text"], CANARY);
        assert_eq!(fetched["version"], put["version"]);
        assert_eq!(fetched["vault"], "managed");
        let freshness = &fetched["freshness"];
        assert_eq!(freshness["servedFrom"], "VAULT");
        assert_eq!(freshness["age"], "0s");
        assert!(freshness["fetchTime"].is_string());
    }
}

#[test]
fn key_is_in_no_argument_of_any_program() {
    let home = Home::new();
    let mut daemon = home.start_dev();
    let [_, lines] = printed(&mut daemon);
    let script = script(&home, &lines);
    let trace = home.path().join("trace");

    let mut command = Command::new(tools::strace());
    command
        .args(["-f", "-e", "trace=execve", "-s", "4096", "-o"])
        .arg(&trace)
        .args(["env", "-i", &path_variable(), "bash", &script]);
    let output = output_of(&mut command, &format!("{CANARY}\n"));
    assert!(succeeded(&output).contains(CANARY), "it was registered");

    let trace = fs::read_to_string(trace).expect("strace wrote it");
    assert!(trace.contains("PutSecretDefinition"), "it sees arguments");
    assert!(!trace.contains(CANARY));
    // The token is expanded by grpcurl itself.
    let bearers: Vec<&str> = trace.split("Bearer ").skip(1).collect();
    assert!(!bearers.is_empty());
    assert!(bearers.iter().all(|b| b.starts_with("${CLAVIGER_TOKEN}")));
}

#[test]
fn key_is_in_no_history_and_no_file() {
    let home = Home::new();
    let mut daemon = home.start_dev();
    let [_, lines] = printed(&mut daemon);
    // As a person does: paste a line into an interactive shell, then type the key.
    let typed: String = lines
        .iter()
        .map(|line| match line.starts_with("read ") {
            true => format!("{line}\n{CANARY}\n"),
            false => format!("{line}\n"),
        })
        .collect();
    let own_home = format!("HOME={}", home.path().display());
    let program = [&path_variable(), &own_home, "bash", "--norc", "-i"];
    let output = run(&home, &program, &format!("{typed}exit 0\n"));
    assert!(succeeded(&output).contains(CANARY), "it was registered");

    let history = fs::read_to_string(home.path().join(".bash_history")).expect("a history");
    assert!(history.contains("read -rs KEY"), "{history}");
    assert_eq!(daemon.stop().code(), Some(0));
    let mut searched = 0;
    search(home.path(), &mut searched);
    assert!(searched >= 4, "history, log, store and audit log");
}

/// Searches all files below a directory.
fn search(dir: &Path, searched: &mut usize) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            search(&path, searched);
        } else {
            let bytes = fs::read(&path).expect("a file");
            let found = bytes.windows(CANARY.len()).any(|w| w == CANARY.as_bytes());
            assert!(!found, "{}", path.display());
            *searched += 1;
        }
    }
}

fn grpcurl(home: &Home, daemon: &Daemon, arguments: &[&str]) -> String {
    let socket = daemon.socket().display().to_string();
    let program = tools::grpcurl().display().to_string();
    let mut words = vec![program.as_str(), "-plaintext", "-unix", &socket];
    words.extend(arguments);
    succeeded(&run(home, &words, ""))
}

#[test]
fn grpcurl_lists_describes_and_asks_for_health() {
    let home = Home::new();
    let daemon = home.start_dev();
    let services = grpcurl(&home, &daemon, &["list"]);
    for service in [
        "claviger.v1.AccessService",
        "claviger.v1.ConnectionProfileService",
        "claviger.v1.DaemonService",
        "claviger.v1.ProjectService",
        "claviger.v1.SecretDefinitionService",
        "claviger.v1.SecretService",
        "claviger.v1.VaultService",
        "grpc.health.v1.Health",
    ] {
        assert!(services.lines().any(|line| line == service), "{services}");
    }
    let request = ["describe", "claviger.v1.GetSecretRequest"];
    let described = grpcurl(&home, &daemon, &request);
    assert!(described.contains("string environment = 2;"), "{described}");
    let health = grpcurl(&home, &daemon, &["grpc.health.v1.Health/Check"]);
    assert_eq!(objects(&health), [json!({"status": "SERVING"})]);
}
