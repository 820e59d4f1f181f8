use std::alloc::Layout;
use std::sync::atomic::{AtomicUsize, Ordering};

static LIVE: AtomicUsize = AtomicUsize::new(0);

/// How many bytes are allocated through [`ZeroOnFree`](crate::ZeroOnFree) at this moment, as asked
/// for: without the overhead of the allocator below.
pub fn live_bytes() -> usize {
    LIVE.load(Ordering::Relaxed)
}

pub(crate) fn allocated(block: *mut u8, layout: Layout) {
    if !block.is_null() {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
    }
}

pub(crate) fn freed(layout: Layout) {
    LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
}
