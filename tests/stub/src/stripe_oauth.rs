//! Stripe's OAuth as others measured it, played by a stand-in of ours, which was never compared with
//! Stripe itself: the token endpoints of Apps and Connect for codes and refresh tokens,
//! `GET /v1/account` and `/v1/balance` with what they issue, and the two ends of an install.
//!
//! Nothing happens by a clock: an old access token lives for a number of calls, and answers are held
//! until a test lets them go. Refusals repeat the token that was sent, as Stripe's do.

mod server;
mod state;
mod twist;

pub use server::{Rules, StripeOauth};
pub use state::{APP, CANARY, CLIENT_ID, CLIENT_SECRET};
pub use twist::{Fault, Hold, Oddity, Twist};
