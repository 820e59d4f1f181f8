use std::io;

use rustix::fs::Mode;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask,
};

/// Closes the process to its neighbours; to be called first thing, before anything secret exists.
///
/// 1. `umask 077`: no file or socket made from here on can be opened by another user, even in the
///    moment before its mode is set.
/// 2. Not dumpable: no other process of the same user can attach a debugger or read
///    `/proc/<pid>/mem`, and a core pattern that pipes to a program gets nothing.
/// 3. No core files: for a core *file* the limit counts, and unlike (2) it is inherited by the
///    programs that the process executes.
///
/// None of it stops root on the same host.
///
/// # Errors
/// The operating system's answer, when it refuses one of the steps; the later ones are not taken.
pub fn harden() -> io::Result<()> {
    umask(Mode::RWXG | Mode::RWXO);
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    Ok(())
}
