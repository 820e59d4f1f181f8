//! Keeps strangers from writing the log: the modules that face them have so many lines a second.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use claviger_core::Clock;
use tracing::callsite::Identifier;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// More than anybody reads; a call site that logs more is one that somebody makes log.
const LINES_PER_SECOND: u64 = 10;

/// Lets through so many lines a second of each call site in the modules that `concerns` names. The
/// rest is counted, and told with the next line of any module.
pub(crate) struct LogLimit {
    clock: Arc<dyn Clock>,
    concerns: fn(&str) -> bool,
    second: Mutex<Second>,
}

#[derive(Default)]
struct Second {
    number: u64,
    lines: HashMap<Identifier, (&'static Metadata<'static>, u64)>,
}

impl LogLimit {
    pub(crate) fn new(clock: Arc<dyn Clock>, concerns: fn(&str) -> bool) -> Self {
        Self {
            clock,
            concerns,
            second: Mutex::default(),
        }
    }

    /// The lines that were held back in a second that has ended.
    fn held_back(&self) -> Vec<(&'static Metadata<'static>, u64)> {
        let now = self.clock.now().duration_since(SystemTime::UNIX_EPOCH);
        let number = now.unwrap_or_default().as_secs();
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        if second.number == number {
            return Vec::new();
        }
        second.number = number;
        let ended = mem::take(&mut second.lines).into_values();
        let held_back = ended.map(|(site, lines)| (site, lines.saturating_sub(LINES_PER_SECOND)));
        held_back.filter(|(_, lines)| *lines > 0).collect()
    }

    fn has_room(&self, site: &'static Metadata<'static>) -> bool {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, lines) = second.lines.entry(site.callsite()).or_insert((site, 0));
        *lines += 1;
        *lines <= LINES_PER_SECOND
    }
}

impl<S: Subscriber> Layer<S> for LogLimit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        for (site, lines) in self.held_back() {
            let (module, line) = (site.target(), site.line().unwrap_or_default());
            tracing::warn!(module, line, lines, "log lines held back");
        }
        let site = event.metadata();
        !(self.concerns)(site.target()) || self.has_room(site)
    }
}
