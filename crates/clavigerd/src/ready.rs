//! The words of a daemon that listens.

use std::net::SocketAddr;
use std::path::Path;

/// The ready line.
pub(crate) fn line(socket: &Path, tcp: Option<SocketAddr>, admin: Option<SocketAddr>) -> String {
    let socket = socket.display();
    let address = tcp.map_or_else(|| "-".to_owned(), |address| address.to_string());
    let admin = admin.map_or_else(String::new, |admin| format!(" admin={admin}"));
    format!("clavigerd ready unix={socket} tcp={address}{admin}\n")
}

/// Lines to copy into bash: with the command, and below with grpcurl. `plain` is an address where no
/// TLS is spoken: there a client would need files that only its user knows. Values go through a
/// prompt or standard input: nothing secret is in an argument or in the history.
pub(crate) fn lines(socket: &Path, plain: Option<SocketAddr>) -> String {
    let address = quoted(&format!("unix:{}", socket.display()));
    let socket = quoted(&socket.display().to_string());
    let over_tcp = plain.map(|address| tcp_lines(&socket, address));
    command_lines(&address) + &unix_lines(&socket) + &over_tcp.unwrap_or_default()
}

fn command_lines(address: &str) -> String {
    format!(
        r#"
# Register a Stripe key, the first time: paste these two lines, press Enter, type the key, press Enter.
export CLAVIGER_ADDRESS={address} CLAVIGER_PROJECT=dev
claviger definition put stripe --kind STRIPE_API_KEY --value-from -

# Show it, and run a job with it.
claviger secret get stripe --reveal
claviger run --env STRIPE_API_KEY=stripe -- sh -c 'echo "a key of ${{#STRIPE_API_KEY}} characters"'
"#
    )
}

fn unix_lines(socket: &str) -> String {
    format!(
        r#"
# The same with grpcurl: register,
read -rs KEY; printf '{{"definition":{{"name":"projects/dev/secrets/stripe","kind":"STRIPE_API_KEY"}},"payload":{{"text":"%s"}}}}' "$KEY" | grpcurl -plaintext -unix -d @ {socket} claviger.v1.SecretDefinitionService/PutSecretDefinition; unset KEY

# fetch.
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
