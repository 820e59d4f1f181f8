//! `GetSecret` as runners on other machines call it: over TLS with a certificate, with the short
//! token that it was exchanged for, and with a JWT on each call.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::SystemTime;

use claviger_client::{Client, Tls};
use claviger_proto::v1;
use claviger_stub::issuer::Key;
use serde_json::json;

use crate::figures::{figure, load_figures, median};
use crate::load::{Load, Measured, Rpc};
use crate::machine::{Cores, on_core};
use crate::secure::{CLIENT, configure};
use crate::server::{self, Server, read_name};
use crate::step::{Error, Plan, Result, runtime};

/// 64 calls in flight.
const CONNECTIONS: usize = 8;
const STREAMS: usize = 8;

const ISSUER: &str = "https://ci.acme.example";
const AUDIENCE: &str = "claviger.acme.example";

/// Who the JWT is of.
const BEARER: &str = "oidc:ci#bench";

/// Measures each against the echo over the same transport. The ratio of a way is to be compared
/// with that of plain text.
pub(crate) fn run(plan: Plan) -> Result {
    let cores = Cores::find()?;
    let files = tempfile::tempdir()?;
    let files = files.path();
    let key = Key::ec();
    let config = configure(files)? + &identity(files, &key)?;
    let plain = on_core(cores.server, || Server::ephemeral_daemon_with(""))?;
    let secure = on_core(cores.server, || Server::ephemeral_daemon_with(&config))?;
    let (token, reply) = runtime()?.block_on(async {
        let client = plain.connect().await?;
        server::register(&client, read_name()).await?;
        let token = server::token(&client, v1::Role::Runner).await?;
        Ok::<_, Error>((token, server::read(&client).await?))
    })?;
    let short = runtime()?.block_on(exchanged(&secure, files))?;
    let jwt = jwt(&key)?;
    let echo = on_core(cores.server, || Server::echo(&reply))?;
    let secure_echo = on_core(cores.server, || Server::tls_echo(&reply, files))?;

    let ways = [
        ("plain", &plain, &echo, Some(&token)),
        ("certificate", &secure, &secure_echo, None),
        ("exchanged", &secure, &secure_echo, Some(&short)),
        ("jwt", &secure, &secure_echo, Some(&jwt)),
    ];
    let mut found = vec![(Vec::new(), Vec::new()); ways.len()];
    for _ in 0..plan.rounds {
        for ((name, ours, floor, token), (calls, echoes)) in ways.iter().zip(&mut found) {
            let load = |server: &Server| Load {
                address: server.tcp,
                files: Some(files.to_path_buf()).filter(|_| *name != "plain"),
                rpc: Rpc::Get,
                connections: CONNECTIONS,
                streams: STREAMS,
                warm_up: plan.warm_up,
                run: plan.run,
                server_pid: server.pid(),
            };
            let token = token.map(String::as_str);
            calls.push(on_core(cores.load, || load(ours).measure(token))?);
            echoes.push(on_core(cores.load, || load(floor).measure(None))?);
        }
    }
    for ((name, ..), (calls, echoes)) in ways.iter().zip(&found) {
        load_figures(&format!("remote_{name}"), calls);
        load_figures(&format!("remote_{name}_echo"), echoes);
        let share = |(ours, echo): (&Measured, &Measured)| ours.per_second / echo.per_second;
        let ratio = median(calls.iter().zip(echoes).map(share));
        figure(&format!("remote_{name}_ratio"), ratio, "of echo");
    }
    Ok(())
}

/// The configuration of an issuer whose key is in a file.
fn identity(files: &Path, key: &Key) -> Result<String> {
    let keys = files.join("jwks.json");
    fs::write(&keys, json!({"keys": [key.public("k")]}).to_string())?;
    fs::set_permissions(&keys, Permissions::from_mode(0o600))?;
    Ok(format!(
        "[identity.ci]\nkind = \"generic\"\nissuer = {ISSUER:?}\naudience = {AUDIENCE:?}\n\
         algorithms = [\"ES256\"]\njwks_file = {keys:?}\n"
    ))
}

fn jwt(key: &Key) -> Result<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let (iat, exp) = (now.as_secs(), now.as_secs() + 3000);
    let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "bench", "iat": iat, "exp": exp});
    Ok(key.token("k", &claims))
}

/// Gives certificate and JWT what the token of the plain daemon has; returns the token that the
/// certificate is exchanged for.
async fn exchanged(daemon: &Server, files: &Path) -> Result<String> {
    let admin = daemon.connect().await?;
    server::register(&admin, read_name()).await?;
    for principal in [CLIENT, BEARER] {
        let grant = v1::Grant {
            principal: principal.to_owned(),
            role: v1::Role::Runner.into(),
            resource: "projects/dev".to_owned(),
            ..Default::default()
        };
        let request = v1::PutGrantRequest { grant: Some(grant) };
        admin.access().put_grant(request).await?;
    }
    let tls = Tls::trusting(fs::read(files.join("root.crt"))?).with_certificate(
        fs::read(files.join("client.crt"))?,
        fs::read(files.join("client.key"))?,
    );
    let address = format!("localhost:{}", daemon.tcp.port());
    let runner = Client::connect_tls(&address, tls).await?;
    let request = v1::ExchangeTokenRequest {
        ttl: Some(prost_types::Duration {
            seconds: 3000,
            nanos: 0,
        }),
    };
    let exchanged = runner.access().exchange_token(request).await?;
    Ok(exchanged.into_inner().token)
}
