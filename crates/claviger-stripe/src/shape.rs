//! Takes a pasted value apart: the text around the key, the class of the key, its end.

use claviger_core::STRIPE_STARTS;

use crate::{Class, Finding, LastFour, Mode, placeholder};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A word that is not a key, though it has only letters.
const BEARER: &[u8] = b"bearer";

/// Straight ones, the back quote of Markdown, and those that word processors make.
const QUOTES: &[&str] = &["\"", "'", "`", "“", "”", "‘", "’", "„", "«", "»"];

/// Take the place of a key's middle where it is only shown.
const MASKS: &[&str] = &["**", "...", "…", "•", "●", "∙"];

/// Longer before shorter where one begins another.
const PREFIXES: &[(&str, Class)] = &[
    ("sk_org_", Class::Organization),
    ("whsec_", Class::WebhookSecret),
    ("ek_", Class::Ephemeral),
    ("pk_", Class::Publishable),
    (CLI_SANDBOX, Class::Restricted),
    ("rk_", Class::Restricted),
    ("sk_", Class::Secret),
    ("ac_", Class::Identifier),
    ("acct_", Class::Identifier),
    ("ca_", Class::Identifier),
    ("we_", Class::Identifier),
];

/// Keys that Stripe's command line makes for a sandbox nobody has claimed.
const CLI_SANDBOX: &str = "rkcs_";

/// Shorter than this nothing of a value is shown.
const SHOWN_FROM: usize = 12;

/// Of a key's own part at most half is shown.
const BODY_SHOWN_FROM: usize = 8;

/// Stripe documents no length; these are well outside of every key seen.
const BODY_USUAL: std::ops::RangeInclusive<usize> = 16..=255;

/// All that can be said about a value without knowing its purpose.
pub(crate) struct Shape {
    pub(crate) class: Class,
    pub(crate) mode: Option<Mode>,
    pub(crate) last_four: Option<LastFour>,
    /// Why it cannot work in this form.
    pub(crate) faults: Vec<Finding>,
    /// Findings that deserve a look.
    pub(crate) oddities: Vec<Finding>,
}

impl Shape {
    pub(crate) fn of(value: &[u8]) -> Self {
        let (core, mut faults) = peel(value);
        let (class, mode, body) = classify(core);
        let inside = fault_inside(core, class, body);
        faults.extend(inside);
        let mut oddities = Vec::new();
        if core.starts_with(CLI_SANDBOX.as_bytes()) {
            oddities.push(Finding::ShortLived);
        }
        let is_known = class != Class::Unknown;
        if is_known && class != Class::Identifier && faults.is_empty() {
            let is_usual = BODY_USUAL.contains(&body.len());
            let is_plain = body.iter().copied().all(is_plain);
            if !(is_usual && (is_plain || class == Class::WebhookSecret)) {
                oddities.push(Finding::UnusualShape);
            }
        }
        // A masked key is a picture of one: the end it shows is not secret, but may be all there
        // is.
        let is_whole = inside.is_none() && body.len() >= BODY_SHOWN_FROM;
        // An id needs no end to be found by, and may be a word that only begins like one.
        let has_end = is_known && class != Class::Identifier;
        let is_shown =
            has_end && core.len() >= SHOWN_FROM && (is_whole || inside == Some(Finding::Masked));
        Self {
            class,
            mode,
            last_four: LastFour::of(body).filter(|_| is_shown),
            faults,
            oddities,
        }
    }
}

/// The class of a value that is more than a word with a prefix like Stripe's: `ca_cert` is not.
/// `None` if nothing about it is Stripe's.
pub(crate) fn likely_class(value: &[u8]) -> Option<Class> {
    let (core, _) = peel(value);
    let (class, mode, body) = classify(core);
    let is_long = BODY_USUAL.contains(&body.len());
    let is_likely = mode.is_some() || (is_long && body.iter().all(u8::is_ascii_alphanumeric));
    if class != Class::Unknown && is_likely {
        return Some(class);
    }
    let mut marks = STRIPE_STARTS.iter().map(|mark| mark.as_bytes());
    let mark = marks.find(|mark| contains(core, mark))?;
    Some(classify(mark).0)
}

/// The value without the text that was copied along with it, and the findings about that, each
/// once.
fn peel(value: &[u8]) -> (&[u8], Vec<Finding>) {
    // Every read comes by here with a key that has nothing around it.
    if is_word(value) && !value.eq_ignore_ascii_case(BEARER) {
        return (value, Vec::new());
    }
    let mut core = value;
    let mut faults = Vec::new();
    loop {
        let (finding, rest) = if let Some(rest) = core.strip_prefix(BYTE_ORDER_MARK) {
            (Finding::ByteOrderMark, rest)
        } else if core.trim_ascii().len() != core.len() {
            (Finding::SurroundingSpace, core.trim_ascii())
        } else if let Some(rest) = without_quote(core) {
            (Finding::Quotes, rest)
        } else if let Some(rest) = without_bearer(core) {
            (Finding::Bearer, rest)
        } else {
            break;
        };
        core = rest;
        if !faults.contains(&finding) {
            faults.push(finding);
        }
    }
    // Of nothing but white space that is all there is to say.
    if core.is_empty() {
        faults = vec![Finding::Empty];
    }
    (core, faults)
}

fn without_quote(core: &[u8]) -> Option<&[u8]> {
    QUOTES.iter().find_map(|quote| {
        let quote = quote.as_bytes();
        core.strip_prefix(quote)
            .or_else(|| core.strip_suffix(quote))
    })
}

fn without_bearer(core: &[u8]) -> Option<&[u8]> {
    let header = after_word(core, b"authorization").and_then(|rest| {
        let rest = rest.trim_ascii_start().strip_prefix(b":")?;
        Some(rest.trim_ascii_start())
    });
    let scheme = || {
        let rest = after_word(core, BEARER)?;
        // A word that only begins so is not a scheme.
        let ends = rest.first().is_none_or(u8::is_ascii_whitespace);
        ends.then_some(rest.trim_ascii_start())
    };
    header.or_else(scheme)
}

fn after_word<'a>(text: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(word.len())?;
    start.eq_ignore_ascii_case(word).then_some(rest)
}

/// Its class and mode, and its own part after prefix and mode.
fn classify(core: &[u8]) -> (Class, Option<Mode>, &[u8]) {
    let known = PREFIXES.iter().find_map(|(prefix, class)| {
        let rest = core.strip_prefix(prefix.as_bytes())?;
        Some((*class, rest))
    });
    match known {
        None => (Class::Unknown, None, core),
        Some((class @ (Class::Identifier | Class::WebhookSecret), rest)) => (class, None, rest),
        Some((class, rest)) => {
            if let Some(body) = rest.strip_prefix(b"live_") {
                (class, Some(Mode::Live), body)
            } else if let Some(body) = rest.strip_prefix(b"test_") {
                (class, Some(Mode::Test), body)
            } else {
                (class, None, rest)
            }
        }
    }
}

/// The first thing that keeps a value from being one whole key.
fn fault_inside(core: &[u8], class: Class, body: &[u8]) -> Option<Finding> {
    let is_masked = || MASKS.iter().any(|mask| contains(core, mask.as_bytes()));
    let is_placeholder = match class {
        // What an id names is not looked at.
        Class::Identifier => false,
        Class::Unknown => placeholder::is_text(core),
        Class::Ephemeral
        | Class::Organization
        | Class::Publishable
        | Class::Restricted
        | Class::Secret
        | Class::WebhookSecret => placeholder::is_body(body),
    };
    if is_placeholder && !is_masked() {
        return Some(Finding::Placeholder);
    }
    if is_word(core) && class != Class::Unknown {
        return None;
    }
    if core.starts_with(b"{") || core.starts_with(b"[") {
        return Some(Finding::Json);
    }
    if is_masked() {
        return Some(Finding::Masked);
    }
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || byte.is_ascii_control();
    if core.iter().any(is_blank) {
        return Some(Finding::InnerSpace);
    }
    if !core.is_ascii() {
        return Some(Finding::NotAscii);
    }
    let is_embedded = match class {
        Class::Unknown => STRIPE_STARTS
            .iter()
            .any(|mark| contains(core, mark.as_bytes())),
        Class::Ephemeral
        | Class::Identifier
        | Class::Organization
        | Class::Publishable
        | Class::Restricted
        | Class::Secret
        | Class::WebhookSecret => !core.iter().copied().all(is_token),
    };
    is_embedded.then_some(Finding::Embedded)
}

/// Whether no finding can come of a character in it.
fn is_word(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_plain)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether this can be a token of any server's (RFC 6750): only its end may be filled up.
pub(crate) fn is_bearer_token(text: &[u8]) -> bool {
    let is_filling = |byte: &&u8| **byte == b'=';
    let mut core = text.iter().rev().skip_while(is_filling).peekable();
    core.peek().is_some() && core.all(|byte| !is_filling(&byte) && is_token(*byte))
}

/// Whether a bearer token may have this byte (RFC 6750).
fn is_token(byte: u8) -> bool {
    is_plain(byte) || b"-.~+/=".contains(&byte)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
