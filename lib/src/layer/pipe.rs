//! Pipes that much goes through.

use std::io::{self, PipeReader, PipeWriter};

use rustix::pipe::fcntl_setpipe_size;

/// What the kernel allows everybody. With its usual 64 KiB both sides wait for one another sixteen times as often.
const SIZE: usize = 1 << 20;

/// A pipe for whole layers.
pub fn wide_pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    // A smaller one is slower, and nothing else: users with many pipes get no more.
    let _ = fcntl_setpipe_size(&writer, SIZE);
    Ok((reader, writer))
}
