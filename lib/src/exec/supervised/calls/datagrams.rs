//! Unix sockets for messages that have names.
//!
//! Whoever has a real one can send to any name, and the kernel would look for that in the machine's root. So a socket
//! that is bound becomes a [`Mailbox`]: one end of a pair for packets, which ignore names. The other end, its *slot*, is
//! kept here, and is what those get who are connected to it; what is sent to a name is put into the slot here. A message
//! of somebody with a name carries a *tag*, an empty file that nobody sees: what is received along with the sender's name
//! is received here as well. What a socket sends that is both bound and connected is handed on by a thread.
//!
//! All who are connected to a mailbox and have no name share its slot, and whether that blocks. Descriptors can be sent
//! over such a connection, but to no name: nobody can take them from who sends them, where `pidfd_getfd` is refused.

mod memory;

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::libc;
use rustix::{
    cmsg_space,
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{CWD, FileType, MemfdFlags, Mode, OFlags, fcntl_getfl, memfd_create, mknodat},
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
};

use self::memory::{Header, Wanted};
use super::{
    Table,
    sockets::{Name, Placeholder, inode, modes, name_at, nobody, put, remember},
};
use crate::exec::{
    farm::{Key, Want},
    supervised::{Answer, Asked, Reply, errno},
};

pub(crate) const TABLE: Table = &[
    (libc::SYS_sendto, send_to),
    (libc::SYS_sendmsg, |asked| send_message(asked, asked.number_at(2))),
    (libc::SYS_sendmmsg, |asked| {
        one_of_many(asked, send_message(asked, asked.number_at(3)))
    }),
    (libc::SYS_recvfrom, receive_from),
    (libc::SYS_recvmsg, |asked| {
        receive_message(asked, asked.number_at(2))
    }),
    (libc::SYS_recvmmsg, |asked| {
        one_of_many(asked, receive_message(asked, asked.number_at(3)))
    }),
    (libc::SYS_shutdown, shut_down),
];

/// No message is longer: what a socket's buffer usually holds.
const LONGEST: usize = 212_992;
/// As many descriptors as one message brings.
const MOST: usize = 253;
/// How often one that waits looks whether it still has to.
const PATIENCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// A socket that is bound.
#[derive(Debug)]
pub(super) struct Mailbox {
    /// Its name, as an address.
    address: Vec<u8>,
    /// The inode of what the process has.
    number: u64,
    inner: OwnedFd,
    slot: Arc<OwnedFd>,
    tag: OwnedFd,
    /// The slot of the one that it is connected to.
    peer: Mutex<Option<Arc<OwnedFd>>>,
    is_handed_on: AtomicBool,
}

/// Where a mailbox is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    File(Key),
    Abstract(Vec<u8>),
}

/// All of a run.
#[derive(Debug, Default)]
pub(super) struct Mail {
    mailboxes: HashMap<u64, Arc<Mailbox>>,
    places: HashMap<Place, Arc<Mailbox>>,
    /// Addresses of those whose tags have these inodes.
    tags: HashMap<u64, Vec<u8>>,
    /// Inodes of slots.
    slots: HashSet<u64>,
    /// Whether there ever was a socket for messages.
    pub is_used: bool,
}

/// A socket for messages, as a process has it.
enum Own {
    /// Neither bound nor connected.
    Idle,
    /// Connected, and without a name.
    Slot,
    Bound(Arc<Mailbox>),
}

impl Own {
    fn mailbox(self) -> Option<Arc<Mailbox>> {
        match self {
            Self::Bound(mailbox) => Some(mailbox),
            _ => None,
        }
    }
}

fn mail<'a>(asked: &Asked<'a>) -> MutexGuard<'a, Mail> {
    let mail = &asked.shared().sockets.mail;
    mail.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one of its descriptors is, if it is such a socket.
fn own(asked: &Asked<'_>, descriptor: i32) -> Result<Option<Own>, Errno> {
    if !mail(asked).is_used {
        return Ok(None);
    }
    let Some(number) = inode(asked, descriptor)? else {
        return Ok(None);
    };
    let mail = mail(asked);
    Ok(match mail.mailboxes.get(&number) {
        Some(mailbox) => Some(Own::Bound(Arc::clone(mailbox))),
        None if mail.slots.contains(&number) => Some(Own::Slot),
        None => asked
            .shared()
            .sockets
            .is_placeholder(number, SocketType::DGRAM)
            .then_some(Own::Idle),
    })
}

/// The mailbox of a name, if anybody still has it open.
fn mailbox(asked: &Asked<'_>, name: &Name) -> Result<Arc<Mailbox>, Errno> {
    let place = match name {
        Name::None | Name::Nobody => return Err(Errno::INVAL),
        Name::Abstract(name) => Place::Abstract(name.clone()),
        Name::Path(path) => {
            let (view, asker) = (&*asked.shared().view, asked.asker()?);
            let base = view.node(asked.process().directory())?;
            let node = view.find(&asker, &base, path, true)?;
            view.check(&asker, &node, Want::WRITE)?;
            Place::File(node.key())
        }
    };
    at(asked, &place).ok_or(Errno::CONNREFUSED)
}

fn at(asked: &Asked<'_>, place: &Place) -> Option<Arc<Mailbox>> {
    let found = mail(asked).places.get(place).cloned()?;
    let link = format!("socket:[{}]", found.number);
    let files = asked.shared().family.open_files();
    if files
        .iter()
        .any(|file| fs::read_link(file).is_ok_and(|there| there.as_os_str() == link.as_str()))
    {
        return Some(found);
    }
    let mut mail = mail(asked);
    mail.places.remove(place);
    mail.mailboxes.remove(&found.number);
    None
}

/// `connect`, if it is of such a socket.
pub(super) fn connect(asked: &Asked<'_>) -> Result<Option<Answer>, Errno> {
    let descriptor = asked.int(0);
    let Some(own) = own(asked, descriptor)? else {
        return Ok(None);
    };
    let name = name_at(asked, asked.word(1), asked.int(2))?;
    let to = match name {
        Name::Nobody => None,
        _ => Some(mailbox(asked, &name)?),
    };
    let sockets = &asked.shared().sockets;
    match (own, to) {
        (Own::Bound(own), to) => {
            sockets.set_peer(own.number, to.as_ref().map(|to| to.address.clone()));
            *own.peer.lock().unwrap_or_else(PoisonError::into_inner) = to.map(|to| Arc::clone(&to.slot));
            hand_on(&own)?;
        }
        (Own::Idle, None) => {}
        (_, to) => {
            let (modes, number) = (modes(asked, descriptor)?, inode(asked, descriptor)?);
            match &to {
                None => asked.replace(
                    descriptor,
                    &nobody(asked, SocketType::DGRAM)?,
                    modes.close_on_exec,
                )?,
                Some(to) => {
                    rustix::io::ioctl_fionbio(&to.slot, !modes.waits)?;
                    asked.replace(descriptor, &to.slot, modes.close_on_exec)?;
                }
            }
            number.into_iter().for_each(|number| sockets.is_placed(number));
        }
    }
    Ok(Some(Answer::Value(0)))
}

/// `bind`, of a socket for messages that is neither bound nor connected.
pub(super) fn bind(asked: &Asked<'_>, descriptor: i32, placeholder: &Placeholder, name: &Name) -> Reply {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (inner, slot) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let tag = memfd_create(c"tag", MemfdFlags::CLOEXEC)?;
    let place = match name {
        // Nobody could know the name that it would get.
        Name::None | Name::Nobody => return Err(Errno::INVAL),
        Name::Abstract(name) => {
            let place = Place::Abstract(name.clone());
            if at(asked, &place).is_some() {
                return Err(Errno::ADDRINUSE);
            }
            place
        }
        Name::Path(path) => {
            let (view, asker) = (&*asked.shared().view, asked.asker()?);
            let base = view.node(asked.process().directory())?;
            let made = view.make_with(&asker, &base, path, 0o777, |path| {
                mknodat(CWD, path, FileType::Socket, Mode::RWXU, 0)
            });
            Place::File(made.map_err(in_use)?.key())
        }
    };
    let number = |file: &OwnedFd| rustix::fs::fstat(file).map(|stat| stat.st_ino);
    let mailbox = Arc::new(Mailbox {
        address: name.address(),
        number: number(&inner)?,
        inner: inner.try_clone().map_err(errno)?,
        slot: Arc::new(slot),
        tag,
        peer: Mutex::default(),
        is_handed_on: AtomicBool::new(false),
    });
    remember(asked, &inner, |known, inode| {
        _ = known.own.insert(inode, name.address())
    })?;
    let slot = number(&mailbox.slot)?;
    asked.shared().sockets.set_peer(slot, Some(name.address()));
    let mut mail = mail(asked);
    mail.slots.insert(slot);
    mail.tags.insert(number(&mailbox.tag)?, name.address());
    mail.places.insert(place, Arc::clone(&mailbox));
    mail.mailboxes.insert(mailbox.number, mailbox);
    drop(mail);
    put(asked, descriptor, placeholder, &inner)
}

/// What `bind` says of a name that is there.
pub(super) fn in_use(error: Errno) -> Errno {
    match error {
        Errno::EXIST => Errno::ADDRINUSE,
        other => other,
    }
}

/// Hands on what a socket with a name sends to the one that it is connected to, until nobody has it open, nor the run.
fn hand_on(own: &Arc<Mailbox>) -> Result<(), Errno> {
    if own.is_handed_on.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let (slot, own) = (Arc::clone(&own.slot), Arc::downgrade(own));
    let started = std::thread::Builder::new().spawn(move || {
        loop {
            let is_over = wait(&slot, PollFlags::IN, None);
            let message = match take(&slot, LONGEST, RecvFlags::empty()) {
                Err(Errno::AGAIN | Errno::INTR) if !is_over => continue,
                Ok(message) if message.length > 0 || !is_over => message,
                _ => return,
            };
            while let Some(own) = own.upgrade() {
                let peer = own.peer.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let Some(peer) = peer else { break };
                match post(&peer, Some(&own.tag), &message.files, &message.text) {
                    Err(Errno::AGAIN) => drop(own),
                    _ => break,
                }
                wait(&peer, PollFlags::OUT, Some(&PATIENCE));
            }
        }
    });
    started.map(drop).map_err(errno)
}

/// Waits for one end of a pair, and says whether the other is closed.
fn wait(socket: &OwnedFd, event: PollFlags, at_most: Option<&Timespec>) -> bool {
    let mut source = [PollFd::new(socket, event)];
    // Whoever waits looks again.
    let _ = poll(&mut source, at_most);
    source[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// Puts a message into a slot, or says EAGAIN if it is full.
fn post(slot: &OwnedFd, tag: Option<&OwnedFd>, files: &[OwnedFd], text: &[u8]) -> Result<(), Errno> {
    let files: Vec<BorrowedFd<'_>> = tag.into_iter().chain(files).map(AsFd::as_fd).take(MOST).collect();
    let mut room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    if !files.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&files));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    match sendmsg(slot, &[IoSlice::new(text)], &mut control, flags) {
        Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => Err(Errno::CONNREFUSED),
        sent => sent.map(drop),
    }
}

/// A message that came.
struct Message {
    text: Vec<u8>,
    /// How long it was, as far as whoever asks wants to know.
    length: usize,
    flags: u32,
    files: Vec<OwnedFd>,
}

/// Takes a message out, of which `room` bytes are wanted, or says EAGAIN if there is none.
fn take(end: &OwnedFd, room: usize, flags: RecvFlags) -> Result<Message, Errno> {
    let mut text = vec![0; room];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(end, &mut [IoSliceMut::new(&mut text)], &mut control, flags)?;
    let mut files = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(these) = part {
            files.extend(these);
        }
    }
    text.truncate(received.bytes);
    Ok(Message {
        text,
        length: received.bytes,
        flags: received.flags.bits() & libc::MSG_TRUNC.cast_unsigned(),
        files,
    })
}

fn send_to(asked: &Asked<'_>) -> Reply {
    let Some(own) = own(asked, asked.int(0))? else {
        return Ok(Answer::Proceed);
    };
    let name = name_at(asked, asked.word(4), asked.int(5))?;
    let text = memory::gather(asked, &[(asked.word(1), asked.word(2))])?;
    send(asked, own, &name, text, asked.number_at(3))
}

fn send_message(asked: &Asked<'_>, flags: u32) -> Reply {
    let Some(own) = own(asked, asked.int(0))? else {
        return Ok(Answer::Proceed);
    };
    let header = Header::read(asked, asked.word(1))?;
    if header.name == 0 {
        return match own {
            Own::Idle => Err(Errno::NOTCONN),
            // Wherever that goes.
            _ => Ok(Answer::Proceed),
        };
    }
    if header.has_descriptors(asked)? {
        return Err(Errno::OPNOTSUPP);
    }
    let name = name_at(asked, header.name, header.name_length)?;
    let text = memory::gather(asked, &header.parts)?;
    send(asked, own, &name, text, flags)
}

fn send(asked: &Asked<'_>, own: Own, name: &Name, text: Vec<u8>, flags: u32) -> Reply {
    let to = mailbox(asked, name)?;
    let waits = flags & libc::MSG_DONTWAIT.cast_unsigned() == 0 && modes(asked, asked.int(0))?.waits;
    let from = own.mailbox();
    let slot = Arc::clone(&to.slot);
    let post = move || post(&slot, from.as_deref().map(|from| &from.tag), &[], &text).map(|()| text.len());
    match post() {
        Err(Errno::AGAIN) if waits => Ok(Answer::Later(Box::new(move |asked| {
            loop {
                wait(&to.slot, PollFlags::OUT, Some(&PATIENCE));
                asked.undisturbed()?;
                match post() {
                    Err(Errno::AGAIN) => {}
                    sent => return sent.map(Answer::from),
                }
            }
        }))),
        sent => sent.map(Answer::from),
    }
}

fn receive_from(asked: &Asked<'_>) -> Reply {
    match own(asked, asked.int(0))? {
        Some(Own::Bound(own)) => receive(asked, own, Wanted::bytes(asked)?, asked.number_at(3)),
        _ => Ok(Answer::Proceed),
    }
}

fn receive_message(asked: &Asked<'_>, flags: u32) -> Reply {
    match own(asked, asked.int(0))? {
        Some(Own::Bound(own)) => receive(asked, own, Wanted::message(asked, asked.word(1))?, flags),
        _ => Ok(Answer::Proceed),
    }
}

fn receive(asked: &Asked<'_>, own: Arc<Mailbox>, wanted: Wanted, flags: u32) -> Reply {
    let waits = flags & libc::MSG_DONTWAIT.cast_unsigned() == 0
        && !fcntl_getfl(&own.inner)?.contains(OFlags::NONBLOCK);
    let kept = RecvFlags::from_bits_retain(flags) & (RecvFlags::PEEK | RecvFlags::TRUNC);
    match take(&own.inner, wanted.room(), kept) {
        Err(Errno::AGAIN) if waits => Ok(Answer::Later(Box::new(move |asked| {
            loop {
                wait(&own.inner, PollFlags::IN, Some(&PATIENCE));
                asked.undisturbed()?;
                match take(&own.inner, wanted.room(), kept) {
                    Err(Errno::AGAIN) => {}
                    message => return give(asked, &wanted, message?),
                }
            }
        }))),
        message => give(asked, &wanted, message?),
    }
}

/// Gives a process a message, with the name of who sent it.
fn give(asked: &Asked<'_>, wanted: &Wanted, mut message: Message) -> Reply {
    let mut address = None;
    {
        let mail = mail(asked);
        message.files.retain(|file| {
            let number = rustix::fs::fstat(file).map(|stat| stat.st_ino);
            let tagged = number.ok().and_then(|number| mail.tags.get(&number));
            address = address.take().or(tagged.cloned());
            tagged.is_none()
        });
    }
    wanted.give(asked, &message, &address.unwrap_or_default())?;
    Ok(Answer::from(message.length))
}

/// Of several messages, one is sent or received, as may always happen.
fn one_of_many(asked: &Asked<'_>, reply: Reply) -> Reply {
    match reply? {
        Answer::Value(length) => {
            let length = u32::try_from(length).map_err(|_| Errno::MSGSIZE)?;
            asked.write(asked.word(1) + memory::HEADER as u64, &length.to_ne_bytes())?;
            Ok(Answer::Value(1))
        }
        Answer::Later(work) => Ok(Answer::Later(Box::new(move |asked| {
            let reply = work(asked);
            one_of_many(asked, reply)
        }))),
        other => Ok(other),
    }
}

/// What others share is not shut down.
fn shut_down(asked: &Asked<'_>) -> Reply {
    match own(asked, asked.int(0))? {
        Some(Own::Idle) => Err(Errno::NOTCONN),
        Some(_) => Answer::DONE,
        None => Ok(Answer::Proceed),
    }
}
