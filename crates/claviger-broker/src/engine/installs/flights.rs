//! One exchange of an install at a time, and all that wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use claviger_core::{Error, Reason, Result, Uid};
use tokio::sync::watch;

/// How an exchange stands.
#[derive(Debug)]
enum Progress {
    /// Waiters wait.
    UnderWay,
    /// It goes on without those that wait for it: what they are told.
    Stuck(Error),
    /// It has ended.
    Over(Result<()>),
}

/// The exchanges under way, and those that failed a moment ago.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<Uid, Flight>>);

#[derive(Debug)]
struct Flight {
    progress: watch::Receiver<Progress>,
    /// Of one that failed: until when, in the time that passes, no other one begins.
    quiet_until: Option<Duration>,
}

/// The end of a flight that its exchange holds. Dropped without a word, it has failed.
#[derive(Debug)]
pub(super) struct Pilot {
    flights: Arc<Flights>,
    install: Uid,
    progress: watch::Sender<Progress>,
    is_over: bool,
}

/// A place in a flight.
#[derive(Debug)]
pub(super) struct Seat(watch::Receiver<Progress>);

impl Flights {
    /// A seat in the flight of this install, and with it the flight itself if this is the first.
    pub(super) fn board(self: &Arc<Self>, install: Uid, uptime: Duration) -> (Seat, Option<Pilot>) {
        let mut flights = self.lock();
        flights.retain(|_, flight| flight.quiet_until.is_none_or(|until| uptime < until));
        if let Some(flight) = flights.get(&install) {
            return (Seat(flight.progress.clone()), None);
        }
        let (progress, seat) = watch::channel(Progress::UnderWay);
        let flight = Flight {
            progress: seat.clone(),
            quiet_until: None,
        };
        flights.insert(install, flight);
        let pilot = Pilot {
            flights: Arc::clone(self),
            install,
            progress,
            is_over: false,
        };
        (Seat(seat), Some(pilot))
    }

    /// Whether there is one that has not ended.
    pub(super) fn is_under_way(&self, install: Uid) -> bool {
        let flights = self.lock();
        let flight = flights.get(&install);
        flight.is_some_and(|flight| flight.quiet_until.is_none())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uid, Flight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pilot {
    /// Tells those that wait, and that come to wait, not to; the exchange goes on.
    pub(super) fn stuck(&self, error: Error) {
        self.progress.send_replace(Progress::Stuck(error));
    }

    /// Ends the flight. After a failure none begins before `quiet_until`: whoever comes is told the
    /// same.
    pub(super) fn land(mut self, outcome: Result<()>, quiet_until: Duration) {
        self.end(outcome, Some(quiet_until));
    }

    fn end(&mut self, outcome: Result<()>, quiet_until: Option<Duration>) {
        self.is_over = true;
        {
            let mut flights = self.flights.lock();
            match (outcome.is_err(), flights.get_mut(&self.install)) {
                (true, Some(flight)) if quiet_until.is_some() => flight.quiet_until = quiet_until,
                _ => drop(flights.remove(&self.install)),
            }
        }
        self.progress.send_replace(Progress::Over(outcome));
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        if !self.is_over {
            self.end(Err(Error::new(Reason::Internal)), None);
        }
    }
}

impl Seat {
    /// Waits for the end.
    ///
    /// # Errors
    /// Those of the exchange.
    pub(super) async fn wait(mut self) -> Result<()> {
        let is_known = |progress: &Progress| !matches!(progress, Progress::UnderWay);
        match self.0.wait_for(is_known).await.as_deref() {
            Ok(Progress::Stuck(error) | Progress::Over(Err(error))) => Err(error.again()),
            Ok(Progress::Over(Ok(()))) => Ok(()),
            Ok(Progress::UnderWay) | Err(_) => Err(Error::new(Reason::Internal)),
        }
    }
}
