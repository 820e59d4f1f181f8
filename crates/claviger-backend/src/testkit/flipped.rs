//! The suite's own test: a backend that makes a false claim about itself has to fail it.

use std::sync::Arc;

use super::conformance::{declared, in_a_task, run};
use super::console::Console;
use crate::contract::{Backend, Capabilities};
use crate::layered::Layered;

/// Every way of getting one capability wrong.
fn flips(able: Capabilities) -> Vec<(&'static str, Capabilities)> {
    // Taken apart, so that a new capability cannot be forgotten here.
    let Capabilities {
        secret,
        property,
        version,
        latest,
        list,
        disable_version,
        destroy_version,
        value_bytes_max,
    } = able;
    let flip = |change: fn(&mut Capabilities, bool), was: bool| {
        let mut flipped = able;
        change(&mut flipped, !was);
        flipped
    };
    let resize = |value_bytes_max| Capabilities {
        value_bytes_max,
        ..able
    };
    vec![
        ("secret", flip(|able, is| able.secret = is, secret)),
        ("property", flip(|able, is| able.property = is, property)),
        ("version", flip(|able, is| able.version = is, version)),
        ("latest", flip(|able, is| able.latest = is, latest)),
        ("list", flip(|able, is| able.list = is, list)),
        (
            "disable_version",
            flip(|able, is| able.disable_version = is, disable_version),
        ),
        (
            "destroy_version",
            flip(|able, is| able.destroy_version = is, destroy_version),
        ),
        ("value_bytes_max, more", resize(value_bytes_max + 1)),
        ("value_bytes_max, less", resize(value_bytes_max - 1)),
    ]
}

/// Runs the suite on a backend once for every false claim it could make; each has to fail.
pub async fn every_false_claim_fails(backend: Arc<dyn Backend>, console: Option<Arc<dyn Console>>) {
    for (name, claimed) in flips(backend.capabilities()) {
        let inner = declared(Arc::clone(&backend));
        let flipped = Arc::new(Flipped { inner, claimed });
        let outcome = in_a_task(run(flipped, console.clone())).await;
        assert!(
            outcome.is_err_and(|error| error.is_panic()),
            "the suite is green although `{name}` is a false claim"
        );
    }
}

/// A backend that claims other capabilities than it has.
#[derive(Debug)]
struct Flipped {
    /// The honest one.
    inner: Arc<dyn Backend>,
    /// Its claims.
    claimed: Capabilities,
}

impl Layered for Flipped {
    fn inner(&self) -> &dyn Backend {
        &*self.inner
    }

    fn capabilities(&self) -> Capabilities {
        self.claimed
    }
}
