//! A stand-in for AWS, and ours: it plays answers that moto cannot give, or lets something happen
//! between two calls that moto answers itself.

use claviger_stub::aws::operation;
use claviger_stub::{Request, Stub};
use serde_json::Value;

pub use claviger_stub::Reply as AwsReply;

/// A call to AWS.
#[derive(Clone, Debug)]
pub struct AwsRequest {
    /// `GetSecretValue` for example.
    pub operation: String,
    /// Its body.
    pub body: Value,
}

impl AwsRequest {
    /// The secret that is meant.
    pub fn secret(&self) -> &str {
        let named = self.body.get("SecretId").or_else(|| self.body.get("Name"));
        named.and_then(Value::as_str).unwrap_or_default()
    }
}

impl From<&Request> for AwsRequest {
    fn from(request: &Request) -> Self {
        Self {
            operation: operation(request).to_owned(),
            body: serde_json::from_str(&request.body).unwrap_or_default(),
        }
    }
}

/// Listens on a port of its own until it is dropped.
#[derive(Debug)]
pub struct AwsStub(Stub);

impl AwsStub {
    /// Starts one that answers as told. Calls on different connections are played at once.
    pub fn start(play: impl Fn(&AwsRequest) -> AwsReply + Send + Sync + 'static) -> Self {
        Self(Stub::start(move |request| play(&request.into())))
    }

    /// The text for `endpoint_url`.
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// The calls about single secrets since this was called last. The daemon also looks by itself
    /// whether a vault is well, which names none.
    pub fn take_asked(&self) -> Vec<AwsRequest> {
        let asked = self.0.take_asked();
        let mut asked: Vec<AwsRequest> = asked.iter().map(AwsRequest::from).collect();
        asked.retain(|request| !request.secret().is_empty());
        asked
    }
}
