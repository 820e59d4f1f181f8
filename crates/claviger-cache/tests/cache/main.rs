//! Entries and flights of a cache that many readers share, with a clock of their own.
#![expect(clippy::expect_used, reason = "helpers of tests fail like tests")]

mod world;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use claviger_cache::{Limits, Meaning, Request, State};
use claviger_core::{Reason, Result, Uid};
use claviger_mem::ZeroOnFree;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::world::{LIMITS, Name, POLICY, Room, World, found_in_memory, herd, until};

#[global_allocator]
static ALLOCATOR: ZeroOnFree = ZeroOnFree::new();

#[tokio::test(start_paused = true)]
async fn a_thousand_readers_make_one_call_although_the_first_one_leaves() {
    let world = World::new(LIMITS, 0, 10).await;
    let mut first = herd(&world, 1);
    world.vault.was_asked.notified().await;
    let herd = herd(&world, 999);
    world.coalesced(999).await;
    world.clock.advance(Duration::from_secs(1));
    first.shutdown().await;
    world.vault.answers.add_permits(1);
    let answers = herd.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 999);
    assert_eq!(world.vault.calls(), 1);
    let again = world.read("key").await.expect("held");
    assert!(!again.is_fetched);
    assert_eq!(
        (again.age, world.vault.calls()),
        (Duration::from_secs(1), 1)
    );
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_served_marked_with_one_call_per_step_and_one_time() {
    let world = World::new(LIMITS, 1, 10).await;
    let first = world.read("key").await.expect("fetched");
    assert!(first.is_fetched && first.stale.is_none());
    world.vault.answers.add_permits(1_000);
    world
        .vault
        .refuse(Some((Reason::VaultUnreachable, Meaning::Away)));
    world.clock.advance(Duration::from_secs(300));
    for calls in 2..5 {
        for answer in herd(&world, 300).join_all().await {
            let served = answer.expect("served all the same");
            let why = served.stale.expect("marked");
            assert_eq!(why.reason(), Reason::VaultUnreachable);
            assert_eq!(served.fetch_time, first.fetch_time);
            assert!(served.age >= Duration::from_secs(300));
        }
        assert_eq!(world.vault.calls(), calls);
        world.clock.advance(Duration::from_secs(4));
    }
    world.clock.advance(Duration::from_secs(3600));
    let refused = world.read("key").await.expect_err("too old");
    assert_eq!(refused.reason(), Reason::VaultUnreachable);
    assert_eq!(refused.retry_delay(), Some(Duration::from_secs(4)));
}

#[tokio::test(start_paused = true)]
async fn what_was_changed_is_read_again_and_a_flight_from_before_fills_nothing() {
    let world = World::new(LIMITS, 0, 10).await;
    let before = herd(&world, 10);
    world.vault.was_asked.notified().await;
    world.vault.version.store(2, Ordering::SeqCst);
    world.cache.forget(|key| key.0 == "key");
    let after = herd(&world, 10);
    world.vault.was_asked.notified().await;
    world.vault.answers.add_permits(2);
    for answer in before.join_all().await {
        let served = answer.expect("served");
        assert_eq!(served.value.version, 1);
        let again = world.cache.again(&served.lease, &POLICY);
        assert!(again.is_none_or(|again| again.value.version == 2));
    }
    for answer in after.join_all().await {
        assert_eq!(answer.expect("served").value.version, 2);
    }
    let held = world.read("key").await.expect("held");
    assert_eq!(held.value.version, 2);
    let hits = || world.cache.stats().reads()[0];
    let (_, before) = hits();
    let again = world.cache.again(&held.lease, &POLICY).expect("held");
    assert_eq!(again.value.version, 2);
    assert_eq!(hits(), ("hit", before + 1));
    assert_eq!(world.vault.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_missing_secret_is_asked_for_once_per_window_and_a_refresh_finds_it() {
    let world = World::new(LIMITS, 100, 10).await;
    world
        .vault
        .refuse(Some((Reason::SecretNotFound, Meaning::Refused)));
    for _ in 0..3 {
        for answer in herd(&world, 300).join_all().await {
            let error = answer.expect_err("missing");
            assert_eq!(error.reason(), Reason::SecretNotFound);
        }
    }
    assert_eq!(world.vault.calls(), 1);
    let key = Name("key".to_owned());
    assert_eq!(world.cache.state(&key, &POLICY), State::Negative);
    world.vault.refuse(None);
    let mut refreshes = JoinSet::new();
    for _ in 0..100 {
        let world = Arc::clone(&world);
        refreshes.spawn(async move { world.refresh("key").await.is_ok() });
    }
    // All were asked for by the time that the first one is answered.
    assert!(matches!(refreshes.join_next().await, Some(Ok(true))));
    world.clock.advance(Duration::from_secs(1));
    assert!(refreshes.join_all().await.into_iter().all(|is_ok| is_ok));
    assert!(world.read("key").await.is_ok());
    // Those that came while one was under way share the next one.
    assert_eq!(world.vault.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_flight_that_ends_without_an_answer_is_heard_of_and_can_be_repeated() {
    let world = World::new(LIMITS, 0, 10).await;
    let panics = |_| async { panic!("a bug of a backend") };
    let read = world.cache.read(world.request("key"), panics);
    let error = read.await.expect_err("lost");
    assert_eq!(error.reason(), Reason::Internal);
    world.vault.answers.add_permits(1);
    world.clock.advance(Duration::from_secs(1));
    assert!(world.read("key").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn one_owner_pushes_out_nobody_elses_entries() {
    let world = World::new(LIMITS, usize::MAX >> 4, 1024).await;
    let (greedy, modest) = (Some(Uid::random()), Some(Uid::random()));
    for count in 0..100 {
        let read = world.read_as(&format!("modest-{count}"), modest).await;
        assert!(read.is_ok());
    }
    for count in 0..2_000 {
        let read = world.read_as(&format!("greedy-{count}"), greedy).await;
        assert!(read.is_ok());
    }
    // Those that are missing take room too.
    world
        .vault
        .refuse(Some((Reason::SecretNotFound, Meaning::Refused)));
    for count in 0..2_000 {
        let read = world.read_as(&format!("missing-{count}"), greedy).await;
        assert!(read.is_err());
    }
    let calls = world.vault.calls();
    for count in 0..100 {
        let read = world.read_as(&format!("modest-{count}"), modest).await;
        assert!(!read.expect("held").is_fetched);
    }
    assert_eq!(world.vault.calls(), calls);
    world.cache.maintain();
    let sizes = world.cache.sizes();
    // A part of them stays free, so that nobody pushes out anybody.
    assert!(sizes.bytes <= LIMITS.bytes / 8 * 7, "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn all_entries_together_stay_within_their_bounds() {
    let world = World::new(LIMITS, usize::MAX >> 4, 64 * 1024).await;
    for count in 0..200 {
        let read = world
            .read_as(&format!("key-{count}"), Some(Uid::random()))
            .await;
        assert!(read.is_ok());
    }
    world.cache.maintain();
    let sizes = world.cache.sizes();
    assert!(sizes.bytes <= LIMITS.bytes, "{sizes:?}");
    assert!(sizes.entries >= 15, "{sizes:?}");
    world
        .vault
        .refuse(Some((Reason::SecretNotFound, Meaning::Refused)));
    for count in 0..5_000 {
        let read = world
            .read_as(&format!("none-{count}"), Some(Uid::random()))
            .await;
        assert!(read.is_err());
    }
    world.cache.maintain();
    let sizes = world.cache.sizes();
    assert!(sizes.entries <= LIMITS.entries, "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_or_asked_for_that_nobody_can_use() {
    let world = World::new(LIMITS, usize::MAX >> 4, 10).await;
    let kept = Arc::downgrade(&world.read("key").await.expect("fetched").value);
    world.clock.advance(Duration::from_secs(3899));
    world.cache.maintain();
    assert!(kept.upgrade().is_some());
    world.clock.advance(Duration::from_secs(1));
    world.cache.maintain();
    assert!(kept.upgrade().is_none());
    assert_eq!(world.cache.sizes().entries, 0);
    assert_eq!(world.vault.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_finds_no_room_still_makes_one_call() {
    let tiny = Limits {
        bytes: 100,
        entries: 1,
        ..LIMITS
    };
    let world = World::new(tiny, 0, 1_000).await;
    let readers = herd(&world, 10);
    world.vault.was_asked.notified().await;
    world.cache.maintain();
    let more = herd(&world, 10);
    world.coalesced(19).await;
    assert_eq!(world.vault.calls(), 1);
    world.vault.answers.add_permits(1);
    for answer in readers
        .join_all()
        .await
        .into_iter()
        .chain(more.join_all().await)
    {
        assert_eq!(answer.expect("served").value.version, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn those_that_wait_for_a_place_need_none_once_somebody_else_has_begun() {
    let world = World::new(LIMITS, 0, 10).await;
    let all = Arc::clone(&world.room.0).acquire_many_owned(1_000);
    let all = all.await.expect("open");
    let readers = herd(&world, 100);
    // Each that waits keeps the places alive.
    until(|| Arc::strong_count(&world.room.0) > 100).await;
    assert_eq!(world.vault.calls(), 0);
    // Somebody with a place of its own.
    let own = Request {
        places: Room(Arc::new(Semaphore::new(1))),
        ..world.request("key")
    };
    let other = world.cache.read(own, |place| world.vault.read(place));
    world.vault.answers.add_permits(1);
    assert!(other.await.is_ok());
    assert!(readers.join_all().await.iter().all(Result::is_ok));
    assert_eq!(world.vault.calls(), 1);
    // And those whose time is over leave nothing behind.
    let late = world.read("late").await.expect_err("no place");
    assert_eq!(late.reason(), Reason::Overloaded);
    drop(all);
    world.vault.answers.add_permits(1);
    assert!(world.read("late").await.is_ok(), "no back-off");
}

#[tokio::test(start_paused = true)]
async fn one_that_finds_no_place_in_time_gets_what_is_held() {
    let world = World::new(LIMITS, usize::MAX >> 4, 10).await;
    let fetched = world.read("key").await.expect("fetched").fetch_time;
    world.clock.advance(Duration::from_secs(301));
    let all = Arc::clone(&world.room.0).acquire_many_owned(1_000);
    let all = all.await.expect("open");
    let served = world.read("key").await.expect("held");
    let why = served.stale.expect("marked");
    assert_eq!(why.reason(), Reason::Overloaded);
    assert_eq!(served.fetch_time, fetched);
    assert_eq!(world.cache.stats().served_stale(), 1);
    let refresh = world.refresh("key").await.expect_err("no answer");
    assert_eq!(refresh.reason(), Reason::Overloaded);
    drop(all);
    assert!(world.read("key").await.expect("asked").is_fetched);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_changed_is_asked_for_and_served_while_the_vault_fails() {
    let world = World::new(LIMITS, usize::MAX >> 4, 10).await;
    world.read("key").await.expect("fetched");
    world
        .vault
        .refuse(Some((Reason::VaultUnreachable, Meaning::Away)));
    world.cache.doubt(|_| true);
    for _ in 0..3 {
        let served = world.read("key").await.expect("held");
        assert_eq!(
            served.stale.expect("marked").reason(),
            Reason::VaultUnreachable
        );
    }
    assert_eq!(world.vault.calls(), 2, "the vault is left alone");
    world.vault.refuse(None);
    world.vault.version.store(2, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(world.read("key").await.expect("asked").value.version, 2);
    world.cache.doubt(|_| true);
    let key = Name("key".to_owned());
    assert_eq!(
        world.cache.state(&key, &POLICY),
        State::Stale(Duration::ZERO)
    );
    assert!(world.read("key").await.expect("asked").is_fetched);
    assert!(!world.read("key").await.expect("held").is_fetched);
}

#[tokio::test(start_paused = true)]
async fn a_no_to_one_is_a_no_to_all_that_fall_with_it() {
    for (meaning, was_held) in [
        (Meaning::Refused, true),
        (Meaning::RefusedAll, true),
        (Meaning::RefusedAll, false),
    ] {
        let world = World::new(LIMITS, usize::MAX >> 4, 10).await;
        for key in ["secret/pinned", "other/latest"] {
            assert!(world.read(key).await.is_ok());
        }
        if was_held {
            assert!(world.read("secret/latest").await.is_ok());
        }
        world.clock.advance(Duration::from_secs(1));
        world.vault.refuse(Some((Reason::SecretNotFound, meaning)));
        assert!(world.refresh("secret/latest").await.is_err());
        let pinned = world.read("secret/pinned").await.expect_err("gone too");
        assert_eq!(pinned.reason(), Reason::SecretNotFound);
        assert!(world.read("other/latest").await.is_ok());
        // And neither sends the other one to the vault again.
        let calls = world.vault.calls();
        for key in ["secret/latest", "secret/pinned", "secret/latest"] {
            assert!(world.read(key).await.is_err());
        }
        assert_eq!(world.vault.calls(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn a_no_to_one_version_that_nobody_held_takes_nothing_away() {
    let world = World::new(LIMITS, usize::MAX >> 4, 10).await;
    assert!(world.read("secret/latest").await.is_ok());
    world
        .vault
        .refuse(Some((Reason::VersionNotFound, Meaning::Refused)));
    assert!(world.read("secret/none").await.is_err());
    assert!(!world.read("secret/latest").await.expect("held").is_fetched);
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_pushes_out_no_value_of_the_only_owner() {
    let world = World::new(LIMITS, usize::MAX >> 4, 1024).await;
    for count in 0..100 {
        assert!(world.read(&format!("key-{count}")).await.is_ok());
    }
    world
        .vault
        .refuse(Some((Reason::SecretNotFound, Meaning::RefusedAll)));
    for count in 0..10_000 {
        assert!(world.read(&format!("missing-{count}")).await.is_err());
    }
    world.cache.maintain();
    let calls = world.vault.calls();
    for count in 0..100 {
        let read = world.read(&format!("key-{count}")).await;
        assert!(!read.expect("held").is_fetched);
    }
    assert_eq!(world.vault.calls(), calls);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_no_vault() {
    let world = World::new(LIMITS, 0, 10).await;
    let readers = herd(&world, 10);
    world.vault.was_asked.notified().await;
    world.cache.drain().await;
    for answer in readers.join_all().await {
        assert_eq!(answer.expect_err("lost").reason(), Reason::Internal);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_evicted_forgotten_or_too_old_is_nowhere_in_memory() {
    let world = World::new(LIMITS, usize::MAX >> 4, 1024).await;
    world.vault.is_looked_for.store(true, Ordering::SeqCst);
    for count in 0..10_000 {
        let read = world.read(&format!("key-{count}")).await;
        assert!(read.is_ok());
    }
    world.cache.maintain();
    let held = usize::try_from(world.cache.sizes().entries).expect("fits");
    assert!(held < 2_000, "the others were evicted");
    assert!(found_in_memory() >= held, "it finds what is there");
    world.cache.forget(|key| key.0.ends_with('7'));
    world.clock.advance(Duration::from_secs(3_900));
    world.cache.maintain();
    assert_eq!(found_in_memory(), 0);
}
