//! How many proofs a principal exchanges: each leaves a record until its end.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use claviger_access::Principal;
use claviger_core::{Error, Reason, Result};

/// Exchanges of one principal in a minute: ten thousand runners may be one service account, and
/// start in the same second.
const A_MINUTE_MAX: u32 = 10_000;

const MINUTE: Duration = Duration::from_secs(60);

/// Those of the last minute, by principal.
#[derive(Debug, Default)]
pub(crate) struct Exchanges(Mutex<Option<Minute>>);

#[derive(Debug)]
struct Minute {
    began: SystemTime,
    counts: HashMap<Principal, u32>,
}

impl Exchanges {
    /// One more.
    ///
    /// # Errors
    /// `OVERLOADED` if there were too many.
    pub(crate) fn admit(&self, principal: &Principal, now: SystemTime) -> Result<()> {
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        minute.take_if(|minute| {
            now.duration_since(minute.began)
                .is_ok_and(|age| age >= MINUTE)
        });
        let Minute { counts, .. } = minute.get_or_insert_with(|| Minute {
            began: now,
            counts: HashMap::new(),
        });
        let count = counts.entry(principal.clone()).or_default();
        *count = count.saturating_add(1);
        match *count > A_MINUTE_MAX {
            true => Err(Error::new(Reason::Overloaded)),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_exchanges_so_much_a_minute_whatever_others_do() {
        let exchanges = Exchanges::default();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let (one, other) = (Principal::Unix(1), Principal::Unix(2));
        for _ in 0..A_MINUTE_MAX {
            exchanges.admit(&one, at(100)).unwrap();
        }
        let refused = exchanges.admit(&one, at(159)).unwrap_err();
        assert_eq!(refused.reason(), Reason::Overloaded);
        exchanges.admit(&other, at(159)).unwrap();
        exchanges.admit(&one, at(160)).unwrap();
    }
}
