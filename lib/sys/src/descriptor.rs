//! Descriptors that go from one process to another.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::{self, MaybeUninit},
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

/// Sends a copy of a descriptor through a Unix socket.
pub fn send_descriptor(socket: impl AsFd, descriptor: impl AsFd) -> io::Result<()> {
    let descriptors = [descriptor.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    // One byte: a message of nothing is none.
    sendmsg(socket, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Like [`send_descriptor`], with `sendmmsg`: for a process under a filter that asks about `sendmsg`.
pub fn send_descriptor_in_bulk(socket: impl AsFd, descriptor: impl AsFd) -> io::Result<()> {
    let mut byte = [0_u8];
    let mut data = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    // As wide as control messages are aligned.
    let mut control = [0_u64; 8];
    let number = descriptor.as_fd().as_raw_fd();
    // SAFETY: all zero is a valid mmsghdr; it names the buffers above, which outlive the call. The control buffer has
    // room for a header and one number, and CMSG_FIRSTHDR points into it since its length says so.
    let sent = unsafe {
        let mut message: libc::mmsghdr = mem::zeroed();
        message.msg_hdr.msg_iov = &raw mut data;
        message.msg_hdr.msg_iovlen = 1;
        message.msg_hdr.msg_control = control.as_mut_ptr().cast();
        message.msg_hdr.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message.msg_hdr);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
        libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(number);
        libc::sendmmsg(
            socket.as_fd().as_raw_fd(),
            &raw mut message,
            1,
            libc::MSG_NOSIGNAL,
        )
    };
    if sent == 1 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Waits for a descriptor that was sent through a Unix socket. `UnexpectedEof` if the other side is gone.
pub fn receive_descriptor(socket: impl AsFd) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut data = [IoSliceMut::new(&mut byte)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    rustix::io::retry_on_intr(|| recvmsg(&socket, &mut data, &mut control, flags))?;
    let descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let first = descriptors.flatten().next();
    first.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
    };

    use super::*;

    #[test]
    fn a_descriptor_arrives_as_another_of_the_same_file() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        send_descriptor(&here, &writer).unwrap();
        send_descriptor_in_bulk(&here, &writer).unwrap();
        drop(writer);
        for text in [b"through ", b"and thru"] {
            let mut received = std::fs::File::from(receive_descriptor(&there).unwrap());
            received.write_all(text).unwrap();
        }
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through and thru");
    }

    #[test]
    fn nobody_there_is_the_end() {
        let (here, there) = UnixStream::pair().unwrap();
        drop(here);
        let error = receive_descriptor(&there).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
