//! The files of a log: the one that is written, at the log's own path, and the closed ones beside
//! it, each named after its first record: `audit.jsonl.1`, `audit.jsonl.70312`.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::iter;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::Advice;

use crate::chain::{Link, RECORD_START};
use crate::mark::Mark;
use crate::verify::LINE_BYTES_MAX;

/// The name of a closed file that begins with record `seq`.
pub(crate) fn closed_path(path: &Path, seq: u64) -> PathBuf {
    with_suffix(path, &seq.to_string())
}

/// A path beside the log's.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// The directory of the log.
pub(crate) fn directory(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    parent.unwrap_or(Path::new("."))
}

/// The closed files of the log at `path`, the oldest first.
pub(crate) fn closed(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let mut found = Vec::new();
    for entry in fs::read_dir(directory(path))? {
        let entry = entry?;
        let other = entry.file_name();
        let suffix = other.as_bytes().strip_prefix(name);
        let suffix = suffix.and_then(|suffix| suffix.strip_prefix(b"."));
        if let Some(seq) = suffix.and_then(number)
            && entry.file_type()?.is_file()
        {
            found.push((seq, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// All files of a log in the order they were written: those beside the file at `path`, and itself;
/// or all that begin with a record in the directory there.
///
/// # Errors
/// If there is none, or one cannot be read.
pub fn log_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        File::open(path)?;
        let closed = closed(path)?.into_iter().map(|(_, path)| path);
        return Ok(closed.chain([path.to_path_buf()]).collect());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_file()
            && let Some(seq) = first_seq(&File::open(entry.path())?)?
        {
            found.push((seq, entry.path()));
        }
    }
    found.sort();
    match found.is_empty() {
        true => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "no file in this directory is an audit log",
        )),
        false => Ok(found.into_iter().map(|(_, path)| path).collect()),
    }
}

/// The number of the first record of a file, if it begins with one.
pub(crate) fn first_seq(file: &File) -> io::Result<Option<u64>> {
    let mut start = [0; 32];
    let len = file.read_at(&mut start, 0)?;
    Ok(start.get(..len).and_then(seq_of))
}

/// The number of the record that these bytes begin with.
pub(crate) fn seq_of(bytes: &[u8]) -> Option<u64> {
    let rest = bytes.strip_prefix(RECORD_START)?;
    let end = rest.iter().position(|byte| *byte == b',')?;
    number(rest.get(..end)?)
}

/// Whether the log at `path`, or a closed file beside it, has this record.
pub(crate) fn holds(path: &Path, mark: &Mark) -> io::Result<bool> {
    let mut candidates = closed(path)?;
    if let Ok(file) = File::open(path)
        && let Some(seq) = first_seq(&file)?
    {
        // One that begins again at a lower number is not the end of this log.
        if candidates.iter().any(|(closed, _)| *closed >= seq) {
            return Ok(false);
        }
        candidates.push((seq, path.to_path_buf()));
    }
    candidates.retain(|(seq, _)| *seq <= mark.seq);
    let Some((_, path)) = candidates.into_iter().max() else {
        return Ok(false);
    };
    for line in lines(&path)? {
        let line = line?;
        if seq_of(&line) == Some(mark.seq) {
            let link = Link::read(line.trim_ascii_end());
            return Ok(link.is_ok_and(|link| link.hash == mark.head));
        }
    }
    Ok(false)
}

/// Reads the whole lines of the log at `path` that come after record `seq`, and some before them.
pub(crate) fn read_after(path: &Path, seq: u64, mut read: impl FnMut(&[u8])) -> io::Result<()> {
    let mut files = closed(path)?;
    if let Some(first) = first_seq(&File::open(path)?)? {
        files.push((first, path.to_path_buf()));
    }
    let has_it = |(first, _): &(u64, PathBuf)| *first <= seq;
    let start = files.iter().rposition(has_it).unwrap_or(0);
    for (_, path) in files.iter().skip(start) {
        for line in lines(path)? {
            let line = line?;
            // A start cuts off what has no end, also if only that is missing.
            if line.ends_with(b"\n") {
                read(&line);
            }
        }
    }
    Ok(())
}

/// The lines of a file, with their line feeds.
fn lines(path: &Path) -> io::Result<impl Iterator<Item = io::Result<Vec<u8>>>> {
    let file = File::open(path)?;
    // From the disk: what a failed sync has lost may still be in memory, as if it were written.
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).ok();
    let mut reader = BufReader::new(file);
    Ok(iter::from_fn(move || {
        let mut line = Vec::new();
        let mut rest = (&mut reader).take(LINE_BYTES_MAX);
        match rest.read_until(b'\n', &mut line) {
            Ok(0) => None,
            read => Some(read.map(|_| line)),
        }
    }))
}

/// Decimal digits without a sign or leading zeros.
fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    let number = text.parse().ok()?;
    (u64::to_string(&number) == text).then_some(number)
}
