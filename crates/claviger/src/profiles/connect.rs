//! `claviger profile connect`: from the leave of an account's owner to a refresh token in the daemon.
//!
//! SECURITY: the authorization code is exchanged once, and neither it nor a token is printed, logged
//! or written. `state` is what ties an answer to this walk; Stripe documents no PKCE. The access token
//! of the exchange is dropped: the daemon gets its own.

mod exchange;
mod link;
mod listener;
mod redirected;
mod store;
mod wanted;

use std::io;

use claviger_core::SecretBytes;
use claviger_proto::v1::environment::StripeMode;

use self::link::{Link, State};
use self::listener::Listener;
use self::redirected::Redirected;
use self::store::Store;
use self::wanted::Wanted;
use super::find::find;
use crate::ask::Asking;
use crate::cli::Connect;
use crate::output::tell;
use crate::prompt;
use crate::signals::{ENDING, Signals};
use crate::stop::Stop;
use crate::value;

const NOTHING_DONE: &str = "nothing was connected";

pub(crate) async fn connect(asking: &Asking, options: &Connect) -> Result<(), Stop> {
    let name = asking.profile(&options.id)?;
    let daemon = asking.client().await?;
    let before = find(&daemon, &name).await?;
    let stripe = exchange::client(options.stand_in.as_ref())?;
    let wanted = Wanted::of(options, before.as_ref())?;
    let noun = format!("client secret of {name}");
    let secret = value::credential(options.client_secret_from.as_deref(), &noun)?;
    let wanted = wanted.in_mode_of(&SecretBytes::new(secret.clone().into_bytes()))?;
    let store = Store {
        asking,
        name,
        before,
        wanted,
        client_secret: secret,
    };
    tokio::select! {
        rehearsed = store.rehearse(&daemon) => rehearsed?,
        // After a typed secret, which has Ctrl-C caught.
        _ = prompt::interrupted() => return Err(Stop::interrupted(NOTHING_DONE)),
    }

    let is_pasted = options.paste || store.wanted.mode == StripeMode::Live;
    let code = match is_pasted {
        true => pasted(options, &store.wanted)?,
        false => caught(options, &store.wanted).await?,
    };
    // None of them ends it from here on: the code is good once, and its token nowhere else.
    let _held = Signals::catch(&ENDING)?;
    let secret = SecretBytes::new(store.client_secret.clone().into_bytes());
    let granted = exchange::exchange(&stripe, &store.wanted, &secret, &code).await?;
    store.put(granted).await
}

/// The code that a browser on this host brings.
async fn caught(options: &Connect, wanted: &Wanted) -> Result<SecretBytes, Stop> {
    let failed = |error: io::Error| {
        Stop::failed(format!(
            "localhost:{} cannot be listened on: {error}; name another port that is registered \
            with Stripe (--redirect-port), or pass --paste",
            options.redirect_port
        ))
    };
    let mut signals = Signals::catch(&ENDING)?;
    let listener = Listener::bind(options.redirect_port).map_err(failed)?;
    let port = listener.port().map_err(failed)?;
    let redirect_uri = format!("http://localhost:{port}{}", listener::PATH);
    let state = State::random();
    let link = Link {
        wanted,
        channel: options.channel.as_deref(),
        redirect_uri: Some(&redirect_uri),
    };
    tell(&format!(
        "Open this in a browser on this host, as a user of the account to connect:\n\n  {}\n\n\
        Stripe then sends it to {redirect_uri}, which has to be registered as a redirect address \
        (--redirect-port, --paste).",
        link.with(&state)
    ));
    let redirected = tokio::select! {
        redirected = listener::redirected(listener, state) => redirected.map_err(failed)?,
        () = signals.any() => return Err(Stop::interrupted(NOTHING_DONE)),
    };
    code_of(redirected)
}

/// The code in the address that a browser anywhere was sent to.
fn pasted(options: &Connect, wanted: &Wanted) -> Result<SecretBytes, Stop> {
    if value::are_both_piped(options.client_secret_from.as_deref(), None) {
        return Err(Stop::usage(
            "standard input is for the address to paste; pass --client-secret-from FILE",
        ));
    }
    let state = State::random();
    let redirect_uri = options.redirect_uri.as_deref();
    let link = Link {
        wanted,
        channel: options.channel.as_deref(),
        redirect_uri,
    };
    tell(&format!(
        "Open this in a browser, as a user of the account to connect:\n\n  {}\n\n\
        Stripe then sends it to {}. Paste the whole address that it ends at, which is not shown; \
        it is good for five minutes.",
        link.with(&state),
        redirect_uri.unwrap_or("the first redirect address that is registered")
    ));
    let address = value::credential(None, "address")?;
    code_of(redirected::pasted(
        &address,
        &state,
        !wanted.account.is_empty(),
    )?)
}

fn code_of(redirected: Redirected) -> Result<SecretBytes, Stop> {
    match redirected {
        Redirected::Code(code) => Ok(code),
        Redirected::Refused(refusal) => Err(Stop::failed(refusal)),
    }
}
