//! The one crate with `unsafe`: an allocator that wipes what it frees, and process hardening.
//!
//! Knows nothing of secrets: it makes sure that bytes which the process once held in memory do not
//! outlive their owner, in particular in buffers of libraries that wipe nothing themselves. Stacks,
//! registers, kernel buffers and memory that is still in use are out of its reach.
#![expect(
    unsafe_code,
    reason = "a global allocator cannot be written without it; nothing else in here may use it"
)]

#[cfg(feature = "count")]
mod count;
mod harden;

#[cfg(feature = "count")]
pub use count::live_bytes;
pub use harden::harden;

use std::alloc::{GlobalAlloc, Layout, System};

/// A global allocator that wipes every block before it gives it back to `A`.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: claviger_mem::ZeroOnFree = claviger_mem::ZeroOnFree::new();
/// ```
#[derive(Debug)]
pub struct ZeroOnFree<A = System> {
    inner: A,
}

impl ZeroOnFree {
    /// The allocator over the system's own.
    pub const fn new() -> Self {
        Self { inner: System }
    }
}

impl Default for ZeroOnFree {
    fn default() -> Self {
        Self::new()
    }
}

// SECURITY: `realloc` must stay the trait's own: it allocates, copies and calls our `dealloc`.
// Handing it on to the inner allocator would let a growing buffer leave its old bytes behind.
//
// SAFETY: every block comes from and returns to `inner` with the layout it was asked for, and
// `inner` keeps the contract. Wiping touches only bytes of a block that is being given up, and
// nothing here unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for ZeroOnFree<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: our caller keeps the contract of `alloc`, which is passed on unchanged.
        let block = unsafe { self.inner.alloc(layout) };
        #[cfg(feature = "count")]
        count::allocated(block, layout);
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: our caller keeps the contract of `alloc_zeroed`, which is passed on unchanged.
        let block = unsafe { self.inner.alloc_zeroed(layout) };
        #[cfg(feature = "count")]
        count::allocated(block, layout);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `block` is a live block of `layout.size()` bytes that its owner has given up, so
        // that all of it may be written. `explicit_bzero` is the memset that no optimiser removes.
        unsafe { libc::explicit_bzero(block.cast(), layout.size()) };
        // SAFETY: `block` came from `inner` with this very layout, and is freed once.
        unsafe { self.inner.dealloc(block, layout) };
        #[cfg(feature = "count")]
        count::freed(layout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Looks at each block at the moment it would be freed.
    #[derive(Default)]
    struct Inspector {
        freed: AtomicUsize,
        dirty_bytes: AtomicUsize,
    }

    // SAFETY: passes everything on to the system's allocator; reads a block only before freeing it.
    unsafe impl GlobalAlloc for Inspector {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: passed on unchanged.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: the test has filled the whole block, and it is still live.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            let dirty = bytes.iter().filter(|&&byte| byte != 0).count();
            self.freed.fetch_add(1, Ordering::SeqCst);
            self.dirty_bytes.fetch_add(dirty, Ordering::SeqCst);
            // SAFETY: passed on unchanged.
            unsafe { System.dealloc(block, layout) };
        }
    }

    fn inspected() -> ZeroOnFree<Inspector> {
        ZeroOnFree {
            inner: Inspector::default(),
        }
    }

    #[test]
    fn block_is_wiped_before_it_is_freed() {
        let allocator = inspected();
        for size in [1, 7, 64, 4096, 100_001] {
            let layout = Layout::from_size_align(size, 8).unwrap();
            // SAFETY: a block of non-zero size, filled within its bounds and freed once.
            unsafe {
                let block = allocator.alloc(layout);
                assert!(!block.is_null());
                block.write_bytes(0xA5, size);
                allocator.dealloc(block, layout);
            }
        }
        assert_eq!(allocator.inner.freed.load(Ordering::SeqCst), 5);
        assert_eq!(allocator.inner.dirty_bytes.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn growing_and_shrinking_keep_the_content_and_wipe_the_old_block() {
        let allocator = inspected();
        let content: Vec<u8> = (1..=200).collect();
        let layout = Layout::from_size_align(content.len(), 16).unwrap();
        let grown = Layout::from_size_align(5000, 16).unwrap();
        // SAFETY: reads and writes stay within the sizes allocated; every block is freed once.
        unsafe {
            let block = allocator.alloc(layout);
            block.copy_from_nonoverlapping(content.as_ptr(), content.len());

            let block = allocator.realloc(block, layout, grown.size());
            assert_eq!(std::slice::from_raw_parts(block, content.len()), content);
            assert_eq!(allocator.inner.freed.load(Ordering::SeqCst), 1);

            block.add(content.len()).write_bytes(0xA5, 4800);
            let block = allocator.realloc(block, grown, 10);
            assert_eq!(std::slice::from_raw_parts(block, 10), &content[..10]);
            allocator.dealloc(block, Layout::from_size_align(10, 16).unwrap());
        }
        assert_eq!(allocator.inner.freed.load(Ordering::SeqCst), 3);
        assert_eq!(allocator.inner.dirty_bytes.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn zeroed_block_is_zero() {
        let allocator = ZeroOnFree::new();
        let layout = Layout::from_size_align(4096, 8).unwrap();
        // SAFETY: a block of non-zero size, read within its bounds and freed once.
        unsafe {
            let block = allocator.alloc_zeroed(layout);
            let bytes = std::slice::from_raw_parts(block, layout.size());
            assert!(bytes.iter().all(|&byte| byte == 0));
            allocator.dealloc(block, layout);
        }
    }
}
