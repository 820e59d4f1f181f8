//! The files of a log: how one follows another, and what a start expects to find.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger_audit::{
    Audit, BrokenCause, Facts, FileOptions, Mark, log_files, verify, verify_files,
};
use claviger_core::Reason;
use tempfile::TempDir;

use crate::support::{authorize, clock, lines};

const SEGMENT_BYTES: u64 = 4096;

fn options() -> FileOptions {
    FileOptions {
        segment_bytes: SEGMENT_BYTES,
        ..FileOptions::default()
    }
}

pub(crate) fn log_file() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("audit.jsonl");
    (directory, path)
}

/// Writes an intent, which is synced, and its outcome.
pub(crate) async fn change(audit: &Arc<Audit>) -> claviger_core::Result<()> {
    let authorized = authorize(audit, 0).await?;
    audit.intent(&authorized, Facts::default()).await?;
    audit
        .conclude(authorized, Ok(()), |()| Facts::default())
        .await
}

/// Makes `count` changes in one run of the daemon, and returns what the log has reached.
async fn run(path: &Path, options: FileOptions, count: usize) -> Mark {
    let audit = Audit::open(path, options, clock()).expect("opens");
    for _ in 0..count {
        change(&audit).await.expect("written");
    }
    audit.stopped().await.expect("written");
    audit.watch_synced().borrow().mark.clone()
}

/// A log of several files.
async fn many_files() -> (TempDir, PathBuf, Mark) {
    let (directory, path) = log_file();
    let mark = run(&path, options(), 40).await;
    assert!(log_files(&path).expect("files").len() > 4);
    (directory, path, mark)
}

fn first_seq(path: &Path) -> u64 {
    let text = fs::read_to_string(path).expect("readable");
    lines(&text)[0]["seq"].as_u64().expect("a number")
}

#[tokio::test]
async fn a_full_file_is_closed_under_the_number_of_its_first_record_and_the_chain_goes_on() {
    let (directory, path, mark) = many_files().await;
    let files = log_files(&path).expect("files");
    let (last, closed) = files.split_last().expect("some");
    assert_eq!(*last, path);
    for file in closed {
        let bytes = fs::metadata(file).expect("there").len();
        assert!(bytes <= SEGMENT_BYTES, "{bytes}");
        let wanted = format!("{}.{}", path.display(), first_seq(file));
        assert_eq!(file.display().to_string(), wanted);
        // Each holds together by itself as well.
        let alone = verify(&fs::read(file).expect("readable")[..]).expect("whole");
        assert_eq!(alone.first_seq, first_seq(file));
    }
    for files in [files, log_files(directory.path()).expect("files")] {
        let verified = verify_files(&files).expect("whole");
        assert_eq!(verified.first_seq, 1);
        assert_eq!(
            (verified.records, verified.head),
            (mark.seq, mark.head.clone())
        );
    }

    run(&path, options(), 20).await;
    let verified = verify_files(&log_files(&path).expect("files")).expect("whole");
    assert!(verified.records > mark.seq + 40);
}

#[tokio::test]
async fn a_file_that_is_nearly_full_is_closed_after_a_sync() {
    let (_directory, path) = log_file();
    let options = FileOptions {
        segment_bytes: 64 * 1024,
        ..FileOptions::default()
    };
    let audit = Audit::open(&path, options.clone(), clock()).expect("opens");
    while fs::metadata(&path).expect("there").len() < 58 * 1024 {
        let authorized = authorize(&audit, 0).await.expect("allowed");
        let concluded = audit.conclude(authorized, Ok(()), |()| Facts::default());
        concluded.await.expect("written");
    }
    assert_eq!(log_files(&path).expect("files").len(), 1);
    // The last look at it.
    drop(audit);
    assert_eq!(log_files(&path).expect("files").len(), 2);
    let mark = run(&path, options, 1).await;
    let verified = verify_files(&log_files(&path).expect("files")).expect("whole");
    assert_eq!(verified.records, mark.seq);
}

#[tokio::test]
async fn the_verdict_on_several_files_names_the_file_and_the_line() {
    let (_directory, path, _) = many_files().await;
    let files = log_files(&path).expect("files");
    let text = fs::read_to_string(&files[2]).expect("readable");
    fs::write(&files[2], text.replacen("ALLOWED", "DENIED!", 1)).expect("writable");
    let (file, broken) = verify_files(&files).expect_err("edited");
    assert_eq!((&file, broken.line), (&files[2], 1));
    assert!(matches!(broken.cause, BrokenCause::Edited));

    fs::remove_file(&files[2]).expect("removed");
    let (file, broken) = verify_files(&log_files(&path).expect("files")).expect_err("missing");
    assert_eq!((&file, broken.line), (&files[3], 1));
    assert!(matches!(broken.cause, BrokenCause::OutOfOrder { .. }));

    // The oldest may be kept elsewhere.
    fs::remove_file(&files[0]).expect("removed");
    fs::remove_file(&files[1]).expect("removed");
    let verified = verify_files(&log_files(&path).expect("files")).expect("whole");
    assert_eq!(verified.first_seq, first_seq(&files[3]));
}

#[tokio::test]
async fn a_crash_at_any_step_between_two_files_leaves_a_log_that_goes_on() {
    for step in 0..6 {
        let (_directory, path) = log_file();
        let mark = run(&path, FileOptions::default(), 5).await;
        let beside = |suffix: &str| PathBuf::from(format!("{}.{suffix}", path.display()));
        if step > 0 {
            fs::write(beside("next"), "").expect("writable");
        }
        if step > 1 {
            fs::rename(&path, beside("1")).expect("renamed");
        }
        if step > 2 {
            fs::rename(beside("next"), &path).expect("renamed");
            set_mode(&path);
        }
        // Torn in the first record of the new file.
        let torn = ["", "", "", "", "{\"seq\":1", "{\"seq\":14,\"ti"][step];
        if !torn.is_empty() {
            fs::write(&path, torn).expect("writable");
        }
        let sealed = FileOptions {
            sealed: Some(mark.clone()),
            ..options()
        };
        let reached = run(&path, sealed, 30).await;
        let verified = verify_files(&log_files(&path).expect("files")).expect("whole");
        assert_eq!(verified.first_seq, 1, "step {step}");
        assert_eq!(verified.records, reached.seq, "step {step}");
        assert!(verified.records >= mark.seq + 60, "step {step}");
    }
}

#[tokio::test]
async fn a_name_that_is_taken_is_not_overwritten_and_the_file_gets_longer() {
    let (_directory, path) = log_file();
    let taken = PathBuf::from(format!("{}.1", path.display()));
    fs::create_dir(&taken).expect("made");
    run(&path, options(), 40).await;
    assert!(taken.is_dir());
    assert!(fs::metadata(&path).expect("there").len() > 2 * SEGMENT_BYTES);
    verify(&fs::read(&path).expect("readable")[..]).expect("whole");
}

#[tokio::test]
async fn a_log_that_lost_its_end_is_not_continued_unless_that_is_accepted() {
    let cut = |path: &Path| {
        let text = fs::read_to_string(path).expect("readable");
        let kept = lines(&text).len() - 2;
        let kept: String = text.split_inclusive('\n').take(kept).collect();
        fs::write(path, kept).expect("writable");
    };
    let emptied = |path: &Path| fs::write(path, "").expect("writable");
    let deleted = |path: &Path| fs::remove_file(path).expect("removed");
    let garbled = |path: &Path| fs::write(path, "garbage\n").expect("writable");
    let older = |path: &Path| {
        fs::remove_file(path).expect("removed");
        let files = log_files(path.parent().expect("a directory")).expect("files");
        fs::rename(files.last().expect("one"), path).expect("renamed");
    };
    let other = |path: &Path| {
        // A chain of its own, as long and longer.
        let text = fs::read_to_string(path).expect("readable");
        fs::write(path, text.replace("\"hash\"", "\"hush\"")).expect("writable");
    };
    let elsewhere = tempfile::tempdir().expect("temporary directory");
    let anew = elsewhere.path().join("audit.jsonl");
    run(&anew, FileOptions::default(), 1).await;
    let begun_anew = |path: &Path| {
        let text = fs::read_to_string(path).expect("readable");
        let closed = format!("{}.{}", path.display(), lines(&text)[0]["seq"]);
        fs::rename(path, closed).expect("renamed");
        fs::copy(&anew, path).expect("copied");
    };
    let deeds: [&dyn Fn(&Path); 7] = [
        &cut,
        &emptied,
        &deleted,
        &garbled,
        &older,
        &other,
        &begun_anew,
    ];
    for (number, deed) in deeds.into_iter().enumerate() {
        let (directory, path, mark) = many_files().await;
        deed(&path);
        let before = state(directory.path());
        let sealed = |accepts_gap| FileOptions {
            sealed: Some(mark.clone()),
            accepts_gap,
            ..FileOptions::default()
        };
        let error = Audit::open(&path, sealed(false), clock()).expect_err("refused");
        assert_eq!(error.reason(), Reason::IntegrityFailure, "{number}");
        let text = format!("{error:?}");
        for word in [&mark.seq.to_string(), "--accept-audit-gap", "audit.jsonl"] {
            assert!(text.contains(word), "{number}: {text}");
        }
        assert_eq!(state(directory.path()), before, "{number}: touched");

        let reached = run(&path, sealed(true), 1).await;
        assert_eq!(reached.seq, mark.seq + 5, "{number}");
        let text = fs::read_to_string(&path).expect("readable");
        let first = &lines(&text)[0];
        assert_eq!(first["event"], "gap", "{number}");
        assert_eq!(first["seq"], mark.seq + 1, "{number}");
        assert_eq!(first["prev"], *mark.head, "{number}");
        assert_eq!(first["sealed_seq"], mark.seq, "{number}");
        assert_eq!(first["sealed_head"], *mark.head, "{number}");
        // Nothing that was there is gone.
        let after = state(directory.path());
        for (_, content) in before.iter().filter(|(_, content)| !content.is_empty()) {
            assert!(after.iter().any(|(_, other)| other == content), "{number}");
        }
        // From now on it is as any other log.
        run(
            &path,
            FileOptions {
                sealed: Some(reached),
                ..sealed(false)
            },
            1,
        )
        .await;
        verify(&fs::read(&path).expect("readable")[..]).expect("whole");
    }
}

#[tokio::test]
async fn a_log_that_is_ahead_of_what_is_known_or_whole_is_continued() {
    let (_directory, path, mark) = many_files().await;
    let files = log_files(&path).expect("files");
    let mut marks = vec![mark];
    for file in [&files[0], &files[2], &path] {
        let text = fs::read_to_string(file).expect("readable");
        let lines = lines(&text);
        let line = &lines[lines.len() / 2];
        marks.push(Mark {
            seq: line["seq"].as_u64().expect("a number"),
            head: line["hash"].as_str().expect("text").to_owned(),
        });
    }
    for accepts_gap in [false, true] {
        for mark in &marks {
            let sealed = FileOptions {
                sealed: Some(mark.clone()),
                accepts_gap,
                ..FileOptions::default()
            };
            run(&path, sealed, 1).await;
        }
    }
    let verified = verify_files(&log_files(&path).expect("files")).expect("whole");
    assert_eq!(verified.first_seq, 1);
}

#[tokio::test]
async fn what_is_told_to_have_reached_the_disk_has() {
    let (_directory, path) = log_file();
    let audit = Audit::open(&path, options(), clock()).expect("opens");
    let mut synced = audit.watch_synced();
    assert_eq!(synced.borrow().mark.seq, 0, "a start waits for no sync");
    // Within its second, though nothing else is written.
    let start = synced.wait_for(|synced| synced.mark.seq > 0).await;
    assert_eq!(start.expect("until dropped").mark.seq, 2);
    change(&audit).await.expect("written");
    let mark = synced.borrow_and_update().clone();
    assert_eq!(mark.mark.seq, 3, "the intent, and not what came after it");
    let text = fs::read_to_string(&path).expect("readable");
    assert_eq!(lines(&text)[2]["hash"], *mark.mark.head);
}

fn set_mode(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("own file");
}

/// Every file of a directory with its content.
fn state(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(directory).expect("readable");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .map(|path| (path.clone(), fs::read(path).expect("readable")))
        .collect();
    files.sort();
    files
}
