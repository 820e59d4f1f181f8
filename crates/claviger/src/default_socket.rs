//! Whose daemon is asked where no address says it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::Uid;

use crate::stop::Stop;

/// Refuses the default socket if another user could have put it there: `sudo -E` and `su` keep the
/// directories of whoever called them, and root would hand its values and its token to that user.
pub(crate) fn refuse_of_others(socket: &Path, user: Uid) -> Result<(), Stop> {
    let is_of_another = |path: &Path| {
        // Of a link both ends count.
        [path.symlink_metadata(), path.metadata()]
            .iter()
            .flatten()
            .any(|metadata| ![user.as_raw(), 0].contains(&metadata.uid()))
    };
    // Whoever has a directory above can put another socket there.
    match socket.ancestors().find(|path| is_of_another(path)) {
        None => Ok(()),
        Some(path) => Err(Stop::usage(format!(
            "the default socket is not used: {} belongs to another user, whose daemon may not be \
            yours; pass --address unix:{} if it is",
            path.display(),
            socket.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_socket_below_a_directory_of_another_user_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let socket = home.path().join("clavigerd.sock");
        let mine = home.path().metadata().unwrap().uid();
        let [owner, other] = match mine {
            0 => [1000, 1001],
            mine => [mine, mine + 1],
        };
        if mine == 0 {
            chown(home.path(), Some(owner), None).unwrap();
        }
        let refused = |user| refuse_of_others(&socket, Uid::from_raw(user)).err();
        // Also where no daemon listens yet.
        for is_there in [false, true] {
            let _listener = is_there.then(|| UnixListener::bind(&socket).unwrap());
            assert!(refused(owner).is_none());
            for user in [0, other] {
                let said = refused(user).unwrap().to_string();
                let remedy = format!("--address unix:{}", socket.display());
                assert!(said.contains(&remedy), "{said}");
                assert!(said.contains("belongs to another user"), "{said}");
            }
        }
    }
}
