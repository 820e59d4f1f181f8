//! A Snowflake that says whatever a test wants it to, on a stub.

use std::time::Duration;

use claviger_backend_snowflake::{Snowflake, SnowflakeSettings, Storage};
use claviger_stub::{Reply, Request, Stub};
use serde_json::{Value, json};

use crate::support::Account;

/// The name of the request that is a log-in.
pub(crate) const LOGIN: &str = "log in";

/// Starts one that answers a log-in, and each statement, as told; a log-in that is not told of
/// succeeds.
pub(crate) fn scripted(play: impl Fn(&str) -> Option<Reply> + Send + Sync + 'static) -> Stub {
    Stub::start(move |request| {
        let asked = statement(request);
        let reply = play(&asked);
        match reply {
            None if asked == LOGIN => accepted(&json!({"token": "t"})),
            reply => reply.unwrap_or_else(|| panic!("nothing is told of {asked}")),
        }
    })
}

/// The statement that a request is for.
pub(crate) fn statement(request: &Request) -> String {
    if request.target().contains("login-request") {
        return LOGIN.to_owned();
    }
    let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
    body["sqlText"].as_str().unwrap_or_default().to_owned()
}

fn accepted(data: &Value) -> Reply {
    Reply::json(200, &json!({"success": true, "data": data}))
}

/// One row of texts.
pub(crate) fn row(cells: &[(&str, &str)]) -> Reply {
    row_of("text", cells)
}

/// One row of this type.
pub(crate) fn row_of(kind: &str, cells: &[(&str, &str)]) -> Reply {
    let types = cells.iter().map(|(name, _)| column(kind, name));
    let types: Vec<Value> = types.collect();
    let values: Vec<&str> = cells.iter().map(|(_, value)| *value).collect();
    accepted(&json!({
        "queryId": "01", "returned": 1, "total": 1, "queryResultFormat": "json",
        "rowtype": types, "rowset": [values],
    }))
}

/// One row that is to be fetched from there.
pub(crate) fn row_at(column: &str, url: &str) -> Reply {
    accepted(&json!({
        "queryId": "01", "returned": 1, "total": 1, "queryResultFormat": "json",
        "rowtype": [self::column("text", column)], "rowset": [],
        "chunkHeaders": {"x-amz-server-side-encryption-customer-key": "k"},
        "chunks": [{"url": url, "rowCount": 1, "uncompressedSize": 9, "compressedSize": 9}],
    }))
}

fn column(kind: &str, name: &str) -> Value {
    json!({
        "name": name, "type": kind, "nullable": true, "length": 16_777_216, "precision": 38,
        "scale": 0,
    })
}

/// A refusal.
pub(crate) fn refused(code: &str) -> Reply {
    let data = json!({"errorCode": code, "sqlState": "02000", "queryId": "01"});
    Reply::json(
        200,
        &json!({"success": false, "code": code, "message": "upstream", "data": data}),
    )
}

/// A vault whose account this stub is.
pub(crate) fn vault(
    account: &Account,
    stub: &Stub,
    storage: Storage,
    timeout: Duration,
) -> Snowflake {
    let settings = match storage {
        Storage::SealedTable => account.settings(storage),
        Storage::SecretObjects => account.readable(),
    };
    let settings = SnowflakeSettings {
        base_url: Some(stub.url()),
        ..settings
    };
    account.vault_with(&settings, timeout)
}
