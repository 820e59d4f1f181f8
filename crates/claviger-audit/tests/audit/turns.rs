//! The records of one turn of a thread, and what a slow or failing disk does to them.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use claviger_audit::{Audit, Facts, Flush, Health, Sink, verify};
use claviger_core::{ManualClock, Reason, Uid};
use tokio::sync::watch;

use crate::support::{MemorySink, authorize, clock, manual_clock, memory_audit};

const RPC: &str = "claviger.v1.SecretService/GetSecret";

/// Reads once.
pub(crate) async fn read(audit: &Arc<Audit>) -> claviger_core::Result<()> {
    let authorized = authorize(audit, 0).await.expect("allowed");
    audit
        .conclude(authorized, Ok(()), |()| Facts::default())
        .await
}

/// Goes on with a call until it waits.
fn poll<F: Future>(call: Pin<&mut F>) -> Poll<F::Output> {
    call.poll(&mut Context::from_waker(Waker::noop()))
}

fn appends(sink: &MemorySink) -> usize {
    let steps = &sink.disk().steps;
    steps.iter().filter(|step| **step == "append").count()
}

#[tokio::test]
async fn the_records_of_a_turn_are_one_write_and_no_call_waits_for_another_turn() {
    let (audit, sink) = memory_audit();
    let (mut a, mut b, mut c) = (pin!(read(&audit)), pin!(read(&audit)), pin!(read(&audit)));
    assert!(poll(a.as_mut()).is_pending());
    assert!(poll(b.as_mut()).is_pending());
    assert_eq!(appends(&sink), 1, "that of the start");
    assert!(poll(a.as_mut()).is_ready());
    assert_eq!((appends(&sink), sink.calls().len()), (2, 2));
    // Neither joins the one that is over.
    assert!(poll(c.as_mut()).is_pending());
    assert!(poll(b.as_mut()).is_ready());
    assert!(poll(c.as_mut()).is_ready());
    assert_eq!((appends(&sink), sink.calls().len()), (3, 3));
}

#[tokio::test]
async fn the_records_of_a_turn_are_written_though_its_first_call_is_dropped() {
    let (audit, sink) = memory_audit();
    let mut first = Box::pin(read(&audit));
    let mut second = Box::pin(read(&audit));
    let mut third = pin!(read(&audit));
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    assert!(poll(third.as_mut()).is_pending());
    drop(second);
    assert_eq!(sink.calls().len(), 0);
    drop(first);
    assert_eq!(sink.calls().len(), 3);
    assert!(matches!(poll(third), Poll::Ready(Ok(()))));
    read(&audit).await.expect("written");
    verify(sink.text().as_bytes()).expect("the chain holds");
}

#[tokio::test]
async fn a_call_that_is_dropped_between_its_intent_and_its_end_has_both_in_this_order() {
    let (audit, sink) = memory_audit();
    let mut first = pin!(read(&audit));
    assert!(poll(first.as_mut()).is_pending());
    let authorized = authorize(&audit, 0).await.expect("allowed");
    let mut intent = Box::pin(audit.intent(&authorized, Facts::default()));
    assert!(poll(intent.as_mut()).is_pending());
    drop(intent);
    drop(authorized);
    assert!(poll(first.as_mut()).is_ready());
    let phases: Vec<_> = sink
        .calls()
        .iter()
        .map(|line| line["phase"].clone())
        .collect();
    assert_eq!(phases, ["DECISION", "INTENT", "OUTCOME"]);
}

#[tokio::test]
async fn no_call_of_a_turn_is_served_if_its_write_fails_and_the_chain_goes_on() {
    let (audit, sink) = memory_audit();
    read(&audit).await.expect("written");
    let before = sink.text();
    sink.disk().is_full = true;
    let turn = tokio::join!(read(&audit), read(&audit), read(&audit));
    for result in [turn.0, turn.1, turn.2] {
        let error = result.expect_err("not written");
        assert_eq!(error.reason(), Reason::AuditUnavailable);
    }
    assert_eq!(sink.text(), before);
    assert_eq!(audit.health(), Health::Failed);
    sink.disk().is_full = false;
    read(&audit).await.expect("written again");
    let lines = sink.lines();
    assert_eq!(lines[lines.len() - 2]["lost"], 3);
    verify(sink.text().as_bytes()).expect("the chain holds");
}

#[tokio::test]
async fn a_batch_that_is_large_does_not_wait_for_its_first_call() {
    let (audit, sink) = memory_audit();
    let mut first = pin!(read(&audit));
    assert!(poll(first.as_mut()).is_pending());
    // As resets without end do, within one turn.
    let mut count = 0;
    while sink.calls().is_empty() {
        audit.refuse_cut(Uid::random(), RPC, "tcp");
        count += 1;
        assert!(count < 5000, "all of it waits in memory");
    }
    assert!(count > 500, "a batch of a turn is one write: {count}");
    assert_eq!(sink.calls()[0]["outcome"], "ALLOWED");
    assert!(matches!(poll(first), Poll::Ready(Ok(()))));
    verify(sink.text().as_bytes()).expect("the chain holds");
}

#[test]
fn many_threads_make_one_chain_whatever_calls_are_dropped() {
    const THREADS: usize = 8;
    const CALLS: usize = 300;
    let (audit, sink) = memory_audit();
    let served = |thread: usize| {
        let audit = Arc::clone(&audit);
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(async move {
            let mut calls = tokio::task::JoinSet::new();
            for number in 0..CALLS {
                let audit = Arc::clone(&audit);
                let call = async move {
                    let authorized = authorize(&audit, 0).await.expect("allowed");
                    if number % 50 == 0 {
                        let intent = audit.intent(&authorized, Facts::default()).await;
                        intent.expect("written");
                    }
                    let done = audit.conclude(authorized, Ok(()), |()| Facts::default());
                    done.await.expect("written");
                };
                let task = calls.spawn(call);
                if (number + thread).is_multiple_of(7) {
                    tokio::task::yield_now().await;
                    task.abort();
                }
            }
            while calls.join_next().await.is_some() {}
        });
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || served(thread));
        }
    });
    let verified = verify(sink.text().as_bytes()).expect("the chain holds");
    let mut ended: Vec<_> = sink
        .calls()
        .iter()
        .filter(|line| line["phase"] != "INTENT")
        .map(|line| line["call"].to_string())
        .collect();
    assert!(verified.records > ended.len() as u64);
    let all = ended.len();
    ended.sort();
    ended.dedup();
    assert_eq!(ended.len(), all, "a call has one last record");
    assert!(all <= THREADS * CALLS && all > THREADS * CALLS / 2, "{all}");
}

/// A sink whose appends take two seconds while it is slow.
#[derive(Clone)]
struct SlowSink {
    memory: MemorySink,
    clock: Arc<ManualClock>,
    is_slow: Arc<AtomicBool>,
}

impl Sink for SlowSink {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_slow.load(Ordering::SeqCst) {
            self.clock.advance(Duration::from_secs(2));
        }
        self.memory.append(bytes)
    }

    fn sync(&mut self) -> io::Result<Flush> {
        self.memory.sync()
    }
}

#[tokio::test]
async fn a_log_that_takes_over_a_second_to_write_is_not_waited_for_until_it_is_fast_again() {
    let sink = SlowSink {
        memory: MemorySink::default(),
        clock: manual_clock(),
        is_slow: Arc::default(),
    };
    let audit = Audit::with_sink(Box::new(sink.clone()), sink.clock.clone()).expect("opens");
    let mut health = audit.watch_health();
    sink.is_slow.store(true, Ordering::SeqCst);
    read(&audit).await.expect("written, if late");
    assert_eq!(*health.borrow_and_update(), Health::Failed);
    let written = appends(&sink.memory);
    sink.is_slow.store(false, Ordering::SeqCst);
    let error = read(&audit).await.expect_err("not waited for");
    assert_eq!(error.reason(), Reason::AuditUnavailable);
    assert_eq!(appends(&sink.memory), written);
    let well = health.wait_for(|health| *health == Health::Well).await;
    well.expect("the log is there");
    read(&audit).await.expect("written");
    let text = sink.memory.text();
    verify(text.as_bytes()).expect("the chain holds");
    assert!(text.contains("\"event\":\"recovered\",\"lost\":1,"));
}

/// A sink whose syncs wait to be let go on.
#[derive(Clone, Default)]
pub(crate) struct HangingSink {
    pub(crate) memory: MemorySink,
    let_go: Arc<(Mutex<usize>, Condvar)>,
    begun: watch::Sender<usize>,
}

impl HangingSink {
    /// Lets one more sync end.
    pub(crate) fn let_one_go(&self) {
        *self.let_go.0.lock().expect("lock") += 1;
        self.let_go.1.notify_all();
    }

    /// Waits until so many have begun.
    pub(crate) async fn until_begun(&self, count: usize) {
        let mut begun = self.begun.subscribe();
        let waited = begun.wait_for(|begun| *begun >= count).await;
        waited.expect("the sender is ours");
    }
}

/// Lets the last syncs end, also those of a test that failed.
pub(crate) struct LetAllGo(pub(crate) HangingSink);

impl Drop for LetAllGo {
    fn drop(&mut self) {
        *self.0.let_go.0.lock().expect("lock") = usize::MAX;
        self.0.let_go.1.notify_all();
    }
}

impl Sink for HangingSink {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.memory.append(bytes)
    }

    fn sync(&mut self) -> io::Result<Flush> {
        let (sync, sink) = (self.memory.sync()?, self.clone());
        Ok(Box::new(move || {
            sink.begun.send_modify(|begun| *begun += 1);
            let number = *sink.begun.borrow();
            let ended = sink.let_go.0.lock().expect("lock");
            let may_end = sink.let_go.1.wait_while(ended, |let_go| *let_go < number);
            drop(may_end.expect("lock"));
            sync()
        }))
    }
}

#[tokio::test]
async fn a_sync_that_hangs_delays_no_read_and_an_intent_waits_for_one_that_began_after_it() {
    let sink = HangingSink::default();
    sink.let_one_go();
    let audit = Audit::with_sink(Box::new(sink.clone()), clock()).expect("opens");
    let _end = LetAllGo(sink.clone());
    let mut synced = audit.watch_synced();
    let start = synced.wait_for(|synced| synced.mark.seq == 2).await;
    drop(start.expect("until dropped"));
    let authorized = authorize(&audit, 0).await.expect("allowed");
    let intent = || Box::pin(audit.intent(&authorized, Facts::default()));
    let (mut first, mut second) = (intent(), intent());
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(first.as_mut()).is_pending(), "written");
    sink.until_begun(2).await;

    read(&audit).await.expect("written and answered");
    let refused =
        audit.refuse_unauthenticated(Uid::random(), RPC, "tcp", Reason::TokenInvalid, None);
    refused.await.expect("written and answered");
    assert_eq!(sink.memory.calls().len(), 3);
    assert!(poll(first.as_mut()).is_pending());

    // Its record is in the log before the sync ends that began before.
    assert!(poll(second.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    assert_eq!(sink.memory.calls().len(), 4);
    sink.let_one_go();
    first.await.expect("on disk");
    assert!(poll(second.as_mut()).is_pending());
    sink.until_begun(3).await;
    assert!(poll(second.as_mut()).is_pending());
    assert_eq!(
        audit.watch_synced().borrow().mark.seq,
        3,
        "what was written before"
    );
    sink.let_one_go();
    second.await.expect("on disk");
    assert_eq!(audit.watch_synced().borrow().mark.seq, 6);
}

#[tokio::test]
async fn a_record_that_is_repeated_has_the_call_and_the_run_of_its_own() {
    let (audit, sink) = memory_audit();
    let authorized = authorize(&audit, 0).await.expect("allowed");
    let concluded = audit.conclude_repeatable(authorized, 7, Facts::default());
    let (value, tail) = concluded.await.expect("written");
    assert_eq!(value, 7);
    let tail = tail.expect("no side effect");
    let again = authorize(&audit, 0).await.expect("allowed");
    let id = again.call().id;
    audit.repeat(again, &tail).await.expect("written");
    let [mut kept, repeated] = <[_; 2]>::try_from(sink.calls()).expect("two records");
    kept["call"] = id.to_string().into();
    for place in ["seq", "time", "prev", "hash"] {
        kept[place] = repeated[place].clone();
    }
    assert_eq!(repeated, kept);

    let changed = authorize(&audit, 0).await.expect("allowed");
    let intent = audit.intent(&changed, Facts::default());
    intent.await.expect("written");
    let concluded = audit.conclude_repeatable(changed, (), Facts::default());
    let (_, tail) = concluded.await.expect("written");
    assert!(tail.is_none(), "each change is one");
}
