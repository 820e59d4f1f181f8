//! The rules of a slot, one moment after another.

use claviger_core::Reason;

use super::*;

const POLICY: Policy = Policy {
    fresh: Duration::from_secs(300),
    usable: Duration::from_secs(3900),
    renewal: Some(Duration::from_secs(300)),
};

const NEGATIVE: Duration = Duration::from_secs(2);

/// A slot, the time, and the flights that were started.
struct World {
    slot: Slot<u32, usize>,
    now: Moment,
    flights: Vec<Ticket>,
}

/// What a reader got, for comparing.
#[derive(Debug, Eq, PartialEq)]
enum Got {
    Fresh(u32),
    Stale(u32, Reason),
    Flight(usize),
    Refused(Reason, u64),
    Crowded,
}

/// What a refresh waits for, for comparing.
#[derive(Debug, Eq, PartialEq)]
enum Waits {
    For(usize),
    Until(u128),
}

impl World {
    fn new() -> Self {
        Self {
            slot: Slot::new(Duration::ZERO),
            now: Duration::ZERO,
            flights: Vec::new(),
        }
    }

    fn at(&mut self, seconds: f64) -> &mut Self {
        self.now = Duration::from_secs_f64(seconds);
        self
    }

    fn ask(&mut self) -> Got {
        self.ask_as(&POLICY)
    }

    fn ask_as(&mut self, policy: &Policy) -> Got {
        let again = self.again(policy);
        let flights = &mut self.flights;
        let begun = flights.len();
        let launch = |ticket| {
            flights.push(ticket);
            Some(flights.len() - 1)
        };
        let got = got(self.slot.ask(self.now, policy, launch));
        if let Some(value) = again {
            assert_eq!(got, Got::Fresh(value), "what comes again needs no asking");
            assert_eq!(self.flights.len(), begun);
        }
        got
    }

    fn again(&self, policy: &Policy) -> Option<u32> {
        let held = self.slot.again(self.now, policy);
        held.map(|held| *held.value)
    }

    /// Of a refresh that was asked for just now.
    fn refresh(&mut self) -> Result<Got, Waits> {
        let since = self.slot.begun();
        self.refresh_since(since)
    }

    fn refresh_since(&mut self, since: u64) -> Result<Got, Waits> {
        let flights = &mut self.flights;
        let launch = |ticket| {
            flights.push(ticket);
            Some(flights.len() - 1)
        };
        let answer = self.slot.refresh(self.now, since, &POLICY, launch);
        answer.map(got).map_err(|wait| match wait {
            Wait::Landing(flight) => Waits::For(flight),
            Wait::Until(next) => Waits::Until(next.as_millis()),
        })
    }

    fn land(&mut self, flight: usize, value: u32) {
        let value = Ok((Arc::new(value), SystemTime::UNIX_EPOCH));
        let (landed, _) = self
            .slot
            .land(self.now, self.flights[flight], NEGATIVE, value);
        landed.expect("it brought a value");
    }

    fn fail(&mut self, flight: usize, error: Error, meaning: Meaning) -> bool {
        let error = Arc::new(error);
        let failure = Err(Failure { error, meaning });
        let (landed, is_taken) = self
            .slot
            .land(self.now, self.flights[flight], NEGATIVE, failure);
        assert!(landed.is_err());
        is_taken
    }

    fn away(&mut self, flight: usize) {
        self.fail(flight, Error::new(Reason::VaultUnreachable), Meaning::Away);
    }

    fn missing(&mut self, flight: usize) {
        self.fail(flight, Error::new(Reason::SecretNotFound), Meaning::Refused);
    }
}

fn got(answer: Answer<u32, usize>) -> Got {
    match answer {
        Answer::Known(Known::Held(held, None)) => Got::Fresh(*held.value),
        Answer::Known(Known::Held(held, Some(error))) => Got::Stale(*held.value, error.reason()),
        Answer::Flight(flight) => Got::Flight(flight),
        Answer::Crowded => Got::Crowded,
        Answer::Known(Known::Refused(error, rest)) => Got::Refused(error.reason(), rest.as_secs()),
    }
}

#[test]
fn what_was_served_comes_again_without_asking_while_that_would_change_nothing() {
    let mut world = World::new();
    assert_eq!(world.again(&POLICY), None);
    assert_eq!(world.ask(), Got::Flight(0));
    assert_eq!(world.again(&POLICY), None);
    world.land(0, 7);
    assert_eq!(world.again(&POLICY), Some(7));
    assert_eq!(world.at(0.9).again(&POLICY), Some(7));
    let hasty = Policy {
        fresh: Duration::from_millis(900),
        ..POLICY
    };
    assert_eq!(world.again(&hasty), None, "too old for this reader");
    assert_eq!(
        world.at(1.0).again(&POLICY),
        None,
        "its use is to be noticed"
    );
    assert_eq!(world.ask(), Got::Fresh(7));
    assert_eq!(world.again(&POLICY), Some(7));
    world.slot.doubt();
    assert_eq!(world.again(&POLICY), None);

    world.ask();
    world.land(1, 8);
    assert_eq!(world.again(&POLICY), Some(8));
    world.slot.bump();
    assert_eq!(world.again(&POLICY), None);

    world.ask();
    world.land(2, 9);
    world.at(200.0).ask();
    assert_eq!(world.again(&POLICY), Some(9));
    world.at(299.0).ask();
    assert_eq!(world.again(&POLICY), None, "it is due to be renewed");
}

#[test]
fn all_that_come_while_a_flight_is_under_way_wait_for_it() {
    let mut world = World::new();
    assert_eq!(world.ask(), Got::Flight(0));
    assert_eq!(world.at(5.0).ask(), Got::Flight(0));
    world.land(0, 1);
    assert_eq!(world.ask(), Got::Fresh(1));
    assert_eq!(world.flights.len(), 1);
}

#[test]
fn an_age_is_counted_from_when_the_vault_was_asked() {
    let mut world = World::new();
    world.ask();
    world.at(100.0).land(0, 1);
    assert_eq!(world.at(299.0).ask(), Got::Fresh(1));
    assert_eq!(world.at(300.0).ask(), Got::Flight(1));
}

#[test]
fn what_is_in_use_is_renewed_before_it_is_too_old_and_what_is_not_is_left_alone() {
    let mut world = World::new();
    world.ask();
    world.land(0, 1);
    assert_eq!(world.at(224.0).ask(), Got::Fresh(1));
    assert_eq!(world.flights.len(), 1, "too early");
    assert_eq!(world.at(286.0).ask(), Got::Fresh(1));
    assert_eq!(world.ask(), Got::Fresh(1));
    assert_eq!(world.flights.len(), 2, "one renewal");
    // It fails: what is held stays, and the vault is left alone for a second.
    world.away(1);
    assert_eq!(world.at(286.9).ask(), Got::Fresh(1));
    assert_eq!(world.flights.len(), 2);
    assert_eq!(world.at(287.0).ask(), Got::Fresh(1));
    assert_eq!(world.flights.len(), 3);
    world.land(2, 2);
    assert_eq!(world.at(510.0).ask(), Got::Fresh(2));

    let never = Policy {
        renewal: None,
        ..POLICY
    };
    let mut world = World::new();
    world.ask_as(&never);
    world.land(0, 1);
    assert_eq!(world.at(299.0).ask_as(&never), Got::Fresh(1));
    assert_eq!(world.flights.len(), 1);
    assert_eq!(world.at(300.0).ask_as(&never), Got::Flight(1));
}

#[test]
fn while_the_vault_is_away_the_old_value_is_marked_and_its_age_goes_on() {
    let mut world = World::new();
    world.ask();
    world.land(0, 1);
    assert_eq!(world.at(300.0).ask(), Got::Flight(1));
    world.away(1);
    let stale = || Got::Stale(1, Reason::VaultUnreachable);
    // The steps are 1, 2, 4 and 4 s, with one flight each, and nobody waits for it.
    let mut flights = 2;
    let mut begin = 300.0;
    for step in [1.0, 2.0, 4.0, 4.0] {
        assert_eq!(world.at(begin + step - 0.1).ask(), stale(), "at {begin}");
        assert_eq!(world.flights.len(), flights);
        assert_eq!(world.at(begin + step).ask(), stale());
        assert_eq!(world.ask(), stale());
        flights += 1;
        assert_eq!(world.flights.len(), flights);
        // The vault hangs: its answer takes longer than any step.
        begin += step + 5.0;
        assert_eq!(world.at(begin - 0.1).ask(), stale(), "still under way");
        world.at(begin).away(flights - 1);
        assert_eq!(world.ask(), stale());
    }
    // Long after that nothing is known of the vault.
    assert_eq!(world.at(3899.0).ask(), Got::Flight(flights));
    world.away(flights);
    assert_eq!(world.ask(), stale());
    // Up to its end, which no failure moved.
    let refused = Got::Refused(Reason::VaultUnreachable, 3);
    assert_eq!(world.at(3900.0).ask(), refused);
    let state = world.slot.state(world.now, &POLICY);
    assert_eq!(state, State::Negative);
}

#[test]
fn a_vault_is_asked_again_when_it_said_so_but_within_a_minute() {
    for (asked, rest) in [(0, 1), (30, 30), (3600, 60)] {
        let mut world = World::new();
        world.ask();
        let error = Error::new(Reason::VaultUnreachable).retry_after(Duration::from_secs(asked));
        world.fail(0, error, Meaning::Away);
        assert_eq!(world.ask(), Got::Refused(Reason::VaultUnreachable, rest));
        let rest = f64::from(u32::try_from(rest).expect("short"));
        assert_eq!(world.at(rest).ask(), Got::Flight(1));
    }
}

#[test]
fn a_no_takes_the_value_away_and_counts_for_a_moment() {
    let mut world = World::new();
    world.ask();
    world.land(0, 1);
    assert_eq!(world.at(300.0).ask(), Got::Flight(1));
    world.missing(1);
    assert_eq!(world.slot.held(), None);
    assert_eq!(world.ask(), Got::Refused(Reason::SecretNotFound, 2));
    assert_eq!(world.at(302.0).ask(), Got::Flight(2));
    // Away after it said no: there is nothing to fall back on.
    world.away(2);
    assert_eq!(world.ask(), Got::Refused(Reason::VaultUnreachable, 1));
}

#[test]
fn a_reader_may_want_it_newer_or_not_take_it_stale() {
    let newer = Policy {
        fresh: Duration::from_secs(1),
        ..POLICY
    };
    let never_stale = Policy {
        usable: POLICY.fresh,
        ..POLICY
    };
    let mut world = World::new();
    world.ask();
    world.land(0, 1);
    assert_eq!(world.at(0.9).ask_as(&newer), Got::Fresh(1));
    assert_eq!(world.at(1.0).ask_as(&newer), Got::Flight(1));
    // Others are served meanwhile.
    assert_eq!(world.ask(), Got::Fresh(1));
    world.away(1);
    let stale = Got::Stale(1, Reason::VaultUnreachable);
    assert_eq!(world.ask_as(&newer), stale);
    assert_eq!(world.at(300.0).ask_as(&never_stale), Got::Flight(2));
    world.away(2);
    let refused = Got::Refused(Reason::VaultUnreachable, 2);
    assert_eq!(world.ask_as(&never_stale), refused);
}

#[test]
fn a_flight_that_began_before_a_change_fills_nothing() {
    let mut world = World::new();
    world.ask();
    world.slot.bump();
    // It is not joined either: the reader came after the change.
    assert_eq!(world.ask(), Got::Flight(1));
    world.land(0, 1);
    assert_eq!(world.slot.held(), None);
    assert_eq!(world.ask(), Got::Flight(1));
    world.land(1, 2);
    assert_eq!(world.ask(), Got::Fresh(2));
    // Its failure does not count either.
    world.at(300.0).ask();
    world.slot.bump();
    world.missing(2);
    assert_eq!(world.ask(), Got::Flight(3));
}

#[test]
fn a_refresh_asks_once_a_second_whatever_is_known() {
    let mut world = World::new();
    world.ask();
    world.missing(0);
    // It was created by now.
    assert_eq!(world.at(0.5).refresh(), Ok(Got::Flight(1)));
    assert_eq!(world.refresh_since(1), Ok(Got::Flight(1)), "together");
    // One that was asked for after it began waits for it, and for its second.
    assert_eq!(world.at(0.6).refresh_since(2), Err(Waits::For(1)));
    world.land(1, 1);
    assert_eq!(world.refresh_since(1), Ok(Got::Fresh(1)));
    assert_eq!(world.at(1.4).refresh_since(2), Err(Waits::Until(1500)));
    assert_eq!(world.at(1.5).refresh_since(2), Ok(Got::Flight(2)));
    // Readers keep what is held, and have it marked if the vault is away: a refresh does not.
    assert_eq!(world.ask(), Got::Fresh(1));
    world.away(2);
    let refused = Ok(Got::Refused(Reason::VaultUnreachable, 1));
    assert_eq!(world.refresh_since(2), refused);
    // Nor does it ask a vault that is left alone.
    assert_eq!(
        world.at(2.4).refresh(),
        Ok(Got::Refused(Reason::VaultUnreachable, 0))
    );
    assert_eq!(world.flights.len(), 3);
    assert_eq!(world.at(2.5).refresh(), Ok(Got::Flight(3)));
}

#[test]
fn what_is_not_learned_from_the_vault_takes_nothing_away() {
    let overloaded = Error::new(Reason::Overloaded);
    let internal = Error::new(Reason::Internal);
    for (meaning, error, next) in [
        (Meaning::Unasked, overloaded, Got::Flight(2)),
        // Or each reader would run into the same fault.
        (Meaning::Lost, internal, Got::Refused(Reason::Internal, 1)),
    ] {
        let mut world = World::new();
        world.ask();
        world.land(0, 1);
        assert_eq!(world.at(300.0).ask(), Got::Flight(1));
        assert!(!world.fail(1, error, meaning));
        assert_eq!(world.slot.held(), Some(&1));
        assert_eq!(world.ask(), next);
        world.at(301.0).ask();
        assert_eq!(world.flights.len(), 3);
    }
}

#[test]
fn a_vault_that_is_away_for_others_is_left_alone_as_long_as_they_leave_it() {
    let mut world = World::new();
    world.ask();
    world.land(0, 1);
    for time in [300.0, 303.0, 306.0] {
        world.at(time).ask();
        let flight = world.flights.len() - 1;
        let away = Error::new(Reason::VaultUnreachable).retry_after(Duration::from_secs(3));
        world.fail(flight, away, Meaning::Barred);
        assert_eq!(
            world.at(time + 2.9).ask(),
            Got::Stale(1, Reason::VaultUnreachable)
        );
        assert_eq!(world.flights.len(), flight + 1);
    }
}

#[test]
fn what_may_have_changed_is_served_only_while_the_vault_fails() {
    let mut world = World::new();
    world.ask();
    world.slot.doubt();
    world.land(0, 1);
    assert_eq!(world.slot.held(), None, "it began before");
    assert_eq!(world.ask(), Got::Flight(1));
    world.land(1, 2);
    world.slot.doubt();
    assert_eq!(world.at(1.0).ask(), Got::Flight(2));
    world.away(2);
    assert_eq!(world.ask(), Got::Stale(2, Reason::VaultUnreachable));
    world.slot.doubt();
    assert_eq!(world.ask(), Got::Stale(2, Reason::VaultUnreachable));
    assert_eq!(world.flights.len(), 3, "and left alone as before");
    assert_eq!(world.at(2.0).ask(), Got::Stale(2, Reason::VaultUnreachable));
    world.land(3, 3);
    assert_eq!(world.ask(), Got::Fresh(3));
    world.slot.doubt();
    world.ask();
    world.missing(4);
    assert_eq!(world.slot.held(), None);
    world.slot.doubt();
    assert_eq!(world.ask(), Got::Flight(5), "it may be there now");
}

#[test]
fn a_value_that_is_taken_away_is_told() {
    let mut world = World::new();
    world.ask();
    world.land(0, 1);
    world.at(300.0).ask();
    let missing = || Error::new(Reason::SecretNotFound);
    assert!(world.fail(1, missing(), Meaning::Refused));
    world.at(302.0).ask();
    assert!(
        !world.fail(2, missing(), Meaning::Refused),
        "there was none"
    );
}

#[test]
fn without_a_place_for_a_flight_only_those_wait_that_need_one() {
    let mut world = World::new();
    let none = |_| None;
    let answer = world.slot.ask(world.now, &POLICY, none);
    assert_eq!(got(answer), Got::Crowded);
    world.ask();
    world.land(0, 1);
    world.at(290.0);
    assert_eq!(got(world.slot.ask(world.now, &POLICY, none)), Got::Fresh(1));
    world.at(300.0);
    assert_eq!(got(world.slot.ask(world.now, &POLICY, none)), Got::Crowded);
    assert_eq!(world.ask(), Got::Flight(1));
    assert_eq!(
        got(world.slot.ask(world.now, &POLICY, none)),
        Got::Flight(1)
    );
}

#[test]
fn a_slot_ends_when_nobody_can_be_served_from_it() {
    let mut world = World::new();
    world.ask();
    assert!(!world.slot.sweep(world.now), "under way");
    world.land(0, 1);
    world.at(3899.0);
    assert!(!world.slot.sweep(world.now));
    world.at(3900.0);
    assert!(world.slot.sweep(world.now));
    assert_eq!(world.slot.held(), None);
}
