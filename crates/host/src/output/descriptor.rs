//! Unbuffered writes to a file descriptor.

use std::io;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Error of a write.
#[derive(Debug)]
pub(super) struct WriteError {
    /// Number of bytes written before the failure.
    pub(super) written: usize,
    /// Reason of the failure.
    pub(super) error: io::Error,
}

/// Writes all bytes. Blocks while the descriptor accepts none, even if it is non-blocking.
///
/// # Errors
/// A [`WriteError`] if the system refuses the write.
pub(super) fn write_all(descriptor: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), WriteError> {
    let mut written = 0;
    while written < bytes.len() {
        let taken = match nix::unistd::write(descriptor, &bytes[written..]) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => Ok(count),
            Err(Errno::EINTR) => Ok(0),
            Err(Errno::EAGAIN) => wait(descriptor).map(|()| 0),
            Err(errno) => Err(errno.into()),
        };
        written += taken.map_err(|error| WriteError { written, error })?;
    }
    Ok(())
}

/// Waits until a non-blocking descriptor accepts bytes, or has failed.
fn wait(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let mut polled = [PollFd::new(descriptor, PollFlags::POLLOUT)];
    match poll(&mut polled, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::time::Duration;

    use nix::fcntl::{FcntlArg, OFlag, fcntl};

    use super::*;

    #[test]
    fn a_non_blocking_pipe_takes_all_of_a_long_text() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("set");
        let text = vec![b'x'; 1_000_000];
        let length = text.len();
        let reading = std::thread::spawn(move || {
            // Leaves the writer time to fill the pipe.
            std::thread::sleep(Duration::from_millis(50));
            let mut found = Vec::new();
            reader.read_to_end(&mut found).expect("read");
            found.len()
        });
        write_all(writer.as_fd(), &text).expect("written");
        drop(writer);
        assert_eq!(reading.join().expect("the reader's result"), length);
    }

    #[test]
    fn an_error_has_its_reason() {
        let full = std::fs::File::options().write(true).open("/dev/full");
        let full = full.expect("/dev/full");
        let failed = write_all(full.as_fd(), b"text").expect_err("full");
        assert_eq!(failed.error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(failed.written, 0);
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let failed = write_all(writer.as_fd(), b"text").expect_err("no reader");
        assert_eq!(failed.error.kind(), io::ErrorKind::BrokenPipe);
    }
}
