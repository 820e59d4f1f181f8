//! Behaviour that a test can ask for instead of the usual one.

use crate::answers::Recorded;
use crate::call::Call;

/// Which requests are meant.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// Verb, or each.
    pub method: Option<&'static str>,
    /// Part of host, path and query when written after one another.
    pub path_contains: &'static str,
}

impl Filter {
    /// All requests.
    pub const ANY: Self = Self {
        method: None,
        path_contains: "",
    };

    fn matches(self, call: &Call) -> bool {
        self.method.is_none_or(|method| method == call.method)
            && format!("{}{}", call.host, call.target).contains(self.path_contains)
    }
}

/// One way to treat a request.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// It is executed, then the connection is closed without an answer.
    CutAfterExecuting,
    /// It is answered with status 200 and a text that is not JSON; nothing is executed.
    Garbage200,
    /// It is executed, then the connection is closed after half of the answer's body.
    HalfBody,
    /// It is held, and executed only when let go.
    Hang,
    /// It is executed, and its answer names this as the next page.
    NextLink(String),
    /// It is answered like this; nothing is executed.
    Recorded(Recorded),
    /// It is executed and half of the answer's body sent, the rest when let go.
    Slow,
    /// It is answered with exactly this; nothing is executed.
    Status {
        /// Status code.
        status: u16,
        /// All headers but the length and the date.
        headers: Vec<(String, String)>,
        /// The whole body.
        body: String,
    },
}

impl Behaviour {
    pub(crate) fn holds(&self) -> bool {
        matches!(self, Self::Hang | Self::Slow)
    }
}

/// How logins fail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Login {
    /// The secret of the application was right once.
    ExpiredSecret,
    /// There is no answer until the fake lets go.
    Hang,
    /// The secret of the application is wrong.
    InvalidClient,
    /// There is no such tenant.
    WrongTenant,
}

/// A behaviour that was asked for.
#[derive(Debug)]
pub(crate) struct Rule {
    filter: Filter,
    left: usize,
    behaviour: Behaviour,
}

impl Rule {
    pub(crate) fn new(filter: Filter, times: usize, behaviour: Behaviour) -> Self {
        Self {
            filter,
            left: times,
            behaviour,
        }
    }

    /// Uses it up by one if the request is meant.
    pub(crate) fn take(&mut self, call: &Call) -> Option<Behaviour> {
        if !self.filter.matches(call) {
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        Some(self.behaviour.clone())
    }

    pub(crate) fn behaviour(&self) -> &Behaviour {
        &self.behaviour
    }
}
