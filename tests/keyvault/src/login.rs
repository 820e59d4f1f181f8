//! Where tokens come from: Entra's host, and the managed identity of an app service.

use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::server::{self, Body, Call, Cut, response};
use crate::shared::Shared;
use crate::vault::now;

pub(crate) const HOST: &str = "login.microsoftonline.com";

/// Of which all tokens are.
const RESOURCE: &str = "https://vault.azure.net";

/// How logins fail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Login {
    /// The secret of the application was right once.
    ExpiredSecret,
    /// There is no answer until [`crate::Fake::release`].
    Hang,
    /// The secret of the application is wrong.
    InvalidClient,
    /// There is no such tenant.
    WrongTenant,
}

/// A refusal by Entra. The codes and what comes before them are the vendor's; the rest of the texts
/// was not recorded.
struct Refusal {
    status: u16,
    error: &'static str,
    code: u32,
    message: String,
}

/// Answers a request to [`HOST`].
pub(crate) async fn answer(shared: &Arc<Shared>, call: &Call) -> Response<Body> {
    let segments = call.segments();
    let segments = segments.iter().map(String::as_str).collect::<Vec<_>>();
    match (call.method.as_str(), segments.as_slice()) {
        ("POST", [tenant, "oauth2", "v2.0", "token"]) => {
            let fault = begin(shared).await;
            match check(shared, call, tenant, fault) {
                Ok(()) => token(shared),
                Err(refusal) => refusal.response(),
            }
        }
        ("GET", [tenant, "v2.0", ".well-known", "openid-configuration"]) => {
            if *tenant == shared.tenant {
                discovery(tenant)
            } else {
                Refusal::unknown_tenant(tenant).response()
            }
        }
        (_, _) => response::<&str>(404, [], ""),
    }
}

/// Counts a login and waits if logins hang; the fault that is to be answered, if any.
async fn begin(shared: &Arc<Shared>) -> Option<Login> {
    let (fault, hold) = {
        let mut state = shared.state();
        state.logins += 1;
        let fault = state.login_fault;
        let hangs = fault == Some(Login::Hang);
        (fault, hangs.then(|| shared.hold(&state)))
    };
    if let Some(hold) = hold {
        hold.await;
    }
    fault
}

fn check(shared: &Shared, call: &Call, tenant: &str, fault: Option<Login>) -> Result<(), Refusal> {
    if tenant != shared.tenant || fault == Some(Login::WrongTenant) {
        return Err(Refusal::unknown_tenant(tenant));
    }
    let form = str::from_utf8(&call.body).unwrap_or_default();
    let field = |name| server::field(form, name).unwrap_or_default();
    let refused = |error, code, message: &str| Err(Refusal::new(400, error, code, message));
    if field("grant_type") != "client_credentials" {
        let message = "The grant type is not supported.";
        return refused("unsupported_grant_type", 70_003, message);
    }
    if field("client_id") != shared.client_id {
        let message = "The application was not found in the directory.";
        return refused("unauthorized_client", 700_016, message);
    }
    let scope = format!("{RESOURCE}/.default");
    if !field("scope").split(' ').any(|asked| asked == scope) {
        let message = "The provided value for the input parameter 'scope' is not valid.";
        return refused("invalid_scope", 70_011, message);
    }
    if fault == Some(Login::ExpiredSecret) {
        return Err(Refusal::expired_secret(&shared.client_id));
    }
    if fault != Some(Login::InvalidClient) && is_proven(shared, form) {
        return Ok(());
    }
    Err(if field("client_assertion").is_empty() {
        Refusal::wrong_secret(&shared.client_id)
    } else {
        Refusal::wrong_assertion()
    })
}

/// Whether the form proves that the application sent it.
fn is_proven(shared: &Shared, form: &str) -> bool {
    let field = |name| server::field(form, name).unwrap_or_default();
    if field("client_secret") == shared.client_secret {
        return true;
    }
    if field("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
        return false;
    }
    let assertion = field("client_assertion");
    let audience = format!("https://{HOST}/{}/oauth2/v2.0/token", shared.tenant);
    assertion == shared.federated_token
        || shared
            .client_certificate()
            .has_signed(&assertion, &shared.client_id, &audience)
}

fn token(shared: &Shared) -> Response<Body> {
    let token = shared.state().issue_token();
    let body = format!(
        r#"{{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"{token}"}}"#
    );
    json_response(200, body)
}

/// What the Python client reads before it logs in.
fn discovery(tenant: &str) -> Response<Body> {
    let base = format!("https://{HOST}/{tenant}");
    let body = json!({
        "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
        "issuer": format!("{base}/v2.0"),
        "token_endpoint": format!("{base}/oauth2/v2.0/token"),
    });
    json_response(200, body.to_string())
}

fn json_response(status: u16, body: String) -> Response<Body> {
    let headers = [
        (CACHE_CONTROL.as_str(), "no-store, no-cache"),
        (CONTENT_TYPE.as_str(), "application/json; charset=utf-8"),
    ];
    response(status, headers, body)
}

impl Refusal {
    fn new(status: u16, error: &'static str, code: u32, message: impl Into<String>) -> Self {
        Self {
            status,
            error,
            code,
            message: message.into(),
        }
    }

    fn unknown_tenant(tenant: &str) -> Self {
        let message = format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and \
             are signing into the correct cloud."
        );
        Self::new(400, "invalid_request", 90_002, message)
    }

    fn expired_secret(client_id: &str) -> Self {
        let message = format!(
            "The provided client secret keys for app '{client_id}' are expired. Visit the Azure \
             portal to create new keys for your app."
        );
        Self::new(401, "invalid_client", 7_000_222, message)
    }

    fn wrong_secret(client_id: &str) -> Self {
        let message = format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the \
             client secret value, not the client secret ID, for a secret added to app \
             '{client_id}'."
        );
        Self::new(401, "invalid_client", 7_000_215, message)
    }

    fn wrong_assertion() -> Self {
        let message = "The certificate with identifier used to sign the client assertion is not \
                       registered on application.";
        Self::new(401, "invalid_client", 700_027, message)
    }

    fn response(&self) -> Response<Body> {
        let Self {
            status,
            error,
            code,
            message,
        } = self;
        let id = Uuid::new_v4().to_string();
        let time = "2026-01-02 03:04:05Z";
        let body = json!({
            "error": error,
            "error_description": format!(
                "AADSTS{code}: {message} Trace ID: {id} Correlation ID: {id} Timestamp: {time}"
            ),
            "error_codes": [code],
            "timestamp": time,
            "trace_id": id,
            "correlation_id": id,
            "error_uri": format!("https://{HOST}/error?code={code}"),
        });
        json_response(*status, body.to_string())
    }
}

/// Serves the endpoint of a managed identity until it is dropped.
pub(crate) async fn serve_managed_identity(shared: &Arc<Shared>, listener: &TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let shared = Arc::clone(shared);
        Handle::current().spawn(async move {
            let service = service_fn(|request| managed_identity(&shared, request));
            http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
    }
}

async fn managed_identity(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Cut> {
    let fault = begin(shared).await;
    let query = request.uri().query().unwrap_or_default();
    let header = request.headers().get("x-identity-header");
    let client_id = server::field(query, "client_id");
    if header.is_none_or(|header| header != shared.identity_header.as_str()) {
        let body = json!({"statusCode": 401, "message": "Invalid X-IDENTITY-HEADER."});
        return Ok(json_response(401, body.to_string()));
    }
    let is_unknown = client_id.as_ref().is_some_and(|id| *id != shared.client_id);
    let is_refused = fault.is_some_and(|fault| fault != Login::Hang);
    if is_unknown || is_refused || server::field(query, "resource").as_deref() != Some(RESOURCE) {
        let message = "No User Assigned or Delegated Managed Identity found for specified \
                       ClientId/ResourceId/PrincipalId.";
        let body = json!({"statusCode": 400, "message": message});
        return Ok(json_response(400, body.to_string()));
    }
    let body = json!({
        "access_token": shared.state().issue_token(),
        "client_id": client_id.unwrap_or_else(|| shared.client_id.clone()),
        // A string, as the real one: a number is refused by the client for Rust.
        "expires_on": (now() + 86_400).to_string(),
        "resource": RESOURCE,
        "token_type": "Bearer",
    });
    Ok(json_response(200, body.to_string()))
}
