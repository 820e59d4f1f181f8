//! Failures on demand.

use serde_json::{Value, json};

/// One way to answer a request other than by executing it.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Closes the connection without executing and without an answer.
    CutBefore,
    /// Executes, then closes the connection without an answer.
    CutAfter,
    /// Does not execute and refuses in the envelope, as Snowflake does: HTTP 200, `success: false`.
    Error {
        /// Six digits.
        code: String,
        /// Five letters or digits.
        sql_state: String,
        /// Text for a human.
        message: String,
    },
    /// Executes, sends half of the answer, then closes the connection.
    HalfBody,
    /// Waits until `Snowflake::release`, then executes and answers.
    Hang,
    /// Executes, then waits until `Snowflake::release` with the answer.
    HangAfter,
    /// Does not execute and answers with this status.
    Status(u16),
}

impl Fault {
    /// A refusal in the envelope.
    pub fn error(code: &str, sql_state: &str, message: &str) -> Self {
        Self::Error {
            code: code.to_owned(),
            sql_state: sql_state.to_owned(),
            message: message.to_owned(),
        }
    }

    /// The role may not do this to that object, such as `"schema"` and `"SECRETS"`.
    pub fn insufficient_privileges(kind: &str, name: &str) -> Self {
        let message = format!(
            "SQL access control error:\nInsufficient privileges to operate on {kind} '{name}'"
        );
        Self::error("003001", "42501", &message)
    }

    /// The schema, or the database, is not there.
    pub fn missing_object() -> Self {
        let message =
            "SQL compilation error:\nObject does not exist, or operation cannot be performed.";
        Self::error("002043", "02000", message)
    }

    /// The session is refused with this code: 390104, 390111, 390112 or 390114.
    pub fn session(code: &str) -> Self {
        let message = match code {
            "390111" => "Session no longer exists.  New login required to access the service.",
            "390112" => "Your session has expired. Please login again.",
            "390114" => "Authentication token has expired.  The user must authenticate again.",
            _ => "User must login again to access the service.",
        };
        Self::error(code, "08001", message)
    }

    /// The warehouse is suspended and does not resume.
    pub fn suspended_warehouse() -> Self {
        let message = "No active warehouse selected in the current session.  Select an active warehouse with the 'use warehouse' command.\n";
        Self::error("000606", "57P03", message)
    }

    /// The login is refused: the key is not the user's, or the user does not exist.
    pub fn invalid_token() -> Self {
        let message = "JWT token is invalid. [00000000-0000-0000-0000-000000000000]";
        Self::error("390144", "08001", message)
    }

    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::CutBefore => json!({"kind": "cut_before"}),
            Self::CutAfter => json!({"kind": "cut_after"}),
            Self::Error {
                code,
                sql_state,
                message,
            } => json!({
                "kind": "error",
                "code": code,
                "sql_state": sql_state,
                "message": message,
            }),
            Self::HalfBody => json!({"kind": "half_body"}),
            Self::Hang => json!({"kind": "hang"}),
            Self::HangAfter => json!({"kind": "hang_after"}),
            Self::Status(status) => json!({"kind": "status", "status": status}),
        }
    }
}
