//! Access: grants, roles, the one evaluator and the proof that it ran.
//!
//! [`Authorizer::authorize`] is the only maker of [`Authorized`]; whatever reads a definition,
//! writes to a vault or commits takes one by reference, so forgetting to ask does not compile.
//! Knows no store and no transport: grants come through [`Directory`], records leave through
//! [`DecisionLog`].
#![forbid(unsafe_code)]

mod authorize;
mod call;
mod claim;
mod directory;
mod evaluate;
mod explain;
mod facts;
mod foreign;
mod grant;
mod principal;

pub use authorize::{Authorized, Authorizer, Granted};
pub use call::{Call, Caller, Decision, DecisionLog, Outcome, Phase, Proof, Rpc};
pub use directory::{Directory, Resolved};
pub use evaluate::{Attribute, Question, evaluate};
pub use explain::{Explanation, explain};
pub use facts::{Edit, Facts, Told, Word};
pub use foreign::Foreign;
pub use grant::{Grant, Permission, Role, Scope};
pub use principal::{Label, Principal};
