use claviger_proto::v1::StripeVerdict;
use claviger_proto::v1::check_secret_definition_response::Verdict;

/// That something is well, or why it is not.
pub(crate) fn told(verdict: &Verdict) -> String {
    match verdict.ok {
        true => "ok".to_owned(),
        false => format!("{} [{}]", verdict.message, verdict.reason),
    }
}

/// What is seen of a credential of Stripe.
pub(crate) fn stripe(verdict: &StripeVerdict) -> String {
    let parts = [&verdict.class, &verdict.mode, &verdict.last_four];
    let parts = parts.map(String::as_str).into_iter();
    let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}
