//! Signals that a task answers itself.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::stop::Stop;

/// Those that end a task from outside. Ctrl-\ does so whatever is under way.
pub(crate) const ENDING: [SignalKind; 3] = [
    SignalKind::hangup(),
    SignalKind::interrupt(),
    SignalKind::terminate(),
];

/// Signals that are caught from the time this is made, and do nothing more once it is gone.
pub(crate) struct Signals(Vec<Signal>);

impl Signals {
    pub(crate) fn catch(kinds: &[SignalKind]) -> Result<Self, Stop> {
        let caught: io::Result<_> = kinds.iter().map(|kind| signal(*kind)).collect();
        caught
            .map(Self)
            .map_err(|error| Stop::failed(format!("signals cannot be caught: {error}")))
    }

    /// Waits for any of them.
    pub(crate) async fn any(&mut self) {
        poll_fn(|context| self.poll(context)).await;
    }

    /// Whether any has come.
    pub(crate) async fn has_come(&mut self) -> bool {
        poll_fn(|context| Poll::Ready(self.poll(context).is_ready())).await
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut signals = self.0.iter_mut();
        match signals.any(|signal| signal.poll_recv(context).is_ready()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}
