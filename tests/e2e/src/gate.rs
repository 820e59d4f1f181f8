//! A gate at which threads wait for each other.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Holds calls back until it is opened, or until as many have come as it waits for.
#[derive(Debug)]
pub struct Gate {
    awaited: usize,
    /// How many have come, and whether it is open.
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Gate {
    /// Opens by itself when this many have come.
    pub fn for_arrivals(awaited: usize) -> Self {
        Self {
            awaited,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Waits until it is open, and returns how many had come with this one.
    pub fn pass(&self) -> usize {
        let mut state = self.state();
        state.0 += 1;
        let arrivals = state.0;
        state.1 |= arrivals >= self.awaited;
        self.changed.notify_all();
        let is_shut = |state: &mut (usize, bool)| !state.1;
        drop(self.changed.wait_while(state, is_shut));
        arrivals
    }

    /// Waits until as many have come.
    pub fn await_arrivals(&self, count: usize) {
        let is_fewer = |state: &mut (usize, bool)| state.0 < count;
        drop(self.changed.wait_while(self.state(), is_fewer));
    }

    /// How many have come.
    pub fn arrivals(&self) -> usize {
        self.state().0
    }

    /// Whether it lets everyone through.
    pub fn is_open(&self) -> bool {
        self.state().1
    }

    /// Lets everyone through, now and later.
    pub fn open(&self) {
        self.state().1 = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, (usize, bool)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
