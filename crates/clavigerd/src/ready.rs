//! The words of a daemon that listens.

use std::net::SocketAddr;
use std::path::Path;

/// The ready line and, with `--dev`, lines to copy into bash. Values go through standard input:
/// nothing secret is in an argument or in the history.
pub(crate) fn text(
    socket: &Path,
    tcp: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    is_dev: bool,
    has_tls: bool,
) -> String {
    let socket = socket.display().to_string();
    let address = tcp.map_or_else(|| "-".to_owned(), |address| address.to_string());
    let admin = admin.map_or_else(String::new, |admin| format!(" admin={admin}"));
    let mut text = format!("clavigerd ready unix={socket} tcp={address}{admin}\n");
    if is_dev {
        text.push_str(&unix_lines(&quoted(&socket)));
        // With TLS a client needs files that only its user knows.
        if let Some(address) = tcp.filter(|_| !has_tls) {
            text.push_str(&tcp_lines(&quoted(&socket), address));
        }
    }
    text
}

fn unix_lines(socket: &str) -> String {
    format!(
        r#"
# Register a Stripe key, the first time: paste the line, press Enter, type the key, press Enter.
read -rs KEY; printf '{{"definition":{{"name":"projects/dev/secrets/stripe","kind":"STRIPE_API_KEY"}},"payload":{{"text":"%s"}}}}' "$KEY" | grpcurl -plaintext -unix -d @ {socket} claviger.v1.SecretDefinitionService/PutSecretDefinition; unset KEY

# Fetch it.
printf '{{"name":"projects/dev/secrets/stripe"}}' | grpcurl -plaintext -unix -d @ {socket} claviger.v1.SecretService/GetSecret
"#
    )
}

fn tcp_lines(socket: &str, address: SocketAddr) -> String {
    format!(
        r#"
# Make a token for a runner, good for a day, and fetch with it over TCP.
export CLAVIGER_TOKEN="$(printf '{{"grants":[{{"role":"RUNNER","resource":"projects/dev"}}],"ttl":"86400s"}}' | grpcurl -plaintext -unix -d @ {socket} claviger.v1.AccessService/CreateToken | sed -n 's/^  "token": "\(.*\)",$/\1/p')"
printf '{{"name":"projects/dev/secrets/stripe"}}' | grpcurl -plaintext -expand-headers -H 'authorization: Bearer ${{CLAVIGER_TOKEN}}' -d @ {address} claviger.v1.SecretService/GetSecret
"#
    )
}

/// The text as one word of bash.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
