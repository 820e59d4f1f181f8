//! Files that are memory, for a job that reads its value from a path.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;

use rustix::fs::{MemfdFlags, Mode, SealFlags, fchmod, fcntl_add_seals, memfd_create};
use rustix::io::Errno;

/// What shows as its name in `/proc/PID/maps`.
const NAME: &str = "claviger";

/// A file with this content, for good. What is executed from here on inherits it.
pub(crate) fn sealed(content: &[u8]) -> io::Result<File> {
    let mut file = empty()?;
    file.write_all(content)?;
    // Programs refuse a private key that others could read.
    fchmod(&file, Mode::RUSR)?;
    let all = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&file, all)?;
    Ok(file)
}

/// Not executable, as a system may demand (vm.memfd_noexec=2).
fn empty() -> io::Result<File> {
    let flags = MemfdFlags::ALLOW_SEALING;
    let made = match memfd_create(NAME, flags | MemfdFlags::NOEXEC_SEAL) {
        // Linux before 6.3 has no such flag.
        Err(Errno::INVAL) => memfd_create(NAME, flags),
        made => made,
    };
    Ok(File::from(made?))
}

/// Where those find it who have inherited it.
pub(crate) fn path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_has_its_content_for_good() {
        let content = b"\0\xff\n";
        let file = sealed(content).unwrap();
        for _ in 0..2 {
            assert_eq!(fs::read(path(&file)).unwrap(), content);
        }
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o400);
        // As far as the kernel knows of files that are never executable.
        let is_known = memfd_create(NAME, MemfdFlags::NOEXEC_SEAL).is_ok();
        let executable = fchmod(&file, Mode::RUSR | Mode::XUSR);
        assert_eq!(executable.is_err(), is_known);

        assert!((&file).write_all(b"more").is_err());
        assert!(file.set_len(0).is_err());
        assert!(file.set_len(4).is_err());
        assert!(fcntl_add_seals(&file, SealFlags::FUTURE_WRITE).is_err());
        assert_eq!(fs::read(path(&file)).unwrap(), content);
    }
}
