//! The bytes at the end of a file: all of a write or nothing of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// A file as far as a tape needs it, so that tests can fail in the middle of a write.
pub(crate) trait Storage: Send {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    fn set_len(&mut self, len: u64) -> io::Result<()>;
}

impl Storage for File {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }
}

/// A file that grows at its end.
#[derive(Debug)]
pub(crate) struct Tape<F = File> {
    pub(crate) storage: F,
    /// Where the last whole record ends.
    pub(crate) len: u64,
    /// Whether a failed write may have left bytes behind `len`.
    pub(crate) is_torn: bool,
}

impl<F: Storage> Tape<F> {
    pub(crate) fn new(storage: F, len: u64) -> Self {
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

    /// Adds all of `bytes` or, on failure, none; what a failure leaves behind is cut off before the
    /// next write.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
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
    }

    fn sink(room: usize) -> Tape<SmallDisk> {
        let disk = SmallDisk {
            bytes: Vec::new(),
            room,
            can_shorten: true,
        };
        Tape::new(disk, 0)
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
