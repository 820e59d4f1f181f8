use claviger_core::SecretBytes;

use super::link::State;
use crate::stop::Stop;

/// What Stripe sends a browser back with.
pub(super) enum Redirected {
    /// An authorization code.
    Code(SecretBytes),
    /// No leave, for this cause and with this remedy.
    Refused(&'static str),
}

/// Why a query is no answer to this walk.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Unusable {
    /// It has neither a code nor an error, or one of them twice.
    NoAnswer,
    /// Another walk's `state`, or none.
    OtherWalk,
}

/// Reads a query.
pub(super) fn read(query: &str, state: &State) -> Result<Redirected, Unusable> {
    let (mut states, mut codes, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "state" => states.push(value),
            "code" => codes.push(value),
            "error" => errors.push(value),
            _ => {}
        }
    }
    match states.as_slice() {
        [one] if state.is(one) => {}
        _ => return Err(Unusable::OtherWalk),
    }
    match (codes.as_slice(), errors.as_slice()) {
        ([code], []) if !code.is_empty() => {
            Ok(Redirected::Code(SecretBytes::new(code.as_bytes().to_vec())))
        }
        ([], [error]) => Ok(Redirected::Refused(refusal(error))),
        _ => Err(Unusable::NoAnswer),
    }
}

/// Reads what a person pasted. A wrong one ends the walk: the person is there to start another, and
/// of an answer to another walk nobody can tell where it comes from.
pub(super) fn pasted(
    text: &str,
    state: &State,
    is_account_demanded: bool,
) -> Result<Redirected, Stop> {
    let text = text.trim();
    if let Some((_, query)) = text.split_once('?') {
        let query = query.split('#').next().unwrap_or_default();
        return read(query, state).map_err(|unusable| {
            Stop::usage(match unusable {
                Unusable::NoAnswer => {
                    "the address has no answer of Stripe's in it (one code or error); paste the \
                    whole address that the browser was sent to"
                }
                Unusable::OtherWalk => {
                    "the address is not an answer to this link (its state is another, or missing); \
                    start again, and open the link that is printed then"
                }
            })
        });
    }
    match (text.starts_with("ac_"), is_account_demanded) {
        (true, true) => Ok(Redirected::Code(SecretBytes::new(text.into()))),
        // SECURITY: it may be somebody else's code, and the state that would tell is not there. With
        // an account demanded, the exchange tells.
        (true, false) => Err(Stop::usage(
            "a code alone does not say which link it answers; paste the whole address, or start \
            again with --account acct_..., which is checked then",
        )),
        (false, _) => Err(Stop::usage(
            "that is not the address that the browser was sent to (https://...?code=ac_...&state=...); \
            start again, and copy it from the browser",
        )),
    }
}

/// SECURITY: a text of ours for each error, and nothing of theirs.
fn refusal(error: &str) -> &'static str {
    match error {
        "access_denied" => {
            "Stripe says access_denied: the connection was declined, or the user may not install \
            apps in the account; start again, and accept as an administrator of the account"
        }
        "invalid_redirect_uri" => {
            "Stripe says invalid_redirect_uri: register the redirect address with the app or \
            platform, or name one that is (--redirect-port, or --paste with --redirect-uri)"
        }
        "invalid_request"
        | "invalid_scope"
        | "unauthorized_client"
        | "unsupported_response_type" => {
            "Stripe does not take the link; see that --client-id, --flavor and --mode belong \
            together (an app that is not published needs --channel), and start again"
        }
        "server_error" | "temporarily_unavailable" => {
            "Stripe is in trouble; start again in a while"
        }
        _ => {
            "Stripe refuses the connection with an error that is not known here; the address bar \
            of the browser has its words"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(redirected: Result<Redirected, Unusable>) -> Result<String, Unusable> {
        redirected.map(|redirected| match redirected {
            Redirected::Code(code) => String::from_utf8(code.expose().into()).unwrap(),
            Redirected::Refused(refusal) => refusal.to_owned(),
        })
    }

    #[test]
    fn a_query_is_taken_with_the_state_and_one_answer_alone() {
        let state = State::random();
        let s = state.as_str();
        for (query, expected) in [
            (format!("code=ac_1&state={s}"), Ok("ac_1")),
            (format!("scope=x&state={s}&code=ac%5F1"), Ok("ac_1")),
            ("code=ac_1".to_owned(), Err(Unusable::OtherWalk)),
            ("code=ac_1&state=".to_owned(), Err(Unusable::OtherWalk)),
            (format!("code=ac_1&state={s}x"), Err(Unusable::OtherWalk)),
            (
                format!("code=ac_1&state={s}&state={s}"),
                Err(Unusable::OtherWalk),
            ),
            (
                format!("code=ac_1&code=ac_2&state={s}"),
                Err(Unusable::NoAnswer),
            ),
            (
                format!("code=ac_1&error=access_denied&state={s}"),
                Err(Unusable::NoAnswer),
            ),
            (format!("code=&state={s}"), Err(Unusable::NoAnswer)),
            (format!("state={s}"), Err(Unusable::NoAnswer)),
        ] {
            let read = told(read(&query, &state));
            assert_eq!(read.as_deref(), expected.as_deref(), "{query}");
        }
    }

    #[test]
    fn a_refusal_has_a_remedy_and_no_word_that_is_not_known() {
        let state = State::random();
        for (error, remedy) in [
            ("access_denied", "administrator"),
            ("invalid_redirect_uri", "--redirect-port"),
            ("invalid_scope", "--channel"),
            ("server_error", "in a while"),
            ("cAnArY", "address bar"),
        ] {
            let query = format!(
                "error={error}&error_description=cAnArY&state={}",
                state.as_str()
            );
            let said = told(read(&query, &state)).unwrap();
            assert!(said.contains(remedy) && !said.contains("cAnArY"), "{said}");
        }
    }

    #[test]
    fn a_pasted_address_ends_the_walk_if_it_is_wrong() {
        let said = |text: &str, is_account_demanded| match pasted(
            text,
            &State::random(),
            is_account_demanded,
        ) {
            Ok(redirected) => told(Ok(redirected)).unwrap(),
            Err(stop) => stop.to_string(),
        };
        for (text, is_account_demanded, part) in [
            (
                "https://acme.test/?code=ac_cAnArY&state=1",
                true,
                "start again",
            ),
            ("https://acme.test/?code=ac_cAnArY", true, "start again"),
            ("rt_cAnArY", true, "not the address"),
            ("", true, "not the address"),
            ("ac_cAnArY", false, "--account"),
        ] {
            let said = said(text, is_account_demanded);
            assert!(said.contains(part) && !said.contains("cAnArY"), "{said}");
        }
        assert_eq!(said(" ac_1\n", true), "ac_1");
        let state = State::random();
        let address = format!(
            "https://acme.test/cb?code=ac_1&state={}#top",
            state.as_str()
        );
        let read = pasted(&address, &state, false).map_err(|_| Unusable::NoAnswer);
        assert_eq!(told(read).unwrap(), "ac_1");
    }
}
