//! The common ground of this folder's tests: the jobs, and definitions for them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use claviger_e2e::{Daemon, Home, StripeStub, tools};
use claviger_proto::v1;
use claviger_proto::v1::secret_definition::Kind;
use serde_json::json;

use crate::caller::{Caller, name, put_of};
use crate::python::generate_stubs;

/// The part after a prefix; long enough for a key.
pub(super) const BODY: &str = "0123456789abcdefghijWXYZ";

/// All of it but the last four.
pub(super) const SHOWN_TO_NOBODY: &str = "0123456789abcdefghij";

/// Exit code of a job for which a person has to change something.
pub(super) const CONFIGURATION: Option<i32> = Some(78);

/// Exit code of a job that may be started again as it is.
pub(super) const TRY_AGAIN: Option<i32> = Some(75);

/// An example of a job.
#[derive(Clone, Copy, Debug)]
pub(super) enum Job {
    Python,
    Go,
}

/// All of them, which do the same.
pub(super) const JOBS: [Job; 2] = [Job::Python, Job::Go];

/// A machine that runs jobs, with the modules that the one in Python imports.
pub(super) struct Worker {
    home: Home,
}

/// The end of a program: code and output.
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) printed: String,
    pub(super) errors: String,
}

impl Worker {
    pub(super) fn new() -> Self {
        let home = Home::new();
        generate_stubs(&home.path().join("stubs"));
        Self { home }
    }

    /// A path of its own.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A job that sees these variables and no others.
    pub(super) fn job(&self, job: Job, variables: &[(&str, &str)]) -> Command {
        let mut command = match job {
            Job::Python => self.python("list_customers.py"),
            Job::Go => Command::new(tools::stripe_job()),
        };
        if let Job::Go = job {
            command.env_clear();
        }
        command.envs(variables.iter().copied());
        command
    }

    /// A program of the example in Python.
    pub(super) fn python(&self, program: &str) -> Command {
        self.script(&examples().join(program))
    }

    /// A program in Python that finds the stubs.
    pub(super) fn script(&self, program: &Path) -> Command {
        let mut command = Command::new(tools::python());
        command
            .arg(program)
            .env_clear()
            .envs(self.python_environment());
        command
    }

    /// Variables for a Python that finds the stubs and leaves nothing in the tree.
    pub(super) fn python_environment(&self) -> [(&'static str, PathBuf); 2] {
        [
            ("PYTHONPATH", self.file("stubs")),
            ("PYTHONDONTWRITEBYTECODE", PathBuf::from("1")),
        ]
    }

    /// Runs a job to its end.
    pub(super) fn run(&self, job: Job, variables: &[(&str, &str)]) -> Ended {
        end(&mut self.job(job, variables))
    }

    /// Runs a job that is told a definition of a daemon, another Stripe, and more.
    pub(super) fn run_with(
        &self,
        job: Job,
        (daemon, id): (&Daemon, &str),
        stripe: &str,
        more: &[(&str, &str)],
    ) -> Ended {
        let (address, name) = (address(daemon), name(id));
        let mut variables = vec![
            ("CLAVIGER_ADDRESS", address.as_str()),
            ("CLAVIGER_SECRET", name.as_str()),
            ("STRIPE_API_BASE", stripe),
        ];
        variables.extend(more);
        self.run(job, &variables)
    }
}

/// The directory of the example in Python.
pub(super) fn examples() -> PathBuf {
    tools::repository().join("deploy/examples/stripe-runner")
}

/// Runs a program to its end.
pub(super) fn end(command: &mut Command) -> Ended {
    command.stdin(Stdio::null());
    Ended::from(command.output().expect("the program can be started"))
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            printed: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            code,
            printed,
            errors,
        } = self;
        write!(f, "{code:?}\n{printed}\n{errors}")
    }
}

impl Ended {
    /// Checks that it did its work and complained of nothing.
    #[track_caller]
    pub(super) fn assert_listed(&self, customers: &[String]) {
        assert_eq!(self.code, Some(0), "{self}");
        assert!(self.printed.lines().eq(customers), "{self}");
        assert_eq!(self.errors, "");
    }

    /// Checks that it did nothing but say this, and showed no key.
    #[track_caller]
    pub(super) fn assert_refused(&self, code: Option<i32>, said: &[&str]) {
        assert_eq!(self.code, code, "{self}");
        assert_eq!(self.printed, "");
        for words in said {
            assert!(self.errors.contains(words), "{words} is not in {self}");
        }
        assert!(!self.errors.contains(SHOWN_TO_NOBODY), "{self}");
    }
}

/// A key with this prefix.
pub(super) fn key(prefix: &str) -> String {
    format!("{prefix}{BODY}")
}

/// The address of a daemon's socket, as jobs write it.
pub(super) fn address(daemon: &Daemon) -> String {
    format!("unix:{}", daemon.socket().display())
}

/// A definition of a key in the default vault.
pub(super) fn definition(id: &str, kind: Kind) -> v1::SecretDefinition {
    v1::SecretDefinition {
        name: name(id),
        kind: kind.into(),
        ..Default::default()
    }
}

/// Registers a definition with its value.
pub(super) async fn register(daemon: &Daemon, definition: v1::SecretDefinition, text: &str) {
    let put = put_of(definition, Some(text));
    let put = Caller::of(daemon).await.put(put).await;
    put.expect("registered");
}

/// A daemon with the key `stripe`, which is of test mode.
pub(super) async fn daemon_with_key(home: &Home) -> Daemon {
    let daemon = home.start_dev();
    let stored = definition("stripe", Kind::StripeApiKey);
    register(&daemon, stored, &key("rk_test_")).await;
    daemon
}

/// A stub of Stripe for an account without customers.
pub(super) fn empty_account() -> StripeStub {
    let list = json!({ "object": "list", "data": [], "has_more": false, "url": "/v1/customers" });
    StripeStub::start(200, &list)
}
