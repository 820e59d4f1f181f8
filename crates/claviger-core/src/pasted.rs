//! Credentials that were pasted where a name or a text for people belongs.
//!
//! SECURITY: names, labels and coordinates are kept in the store, the log and, for good, the audit
//! log. So each is looked at where it is parsed, before anything can write it down.

use crate::{Error, Reason, Result};

/// How a credential of Stripe begins, also inside other text.
pub const STRIPE_STARTS: &[&str] = &[
    concat!("ek_", "live_"),
    "ek_test_",
    concat!("pk_", "live_"),
    "pk_test_",
    concat!("rk_", "live_"),
    "rk_test_",
    "rkcs_",
    "rt_",
    concat!("sk_", "live_"),
    "sk_test_",
    "sk_org_",
    "whsec_",
];

/// How Claviger's own tokens begin.
pub const TOKEN_START: &str = "clv_";

/// Letters and digits after the start from which on it is a credential and no name: Stripe's oldest
/// have 24, a token has 49, and one that was cut is still a secret.
const BODY_LEN_MIN: usize = 16;

const STRIPE_REMEDY: &str = "has a Stripe key in it, which belongs into payload.text and nowhere \
    else; if it is a real one, roll it: Developers → API keys";

const TOKEN_REMEDY: &str = "has a token of Claviger in it, which belongs into the authorization \
    header and nowhere else; end it with RevokeToken";

/// Refuses a text that holds a credential, without repeating it.
///
/// # Errors
/// `reason` with a violation on `field`.
pub fn refuse_pasted(reason: Reason, field: &'static str, text: &str) -> Result<()> {
    let text = text.as_bytes();
    // Most names are shorter than any credential, or have no character that all of them have.
    if text.len() < BODY_LEN_MIN || !text.contains(&b'_') {
        return Ok(());
    }
    let remedy = if STRIPE_STARTS.iter().any(|start| holds(text, start)) {
        STRIPE_REMEDY
    } else if holds(text, TOKEN_START) {
        TOKEN_REMEDY
    } else {
        return Ok(());
    };
    Err(Error::new(reason).violation(field, remedy))
}

/// Whether a credential with this start is in the text, whatever stands around it.
fn holds(text: &[u8], start: &str) -> bool {
    let start = start.as_bytes();
    let windows = text.windows(start.len()).enumerate();
    let mut starts = windows.filter(|(_, window)| *window == start);
    starts.any(|(at, _)| {
        let rest = text.get(at + start.len()..).unwrap_or_default();
        let rest = rest.strip_prefix(b"live_").unwrap_or(rest);
        let rest = rest.strip_prefix(b"test_").unwrap_or(rest);
        let len = rest
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric())
            .count();
        let body = rest.get(..len).unwrap_or_default();
        let has = |is: fn(&u8) -> bool| body.iter().any(is);
        // Words have no digits in them, and are all small or all capital letters.
        let is_random =
            has(u8::is_ascii_digit) || has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
        len >= BODY_LEN_MIN && is_random
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_credentials_have_the_character_that_is_looked_for() {
        let starts = STRIPE_STARTS.iter().chain([&TOKEN_START]);
        assert!(starts.into_iter().all(|start| start.contains('_')));
    }

    /// As long as the shortest that is taken for one.
    const BODY: &str = "0123456789abcdeF";

    fn is_refused(text: &str) -> bool {
        refuse_pasted(Reason::FieldInvalid, "description", text).is_err()
    }

    #[test]
    fn every_credential_is_found_whatever_stands_around_it() {
        for start in STRIPE_STARTS.iter().chain([&TOKEN_START]) {
            for text in [
                format!("{start}{BODY}"),
                format!("x{start}{BODY}"),
                format!("prod-{start}{BODY}"),
                format!("{start}{BODY}y-old"),
                format!("the key is '{start}{BODY}', ask Ann"),
                format!("{start}short {start}{BODY}"),
                format!("é{start}{BODY}é"),
                format!("{start}aBCdefghijklmnop"),
            ] {
                assert!(is_refused(&text), "{text}");
            }
        }
        for start in ["sk_org_live_", "sk_org_test_", "rkcs_test_"] {
            assert!(is_refused(&format!("{start}{BODY}")), "{start}");
        }
    }

    #[test]
    fn a_name_that_only_looks_like_one_is_taken() {
        for start in STRIPE_STARTS.iter().chain([&TOKEN_START]) {
            for rest in [
                "",
                "stripe_key",
                "production_endpoint_of_2026",
                "productionendpointofsomebody",
                "PRODUCTIONENDPOINTOFSOMEBODY",
                "0123456789abcde",
                "0123-4567-89ab-cdef-0123",
            ] {
                let text = format!("{start}{rest}");
                assert!(!is_refused(&text), "{text}");
            }
        }
        for text in ["", "stripe/rk_live", "acct_1ABCdefGHIjklMNOp", BODY] {
            assert!(!is_refused(text), "{text}");
        }
    }

    #[test]
    fn the_refusal_names_field_and_remedy_and_not_the_credential() {
        for (start, remedy) in [("whsec_", "roll it"), (TOKEN_START, "RevokeToken")] {
            let text = format!("{start}{BODY}");
            let error = refuse_pasted(Reason::FieldInvalid, "description", &text);
            let error = error.expect_err("refused");
            let violation = error.field_violation().expect("a field");
            assert_eq!(violation.field, "description");
            assert!(violation.description.contains(remedy), "{error}");
            assert!(!format!("{error} {error:?}").contains(BODY), "{error}");
        }
    }
}
