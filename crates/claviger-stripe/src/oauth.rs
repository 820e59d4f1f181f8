//! Stripe's OAuth: tokens for an authorization code or a refresh token, who a token is for, and the
//! end of an install.
//!
//! Each call is made once. Whether to make it again is for the caller to know, who keeps the refresh
//! token: what can be told about the one that was sent is in [`GrantFailure`].
//!
//! SECURITY: of Stripe's answers nothing is kept but the tokens, the account, the mode and the life:
//! its error texts repeat refresh tokens in full. Hosts are those of `[stripe]`, no redirect is
//! followed.

mod answer;
mod client;
mod disconnect;
pub mod fields;
mod server;

pub use answer::{GrantFailure, Tokens};
pub use client::{AccountAnswer, OauthClient};
pub use disconnect::{Disconnect, DisconnectFailure};
pub use server::{Flavor, Reuse, access_life};
