//! The ways in which an exchange of a refresh token or a code goes wrong.

use serde_json::{Value, json};

use crate::message::Reply;

/// Where a refresh waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hold {
    /// Its token was found good.
    BeforeCommit,
    /// Its successor is the one that counts.
    BeforeAnswer,
}

/// What becomes of an exchange that would succeed.
#[derive(Clone, Debug)]
pub enum Twist {
    /// It fails, and nothing has changed.
    Before(Fault),
    /// It fails, and the token is spent.
    After(Fault),
    /// It succeeds with an odd answer.
    Answer(Oddity),
}

/// How an exchange fails.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection is reset.
    Cut,
    /// There never is an answer.
    Hang,
    /// It is sent to this address.
    Redirect(String),
    /// The status is this one; to be tried again after seven seconds.
    Status(u16),
}

/// What is odd about the answer to an exchange.
#[derive(Clone, Debug)]
pub enum Oddity {
    /// It ends in the middle.
    Half,
    /// It has 10 MiB.
    Huge,
    /// There is no access token in it.
    NoAccessToken,
    /// There is no refresh token in it.
    NoRefreshToken,
    /// It is a page for people.
    NotJson,
    /// It names this account.
    OtherAccount(String),
    /// It names the other mode.
    OtherMode,
    /// It has this scope.
    OtherScope(String),
}

impl Fault {
    pub(super) fn reply(&self) -> Reply {
        match self {
            Self::Cut => Reply::Reset,
            Self::Hang => Reply::Hang,
            Self::Redirect(to) => Reply::text(307, "").header(&format!("Location: {to}")),
            Self::Status(status) => {
                let error = json!({"error": {"type": "api_error", "message": "later"}});
                Reply::json(*status, &error).header("Retry-After: 7")
            }
        }
    }
}

impl Oddity {
    pub(super) fn reply(&self, mut answer: Value) -> Reply {
        match self {
            Self::Half => return Reply::HalfBody(answer.to_string()),
            Self::Huge => answer["filler"] = "x".repeat(10 << 20).into(),
            Self::NoAccessToken => answer["access_token"] = Value::Null,
            Self::NoRefreshToken => answer["refresh_token"] = Value::Null,
            Self::NotJson => return Reply::text(200, "<html>welcome</html>"),
            Self::OtherAccount(account) => answer["stripe_user_id"] = account.as_str().into(),
            Self::OtherMode => answer["livemode"] = (answer["livemode"] == false).into(),
            Self::OtherScope(scope) => answer["scope"] = scope.as_str().into(),
        };
        Reply::json(200, &answer)
    }
}
