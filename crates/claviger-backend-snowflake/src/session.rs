//! The session that all calls to one vault share: statements side by side in it, none in a
//! transaction, so that one which waits for a warehouse holds nobody up.
//!
//! Nothing is tried twice but a statement whose session was refused, once, in a fresh one. A call
//! that finds the session gone waits for one log-in, and shares its outcome. One that Snowflake
//! refused stands for a while.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use claviger_backend::count_request;
use claviger_core::{Cause, Clock};
use serde_json::json;
use snowflake_connector_rs::{
    AuthConfig, CellValue, Client, ClientConfig, DynamicRow, EndpointConfig, KeyPairConfig,
    PositionalBinds, QueryConfig, Session, SessionConfig, Statement,
};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::SnowflakeSettings;
use crate::error::Failure;
use crate::guard::Guard;
use crate::key::Key;
use crate::sql::Ident;

pub(crate) type Answer<T> = Result<T, Failure>;

/// A statement with its binds.
pub(crate) type Query = Statement<PositionalBinds>;

/// How Snowflake's administrators recognise our statements.
const QUERY_TAG: &str = "claviger";

/// How long a log-in that was refused stands: a user whose key is wrong is locked after some.
const REFUSED_FOR: Duration = Duration::from_secs(5);

/// The guard's answer to who does not show its credential.
const UNKNOWN_TO_GUARD: u16 = 407;

/// Said where the guard was asked for another way than to the account.
const ASTRAY: &str = "the answer leads to a host that is neither the account's nor one of \
                      result_hosts; nothing was sent there";

/// The shared session, made when it is needed.
pub(crate) struct Sessions {
    settings: SnowflakeSettings,
    guard: Guard,
    clock: Arc<dyn Clock>,
    /// For one statement, or one log-in.
    patience: Duration,
    state: Mutex<State>,
    /// How many log-ins have come to an end.
    logins: AtomicU64,
    /// Whether Snowflake takes the value of a secret as a bind, once it is known.
    pub(crate) takes_binds: OnceLock<bool>,
}

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    /// How the last log-in failed.
    failure: Option<Failure>,
    /// When Snowflake refused it.
    refused: Option<SystemTime>,
}

impl Sessions {
    /// Asks nobody. A statement is given half the time of a call, so that a write whose answer does
    /// not come can be looked for in the other half.
    pub(crate) fn new(
        settings: SnowflakeSettings,
        guard: Guard,
        call_timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            settings,
            guard,
            clock,
            patience: call_timeout / 2,
            state: Mutex::default(),
            logins: AtomicU64::new(0),
            takes_binds: OnceLock::new(),
        }
    }

    /// Runs one statement.
    pub(crate) async fn run(&self, query: Query) -> Answer<Vec<Row>> {
        let session = self.session(None).await?;
        match self.execute(&session, query.clone()).await {
            Err(failure) if failure.is_expired() => {
                let session = self.session(Some(&session)).await?;
                self.execute(&session, query).await
            }
            outcome => outcome,
        }
    }

    async fn execute(&self, session: &Session, query: Query) -> Answer<Vec<Row>> {
        let before = self.guard.strayed();
        count_request();
        let rows = async {
            let found = session.query(query).await?;
            // The connector has no limit of its own for the parts of a large result.
            match timeout(self.patience, found.collect::<Vec<DynamicRow>>()).await {
                Ok(rows) => Ok(rows?.into_iter().map(Row).collect()),
                Err(_) => Err(Failure::Lost(
                    Cause::Timeout,
                    "the rest of an answer did not come in time",
                )),
            }
        };
        rows.await.map_err(|failure| self.astray(before, failure))
    }

    /// What became of a call that was led elsewhere on its way: the place that it was meant for may
    /// have taken it first. The connector keeps the guard's credential to itself when it follows to
    /// another host in the clear. And why there was no way, which only the guard knows.
    fn astray(&self, before: u64, failure: Failure) -> Failure {
        let is_astray =
            self.guard.strayed() != before || matches!(failure, Failure::Status(UNKNOWN_TO_GUARD));
        if is_astray {
            return Failure::unusable(ASTRAY);
        }
        match matches!(failure, Failure::NotSent(Cause::Proxy)) {
            true => Failure::NotSent(self.guard.cause()),
            false => failure,
        }
    }

    /// Runs one statement without binds.
    pub(crate) async fn run_text(&self, sql: String) -> Answer<Vec<Row>> {
        self.run(Query::new_positional(sql)).await
    }

    /// The session, another one than `spent`.
    async fn session(&self, spent: Option<&Arc<Session>>) -> Answer<Arc<Session>> {
        let seen = self.logins.load(Ordering::SeqCst);
        let mut state = self.state.lock().await;
        let is_fresh =
            |session: &&Arc<Session>| spent.is_none_or(|spent| !Arc::ptr_eq(spent, session));
        if let Some(session) = state.session.as_ref().filter(is_fresh) {
            return Ok(Arc::clone(session));
        }
        // SECURITY: a call that waited for a log-in that failed, or comes right after one that was
        // refused, does not try again: fifty wrong ones lock the user.
        let is_recent = |refused: SystemTime| {
            let since = self.clock.now().duration_since(refused);
            since.is_ok_and(|since| since < REFUSED_FOR)
        };
        if (self.logins.load(Ordering::SeqCst) != seen || state.refused.is_some_and(is_recent))
            && let Some(failure) = &state.failure
        {
            return Err(failure.clone());
        }
        state.session = None;
        let before = self.guard.strayed();
        let outcome = timeout(self.patience, self.log_in()).await;
        let outcome = outcome.unwrap_or(Err(Failure::Lost(Cause::Timeout, "log-in time-out")));
        let outcome = outcome.map_err(|failure| self.astray(before, failure));
        let outcome = outcome.map_err(Failure::before_sent);
        self.logins.fetch_add(1, Ordering::SeqCst);
        state.failure = outcome.as_ref().err().cloned();
        let is_refused = matches!(state.failure, Some(Failure::Rejected));
        state.refused = is_refused.then(|| self.clock.now());
        let session = Arc::new(outcome?);
        state.session = Some(Arc::clone(&session));
        Ok(session)
    }

    async fn log_in(&self) -> Answer<Session> {
        let settings = self.settings.clone();
        // Where waiting for a slow disk, or for a key to be opened, holds nobody up.
        let key = tokio::task::spawn_blocking(move || {
            let password = settings.private_key_password_file.as_deref();
            Key::read(&settings.private_key_file, password)
        });
        let key = key.await;
        let key = key
            .map_err(|_| Failure::Bug("the private key could not be read"))?
            .map_err(Failure::Key)?;
        let client = Client::new(self.config(&key))?;
        Ok(client.create_session().await?)
    }

    fn config(&self, key: &Key) -> ClientConfig {
        let settings = &self.settings;
        let pem = String::from_utf8_lossy(key.pem.expose()).into_owned();
        let pair = match &key.password {
            Some(password) => KeyPairConfig::from_encrypted_pem(pem, password.expose()),
            None => KeyPairConfig::from_pem(pem),
        };
        // A statement that nobody waits for ends in Snowflake too.
        let limit = self.patience.as_secs().max(1);
        let session = SessionConfig::new()
            .with_role(log_in_name(&settings.role))
            .with_database(log_in_name(&settings.database))
            .with_schema(log_in_name(&settings.schema))
            .with_session_parameter("QUERY_TAG", json!(QUERY_TAG))
            // Parameters that an account may have set otherwise: names are as they are quoted,
            // every statement stands for itself and is one, and answers are whole and bytes of the
            // form that is read.
            .with_session_parameter("AUTOCOMMIT", json!(true))
            .with_session_parameter("BINARY_OUTPUT_FORMAT", json!("HEX"))
            .with_session_parameter("MULTI_STATEMENT_COUNT", json!(1))
            .with_session_parameter("QUOTED_IDENTIFIERS_IGNORE_CASE", json!(false))
            .with_session_parameter("ROWS_PER_RESULTSET", json!(0))
            .with_session_parameter("STATEMENT_TIMEOUT_IN_SECONDS", json!(limit));
        let session = match &settings.warehouse {
            Some(warehouse) => session.with_warehouse(log_in_name(warehouse)),
            None => session,
        };
        let endpoint = settings.url().map(EndpointConfig::custom_base_url);
        ClientConfig::new(
            settings.user.as_str(),
            settings.log_in_account(),
            AuthConfig::key_pair(pair),
        )
        .with_session(session)
        .with_transport(self.guard.transport())
        .with_query(QueryConfig::new().with_query_response_timeout(self.patience))
        .with_endpoint(endpoint.unwrap_or_default())
    }
}

/// A name that Snowflake resolves at a log-in as it does in a statement: a name that it would
/// change needs quotes.
fn log_in_name(name: &str) -> String {
    let is_plain = |byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_');
    let is_exact =
        name.bytes().all(is_plain) && !name.starts_with(|first: char| first.is_ascii_digit());
    match is_exact {
        true => name.to_owned(),
        false => Ident(name).to_string(),
    }
}

/// One row of an answer.
pub(crate) struct Row(DynamicRow);

impl Row {
    fn value(&self, column: &str) -> Option<&CellValue> {
        self.0.value(column).ok()
    }

    /// A text, whole.
    pub(crate) fn text(&self, column: &str) -> Option<&str> {
        if let CellValue::String(text) = self.value(column)? {
            Some(text)
        } else {
            None
        }
    }

    /// The text of the only column.
    pub(crate) fn into_text(mut self) -> Option<String> {
        if let CellValue::String(text) = self.0.take_at(0).ok()? {
            Some(text)
        } else {
            None
        }
    }

    pub(crate) fn number(&self, column: &str) -> Option<i64> {
        if let CellValue::Integer(number) = self.value(column)? {
            i64::try_from(*number).ok()
        } else {
            None
        }
    }

    pub(crate) fn bytes(&self, column: &str) -> Option<&[u8]> {
        if let CellValue::Binary(bytes) = self.value(column)? {
            Some(bytes.as_bytes())
        } else {
            None
        }
    }
}
