//! Who may do what: grants, roles, the one evaluator and the proof that it ran.
//!
//! [`Authorizer::authorize`] is the only maker of [`Authorized`]; whatever reads a definition,
//! writes to a vault or commits takes one by reference, so forgetting to ask does not compile.
//! Knows no store and no transport: grants come through [`Directory`], records leave through
//! [`DecisionLog`].
#![forbid(unsafe_code)]

mod authorize;
mod call;
mod evaluate;
mod grant;

pub use authorize::{Authorized, Authorizer, Directory, Resolved};
pub use call::{Call, Caller, Decision, DecisionLog, Label, Outcome, Phase, Principal, Rpc};
pub use evaluate::{Question, evaluate};
pub use grant::{Grant, Permission, Role, Scope};
