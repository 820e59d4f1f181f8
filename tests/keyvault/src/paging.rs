//! Lists, cut into pages that are found again by a token.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::answers::{Outcome, Problem};
use crate::bundle::{Bundle, Page, json};
use crate::call::Call;

/// Cuts a page out of a list, which is in the order of the keys.
///
/// Every page that has items names a next one, so the last link always leads to an empty page. The
/// real service was recorded doing so; it does not always.
pub(crate) fn page<'a>(call: &Call, items: impl Iterator<Item = (String, Bundle<'a>)>) -> Outcome {
    // The texts of the refusals were not recorded.
    let size = match call.parameter("maxresults") {
        None => PAGE_MAX,
        Some(text) => text
            .parse()
            .ok()
            .filter(|size| (1..=PAGE_MAX).contains(size))
            .ok_or_else(|| Problem::bad_parameter("Invalid maxresults value."))?,
    };
    let after = call.parameter("$skiptoken").map(|token| {
        skipped_to(&token).ok_or_else(|| Problem::bad_parameter("Invalid skiptoken value."))
    });
    let after = after.transpose()?;
    let (keys, value): (Vec<_>, Vec<_>) = items
        .filter(|(key, _)| after.as_ref().is_none_or(|after| key > after))
        .take(size)
        .unzip();
    let path = call.target.path();
    let next_link = keys.last().map(|last| {
        let api_version = call.parameter("api-version").unwrap_or_default();
        format!(
            "https://{}:443{path}?api-version={api_version}&$skiptoken={}&maxresults={size}",
            call.host,
            skip_token(last)
        )
    });
    Ok(json(&Page { value, next_link }))
}

fn skip_token(last: &str) -> String {
    let marker = STANDARD.encode(last);
    STANDARD.encode(format!(
        r#"{{"NextMarker":"2!{}!{marker}","TargetLocation":0}}"#,
        marker.len()
    ))
}

/// The key that [`skip_token`] was made from.
fn skipped_to(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Token {
        #[serde(rename = "NextMarker")]
        next_marker: String,
    }
    // A plus sign that was not encoded arrives as a blank.
    let json = STANDARD.decode(token.replace(' ', "+")).ok()?;
    let token = serde_json::from_slice::<Token>(&json).ok()?;
    let marker = STANDARD
        .decode(token.next_marker.rsplit('!').next()?)
        .ok()?;
    String::from_utf8(marker).ok()
}

const PAGE_MAX: usize = 25;
