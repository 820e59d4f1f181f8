//! A stand-in for Stripe, and ours: it plays recorded answers that stripe-mock cannot give, and
//! shows its calls, which stripe-mock does not.

use claviger_stub::{Reply, Request, Stub};
use serde_json::Value;

/// Listens on a port of its own until it is dropped; one call on each connection.
#[derive(Debug)]
pub struct StripeStub(Stub);

impl StripeStub {
    /// Starts one that gives this answer to everything.
    pub fn start(status: u16, body: &Value) -> Self {
        Self::always(Reply::json(status, body))
    }

    /// Starts one that sends everybody elsewhere.
    pub fn moved_to(url: &str) -> Self {
        let moved = Reply::json(307, &Value::Null);
        Self::always(moved.header(&format!("Location: {url}")))
    }

    fn always(reply: Reply) -> Self {
        Self(Stub::always(reply.header("Connection: close")))
    }

    /// The text for `STRIPE_API_BASE`.
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// The calls since this was called last, once all connections have ended.
    pub fn take_asked(&self) -> Vec<Request> {
        self.0.await_hang_ups(0);
        self.0.take_asked()
    }
}

/// Takes every call and says nothing.
#[derive(Debug)]
pub struct SilentStripe(Stub);

impl SilentStripe {
    /// Starts one, which listens until it is dropped.
    pub fn start() -> Self {
        Self(Stub::always(Reply::Hang))
    }

    /// The text for `STRIPE_API_BASE`.
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// Waits until somebody has asked and everybody has hung up.
    pub fn await_hang_up(&self) {
        self.0.await_hang_ups(1);
    }
}
