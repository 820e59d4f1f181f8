//! One app or platform, connected to one account in one mode: the unit whose tokens roll. Which
//! states it goes through, as rules without a store or a clock.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use claviger_core::{DefinitionName, Id, ProfileName, Result, SecretBytes, Uid};
use claviger_stripe::Mode;
use claviger_stripe::oauth::{Flavor, Reuse};

/// An install as it is kept. Its secrets lie beside it, in a row of their own that changes with it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Install {
    /// The definition that it is the value of.
    pub definition: DefinitionName,
    /// Which of Stripe's two.
    pub flavor: Flavor,
    /// The client id of the app or platform.
    pub client_id: String,
    /// The account it is for; `None` before the first exchange if nobody named one.
    pub account: Option<String>,
    /// The mode it is in, as the account.
    pub mode: Option<Mode>,
    /// Whether it works.
    pub state: State,
    /// Whether no other project may have the same: from its first exchange on.
    pub is_claimed: bool,
    /// Counts the credentials that were stored: those that were put, and those that rolled.
    pub generation: u64,
    /// When tokens were last put or exchanged.
    pub refresh_time: Option<SystemTime>,
    /// When the access token ends, if there is one that does.
    pub expire_time: Option<SystemTime>,
    /// Whether there is an access token.
    pub has_access: bool,
    /// The profiles that share it.
    pub profiles: BTreeSet<ProfileName>,
    /// Tells the refresh tokens that were put from others, the latest last.
    pub(crate) pasted: Vec<String>,
}

/// Whether an install works.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// Nothing was exchanged yet.
    Unverified,
    /// It works.
    Connected,
    /// An exchange is under way.
    Refreshing(Claim),
    /// The answer to an exchange is lost.
    Uncertain,
    /// Only a person can get new tokens.
    ReconnectRequired(ReconnectReason),
    /// Its tokens are good, and another project has the same install: it is not served.
    Shared,
}

/// One exchange, and how far it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Claim {
    /// Tells one exchange from another.
    pub id: Uid,
    /// When nobody is taken to be at it any longer.
    pub lease_end: SystemTime,
    /// Whether the refresh token may have left for the provider.
    pub is_sent: bool,
    /// Whether the answer to an exchange of the same token was lost before.
    pub is_repeat: bool,
}

/// Why a person is needed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReconnectReason {
    /// The refresh token is not taken.
    Revoked,
    /// The answer with the new refresh token was lost, and the old one is spent.
    AnswerLost,
    /// The tokens are for another account or mode.
    AccountChanged,
    /// The refresh token was not used for a year.
    Idle,
    /// The client secret is not taken.
    ClientKeyRejected,
}

/// Why an exchange is wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Why {
    /// The access token is missing or near its end.
    Needed,
    /// A caller was refused with the access token of this generation.
    Refused(u64),
    /// The refresh token was not used for long.
    Idle,
}

impl ReconnectReason {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "REVOKED",
            Self::AnswerLost => "ANSWER_LOST",
            Self::AccountChanged => "ACCOUNT_CHANGED",
            Self::Idle => "IDLE",
            Self::ClientKeyRejected => "CLIENT_KEY_REJECTED",
        }
    }

    /// The remedy.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Revoked => {
                "Stripe does not take its refresh token any more: the app was uninstalled from the \
                 account, or connected to it elsewhere; connect the app to the account again and \
                 put the new refresh token with PutConnectionProfile"
            }
            Self::AnswerLost => {
                "Stripe's answer with the new refresh token was lost, and the old one is spent; \
                 connect the app to the account again and put the new refresh token with \
                 PutConnectionProfile"
            }
            Self::AccountChanged => {
                "its tokens are for another account or mode than the profile; connect the app to \
                 that account, or name the new one in oauth.account and oauth.mode, and put the new \
                 refresh token with PutConnectionProfile"
            }
            Self::Idle => {
                "its refresh token was not used for a year; connect the app to the account again \
                 and put the new refresh token with PutConnectionProfile"
            }
            Self::ClientKeyRejected => {
                "Stripe does not take the client secret; put the secret key of the app's own \
                 account (Developers → API keys) as oauth.client_secret with PutConnectionProfile"
            }
        }
    }
}

impl State {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unverified | Self::Shared => "UNVERIFIED",
            Self::Connected => "CONNECTED",
            Self::Refreshing(_) => "REFRESHING",
            Self::Uncertain => "UNCERTAIN",
            Self::ReconnectRequired(_) => "RECONNECT_REQUIRED",
        }
    }
}

impl Install {
    /// Names its present credential.
    ///
    /// # Errors
    /// None: a number is an id.
    pub(crate) fn version(&self) -> Result<Id> {
        Id::parse("version", &self.generation.to_string())
    }

    /// Whether its access token may be handed out: it has one that is not near its end.
    pub(crate) fn is_fresh(&self, now: SystemTime, before: impl Fn(Duration) -> Duration) -> bool {
        self.state == State::Connected && self.has_access && !self.is_ending(now, before)
    }

    /// Whether its access token is so near its end that it is to be refreshed, or past it.
    fn is_ending(&self, now: SystemTime, before: impl Fn(Duration) -> Duration) -> bool {
        let (Some(start), Some(end)) = (self.refresh_time, self.expire_time) else {
            return false;
        };
        let life = end.duration_since(start).unwrap_or_default();
        now + before(life) >= end
    }

    /// The state without the exchange that is under way, which never reached the provider.
    pub(crate) fn state_before(&self, claim: &Claim) -> State {
        match claim.is_repeat {
            true => State::Uncertain,
            false => self.at_rest(),
        }
    }

    /// The state where nothing is wrong.
    pub(crate) fn at_rest(&self) -> State {
        match self.has_access {
            true => State::Connected,
            false => State::Unverified,
        }
    }

    /// Another client secret was put: with it the refresh token may be taken after all.
    pub(crate) fn try_again(&mut self, refresh_token: &SecretBytes, reuse: Reuse) {
        let is_refused = self.state == State::ReconnectRequired(ReconnectReason::Revoked);
        if is_refused && reuse == Reuse::Tolerated && !refresh_token.is_empty() {
            self.state = self.at_rest();
        }
    }

    /// Remembers a refresh token that was put.
    pub(crate) fn note_pasted(&mut self, mark: String) {
        self.pasted.push(mark);
        let many = self.pasted.len().saturating_sub(PASTED_MAX);
        self.pasted.drain(..many);
    }

    /// Whether the refresh token that is stored may be put once more: only where a person is asked for
    /// one, and never where a spent one would end the connection.
    pub(crate) fn may_repeat(&self, reuse: Reuse) -> bool {
        let State::ReconnectRequired(reason) = self.state else {
            return false;
        };
        reuse == Reuse::Tolerated || reason != ReconnectReason::AnswerLost
    }

    /// The state once an exchange has ended and nobody knows how.
    pub(crate) fn state_after_loss(&self, claim: &Claim, reuse: Reuse) -> State {
        match (claim.is_sent, reuse) {
            (false, _) => self.state_before(claim),
            (true, _) => Self::state_of_lost(reuse),
        }
    }

    /// The state once an answer is lost.
    pub(crate) fn state_of_lost(reuse: Reuse) -> State {
        match reuse {
            Reuse::Tolerated => State::Uncertain,
            // SECURITY: a spent token that is sent again would end the whole connection.
            Reuse::Revokes => State::ReconnectRequired(ReconnectReason::AnswerLost),
        }
    }

    /// Why the provider does not know the refresh token.
    pub(crate) fn reason_of_refusal(&self, claim: &Claim, now: SystemTime) -> ReconnectReason {
        let idle = self
            .refresh_time
            .and_then(|time| now.duration_since(time).ok());
        match (claim.is_repeat, idle) {
            (true, _) => ReconnectReason::AnswerLost,
            (false, Some(idle)) if idle >= REFRESH_TOKEN_LIFE => ReconnectReason::Idle,
            (false, _) => ReconnectReason::Revoked,
        }
    }

    /// Whether it is to be refreshed for nobody: so long unused that its refresh token would end.
    pub(crate) fn is_idle(&self, definition: Uid, now: SystemTime) -> bool {
        let Some(last) = self.refresh_time else {
            return false;
        };
        // Spread over two days, so that what was connected together is not refreshed together.
        let spread = u32::from(definition.first_byte());
        let due = last + IDLE_MAX - IDLE_SPREAD * spread / 256;
        let is_unused = match self.state {
            State::Connected => self.expire_time.is_some_and(|end| end <= now),
            State::Unverified => true,
            State::Refreshing(_)
            | State::Uncertain
            | State::ReconnectRequired(_)
            | State::Shared => false,
        };
        self.flavor == Flavor::Apps && is_unused && now >= due
    }

    /// The claim, if it is this one.
    pub(crate) fn claim(&self, id: Uid) -> Option<Claim> {
        match self.state {
            State::Refreshing(claim) if claim.id == id => Some(claim),
            State::Refreshing(_)
            | State::Unverified
            | State::Connected
            | State::Uncertain
            | State::ReconnectRequired(_)
            | State::Shared => None,
        }
    }
}

/// Refresh tokens that are known again when they are put once more.
const PASTED_MAX: usize = 16;

/// Stripe's refresh tokens last a year.
const REFRESH_TOKEN_LIFE: Duration = Duration::from_secs(365 * DAY);

/// Longest that a refresh token stays unused.
const IDLE_MAX: Duration = Duration::from_secs(30 * DAY);
const IDLE_SPREAD: Duration = Duration::from_secs(2 * DAY);

const DAY: u64 = 24 * 60 * 60;
