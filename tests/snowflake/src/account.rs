//! The account, and all that a test can make happen to it.

use std::fmt;

use serde_json::{Value, json};

use crate::control::{Refusal, call, count, list, text, wait};
use crate::fault::Fault;
use crate::process::Process;

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

    /// The text for `base_url`.
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
        self.unknown_key_pem_of(2048)
    }

    /// One of so many bits.
    pub fn unknown_key_pem_of(&self, bits: u32) -> String {
        let asked = json!({"password": null, "known": false, "bits": bits});
        text(&self.control("private_key", &asked))
    }

    /// The token that a client would make of the user's key to log in, with some claims changed:
    /// one that is null is left out, and `iat` and `exp` are seconds from now.
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

    /// Does this to the next `times` logins of any user.
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
        wait(self.process.address(), "held", &json!({"count": count})).await;
    }

    /// Waits until this many statements that contain `matching` have been executed.
    pub async fn executed(&self, matching: &str, count: usize) {
        let asked = json!({"count": count, "matching": matching});
        wait(self.process.address(), "executed", &asked).await;
    }

    /// Refuses every session there is with this code; `"401"` is the status instead.
    pub fn expire_sessions(&self, code: &str) {
        self.control("expire_sessions", &json!({"code": code}));
    }

    /// Suspends the warehouse, which does not resume by itself: statements that need it get 000606.
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

    /// Asks for something that is not refused.
    pub(crate) fn control(&self, verb: &str, arguments: &Value) -> Value {
        let answer = self.try_control(verb, arguments);
        answer.unwrap_or_else(|refusal| panic!("{verb}: {refusal}"))
    }

    pub(crate) fn try_control(&self, verb: &str, arguments: &Value) -> Result<Value, Refusal> {
        call(self.process.address(), verb, arguments)
    }
}

impl fmt::Debug for Snowflake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snowflake")
            .field("address", &self.process.address())
            .finish_non_exhaustive()
    }
}
