//! Reading from a connection so that it takes its turn with the others of its thread.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf, Take};
use tokio::time::{Sleep, sleep_until};

use crate::serve::turns::Turns;

/// Read in one turn. A frame can be a dozen bytes long, and the work for it is done before the
/// next connection has its turn.
const TURN_BYTES: u64 = 8 * 1024;

/// Reads a little at a time, and slowly from a client that resets its calls without end.
pub(super) struct Paced<R> {
    /// Its limit is what is left of the turn.
    reader: Take<R>,
    resets: Arc<Turns>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<R: AsyncRead> Paced<R> {
    pub(super) fn new(reader: R, resets: Arc<Turns>) -> Self {
        Self {
            reader: reader.take(TURN_BYTES),
            resets,
            pause: None,
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Paced<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.pause.is_none() {
            self.pause = self.resets.over().map(|over| Box::pin(sleep_until(over)));
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        if self.reader.limit() == 0 {
            self.reader.set_limit(TURN_BYTES);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let read = Pin::new(&mut self.reader).poll_read(cx, buffer);
        if read.is_pending() {
            self.reader.set_limit(TURN_BYTES);
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt as _;
    use tokio::time::Instant;

    use super::*;

    /// How often a reader of 3 turns' bytes was told to wait.
    async fn waits(paced: &mut Paced<&[u8]>) -> usize {
        let mut waits = 0;
        let mut read = 0;
        let mut buffer = vec![0; 4096];
        while read < 3 * 8 * 1024 {
            let mut reading = Box::pin(paced.read(&mut buffer));
            read += poll_fn(|cx| {
                let polled = reading.as_mut().poll(cx);
                waits += usize::from(polled.is_pending());
                polled
            })
            .await
            .unwrap();
        }
        waits
    }

    #[tokio::test(start_paused = true)]
    async fn reading_lets_others_have_their_turn() {
        let data = vec![0; 3 * 8 * 1024];
        let mut paced = Paced::new(&*data, Arc::new(Turns::new(1, 1)));
        assert_eq!(waits(&mut paced).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_resets_without_end_is_read_slowly() {
        let data = vec![0; 3 * 8 * 1024];
        let resets = Arc::new(Turns::new(1, 1));
        let mut paced = Paced::new(&*data, Arc::clone(&resets));
        let start = Instant::now();
        // However little comes at a time.
        for second in 1..4 {
            for _ in 0..10 {
                resets.take();
            }
            paced.read_u8().await.unwrap();
            assert_eq!(start.elapsed().as_secs(), 3 * second);
        }
    }
}
