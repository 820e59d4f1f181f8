//! How AWS is asked, and how it refuses.

use crate::message::{Reply, Request};

/// The operation of Secrets Manager, for example `GetSecretValue`; empty for another service.
pub fn operation(request: &Request) -> &str {
    let target = request.header("x-amz-target").unwrap_or_default();
    target.strip_prefix("secretsmanager.").unwrap_or(target)
}

/// The access key that the request is signed with, if it is signed.
pub fn access_key(request: &Request) -> Option<&str> {
    let (_, credential) = request.header("authorization")?.split_once("Credential=")?;
    credential.split('/').next()
}

/// A refusal as AWS words it.
pub fn refusal(status: u16, code: &str, message: &str) -> Reply {
    let body = format!(r#"{{"__type":"{code}","Message":"{message}"}}"#);
    Reply::json(status, &body)
}
