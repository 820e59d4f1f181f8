//! What callers may have and how long they may take.

use std::time::Duration;

/// Longest request of a caller without any grant, and longest message to a public service.
pub(crate) const SMALL_BYTES_MAX: usize = 4 * 1024;

/// Bounds of the serve loop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Connections open at a time on each listener. Once all are taken, the peer that holds most
    /// gives one up for each that comes.
    pub connections_max: usize,
    /// Handshakes over TLS that are worked on at a time, of one peer on each listener: those of others
    /// come in between.
    pub handshakes_max: usize,
    /// The daemon's own uid: an eighth of the bytes, and of the socket's connections, is kept for it.
    pub own_uid: u32,
    /// Bytes of requests that are not complete yet, in the whole process; one peer may have an
    /// eighth.
    pub unfinished_bytes_max: usize,
    /// Calls at a time on one connection.
    pub streams_max: u32,
    /// Calls at a time on all connections of a listener, their answers included; one peer may have a
    /// quarter, and an eighth is kept for the daemon's own uid.
    pub calls_max: usize,
    /// Whether health and reflection, which ask for no caller, answer.
    pub serves_health: bool,
    /// See [`Self::serves_health`].
    pub serves_reflection: bool,
    /// How long a client may take to say that it speaks HTTP/2.
    pub handshake: Duration,
    /// How long a request may take from its headers to its end.
    pub body: Duration,
    /// How long a call may take from the headers of its request to the beginning of its answer; a
    /// client can only shorten it.
    pub request: Duration,
    /// How long a stream of reflection may wait for its client, and how long it lasts in all.
    pub idle: Duration,
    /// See [`Self::idle`].
    pub stream: Duration,
    /// How long a connection is used before its client is asked to make a new one, and then how
    /// long its last calls may take.
    pub connection_age: Duration,
    /// How long the calls in flight may take when the daemon stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 16 * 1024,
            handshakes_max: 16,
            own_uid: 0,
            unfinished_bytes_max: 64 * 1024 * 1024,
            streams_max: 128,
            calls_max: 64 * 1024,
            serves_health: true,
            serves_reflection: true,
            handshake: Duration::from_secs(5),
            body: Duration::from_secs(10),
            request: Duration::from_secs(30),
            idle: Duration::from_secs(15),
            stream: Duration::from_secs(60),
            connection_age: Duration::from_secs(600),
            drain: Duration::from_secs(30),
        }
    }
}
