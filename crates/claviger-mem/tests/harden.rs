//! The effects of hardening. A file of its own, because it changes its whole process.

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit, umask};

#[test]
fn hardened_process_leaves_no_core_and_no_file_for_others() {
    claviger_mem::harden().unwrap();

    assert_eq!(umask(Mode::empty()), Mode::RWXG | Mode::RWXO);
    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    let limit = getrlimit(Resource::Core);
    assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
}
