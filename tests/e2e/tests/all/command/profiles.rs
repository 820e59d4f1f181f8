//! `claviger profile`, with a stand-in of ours for Stripe.

mod connect;
mod keep;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use claviger_e2e::{Daemon, Home, output_of, tools};
use claviger_stub::stripe_oauth::{CANARY, CLIENT_SECRET, Rules, StripeOauth};

const ACCOUNT: &str = "acct_1One";

/// A daemon that asks the stand-in, and a user of it.
struct Scene {
    home: Home,
    stripe: StripeOauth,
    socket: PathBuf,
}

impl Scene {
    fn new() -> (Self, Daemon) {
        let home = Home::new();
        let stripe = StripeOauth::start(Rules::default());
        let daemon = started(&home, &stripe);
        let socket = daemon.socket();
        let scene = Self {
            home,
            stripe,
            socket,
        };
        (scene, daemon)
    }

    fn start_again(&self) -> Daemon {
        started(&self.home, &self.stripe)
    }

    fn command(&self, line: &str) -> Command {
        let words = line.split_whitespace().collect::<Vec<_>>();
        let mut command = self.home.program(tools::claviger(), &words);
        command
            .env(
                "CLAVIGER_ADDRESS",
                format!("unix:{}", self.socket.display()),
            )
            .env("CLAVIGER_PROJECT", "dev");
        command
    }

    fn run(&self, line: &str) -> Output {
        self.run_with(line, "")
    }

    /// With this on standard input.
    fn run_with(&self, line: &str, input: &str) -> Output {
        output_of(&mut self.command(line), input)
    }

    /// A file that holds this.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.home.path().join(name);
        fs::write(&file, text).expect("a writable home");
        file
    }

    /// The option that names a file with the client secret.
    fn client_secret(&self) -> String {
        let file = self.file("client-secret", &format!("{CLIENT_SECRET}\n"));
        format!("--client-secret-from {}", file.display())
    }
}

fn started(home: &Home, stripe: &StripeOauth) -> Daemon {
    let config = format!(
        "[stripe]\nbase_url = \"{url}\"\nconnect_url = \"{url}\"\nhosts = [\"127.0.0.1\"]\n",
        url = stripe.url()
    );
    home.start(&mut home.configured(&config))
}

/// Neither stream has anything of a credential.
#[track_caller]
fn assert_clean(output: &Output) {
    for stream in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(stream);
        assert!(!text.contains(CANARY), "{text}");
    }
}
