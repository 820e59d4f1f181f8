//! AWS as far as it is needed here: replies by operation.

use std::sync::{Mutex, PoisonError};

use claviger_stub::aws::{access_key, operation};
use claviger_stub::{Request, Script, next_reply};

pub(crate) use claviger_stub::Reply;
pub(crate) use claviger_stub::aws::refusal;

/// Plays its script, and remembers its calls.
pub(crate) struct Stub(claviger_stub::Stub);

impl Stub {
    /// Starts one with these replies to each operation; it ends badly if asked for another.
    pub(crate) fn start(script: Script<Reply>) -> Self {
        let script = Mutex::new(script);
        Self(claviger_stub::Stub::start(move |request| {
            let operation = operation(request);
            let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
            let reply = next_reply(&mut script, operation);
            reply.unwrap_or_else(|| panic!("{operation} is not in the script"))
        }))
    }

    pub(crate) fn url(&self) -> String {
        self.0.url()
    }

    /// How often this operation was asked for.
    pub(crate) fn count(&self, wanted: &str) -> usize {
        let asked = self.requests();
        asked.filter(|request| operation(request) == wanted).count()
    }

    /// All calls: operations and bodies.
    pub(crate) fn asked(&self) -> Vec<(String, String)> {
        self.requests()
            .map(|request| (operation(&request).to_owned(), request.body))
            .collect()
    }

    /// The access keys of all calls.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.requests()
            .map(|request| access_key(&request).expect("signed").to_owned())
            .collect()
    }

    /// The SDK may connect and ask nothing.
    fn requests(&self) -> impl Iterator<Item = Request> {
        let asked = self.0.asked().into_iter();
        asked.filter(|request| !request.target().is_empty())
    }
}
