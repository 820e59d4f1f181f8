//! A file that is taken away or changed under the daemon.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use claviger_audit::{Audit, FileOptions, Health, verify, verify_files};
use claviger_core::Reason;

use crate::files::{change, log_file};
use crate::support::{clock, lines};

fn truncated(path: &Path) {
    fs::write(path, "").expect("writable");
}

fn cut(path: &Path) {
    let file = OpenOptions::new().write(true).open(path).expect("opens");
    file.set_len(file.metadata().expect("there").len() / 2)
        .expect("cut");
}

fn overwritten_at_its_start(path: &Path) {
    let file = OpenOptions::new().write(true).open(path).expect("opens");
    file.write_all_at(b"xxxxxxxx", 100).expect("writable");
}

fn overwritten_and_its_time_put_back(path: &Path) {
    let before = fs::metadata(path).expect("there").modified();
    overwritten_at_its_start(path);
    let file = OpenOptions::new().write(true).open(path).expect("opens");
    file.set_modified(before.expect("a time")).expect("set");
}

fn overwritten_at_its_end(path: &Path) {
    let file = OpenOptions::new().write(true).open(path).expect("opens");
    let len = file.metadata().expect("there").len();
    file.write_all_at(b"x", len - 3).expect("writable");
}

fn added_to(path: &Path) {
    let mut file = OpenOptions::new().append(true).open(path).expect("opens");
    file.write_all(b"{\"seq\":99}\n").expect("writable");
}

fn deleted(path: &Path) {
    fs::remove_file(path).expect("removed");
}

fn replaced(path: &Path) {
    let other = path.with_extension("other");
    fs::copy(path, &other).expect("copied");
    fs::rename(&other, path).expect("renamed");
}

fn linked(path: &Path) {
    fs::hard_link(path, path.with_extension("link")).expect("linked");
}

/// The mtime of a file has the granularity of the kernel's clock: waits until it is another one.
fn until_time_shows(path: &Path) {
    let probe = path.with_extension("probe");
    let written = fs::metadata(path)
        .expect("there")
        .modified()
        .expect("a time");
    loop {
        fs::write(&probe, "x").expect("writable");
        let now = fs::metadata(&probe)
            .expect("there")
            .modified()
            .expect("a time");
        if now != written {
            return fs::remove_file(&probe).expect("removed");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_no_longer_what_was_written_ends_the_log_until_a_restart() {
    for (deed, word) in [
        (truncated as fn(&Path), "was cut"),
        (cut, "was cut"),
        (overwritten_at_its_start, "was overwritten"),
        (overwritten_and_its_time_put_back, "was overwritten"),
        (overwritten_at_its_end, "was overwritten"),
        (added_to, "written by something besides"),
        (deleted, "was deleted"),
        (replaced, "was deleted"),
        (linked, "hard link"),
    ] {
        let (_directory, path) = log_file();
        let audit = Audit::open(&path, FileOptions::default(), clock()).expect("opens");
        change(&audit).await.expect("written");
        until_time_shows(&path);
        let kept = fs::read(&path).expect("readable");
        deed(&path);
        let damaged = fs::read(&path).unwrap_or_default();
        let error = change(&audit).await.expect_err("not written");
        assert_eq!(error.reason(), Reason::AuditUnavailable, "{word}");
        assert_eq!(audit.health(), Health::Failed, "{word}");
        assert_eq!(fs::read(&path).unwrap_or_default(), damaged, "not touched");
        // It does not come back by itself, though all looks well again.
        fs::remove_file(path.with_extension("link")).ok();
        fs::write(&path, &kept).expect("writable");
        change(&audit).await.expect_err("not written");
        assert_eq!(fs::read(&path).expect("readable"), kept, "{word}");
    }
}

#[tokio::test]
async fn it_is_noticed_without_a_call() {
    let (_directory, path) = log_file();
    let audit = Audit::open(&path, FileOptions::default(), clock()).expect("opens");
    let mut health = audit.watch_health();
    truncated(&path);
    health.changed().await.expect("the log is there");
    assert_eq!(*health.borrow(), Health::Failed);
}

#[tokio::test]
async fn a_file_that_only_got_another_time_or_mode_is_gone_on_with() {
    let (_directory, path) = log_file();
    let audit = Audit::open(&path, FileOptions::default(), clock()).expect("opens");
    change(&audit).await.expect("written");
    let file = OpenOptions::new().write(true).open(&path).expect("opens");
    file.set_modified(std::time::UNIX_EPOCH).expect("set");
    change(&audit).await.expect("written");
    let shorter = fs::metadata(&path).expect("there").len();
    file.set_modified(std::time::UNIX_EPOCH).expect("set");
    change(&audit).await.expect("written");
    assert!(fs::metadata(&path).expect("there").len() > shorter);
    assert_eq!(audit.health(), Health::Well);
}

#[tokio::test]
async fn a_file_that_was_renamed_is_closed_and_a_new_one_says_so() {
    let (_directory, path) = log_file();
    let audit = Audit::open(&path, FileOptions::default(), clock()).expect("opens");
    change(&audit).await.expect("written");
    let away = path.with_extension("away");
    fs::rename(&path, &away).expect("renamed");
    // Noticed at the latest when this is synced.
    change(&audit).await.expect("written");
    change(&audit).await.expect("written");
    drop(audit);
    let text = fs::read_to_string(&path).expect("readable");
    let lines = lines(&text);
    assert_eq!(lines[0]["event"], "moved");
    assert!(lines.len() > 1);
    let verified = verify_files(&[away, path]).expect("whole");
    assert_eq!(verified.records, 2 + 6 + 1);
}

#[tokio::test]
async fn another_file_at_the_path_is_not_overwritten() {
    let (_directory, path) = log_file();
    let audit = Audit::open(&path, FileOptions::default(), clock()).expect("opens");
    change(&audit).await.expect("written");
    let away = path.with_extension("away");
    fs::rename(&path, &away).expect("renamed");
    fs::write(&path, "of somebody else").expect("writable");
    let mut health = audit.watch_health();
    health.changed().await.expect("the log is there");
    assert_eq!(*health.borrow_and_update(), Health::Failed);
    assert_eq!(fs::read(&path).expect("readable"), b"of somebody else");
    fs::remove_file(&path).expect("removed");
    health.changed().await.expect("the log is there");
    assert_eq!(*health.borrow(), Health::Well);
    change(&audit).await.expect("written");
    drop(audit);
    verify(&fs::read(&path).expect("readable")[..]).expect("whole");
    verify_files(&[away, path]).expect("whole");
}

#[test]
fn a_file_with_a_second_name_is_not_opened() {
    let (_directory, path) = log_file();
    drop(Audit::open(&path, FileOptions::default(), clock()).expect("opens"));
    linked(&path);
    let error = Audit::open(&path, FileOptions::default(), clock()).expect_err("refused");
    assert!(format!("{error:?}").contains("hard link"), "{error:?}");
}
