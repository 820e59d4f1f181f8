//! A Snowflake of ours for the tests: fakesnow behind the JSON that the Rust connector speaks.
//!
//! Starts the Python program beside this package and ends it. What is emulated, by whom, and what
//! is not, is said at the top of that program; nothing here knows any SQL. Administrators act
//! through [`Snowflake::console`] and its helpers, which are no requests of Claviger's and so
//! appear in no count.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "part of the tests: whatever goes wrong here has to end the test"
)]

mod console;
mod control;
mod fault;
mod process;

use std::fmt;

use serde_json::{Value, json};

pub use console::{Grant, Refusal, Row};
pub use fault::Fault;

use process::Process;

/// One account with its database; it ends with this value.
pub struct Snowflake {
    process: Process,
}

/// A request that Claviger sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// Path with its query.
    pub path: String,
    /// Body as sent, unpacked if it was compressed.
    pub body: String,
}

impl Snowflake {
    /// Starts one on a free port of the loopback interface.
    ///
    /// # Panics
    /// If `CLAVIGER_TEST_PYTHON` is not set: `cargo xtask test` sets it.
    pub fn start() -> Self {
        Self {
            process: Process::start(),
        }
    }

    /// What goes into `base_url`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.process.address())
    }

    /// The account: an identifier with a region, of which tokens carry the part before the dot.
    pub fn account(&self) -> &'static str {
        "xy12345.eu-central-1"
    }

    /// The user that the public key belongs to.
    pub fn user(&self) -> &'static str {
        "CLAVIGER_SVC"
    }

    /// The role of that user.
    pub fn role(&self) -> &'static str {
        "CLAVIGER"
    }

    /// The warehouse, which runs.
    pub fn warehouse(&self) -> &'static str {
        "CLAVIGER_WH"
    }

    /// The database.
    pub fn database(&self) -> &'static str {
        "BROKER"
    }

    /// An ordinary schema of it.
    pub fn schema(&self) -> &'static str {
        "SECRETS"
    }

    /// A schema `WITH MANAGED ACCESS`: only its owner, an administrator, may grant.
    pub fn managed_schema(&self) -> &'static str {
        "MANAGED"
    }

    /// The schema for reader procedures.
    pub fn readers_schema(&self) -> &'static str {
        "READERS"
    }

    /// The external access integration that readers name.
    pub fn integration(&self) -> &'static str {
        "CLAVIGER_EAI"
    }

    /// An application to grant to.
    pub fn application(&self) -> &'static str {
        "MATILLION_DATA_PRODUCTIVITY_CLOUD"
    }

    /// The user's private key in PKCS#8, encrypted if a password is given.
    pub fn private_key_pem(&self, password: Option<&str>) -> String {
        let asked = json!({"password": password, "known": true});
        text(&self.control("private_key", &asked))
    }

    /// A private key that belongs to nobody.
    pub fn unknown_key_pem(&self) -> String {
        let asked = json!({"password": null, "known": false});
        text(&self.control("private_key", &asked))
    }

    /// What a client would make of the user's key to log in, with some claims changed: one that is
    /// null is left out, and `iat` and `exp` are seconds from now.
    pub fn login_token(&self, changes: &Value) -> String {
        text(&self.control("login_token", &json!({"changes": changes})))
    }

    /// Token of a session in the database and the schema, for a client that does not log in.
    pub fn issue_session(&self) -> String {
        text(&self.control("issue_session", &json!({})))
    }

    /// Does this to the next `times` statements that contain `matching`, upper or lower case.
    ///
    /// Faults are tried in the order they were made; each statement meets one at most.
    #[expect(clippy::needless_pass_by_value, reason = "reads better in a test")]
    pub fn fault(&self, matching: &str, times: usize, fault: Fault) {
        let mut asked = fault.to_json();
        asked["matching"] = json!(matching);
        asked["times"] = json!(times);
        self.control("fault", &asked);
    }

    /// Does this to the next `times` logins, whoever logs in.
    #[expect(clippy::needless_pass_by_value, reason = "reads better in a test")]
    pub fn fault_login(&self, times: usize, fault: Fault) {
        let mut asked = fault.to_json();
        asked["login"] = json!(true);
        asked["times"] = json!(times);
        self.control("fault", &asked);
    }

    /// Lets go of everything that is held, and forgets all faults.
    pub fn release(&self) {
        self.control("release", &json!({}));
    }

    /// Waits until this many requests are held.
    pub async fn held(&self, count: usize) {
        let address = self.process.address().to_owned();
        control::wait(&address, "held", &json!({"count": count})).await;
    }

    /// Waits until this many statements that contain `matching` have been executed.
    pub async fn executed(&self, matching: &str, count: usize) {
        let address = self.process.address().to_owned();
        let asked = json!({"count": count, "matching": matching});
        control::wait(&address, "executed", &asked).await;
    }

    /// Refuses every session there is with this code; `"401"` is the status instead.
    pub fn expire_sessions(&self, code: &str) {
        self.control("expire_sessions", &json!({"code": code}));
    }

    /// Suspends the warehouse, which does not resume by itself: what needs it gets 000606.
    pub fn suspend_warehouse(&self) {
        self.control("warehouse", &json!({"running": false}));
    }

    /// Resumes it.
    pub fn resume_warehouse(&self) {
        self.control("warehouse", &json!({"running": true}));
    }

    /// Whether `SECRET_STRING = ?` and `COMMENT = ?` are taken, as they are from the start.
    ///
    /// The documentation leaves open whether the real service takes them; if not, it refuses them
    /// as a syntax error.
    pub fn set_takes_binds_in_secrets(&self, takes: bool) {
        self.control("binds_in_secrets", &json!({"takes": takes}));
    }

    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        let answer = self.control("requests", &json!({}));
        let field = |request: &Value, name: &str| text(&request[name]);
        list(&answer)
            .map(|request| Request {
                path: field(request, "path"),
                body: field(request, "body"),
            })
            .collect()
    }

    /// How many logins were tried, whatever came of them.
    pub fn logins(&self) -> usize {
        count(&self.control("logins", &json!({})))
    }

    /// How many statements that contain `matching` arrived, whatever came of them.
    pub fn statements(&self, matching: &str) -> usize {
        count(&self.control("statements", &json!({"matching": matching})))
    }

    fn control(&self, verb: &str, arguments: &Value) -> Value {
        match control::call(self.process.address(), verb, arguments) {
            Ok(value) => value,
            Err(refusal) => panic!("{verb}: {refusal}"),
        }
    }
}

impl fmt::Debug for Snowflake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snowflake")
            .field("address", &self.process.address())
            .finish_non_exhaustive()
    }
}

fn text(value: &Value) -> String {
    let text = value.as_str().unwrap_or_else(|| panic!("no text: {value}"));
    text.to_owned()
}

fn count(value: &Value) -> usize {
    let number = value.as_u64().expect("a count");
    usize::try_from(number).expect("a small count")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("a list").iter()
}
