//! A disk that runs full. Needs a file system of its own, and root to mount it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger_audit::{Audit, Facts, FileOptions, Health, log_files, verify_files};
use claviger_core::Reason;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

use crate::files::change;
use crate::support::{authorize, clock};

/// A disk in memory of 48 MiB.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// None where this process may not mount.
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().expect("temporary directory");
        // By the system call: a process that is started holds the locks of other tests' logs until
        // it is another program.
        let options = Some(c"size=48m,mode=0700");
        match mount(
            "none",
            directory.path(),
            "tmpfs",
            MountFlags::empty(),
            options,
        ) {
            Ok(()) => Some(Self(directory)),
            Err(_) => {
                let thread = std::thread::current();
                let test = thread.name().unwrap_or_default();
                println!("skipped {test}: this user may not mount a file system");
                None
            }
        }
    }

    fn log(&self) -> PathBuf {
        self.0.path().join("audit.jsonl")
    }

    /// Takes all that is free but `left`.
    fn fill(&self, left: usize) {
        let block = [7; 4096];
        let path = self.0.path().join("filler");
        let mut filler = File::options().create(true).append(true).open(&path);
        let filler = filler.as_mut().expect("opens");
        while filler.write_all(&block).is_ok() {}
        let len = filler.metadata().expect("there").len();
        filler.set_len(len - left as u64).expect("shorter");
    }

    fn free(&self) {
        fs::remove_file(self.0.path().join("filler")).expect("removed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        unmount(self.0.path(), UnmountFlags::empty()).expect("nobody uses it");
    }
}

fn open(path: &Path) -> Arc<Audit> {
    Audit::open(path, FileOptions::default(), clock()).expect("opens")
}

#[tokio::test]
async fn a_full_disk_is_told_before_records_are_lost() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let audit = open(&disk.log());
    assert_eq!(audit.health(), Health::Well);
    disk.fill(0);
    // Of the disk that it has taken, half is left when it says so.
    let mut written = 0;
    while audit.health() == Health::Well {
        change(&audit).await.expect("written");
        written += 1;
    }
    assert_eq!(audit.health(), Health::Short);
    for _ in 0..written / 2 {
        change(&audit).await.expect("still written");
    }
    let error = loop {
        if let Err(error) = change(&audit).await {
            break error;
        }
    };
    assert_eq!(error.reason(), Reason::AuditUnavailable);
    assert_eq!(audit.health(), Health::Failed);

    let mut health = audit.watch_health();
    health.mark_unchanged();
    disk.free();
    let well = health.wait_for(|health| *health == Health::Well).await;
    well.expect("the log is there");
    change(&audit).await.expect("written");
    drop(audit);
    verify_files(&log_files(&disk.log()).expect("files")).expect("whole");
}

#[tokio::test]
async fn a_start_on_a_nearly_full_disk_says_so_and_serves() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    disk.fill(256 * 1024);
    let audit = open(&disk.log());
    assert_eq!(audit.health(), Health::Short);
    // Whoever has no grant gets no records there, and takes nothing from those that have.
    for uid in 1000..6000 {
        authorize(&audit, uid).await.expect_err("denied");
    }
    for _ in 0..50 {
        change(&audit).await.expect("written");
    }
    let denied = fs::read_to_string(disk.log()).expect("readable");
    assert_eq!(denied.matches("DENIED").count(), 0);
    drop(audit);
    let all = fs::read_to_string(disk.log()).expect("readable");
    assert!(all.contains("\"unnoted\":5000,"), "counted all the same");
}

#[tokio::test]
async fn a_restart_finds_the_disk_that_was_taken() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    drop(open(&disk.log()));
    disk.fill(0);
    let audit = open(&disk.log());
    assert_eq!(audit.health(), Health::Well);
    change(&audit).await.expect("written");
}

#[tokio::test]
async fn a_full_file_on_a_full_disk_is_followed_by_another() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let options = FileOptions {
        segment_bytes: 64 * 1024,
        ..FileOptions::default()
    };
    let audit = Audit::open(&disk.log(), options, clock()).expect("opens");
    disk.fill(0);
    for _ in 0..300 {
        let authorized = authorize(&audit, 0).await.expect("allowed");
        let concluded = audit.conclude(authorized, Ok(()), |()| Facts::default());
        concluded.await.expect("written");
    }
    drop(audit);
    let files = log_files(&disk.log()).expect("files");
    assert!(files.len() > 2, "{files:?}");
    verify_files(&files).expect("whole");
}
