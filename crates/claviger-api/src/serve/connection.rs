//! One connection, from its first bytes to its end.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use claviger_core::Uid;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::door::Doorway;
use crate::limits::Limits;
use crate::serve::Certificate;
use crate::serve::paced::Paced;
use crate::serve::places::Place;
use crate::serve::turns::Turns;

/// The first bytes of every HTTP/2 client.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Calls that a client may begin and reset before we have looked at them, on one connection: a job
/// whose deadline ends many calls at once does that. `cargo xtask bench door` shows what a client
/// that does nothing else costs others.
const EARLY_RESETS_MAX: usize = 1024;

/// Resets of calls without an answer, at once and then each second: beyond it the connection is read
/// slowly.
const RESETS_BURST: u32 = 1024;
const RESETS_PER_SECOND: u32 = 200;

/// What a connection has left whose place is another's.
const EVICTION: Duration = Duration::from_millis(100);

/// Frames that a client may send against the protocol on one connection. RUSTSEC-2024-0003: the
/// gRPC library's own server switches this defence off.
const WRONG_FRAMES_MAX: usize = 1024;

/// Serves what `opening` makes of a connection: its stream, and the certificate of its client.
pub(super) async fn serve_connection<S>(
    opening: impl Future<Output = io::Result<(S, Option<Certificate>)>>,
    place: Place,
    mut doorway: Doorway,
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let limits = doorway.limits;
    let handshake = timeout(limits.handshake, async {
        let (mut stream, certificate) = opening.await?;
        let first = first_bytes(&mut stream).await?;
        Ok::<_, io::Error>((stream, certificate, first))
    });
    let (stream, certificate, first) = tokio::select! {
        handshake = handshake => handshake??,
        () = stop.cancelled() => return Ok(()),
        () = place.taken_away() => return Ok(()),
    };
    doorway.certificate = certificate.map(Arc::new);
    let is_http2 = first == PREFACE;
    let (reader, writer) = tokio::io::split(stream);
    let reader = io::Cursor::new(first).chain(reader);
    if !is_http2 {
        let page = doorway.door.page();
        let page = page.ok_or("the client does not speak HTTP/2")?;
        let serving = page.serve(
            tokio::io::join(reader, writer),
            limits,
            doorway.door.counts(),
        );
        return tokio::select! {
            served = timeout(limits.request, serving) => Ok(served??),
            () = stop.cancelled() => Ok(()),
            () = place.taken_away() => Ok(()),
        };
    }
    let resets = Arc::new(Turns::new(RESETS_PER_SECOND, RESETS_BURST));
    let reader = Paced::new(reader, Arc::clone(&resets));
    let io = tokio::io::join(reader, writer);

    let shared = Arc::new(Shared {
        doorway,
        place,
        resets,
    });
    let calls = Arc::clone(&shared);
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        let row = calls.doorway.row(&request);
        // Anyone may keep a public service's stream open: it keeps no place.
        let busy = row.and_then(|_| calls.place.busy());
        let call = Call {
            shared: Arc::clone(&calls),
            is_answered: false,
        };
        async move {
            let Shared { doorway, place, .. } = &*call.shared;
            let mut answer = match row {
                Some(row) if busy.is_none() => doorway.one_too_many(row),
                Some(row) => doorway.call(row, &mut request).await,
                None => Box::pin(doorway.other(request)).await,
            };
            if answer.body().is_in_turn {
                Box::pin(doorway.wait(place.refusals().take())).await;
            }
            answer.body_mut().keep(busy);
            call.answered();
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http2(limits).serve_connection(TokioIo::new(io), service);
    tokio::pin!(connection);
    let end = async {
        tokio::select! {
            () = stop.cancelled() => limits.drain,
            () = sleep(aged(limits.connection_age)) => limits.drain,
            () = certificate_ends(shared.doorway.certificate.as_deref()) => limits.drain,
            // Its place is another's already: it hears that it has to go, and goes.
            () = shared.place.taken_away() => EVICTION,
        }
    };
    // Looked at when it is woken, and not whenever the connection is.
    let mut end = FuturesUnordered::from_iter([end]);
    let grace = tokio::select! {
        result = &mut connection => return Ok(result?),
        Some(grace) = end.next() => grace,
    };
    connection.as_mut().graceful_shutdown();
    timeout(grace, connection).await??;
    Ok(())
}

/// Waits until the certificate of a client is over, if it has one.
async fn certificate_ends(certificate: Option<&Certificate>) {
    match certificate {
        Some(certificate) => sleep(certificate.left()).await,
        None => std::future::pending().await,
    }
}

/// The first bytes of a client, as many as tell whether it speaks HTTP/2: requests in HTTP/1.1 can be
/// shorter than that.
async fn first_bytes(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut first = Vec::with_capacity(PREFACE.len());
    while first.len() < PREFACE.len() && PREFACE.starts_with(&first) {
        let mut rest = stream.take((PREFACE.len() - first.len()) as u64);
        if rest.read_buf(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(first)
}

/// What the calls of a connection share.
struct Shared {
    doorway: Doorway,
    place: Place,
    resets: Arc<Turns>,
}

/// A call whose client may reset it before it has an answer.
struct Call {
    shared: Arc<Shared>,
    is_answered: bool,
}

impl Call {
    fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.is_answered {
            self.shared.resets.take();
        }
    }
}

fn http2(limits: Limits) -> hyper::server::conn::http2::Builder<TokioExecutor> {
    let mut http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        // Nobody needs it of gRPC.
        .auto_date_header(false)
        .max_concurrent_streams(limits.streams_max)
        .max_local_error_reset_streams(Some(WRONG_FRAMES_MAX))
        .max_pending_accept_reset_streams(Some(EARLY_RESETS_MAX))
        .max_header_list_size(16 * 1024)
        // What an answer may take up before its client reads it.
        .max_send_buf_size(16 * 1024)
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(512 * 1024)
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(10));
    http2
}

/// The age give or take a tenth, so that connections made in one second do not end in one.
fn aged(age: Duration) -> Duration {
    let random = Uid::random().first_byte();
    age.mul_f64(0.9 + 0.2 * f64::from(random) / 255.0)
}
