//! Where the bytes of the log go.

use std::fs::{self, File, Metadata};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::num::NonZeroU64;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Advice, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::chain::RECORD_START;
use crate::segments;
use crate::tape::Tape;
use crate::verify::verify;

/// How much of a file's end is read to find its last line; far more than the longest line.
const TAIL_BYTES_MAX: u64 = 64 * 1024;

/// How many of the last bytes are remembered: those of the last record's hash are among them.
const ENDING_BYTES: usize = 67;

/// A file that lacks only this part of its length to be full is closed when nobody waits for it.
const LAST_PART: u64 = 8;

/// Memory is given back in whole pages of this many bytes, the largest that processors have.
const UNCACHED_PART: u64 = 64 * 1024;

/// The reserve is at most this part of the disk.
const RESERVE_PART_MAX: u64 = 16;

/// Waits until what was appended before would survive a loss of power. It need not be on the thread
/// that appends, and more may be appended meanwhile.
///
/// # Errors
/// What was appended since the last success may not survive.
pub type Flush = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// Takes the bytes of whole records, on the threads that serve: it must not wait for the disk.
pub trait Sink: Send {
    /// Adds `bytes` at the end: all of them or, on failure, none. Bytes that a failed call has
    /// left behind are cut off before the next one writes.
    ///
    /// # Errors
    /// The bytes are not in the log.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// What waits for the disk.
    ///
    /// # Errors
    /// What was appended since the last success may not survive a loss of power.
    fn sync(&mut self) -> io::Result<Flush>;

    /// Looks, about once a second, whether all is well with what is under the log.
    ///
    /// # Errors
    /// It is not, and nothing may be appended.
    fn check(&mut self) -> io::Result<Found> {
        Ok(Found::default())
    }
}

/// What a look at the log found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// Whether the file was renamed. By now a new one is there.
    pub has_moved: bool,
    /// Whether its disk is nearly full.
    pub is_short: bool,
}

/// A sink over files that nobody else writes.
#[derive(Debug)]
pub(crate) struct FileSink {
    path: PathBuf,
    tape: Tape,
    segment_bytes: u64,
    /// How long the file may get.
    rotate_at: u64,
    reserve_bytes: u64,
    /// The number of the first record in the file.
    first_seq: Option<u64>,
    /// The last bytes of the file, and when it was written last: by this sink.
    ending: Vec<u8>,
    changed: (i64, i64),
    /// Whether a sync failed that no flush has told of yet: the kernel tells one of all that share
    /// the file.
    sync_failed: Arc<Mutex<bool>>,
    /// What somebody did to the file. Nothing more is written: only a start looks at all of it.
    fault: Option<String>,
}

/// How a file ends.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// The last whole line, without its line feed.
    pub(crate) last_line: Option<Vec<u8>>,
    /// How many bytes of a line without end follow it.
    pub(crate) torn_bytes: u64,
}

impl FileSink {
    /// Opens or creates the file, mode 0600, and locks it against a second daemon.
    pub(crate) fn open(path: &Path, segment_bytes: u64, reserve_bytes: u64) -> io::Result<Self> {
        let file = open_locked(path, OFlags::CREATE)?;
        let metadata = file.metadata()?;
        if metadata.len() == 0 {
            // A new file survives a loss of power only if its directory does.
            sync_directory(path)?;
        }
        let disk = rustix::fs::fstatvfs(&file)?;
        let disk_bytes = disk.f_blocks.saturating_mul(disk.f_frsize);
        let mut sink = Self {
            path: path.to_path_buf(),
            segment_bytes,
            rotate_at: segment_bytes,
            reserve_bytes: reserve_bytes.min(disk_bytes / RESERVE_PART_MAX),
            first_seq: segments::first_seq(&file)?,
            tape: Tape::new(file, metadata.len()),
            ending: Vec::new(),
            changed: changed(&metadata),
            sync_failed: Arc::default(),
            fault: None,
        };
        sink.read_ending()?;
        Ok(sink)
    }

    /// The file that is written.
    pub(crate) fn file(&self) -> &File {
        &self.tape.storage
    }

    /// Whether the file begins with a record.
    pub(crate) fn begins_well(&self) -> bool {
        self.first_seq.is_some()
    }

    /// Cuts `bytes` off the end.
    pub(crate) fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.tape.cut(bytes)?;
        self.first_seq = self.first_seq.filter(|_| self.tape.len > 0);
        self.read_ending()?;
        self.remember()
    }

    fn read_ending(&mut self) -> io::Result<()> {
        let from = self.tape.len.saturating_sub(ENDING_BYTES as u64);
        let mut file = self.file();
        file.seek(SeekFrom::Start(from))?;
        let mut ending = Vec::new();
        file.take(self.tape.len - from).read_to_end(&mut ending)?;
        self.ending = ending;
        Ok(())
    }

    /// Closes the file as it is, unless it is empty, and begins a new one with record `seq`.
    pub(crate) fn set_aside(&mut self, seq: u64) -> io::Result<()> {
        if self.tape.len == 0 {
            return Ok(());
        }
        let by_number = self
            .first_seq
            .map(|seq| segments::closed_path(&self.path, seq));
        let free = by_number.filter(|path| fs::symlink_metadata(path).is_err());
        let closed = free
            .unwrap_or_else(|| segments::with_suffix(&self.path, &format!("damaged-before-{seq}")));
        self.replace(Some(&closed))
    }

    /// Closes the file and goes on in a new one. If that cannot be, the file gets longer: it may
    /// still have disk of its own where there is none for a new one.
    fn rotate(&mut self) -> io::Result<()> {
        let Some(seq) = self.first_seq else {
            return Ok(());
        };
        match self.replace(Some(&segments::closed_path(&self.path, seq))) {
            Ok(()) => self.secure().map(drop),
            Err(error) if !*locked(&self.sync_failed) && self.is_in_place()? => {
                tracing::warn!(%error, "the audit log is full, but no new file can be begun");
                self.rotate_at = self.tape.len + self.segment_bytes;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Syncs the file. Whoever waits for a flush hears of it if that fails, also if what it was for
    /// goes on without it.
    fn sync_rest(&self) -> io::Result<()> {
        let mut failed = locked(&self.sync_failed);
        let synced = self.tape.storage.sync_data();
        *failed |= synced.is_err();
        synced
    }

    /// Goes on in a new file at the path; the one there gets the name `closed` before.
    ///
    /// INVARIANT: whatever comes between two steps, the records are in files that a start finds:
    /// the old file is synced before its name changes, and a start goes on at the end of the newest
    /// closed file if there is no other.
    fn replace(&mut self, closed: Option<&Path>) -> io::Result<()> {
        self.sync_rest()?;
        let next = segments::with_suffix(&self.path, "next");
        if fs::symlink_metadata(&next).is_ok() {
            fs::remove_file(&next)?;
        }
        let file = open_locked(&next, OFlags::CREATE | OFlags::EXCL)?;
        if let Some(closed) = closed {
            refuse_taken(closed)?;
            fs::rename(&self.path, closed)?;
        }
        fs::rename(&next, &self.path)?;
        sync_directory(&self.path)?;
        // Gives back what was reserved behind the end of the old one.
        self.tape.storage.set_len(self.tape.len)?;
        self.tape = Tape::new(file, 0);
        self.rotate_at = self.segment_bytes;
        self.first_seq = None;
        self.ending.clear();
        self.remember()
    }

    /// Finds out, before each write too, whether somebody else changed the file.
    fn guard(&mut self) -> io::Result<()> {
        if self.fault.is_none()
            && let Some(what) = self.damage()?
        {
            self.fault = Some(format!(
                "the audit log {} {what}; find out what did it, keep what is left and check it \
                (clavigerd audit verify), then restart the daemon",
                self.path.display()
            ));
        }
        match &self.fault {
            Some(fault) => Err(io::Error::other(fault.clone())),
            None => Ok(()),
        }
    }

    fn damage(&mut self) -> io::Result<Option<&'static str>> {
        let metadata = self.file().metadata()?;
        let (is, was) = (metadata.len(), self.tape.len);
        Ok(match metadata.nlink() {
            0 => Some("was deleted under the daemon"),
            1 if is < was => Some("was cut under the daemon"),
            1 if is > was && !self.tape.is_torn => {
                Some("was written by something besides the daemon")
            }
            1 if changed(&metadata) != self.changed && !self.is_unchanged()? => {
                Some("was overwritten under the daemon")
            }
            1 => None,
            _ => Some("has a second name, a hard link"),
        })
    }

    /// Reads the whole file again: only after something else has written it, or set its time.
    fn is_unchanged(&mut self) -> io::Result<bool> {
        let mut file = self.file();
        file.rewind()?;
        let is_whole = match verify(BufReader::new(file.take(self.tape.len))) {
            Ok(verified) => {
                let head = verified.head.as_bytes();
                self.ending.is_empty() || self.ending.starts_with(head)
            }
            Err(_) => false,
        };
        if is_whole {
            self.remember()?;
        }
        Ok(is_whole)
    }

    /// Whether the file is still at its path.
    fn is_in_place(&self) -> io::Result<bool> {
        let own = self.file().metadata()?;
        match fs::symlink_metadata(&self.path) {
            Ok(other) => Ok((own.dev(), own.ino()) == (other.dev(), other.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Goes on at the path after somebody has renamed the file.
    fn follow_path(&mut self) -> io::Result<()> {
        match fs::symlink_metadata(&self.path) {
            Ok(other) if !other.is_file() || other.len() > 0 => {
                return Err(io::Error::other(format!(
                    "the audit log was renamed, and another file is at {}; move that away",
                    self.path.display()
                )));
            }
            Ok(_) | Err(_) => {}
        }
        let now_at = fs::read_link(format!("/proc/self/fd/{}", self.file().as_raw_fd()));
        let now_at = now_at.unwrap_or_default();
        self.replace(None)?;
        tracing::warn!(
            file = %self.path.display(),
            now_at = %now_at.display(),
            "the audit log was renamed: it goes on in a new file"
        );
        Ok(())
    }

    /// Sees to it that there is disk for the records to come, which nobody else can take. Returns
    /// whether there is enough.
    fn secure(&mut self) -> io::Result<bool> {
        let metadata = self.file().metadata()?;
        let held = (metadata.blocks() * 512).saturating_sub(self.tape.len);
        if held >= self.reserve_bytes / 2 {
            return Ok(true);
        }
        let disk = rustix::fs::fstatvfs(self.file())?;
        // Not the last of it: a store may be on the same disk.
        if disk.f_bavail.saturating_mul(disk.f_frsize) < self.reserve_bytes {
            return Ok(false);
        }
        let (from, len) = (self.tape.len, self.reserve_bytes);
        let taken = rustix::fs::fallocate(self.file(), FallocateFlags::KEEP_SIZE, from, len);
        self.remember()?;
        match taken {
            // There is room, but this kind of disk keeps none.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(true),
            Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What was done to the file until now was done here.
    fn remember(&mut self) -> io::Result<()> {
        self.changed = changed(&self.file().metadata()?);
        Ok(())
    }
}

impl Sink for FileSink {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.guard()?;
        if self.tape.len > 0 && self.tape.len + bytes.len() as u64 > self.rotate_at {
            self.rotate()?;
        }
        let appended = self.tape.append(bytes);
        self.remember()?;
        appended?;
        self.first_seq = self.first_seq.or_else(|| segments::seq_of(bytes));
        let hash_line = bytes.rchunks(ENDING_BYTES).next();
        self.ending = hash_line.unwrap_or_default().to_vec();
        Ok(())
    }

    fn sync(&mut self) -> io::Result<Flush> {
        self.guard()?;
        let file = self.file().try_clone()?;
        let len = self.tape.len;
        let failed = Arc::clone(&self.sync_failed);
        Ok(Box::new(move || {
            {
                // Held meanwhile, so that an error is told to this one or noted for it.
                let mut failed = locked(&failed);
                file.sync_data()?;
                if std::mem::take(&mut *failed) {
                    return Err(io::Error::other("a sync before this one failed"));
                }
            }
            uncache(&file, len);
            Ok(())
        }))
    }

    fn check(&mut self) -> io::Result<Found> {
        self.guard()?;
        let has_moved = !self.is_in_place()?;
        if has_moved {
            self.follow_path()?;
        } else if self.tape.len + self.segment_bytes / LAST_PART > self.rotate_at {
            // Just after a sync: one of all that is left takes long, and appends wait for it.
            self.rotate()?;
        }
        let is_short = !self.secure()?;
        Ok(Found {
            has_moved,
            is_short,
        })
    }
}

/// Gives back the memory that the kernel keeps of the first `len` bytes, all synced: the log would
/// fill it with pages that nobody reads, and a fresh page costs appends ten times one given back.
fn uncache(file: &File, len: u64) {
    // Not the last pages, which appends go on in.
    if let Some(len) = NonZeroU64::new(len - len % UNCACHED_PART) {
        // A file system that cannot keeps them.
        rustix::fs::fadvise(file, 0, Some(len), Advice::DontNeed).ok();
    }
}

fn locked(failed: &Mutex<bool>) -> MutexGuard<'_, bool> {
    failed.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a file of the log and locks it. It has to be one that nobody else can write or read.
fn open_locked(path: &Path, create: OFlags) -> io::Result<File> {
    // NOFOLLOW: a link planted in the directory must not lead the log elsewhere.
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | create;
    let file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("the audit log is not a regular file"));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(io::Error::other(
            "the audit log is open to group or others; set its mode to 0600",
        ));
    }
    if metadata.nlink() != 1 {
        return Err(io::Error::other(
            "the audit log has a second name, a hard link; remove that (find -samefile finds it)",
        ));
    }
    file.try_lock()
        .map_err(|_| io::Error::other("the audit log is in use by another process"))?;
    Ok(file)
}

fn refuse_taken(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other(format!(
            "the full audit log gets the name {}, but something is there; move that away",
            path.display()
        ))),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(segments::directory(path))?.sync_all()
}

fn changed(metadata: &Metadata) -> (i64, i64) {
    (metadata.ctime(), metadata.ctime_nsec())
}

/// Reads how a file ends. A tail that is not the beginning of a record is an error: the file is some
/// other file, and cutting it would destroy it.
pub(crate) fn tail(file: &File, path: &Path) -> io::Result<Tail> {
    let len = file.metadata()?.len();
    let window = len.min(TAIL_BYTES_MAX);
    let mut bytes = vec![0; usize::try_from(window).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, len - window)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n');
    let torn = bytes.split_off(whole.map_or(0, |at| at + 1));
    let start = torn.get(..RECORD_START.len()).unwrap_or(&torn);
    if !RECORD_START.starts_with(start) || (whole.is_none() && window < len) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "{} does not end in an audit record; put the log back as it was, or start once \
                with --accept-audit-gap",
                path.display()
            ),
        ));
    }
    bytes.pop();
    let last_line = whole.map(|_| match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(at) => bytes.split_off(at + 1),
        None => bytes,
    });
    Ok(Tail {
        last_line,
        torn_bytes: torn.len() as u64,
    })
}

#[cfg(test)]
mod tests {
    use std::io::IoSliceMut;

    use rustix::io::{ReadWriteFlags, preadv2};

    use super::*;

    #[test]
    fn what_is_synced_takes_no_memory() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut sink = FileSink::open(&dir.path().join("audit.log"), 1 << 30, 0).expect("opened");
        let is_cached = |sink: &FileSink, offset| {
            let mut byte = [0];
            let buffers = &mut [IoSliceMut::new(&mut byte)];
            let read = preadv2(sink.file(), buffers, offset, ReadWriteFlags::NOWAIT);
            match read {
                Ok(_) => Some(true),
                Err(Errno::AGAIN) => Some(false),
                // A file system that does not say.
                Err(_) => None,
            }
        };
        let bytes = UNCACHED_PART * 2;
        let line = vec![b'x'; usize::try_from(bytes + 1).expect("small")];
        sink.append(&line).expect("written");
        let before = is_cached(&sink, 0);
        sink.sync().and_then(|flush| flush()).expect("synced");
        if before == Some(true) {
            assert_eq!(is_cached(&sink, 0), Some(false));
            assert_eq!(is_cached(&sink, bytes - 1), Some(false));
            assert_eq!(is_cached(&sink, bytes), Some(true), "goes on in it");
        }
    }

    #[test]
    fn a_sync_that_failed_where_a_file_is_closed_is_told_to_the_next_flush() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut sink = FileSink::open(&dir.path().join("audit.log"), 1 << 20, 0).expect("opened");
        sink.append(br#"{"seq":1,"#).expect("written");
        // Nothing syncs a pipe.
        let (_, pipe) = io::pipe().expect("a pipe");
        let broken = Tape::new(File::from(std::os::fd::OwnedFd::from(pipe)), 9);
        let whole = std::mem::replace(&mut sink.tape, broken);
        sink.rotate().expect_err("not synced");
        sink.tape = whole;
        let flush = |sink: &mut FileSink| sink.sync().and_then(|flush| flush());
        flush(&mut sink).expect_err("it may have been for what was lost");
        flush(&mut sink).expect("told once");
        sink.rotate().expect("closed");
    }
}
