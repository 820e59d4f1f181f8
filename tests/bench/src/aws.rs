//! A stand-in for AWS: every secret is there, and the calls are counted. Part of this process, so
//! that it runs beside the load and not beside the daemon.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{park_timeout, sleep};
use std::time::Duration;

use claviger_stub::aws::{operation, refusal};
use claviger_stub::{Reply, Request, Stub};
use serde_json::{Value, json};

/// How long AWS takes for a read.
const DELAY: Duration = Duration::from_millis(50);

/// What it does with reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mood {
    Well,
    Hangs,
    Throttles,
    Unavailable,
}

impl Mood {
    /// Those in which nobody gets a value from it.
    pub(crate) const BAD: [Self; 3] = [Self::Hangs, Self::Throttles, Self::Unavailable];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Hangs => "hangs",
            Self::Throttles => "throttles",
            Self::Unavailable => "503",
        }
    }
}

struct Shared {
    mood: Mutex<Mood>,
    is_over: AtomicBool,
    value: String,
}

impl Shared {
    fn mood(&self) -> MutexGuard<'_, Mood> {
        self.mood.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of the secret asked for: an answer that names another is none.
    fn answer(&self, request: &Request) -> String {
        let asked: Value = serde_json::from_str(&request.body).unwrap_or_default();
        json!({
            "ARN": "", "Name": asked.get("SecretId"), "SecretString": self.value,
            "VersionId": "11111111-2222-4333-8444-555555555555",
            "VersionStages": ["AWSCURRENT"],
        })
        .to_string()
    }

    fn play(&self, request: &Request) -> Reply {
        if operation(request) != "GetSecretValue" {
            return refusal(400, "ResourceNotFoundException", "");
        }
        sleep(DELAY);
        let mood = *self.mood();
        match mood {
            Mood::Well => Reply::json(200, &self.answer(request)),
            Mood::Throttles => refusal(400, "ThrottlingException", "Rate exceeded"),
            Mood::Unavailable => refusal(503, "ServiceUnavailable", ""),
            Mood::Hangs => {
                while *self.mood() == Mood::Hangs && !self.is_over.load(Ordering::Relaxed) {
                    park_timeout(DELAY);
                }
                refusal(503, "ServiceUnavailable", "")
            }
        }
    }
}

/// Listens until it is dropped.
pub(crate) struct Aws {
    stub: Stub,
    shared: Arc<Shared>,
}

impl Aws {
    /// All of its values are as long as this.
    pub(crate) fn start(value_bytes: usize) -> Self {
        let shared = Arc::new(Shared {
            mood: Mutex::new(Mood::Well),
            is_over: AtomicBool::new(false),
            value: "x".repeat(value_bytes),
        });
        let playing = Arc::clone(&shared);
        let stub = Stub::start(move |request| playing.play(request));
        Self { stub, shared }
    }

    pub(crate) fn is(&self, mood: Mood) {
        *self.shared.mood() = mood;
    }

    /// How often values were asked for since this was called last.
    pub(crate) fn take_reads(&self) -> u32 {
        let asked = self.stub.take_asked().into_iter();
        asked
            .map(|request| u32::from(operation(&request) == "GetSecretValue"))
            .sum()
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        self.stub.url()
    }

    /// The daemon's configuration: a vault, with these keys besides.
    pub(crate) fn config(&self, more: &str) -> String {
        format!(
            "[vaults.aws]\nkind = \"aws\"\nallow = [{{ project = \"dev\", names = [\"*\"] }}]\n{more}\n\
             [vaults.aws.settings]\nregion = \"eu-central-1\"\nendpoint_url = \"{}\"\n",
            self.stub.url()
        )
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}
