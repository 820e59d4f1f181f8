//! The count of live bytes, with an allocator that nothing else uses.
#![expect(unsafe_code, reason = "an allocator is asked directly")]

use std::alloc::{GlobalAlloc, Layout};

use claviger_mem::{ZeroOnFree, live_bytes};

#[test]
fn live_bytes_are_those_allocated_and_not_freed() {
    let allocator = ZeroOnFree::new();
    let layout = Layout::from_size_align(100, 8).unwrap();
    let grown = Layout::from_size_align(5000, 8).unwrap();
    // SAFETY: blocks of non-zero size, each freed once with the layout it has by then.
    unsafe {
        let one = allocator.alloc(layout);
        let other = allocator.alloc_zeroed(layout);
        assert_eq!(live_bytes(), 200);
        let other = allocator.realloc(other, layout, grown.size());
        assert_eq!(live_bytes(), 5100);
        allocator.dealloc(one, layout);
        assert_eq!(live_bytes(), 5000);
        allocator.dealloc(other, grown);
    }
    assert_eq!(live_bytes(), 0);
}
