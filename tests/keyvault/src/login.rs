//! Where tokens come from: Entra's host, and the managed identity of an app service.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Form, Path, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::behaviour::Login;
use crate::shared::Shared;
use crate::vault::now;

pub(crate) const HOST: &str = "login.microsoftonline.com";

/// Of which all tokens are.
const RESOURCE: &str = "https://vault.azure.net";

/// A refusal by Entra. The codes and the text before them are the vendor's; the rest of the texts
/// was not recorded.
struct Refusal {
    status: u16,
    error: &'static str,
    code: u32,
    message: String,
}

/// A request for a token.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenRequest {
    client_assertion: String,
    client_assertion_type: String,
    client_id: String,
    client_secret: String,
    grant_type: String,
    scope: String,
}

/// A request for the token of a managed identity.
#[derive(Deserialize)]
struct IdentityRequest {
    client_id: Option<String>,
    resource: Option<String>,
}

/// Serves [`HOST`].
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/{tenant}/oauth2/v2.0/token", post(token))
        .route(
            "/{tenant}/v2.0/.well-known/openid-configuration",
            get(discovery),
        )
        .with_state(shared)
}

/// Serves the endpoint of a managed identity.
pub(crate) fn identity_router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/msi/token", get(managed_identity))
        .with_state(shared)
}

async fn token(
    State(shared): State<Arc<Shared>>,
    Path(tenant): Path<String>,
    Form(asked): Form<TokenRequest>,
) -> Result<Response, Refusal> {
    let fault = begin(&shared).await;
    check(&shared, &asked, &tenant, fault)?;
    let token = shared.state().issue_token();
    // The order of the fields is the recorded one.
    let body = format!(
        r#"{{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"{token}"}}"#
    );
    Ok(json_response(200, body))
}

/// The Python client reads this before it logs in.
async fn discovery(
    State(shared): State<Arc<Shared>>,
    Path(tenant): Path<String>,
) -> Result<Response, Refusal> {
    if tenant != shared.tenant {
        return Err(Refusal::unknown_tenant(&tenant));
    }
    let base = format!("https://{HOST}/{tenant}");
    let body = json!({
        "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
        "issuer": format!("{base}/v2.0"),
        "token_endpoint": format!("{base}/oauth2/v2.0/token"),
    });
    Ok(json_response(200, body.to_string()))
}

async fn managed_identity(
    State(shared): State<Arc<Shared>>,
    Query(asked): Query<IdentityRequest>,
    headers: HeaderMap,
) -> Response {
    let fault = begin(&shared).await;
    let header = headers.get("x-identity-header");
    if header.is_none_or(|header| header != shared.identity_header.as_str()) {
        let body = json!({"statusCode": 401, "message": "Invalid X-IDENTITY-HEADER."});
        return json_response(401, body.to_string());
    }
    let client_id = asked.client_id.unwrap_or_else(|| shared.client_id.clone());
    let is_refused = fault.is_some_and(|fault| fault != Login::Hang);
    if client_id != shared.client_id || is_refused || asked.resource.as_deref() != Some(RESOURCE) {
        let message = "No User Assigned or Delegated Managed Identity found for specified \
                       ClientId/ResourceId/PrincipalId.";
        let body = json!({"statusCode": 400, "message": message});
        return json_response(400, body.to_string());
    }
    let body = json!({
        "access_token": shared.state().issue_token(),
        "client_id": client_id,
        // A string, as the real one: a number is refused by the client for Rust.
        "expires_on": (now() + 86_400).to_string(),
        "resource": RESOURCE,
        "token_type": "Bearer",
    });
    json_response(200, body.to_string())
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

fn check(
    shared: &Shared,
    asked: &TokenRequest,
    tenant: &str,
    fault: Option<Login>,
) -> Result<(), Refusal> {
    if tenant != shared.tenant || fault == Some(Login::WrongTenant) {
        return Err(Refusal::unknown_tenant(tenant));
    }
    let refused = |error, code, message: &str| Err(Refusal::new(400, error, code, message));
    if asked.grant_type != "client_credentials" {
        let message = "The grant type is not supported.";
        return refused("unsupported_grant_type", 70_003, message);
    }
    if asked.client_id != shared.client_id {
        let message = "The application was not found in the directory.";
        return refused("unauthorized_client", 700_016, message);
    }
    let scope = format!("{RESOURCE}/.default");
    if !asked.scope.split(' ').any(|asked| asked == scope) {
        let message = "The provided value for the input parameter 'scope' is not valid.";
        return refused("invalid_scope", 70_011, message);
    }
    if fault == Some(Login::ExpiredSecret) {
        return Err(Refusal::expired_secret(&shared.client_id));
    }
    if fault != Some(Login::InvalidClient) && is_proven(shared, asked) {
        return Ok(());
    }
    Err(if asked.client_assertion.is_empty() {
        Refusal::wrong_secret(&shared.client_id)
    } else {
        Refusal::wrong_assertion()
    })
}

/// Whether the request proves that the application sent it.
fn is_proven(shared: &Shared, asked: &TokenRequest) -> bool {
    if asked.client_secret == shared.client_secret {
        return true;
    }
    if asked.client_assertion_type != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
        return false;
    }
    let audience = format!("https://{HOST}/{}/oauth2/v2.0/token", shared.tenant);
    asked.client_assertion == shared.federated_token
        || shared.client_certificate().has_signed(
            &asked.client_assertion,
            &shared.client_id,
            &audience,
        )
}

fn json_response(status: u16, body: String) -> Response {
    let headers = [
        (CACHE_CONTROL, "no-store, no-cache"),
        (CONTENT_TYPE, "application/json; charset=utf-8"),
    ];
    let status = StatusCode::from_u16(status).expect("a status");
    (status, headers, body).into_response()
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
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
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
        json_response(status, body.to_string())
    }
}
