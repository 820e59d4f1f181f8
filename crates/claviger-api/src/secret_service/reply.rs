//! A value on its way out.

use claviger_broker::{Age, Served};
use claviger_core::{Detail, Error, Format, Id, Reason, Result};
use claviger_proto::v1::{self, freshness::Source, get_secret_response::Value};

use crate::convert;

/// The reply with a value, or without the one that the caller has.
///
/// # Errors
/// `INTERNAL` for text that is none.
pub(super) fn answer(
    served: Served,
    environment: Option<Id>,
    known: Option<&Id>,
) -> Result<v1::GetSecretResponse> {
    let not_modified = known == Some(&served.version);
    let credential = served.credential.as_deref();
    let stripe = credential.map(|credential| v1::StripeCredential {
        class: credential.class.to_string(),
        mode: convert::text(credential.mode),
        account: credential.account.clone().unwrap_or_default(),
        context: credential.context.clone().unwrap_or_default(),
    });
    let crc32c = served.value.crc32c();
    let bytes = served.value.into_exposed();
    let value = match served.format {
        Format::Binary => Value::Data(bytes),
        // The broker has checked it; the bytes of a failed check must not travel in the error.
        Format::Text => {
            Value::Text(String::from_utf8(bytes).map_err(|_| Error::new(Reason::Internal))?)
        }
    };
    Ok(v1::GetSecretResponse {
        version: served.version.to_string(),
        value: Some(value).filter(|_| !not_modified),
        not_modified,
        crc32c,
        environment: convert::text(environment),
        vault: served.vault.to_string(),
        freshness: Some(freshness(&served.age)),
        stripe,
        kind: convert::wire_kind(served.kind).into(),
    })
}

pub(crate) fn freshness(age: &Age) -> v1::Freshness {
    v1::Freshness {
        served_from: match age.is_remembered {
            true => Source::Cache,
            false => Source::Vault,
        }
        .into(),
        age: convert::duration(age.age),
        fetch_time: convert::timestamp(age.fetch_time),
        stale: age.stale.is_some(),
        stale_reason: age.stale.as_deref().map(why).unwrap_or_default(),
    }
}

/// The reason, and the cause if the vault was not reached: `VAULT_UNREACHABLE/FIREWALL`.
fn why(error: &Error) -> String {
    let cause = error.detail(Detail::Cause);
    let words = [Some(error.reason().as_str()), cause];
    words.into_iter().flatten().collect::<Vec<_>>().join("/")
}
