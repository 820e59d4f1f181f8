//! Where the bytes of the log go.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// How much of a file's end is read to find its last line; far more than the longest line.
const TAIL_BYTES_MAX: u64 = 64 * 1024;

/// How every record begins.
const RECORD_START: &[u8] = br#"{"seq":"#;

/// Takes the bytes of whole records. Only the writer thread calls it, so it may block.
pub trait Sink: Send {
    /// Adds `bytes` at the end: all of them or, on failure, none. Bytes that a failed call has
    /// left behind are cut off before the next one writes.
    ///
    /// # Errors
    /// The bytes are not in the log.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns when everything appended would survive a loss of power.
    ///
    /// # Errors
    /// Bytes appended since the last success may not survive.
    fn sync(&mut self) -> io::Result<()>;
}

/// The log's file as far as a sink needs it, so that tests can fail in the middle of a write.
pub(crate) trait Storage: Send {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    fn set_len(&mut self, len: u64) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
}

impl Storage for File {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.metadata()?.nlink() == 0 {
            return Err(io::Error::other(
                "the audit log was deleted; restart to begin a new one",
            ));
        }
        self.sync_data()
    }
}

/// A sink over a file that nobody else writes.
#[derive(Debug)]
pub(crate) struct FileSink<F = File> {
    storage: F,
    /// Where the last whole record ends.
    len: u64,
    /// Whether a failed write may have left bytes behind `len`.
    is_torn: bool,
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
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        // NOFOLLOW: a link planted in the directory must not lead the log elsewhere.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
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
        file.try_lock()
            .map_err(|_| io::Error::other("the audit log is in use by another process"))?;
        if metadata.len() == 0 {
            // A new file survives a loss of power only if its directory does.
            let parent = path.parent().filter(|parent| *parent != Path::new(""));
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(Self::new(file, metadata.len()))
    }

    /// Reads how the file ends. A tail that is not the beginning of a record is an error: the file
    /// is some other file, and cutting it would destroy it.
    pub(crate) fn tail(&self) -> io::Result<Tail> {
        let window = self.len.min(TAIL_BYTES_MAX);
        let mut bytes = vec![0; usize::try_from(window).map_err(io::Error::other)?];
        self.storage.read_exact_at(&mut bytes, self.len - window)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n');
        let torn = bytes.split_off(whole.map_or(0, |at| at + 1));
        let start = torn.get(..RECORD_START.len()).unwrap_or(&torn);
        if !RECORD_START.starts_with(start) || (whole.is_none() && window < self.len) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the file does not end in an audit record",
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
}

impl<F: Storage> FileSink<F> {
    fn new(storage: F, len: u64) -> Self {
        Self {
            storage,
            len,
            is_torn: false,
        }
    }

    /// Cuts `bytes` off the end.
    pub(crate) fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.len = self.len.saturating_sub(bytes);
        self.storage.set_len(self.len)
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<u64> {
        let mut end = self.len;
        while !bytes.is_empty() {
            match self.storage.write_at(bytes, end) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = bytes.get(written..).unwrap_or_default();
                    end += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(end)
    }
}

impl<F: Storage> Sink for FileSink<F> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.storage.set_len(self.len)?;
            self.is_torn = false;
        }
        match self.write_all(bytes) {
            Ok(end) => {
                self.len = end;
                Ok(())
            }
            Err(error) => {
                self.is_torn = self.storage.set_len(self.len).is_err();
                Err(error)
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.storage.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk of limited size that may also refuse to shorten the file.
    struct SmallDisk {
        bytes: Vec<u8>,
        room: usize,
        can_shorten: bool,
    }

    impl Storage for SmallDisk {
        fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
            let offset = usize::try_from(offset).expect("small");
            // Three bytes at a time: a write may always be partial.
            let count = bytes.len().min(3).min(self.room - offset);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.bytes.resize(self.bytes.len().max(offset + count), 0);
            self.bytes[offset..offset + count].copy_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn set_len(&mut self, len: u64) -> io::Result<()> {
            if !self.can_shorten {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.bytes.resize(usize::try_from(len).expect("small"), 0);
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn sink(room: usize) -> FileSink<SmallDisk> {
        let disk = SmallDisk {
            bytes: Vec::new(),
            room,
            can_shorten: true,
        };
        FileSink::new(disk, 0)
    }

    #[test]
    fn a_partial_write_is_cut_back() {
        let mut sink = sink(10);
        sink.append(b"first\n").expect("has room");
        sink.append(b"second\n").expect_err("has no room");
        assert_eq!(sink.storage.bytes, b"first\n");
        sink.append(b"2nd\n").expect("has room");
        assert_eq!(sink.storage.bytes, b"first\n2nd\n");
    }

    #[test]
    fn nothing_is_written_behind_a_partial_write_that_could_not_be_cut_back() {
        let mut sink = sink(10);
        sink.storage.can_shorten = false;
        sink.append(b"first\n").expect("has room");
        sink.append(b"second\n").expect_err("has no room");
        sink.append(b"2\n")
            .expect_err("the torn bytes are still there");
        sink.storage.can_shorten = true;
        sink.append(b"2\n").expect("cut back by now");
        assert_eq!(sink.storage.bytes, b"first\n2\n");
    }
}
