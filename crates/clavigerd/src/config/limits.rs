//! The bounds of the listeners, and of what is remembered.

use std::ops::RangeInclusive;
use std::time::Duration;

use claviger_api::serve::Limits;
use claviger_broker::CacheLimits;
use claviger_settings::Table;

/// Reads the bounds that the `listen` table changes.
pub(super) fn read_limits(listen: &mut Table<'_>) -> Limits {
    let defaults = Limits::default();
    let mut number = |key, allowed, default| match listen.number(key, allowed) {
        Some(number) => usize::try_from(number).unwrap_or(default),
        None => default,
    };
    let connections_max = number("connections", 16..=1_000_000, defaults.connections_max);
    let handshakes_max = number("handshakes", 1..=1024, defaults.handshakes_max);
    let unfinished_bytes_max = number(
        "unfinished_bytes",
        // An eighth of it has to hold one request of the greatest length.
        4 * 1024 * 1024..=1024 * 1024 * 1024,
        defaults.unfinished_bytes_max,
    );
    let calls_max = number("calls", 64..=1_000_000, defaults.calls_max);
    let public = listen.texts("public", parse_public);
    let is_public = |service| public.as_ref().is_none_or(|open| open.contains(&service));
    let streams_max = listen.number("streams", 1..=1024);
    let mut time = |key, allowed, default| listen.duration(key, allowed, default);
    Limits {
        connections_max,
        handshakes_max,
        unfinished_bytes_max,
        calls_max,
        serves_health: is_public(Public::Health),
        serves_reflection: is_public(Public::Reflection),
        streams_max: streams_max.unwrap_or(defaults.streams_max),
        handshake: time("handshake_timeout", seconds(1..=60), defaults.handshake),
        body: time("body_timeout", seconds(1..=60), defaults.body),
        request: time("request_timeout", seconds(1..=300), defaults.request),
        idle: time("idle_timeout", seconds(1..=300), defaults.idle),
        stream: time("stream_timeout", seconds(1..=3600), defaults.stream),
        connection_age: time(
            "connection_age",
            seconds(10..=86_400),
            defaults.connection_age,
        ),
        drain: time("drain_timeout", seconds(1..=300), defaults.drain),
        ..defaults
    }
}

/// Reads the bounds of what is remembered of other systems' values.
pub(super) fn read_cache(cache: &mut Table<'_>) -> CacheLimits {
    let bytes = cache.number("bytes", 1024 * 1024..=4095 * 1024 * 1024);
    let entries = cache.number("entries", 64..=1_000_000);
    let negative = Duration::from_secs(2);
    CacheLimits {
        bytes: bytes.unwrap_or(32 * 1024 * 1024).into(),
        entries: entries.unwrap_or(16_384).into(),
        negative: cache.duration(
            "negative_age",
            Duration::ZERO..=Duration::from_secs(60),
            negative,
        ),
    }
}

/// A service that asks for no caller.
#[derive(PartialEq)]
enum Public {
    Health,
    Reflection,
}

fn parse_public(text: &str) -> Result<Public, &'static str> {
    match text {
        "health" => Ok(Public::Health),
        "reflection" => Ok(Public::Reflection),
        _ => Err("is not a public service; write \"health\" or \"reflection\""),
    }
}

fn seconds(range: RangeInclusive<u64>) -> RangeInclusive<Duration> {
    Duration::from_secs(*range.start())..=Duration::from_secs(*range.end())
}
