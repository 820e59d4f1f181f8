//! The walk through OAuth: the test is the browser.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::thread::yield_now;

use claviger_stub::stripe_oauth::{CANARY, CLIENT_ID, CLIENT_SECRET, Fault, Oddity, Twist};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use rustix::termios::{LocalModes, tcgetattr};

use super::super::{assert_stopped, in_a_session, message_of, said, shown_on, terminal};
use super::{ACCOUNT, Scene, assert_clean};

/// A walk whose link is printed.
struct Walk {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// All that was said so far.
    told: String,
    link: String,
}

impl Walk {
    fn begin(mut command: Command) -> Self {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Self::of(child.expect("the command can be started"))
    }

    fn of(mut child: Child) -> Self {
        let stderr = child.stderr.take().expect("a pipe was asked for");
        let mut walk = Self {
            child,
            stderr: BufReader::new(stderr),
            told: String::new(),
            link: String::new(),
        };
        walk.link = walk.line_with("https://");
        walk
    }

    fn line_with(&mut self, part: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.stderr.read_line(&mut line).expect("text");
            self.told.push_str(&line);
            assert_ne!(read, 0, "no {part}: {}", self.told);
            if line.contains(part) {
                return line.trim().to_owned();
            }
        }
    }

    fn state(&self) -> &str {
        let (_, state) = self.link.split_once("&state=").expect("a state");
        state
    }

    /// The answer to what the browser asks on its return.
    fn visit(&mut self, query: &str) -> String {
        if !self.told.contains("http://localhost:") {
            self.line_with("http://localhost:");
        }
        let (_, rest) = self
            .told
            .split_once("http://localhost:")
            .expect("an address");
        let (port, _) = rest.split_once("/callback").expect("its path");
        let port = port.parse::<u16>().expect("a port");
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        let request = format!("GET /callback?{query} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("text");
        assert!(!page.contains(CANARY), "{page}");
        page
    }

    /// Comes back with this code.
    fn arrive(&mut self, code: &str) {
        let page = self.visit(&format!("code={code}&state={}", self.state()));
        assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    }

    fn paste(&mut self, address: &str) {
        let mut stdin = self.child.stdin.take().expect("a pipe was asked for");
        stdin.write_all(address.as_bytes()).expect("it reads");
    }

    /// The end of it: whatever was said, without what was said before the link.
    fn end(mut self) -> Output {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).expect("text");
        let mut output = self.child.wait_with_output().expect("it ends");
        assert!(!self.told.contains(CANARY), "{}", self.told);
        // The explanation of the link may end with a line that was not read yet.
        let rest = rest
            .split_once("--paste).\n")
            .map_or(&*rest, |(_, rest)| rest);
        let rest = rest
            .split_once("five minutes.\n")
            .map_or(rest, |(_, rest)| rest);
        output.stderr = rest.as_bytes().to_vec();
        assert_clean(&output);
        output
    }
}

impl Scene {
    fn connecting(&self, options: &str) -> Command {
        let url = self.stripe.url();
        let mut line = format!("profile connect stripe --stand-in {url} {options}");
        if !options.contains("--client-secret-from") {
            line.extend([" ", &self.client_secret()]);
        }
        if !options.contains("--redirect-port") {
            line.push_str(" --redirect-port 0");
        }
        self.command(&line)
    }

    fn walk(&self, options: &str) -> Walk {
        Walk::begin(self.connecting(&format!("--client-id {CLIENT_ID} {options}")))
    }

    /// A job gets what was connected.
    fn assert_connected(&self) {
        let resolved = said(&self.run("profile resolve stripe"));
        assert_eq!(resolved, self.stripe.newest_access_token(ACCOUNT));
    }

    fn assert_nothing_stored(&self) {
        let got = self.run("profile get stripe");
        assert_stopped(&got, 1, &["[PROFILE_NOT_FOUND]"]);
    }
}

/// No file below has anything of a credential, but for that of the client secret.
fn assert_no_file_has_it(directory: &Path) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            assert_no_file_has_it(&path);
        } else if path.is_file() && !path.ends_with("client-secret") {
            let content = fs::read(&path).expect("a file of ours");
            let mut parts = content.windows(CANARY.len());
            let is_in = parts.any(|part| part == CANARY.as_bytes());
            assert!(!is_in, "{}", path.display());
        }
    }
}

#[test]
fn walk_by_loopback_stores_the_token_and_shows_nothing() {
    let (scene, _daemon) = Scene::new();
    let mut walk = scene.walk("");
    let start = format!("https://marketplace.stripe.com/oauth/v2/authorize?client_id={CLIENT_ID}&");
    assert!(walk.link.starts_with(&start), "{}", walk.link);
    let pid = walk.child.id();
    // The process is closed: its environment is for root alone.
    let files: &[_] = match geteuid().is_root() {
        true => &["cmdline", "environ"],
        false => &["cmdline"],
    };
    for file in files {
        let seen = fs::read(format!("/proc/{pid}/{file}")).expect("ours");
        assert!(!String::from_utf8_lossy(&seen).contains(CANARY), "{file}");
    }
    let code = scene.stripe.authorize(ACCOUNT, false);
    let refused = walk.visit(&format!("code={code}&state=guessed"));
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
    walk.arrive(&code);
    let output = walk.end();
    let name = "projects/dev/connectionProfiles/stripe";
    assert_eq!(
        said(&output),
        format!("{name}, connected to {ACCOUNT} (TEST)\n")
    );
    assert_eq!(scene.stripe.calls(), 1);
    assert_no_file_has_it(scene.home.path());
    scene.assert_connected();
}

#[test]
fn walk_in_live_mode_pastes_the_address() {
    let (scene, _daemon) = Scene::new();
    let secret = CLIENT_SECRET.replace("_test_", "_live_");
    scene.stripe.set_client_secret(&secret);
    let secret = scene.file("client-secret", &secret);
    let options = format!(
        "--client-secret-from {} --paste --redirect-uri https://acme.test/cb --json",
        secret.display()
    );
    let mut walk = scene.walk(&options);
    let uri = "&redirect_uri=https%3A%2F%2Facme.test%2Fcb&";
    assert!(walk.link.contains(uri), "{}", walk.link);
    let code = scene.stripe.authorize(ACCOUNT, true);
    let address = format!("https://acme.test/cb?code={code}&state={}\n", walk.state());
    walk.paste(&address);
    let output = said(&walk.end());
    let put = message_of("PutConnectionProfileResponse", "profile connect", &output);
    assert_eq!(put["profile"]["oauth"]["mode"], "LIVE");
    assert_eq!(put["profile"]["oauth"]["account"], ACCOUNT);
    scene.assert_connected();
}

#[test]
fn pasted_answer_has_the_state_or_an_account_to_check() {
    let (scene, _daemon) = Scene::new();
    let code = scene.stripe.authorize(ACCOUNT, false);
    let pasted = |options: &str, text: &str| {
        let mut walk = scene.walk(&format!("--paste {options}"));
        walk.paste(text);
        walk.end()
    };
    let other = format!("https://acme.test/cb?code={code}&state=other");
    assert_stopped(
        &pasted("", &other),
        2,
        &["its state is another", "start again"],
    );
    assert_stopped(&pasted("", &code), 2, &["--account acct_"]);
    assert_stopped(&pasted("", "rt_cAnArY"), 2, &["not the address"]);
    assert_eq!(scene.stripe.calls(), 0);
    said(&pasted(&format!("--account {ACCOUNT}"), &code));
    scene.assert_connected();
}

#[test]
fn what_is_typed_and_pasted_does_not_show() {
    let (scene, _daemon) = Scene::new();
    let line = format!(
        "profile connect stripe --stand-in {} --client-id {CLIENT_ID} --paste",
        scene.stripe.url()
    );
    let connect = scene.command(&line);
    let (mut controller, program_end) = terminal();
    let mut command = in_a_session(&connect, &["--ctty", "--wait"]);
    command
        .stdin(program_end.try_clone().expect("a file of ours"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("setsid can be started");
    drop(command);
    let await_prompt = |child: &mut Child| {
        let echoes = || {
            let modes = tcgetattr(&program_end).expect("a terminal").local_modes;
            modes.contains(LocalModes::ECHO)
        };
        while echoes() {
            assert_eq!(child.try_wait().expect("it is our child"), None, "it asks");
            yield_now();
        }
    };
    await_prompt(&mut child);
    let mut typed = |text: &str| controller.write_all(text.as_bytes()).expect("it reads");
    typed(&format!("{CLIENT_SECRET}\n"));
    let mut walk = Walk::of(child);
    let code = scene.stripe.authorize(ACCOUNT, false);
    await_prompt(&mut walk.child);
    typed(&format!(
        "https://acme.test/cb?code={code}&state={}\n",
        walk.state()
    ));
    said(&walk.end());
    drop(program_end);
    let shown = shown_on(controller);
    assert!(shown.contains("client secret of projects/dev"), "{shown}");
    assert!(!shown.contains(CANARY) && !shown.contains(&code), "{shown}");
    scene.assert_connected();
}

#[test]
fn no_leave_and_no_patience_end_the_walk_without_a_call() {
    let (scene, _daemon) = Scene::new();
    let mut walk = scene.walk("");
    let denied = format!(
        "error=access_denied&error_description={CANARY}&state={}",
        walk.state()
    );
    walk.visit(&denied);
    assert_stopped(&walk.end(), 1, &["access_denied", "start again"]);

    let mut walk = scene.walk("");
    walk.line_with("http://localhost:");
    let pid = Pid::from_child(&walk.child);
    kill_process(pid, Signal::INT).expect("it is our child");
    assert_stopped(&walk.end(), 130, &["nothing was connected"]);
    assert_eq!(scene.stripe.calls(), 0);
    scene.assert_nothing_stored();
}

#[test]
fn exchange_that_fails_is_not_repeated_and_stores_nothing() {
    let (scene, _daemon) = Scene::new();
    let mut calls = 0;
    let mut fails = |options: &str, code: &str, twist: Option<Twist>, wanted: &[&str]| {
        scene.stripe.twist_next(twist);
        let mut walk = scene.walk(options);
        walk.arrive(code);
        let output = walk.end();
        assert_stopped(&output, 1, &["nothing was stored", "start again"]);
        assert_stopped(&output, 1, wanted);
        calls += 1;
        assert_eq!(scene.stripe.calls(), calls);
    };
    let of = |is_live| scene.stripe.authorize(ACCOUNT, is_live);
    let odd = |oddity| Some(Twist::Answer(oddity));
    fails("", "ac_unknown", None, &["does not take the code"]);
    fails("", &of(true), None, &["another app or mode"]);
    fails("", &of(false), odd(Oddity::OtherMode), &["mode LIVE"]);
    fails(
        "",
        &of(false),
        odd(Oddity::NoRefreshToken),
        &["no refresh token"],
    );
    let scope = Oddity::OtherScope("read_write".to_owned());
    fails("", &of(false), odd(scope), &["CONNECT", "--flavor"]);
    let options = "--account acct_2Two";
    fails(
        options,
        &of(false),
        None,
        &[ACCOUNT, "acct_2Two", "--account"],
    );
    fails(
        "",
        &of(false),
        Some(Twist::After(Fault::Cut)),
        &["was lost"],
    );
    let elsewhere = Fault::Redirect("http://127.0.0.1:1/".to_owned());
    fails("", &of(false), Some(Twist::After(elsewhere)), &["was lost"]);
    let limited = Some(Twist::Before(Fault::Status(429)));
    fails("", &of(false), limited, &["too many calls"]);
    scene.assert_nothing_stored();

    scene
        .stripe
        .set_client_secret("sk_test_another51H8ZxQmC0nF");
    fails("", &of(false), None, &["client secret", "sk_"]);
}

#[test]
fn code_that_was_used_is_refused_and_the_connection_stays() {
    let (scene, _daemon) = Scene::new();
    let code = scene.stripe.authorize(ACCOUNT, false);
    let mut walk = scene.walk("");
    walk.arrive(&code);
    said(&walk.end());
    let mut walk = scene.walk("");
    walk.arrive(&code);
    assert_stopped(&walk.end(), 1, &["it is used", "start again"]);
    scene.assert_connected();
}

#[test]
fn profile_that_lost_its_connection_is_connected_again_by_its_name() {
    let (scene, _daemon) = Scene::new();
    let connect = |mut walk: Walk| {
        walk.arrive(&scene.stripe.authorize(ACCOUNT, false));
        said(&walk.end());
        scene.assert_connected();
    };
    connect(scene.walk("--app app_1StandInOfOurs"));
    said(&scene.run("profile put stripe --description mine"));
    scene.stripe.revoke(ACCOUNT);
    assert_eq!(scene.run("profile test stripe").status.code(), Some(1));
    connect(Walk::begin(scene.connecting("")));
    let got = said(&scene.run("profile get stripe"));
    for kept in ["app_1StandInOfOurs", "mine", CLIENT_ID, "CONNECTED"] {
        assert!(got.contains(kept), "{got}");
    }
}

#[test]
fn profile_with_a_key_changes_over_to_connect() {
    let (scene, _daemon) = Scene::new();
    said(&scene.run_with("profile put stripe", "rk_test_51H8ZxQmC0nF4b7d"));
    let mut walk = scene.walk("--flavor connect");
    let start = "https://connect.stripe.com/oauth/authorize?response_type=code&scope=read_write&";
    assert!(walk.link.starts_with(start), "{}", walk.link);
    walk.arrive(&scene.stripe.authorize(ACCOUNT, false));
    said(&walk.end());
    scene.assert_connected();
}

#[test]
fn daemon_that_is_away_at_the_end_is_waited_for() {
    let (scene, daemon) = Scene::new();
    let mut walk = scene.walk("--timeout 10m");
    daemon.kill();
    walk.arrive(&scene.stripe.authorize(ACCOUNT, false));
    scene.stripe.await_calls(1);
    // Stripe has given a token away, and no signal loses it.
    for signal in [Signal::HUP, Signal::INT, Signal::TERM] {
        kill_process(Pid::from_child(&walk.child), signal).expect("it is our child");
    }
    let _daemon = scene.start_again();
    said(&walk.end());
    scene.assert_connected();
    assert_no_file_has_it(scene.home.path());
}

#[test]
fn token_that_the_daemon_cannot_take_is_told_with_the_remedy() {
    let (scene, daemon) = Scene::new();
    let mut walk = scene.walk("--timeout 10s");
    daemon.kill();
    walk.arrive(&scene.stripe.authorize(ACCOUNT, false));
    let told = [
        ACCOUNT,
        "not known to be stored",
        "start again",
        "no daemon answers",
    ];
    assert_stopped(&walk.end(), 1, &told);
    assert_no_file_has_it(scene.home.path());
}

#[test]
fn port_that_is_taken_is_named_with_the_remedy() {
    let (scene, _daemon) = Scene::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let options = format!("--client-id {CLIENT_ID} --redirect-port {port}");
    let output = scene.connecting(&options).output().expect("it can be run");
    let address = format!("localhost:{port}");
    assert_stopped(&output, 1, &[&address, "--redirect-port", "--paste"]);
}

#[test]
fn what_the_daemon_would_not_take_is_told_before_there_is_a_link() {
    let (scene, _daemon) = Scene::new();
    let end = |mut command: Command| command.output().expect("it can be run");
    let refused = end(scene.connecting("--paste --client-id app_1"));
    assert_stopped(&refused, 1, &["[FIELD_INVALID]", "client_id"]);
    let elsewhere = "--paste --client-id ca_1 --project nowhere";
    assert_stopped(&end(scene.connecting(elsewhere)), 1, &["[ACCESS_DENIED]"]);
    let live = "--client-id ca_1 --mode live";
    assert_stopped(&end(scene.connecting(live)), 2, &["mode TEST", "--mode"]);
    assert_stopped(&end(scene.connecting("")), 2, &["--client-id"]);
    assert_eq!(scene.stripe.calls(), 0);
}
