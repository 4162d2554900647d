//! Sockets that have names in the file system.
//!
//! Nobody can take a descriptor from another process here, and the kernel would look for names in the machine's root.
//! So a Unix socket begins as a *placeholder*, which can name no file, and the real one, connected or listening, is put
//! in its place when the process says what for. No Unix socket of a run could be connected to anything else then,
//! whichever descriptor a thread of it puts where: so `connect` and `bind` of all other sockets are left to the kernel,
//! and what is sent is sent without asking. Messages that need no connection are the exception: a run's have one.

use std::{
    collections::{HashMap, HashSet},
    fs,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::libc;
use rustix::{
    fs::FileType,
    io::Errno,
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
        socketpair,
    },
};

use super::Table;
use crate::exec::{
    farm::{Key, Want},
    supervised::{Answer, Asked, Reply},
};

pub(crate) const TABLE: Table = &[
    (libc::SYS_socket, make),
    (libc::SYS_socketpair, make_pair),
    (libc::SYS_connect, connect_to),
    (libc::SYS_bind, bind_to),
    (libc::SYS_getsockname, |asked| tell(asked, Whose::Own)),
    (libc::SYS_getpeername, |asked| tell(asked, Whose::Peer)),
];

/// `sizeof(struct sockaddr_un)`
const ADDRESS: usize = 110;

/// More placeholders at once are no program's.
const MOST: usize = 1 << 16;

/// Connections that wait to be accepted, until the process says how many may.
const BACKLOG: i32 = 128;

/// How long to wait between attempts to connect to somebody busy.
const PAUSE: Duration = Duration::from_millis(5);

/// What the run's sockets are.
#[derive(Debug, Default)]
pub(crate) struct Sockets(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// What should be in place of a placeholder, by its inode.
    placeholders: HashMap<u64, SocketType>,
    /// Abstract names of the run.
    names: HashSet<Vec<u8>>,
    /// Addresses as the run knows them: of sockets and of whom they are connected to, by their inodes, and of sockets'
    /// files.
    own: HashMap<u64, Vec<u8>>,
    peers: HashMap<u64, Vec<u8>>,
    files: HashMap<Key, Vec<u8>>,
    /// What sets them apart from all others of the machine.
    prefix: Option<[u8; 16]>,
}

impl Sockets {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name that an abstract name of the run has on this machine, where others could take or guess it otherwise.
    fn abstract_name(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let mut known = self.known();
        let prefix = match known.prefix {
            Some(prefix) => prefix,
            None => {
                let mut prefix = [0; 16];
                fs::File::open("/dev/urandom")
                    .and_then(|mut random| std::io::Read::read_exact(&mut random, &mut prefix))
                    .map_err(crate::exec::supervised::asked::errno)?;
                known.prefix = Some(prefix);
                prefix
            }
        };
        Ok([prefix.as_slice(), name].concat())
    }
}

/// `socket`, of Unix sockets; the filter knows the others.
fn make(asked: &Asked<'_>) -> Reply {
    let (kind, flags) = kind(asked.int(1))?;
    let other = SocketFlags::CLOEXEC | (flags & SocketFlags::NONBLOCK);
    let file = socket_with(AddressFamily::NETLINK, SocketType::RAW, other, None)?;
    let inode = rustix::fs::fstat(&file)?.st_ino;
    let mut known = asked.shared().sockets.known();
    if known.placeholders.len() >= MOST {
        return Err(Errno::NFILE);
    }
    known.placeholders.insert(inode, kind);
    Ok(Answer::Descriptor {
        file,
        close_on_exec: flags.contains(SocketFlags::CLOEXEC),
    })
}

/// What a Unix socket of the run is, and its flags: one for messages has a connection.
fn kind(asked: i32) -> Result<(SocketType, SocketFlags), Errno> {
    let flags = SocketFlags::from_bits_truncate(asked.cast_unsigned() & !0xf);
    match asked & 0xf {
        libc::SOCK_STREAM => Ok((SocketType::STREAM, flags)),
        libc::SOCK_DGRAM | libc::SOCK_RAW | libc::SOCK_SEQPACKET => Ok((SocketType::SEQPACKET, flags)),
        _ => Err(Errno::PROTONOSUPPORT),
    }
}

/// `socketpair`, of sockets for messages; the kernel makes the others.
fn make_pair(asked: &Asked<'_>) -> Reply {
    if asked.int(0) != libc::AF_UNIX {
        return Err(Errno::OPNOTSUPP);
    }
    let (kind, flags) = kind(asked.int(1))?;
    let (one, other) = socketpair(AddressFamily::UNIX, kind, flags | SocketFlags::CLOEXEC, None)?;
    // Written to before they are given, so that nothing is left behind if it cannot be told.
    asked.write(asked.word(3), &[0; 8])?;
    let close_on_exec = flags.contains(SocketFlags::CLOEXEC);
    let numbers = [
        asked.give(&one, close_on_exec)?,
        asked.give(&other, close_on_exec)?,
    ];
    asked.write(asked.word(3), &numbers.map(i32::to_ne_bytes).concat())?;
    Answer::DONE
}

/// What a placeholder is for, and which flags it has by now: whether it waits, and whether it is closed on exec.
struct Placeholder {
    inode: u64,
    kind: SocketType,
    waits: bool,
    close_on_exec: bool,
}

/// The inode of a socket; `None` if a descriptor is anything else.
fn inode(asked: &Asked<'_>, descriptor: i32) -> Result<Option<u64>, Errno> {
    let Ok(link) = fs::read_link(asked.descriptor_path(descriptor)) else {
        return Err(Errno::BADF);
    };
    let number = link.as_os_str().as_bytes().strip_prefix(b"socket:[");
    let number = number.and_then(|rest| rest.strip_suffix(b"]"));
    Ok(number.and_then(|number| str::from_utf8(number).ok()?.parse().ok()))
}

/// Whose address is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Own,
    Peer,
}

/// `getsockname` and `getpeername`: the kernel knows all but Unix sockets by the right names.
fn tell(asked: &Asked<'_>, whose: Whose) -> Reply {
    let Some(inode) = inode(asked, asked.int(0))? else {
        return Ok(Answer::Proceed);
    };
    let address = {
        let known = asked.shared().sockets.known();
        let addresses = if whose == Whose::Own {
            &known.own
        } else {
            &known.peers
        };
        match addresses.get(&inode) {
            Some(address) => address.clone(),
            None if !known.placeholders.contains_key(&inode) => return Ok(Answer::Proceed),
            None if whose == Whose::Peer => return Err(Errno::NOTCONN),
            None => FAMILY.to_vec(),
        }
    };
    let mut room = [0; 4];
    asked.read(asked.word(2), &mut room)?;
    let room = usize::try_from(i32::from_ne_bytes(room)).map_err(|_| Errno::INVAL)?;
    asked.write(asked.word(1), address.get(..room).unwrap_or(&address))?;
    asked.write(asked.word(2), &(address.len() as i32).to_ne_bytes())?;
    Answer::DONE
}

/// `None` if a descriptor is none, but another socket or anything else.
fn placeholder(asked: &Asked<'_>, descriptor: i32) -> Result<Option<Placeholder>, Errno> {
    let Some(inode) = inode(asked, descriptor)? else {
        return Ok(None);
    };
    let Some(kind) = asked.shared().sockets.known().placeholders.get(&inode).copied() else {
        return Ok(None);
    };
    let info = fs::read_to_string(format!("/proc/{}/fdinfo/{descriptor}", asked.thread()));
    asked.still()?;
    let info = info.map_err(|_| Errno::BADF)?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags
        .and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok())
        .unwrap_or_default();
    Ok(Some(Placeholder {
        inode,
        kind,
        waits: flags & libc::O_NONBLOCK == 0,
        close_on_exec: flags & libc::O_CLOEXEC != 0,
    }))
}

/// The name in a Unix socket's address.
enum Name {
    Path(Vec<u8>),
    Abstract(Vec<u8>),
    None,
}

/// `AF_UNIX`, as an address begins; and all of the address of a socket without a name.
const FAMILY: [u8; 2] = (libc::AF_UNIX as u16).to_ne_bytes();

impl Name {
    /// As an address.
    fn address(&self) -> Vec<u8> {
        match self {
            Self::Path(path) => [&FAMILY, path.as_slice(), &[0]].concat(),
            Self::Abstract(name) => [&FAMILY, [0].as_slice(), name].concat(),
            Self::None => FAMILY.to_vec(),
        }
    }
}

fn name(asked: &Asked<'_>) -> Result<Name, Errno> {
    let length = usize::try_from(asked.int(2)).map_err(|_| Errno::INVAL)?;
    if !(2..=ADDRESS).contains(&length) {
        return Err(Errno::INVAL);
    }
    let bytes = asked.bytes(asked.word(1), length)?;
    let (family, name) = bytes.split_first_chunk().ok_or(Errno::INVAL)?;
    if i32::from(u16::from_ne_bytes(*family)) != libc::AF_UNIX {
        return Err(Errno::INVAL);
    }
    Ok(match name.first() {
        None => Name::None,
        Some(0) => Name::Abstract(name[1..].to_vec()),
        Some(_) => Name::Path(name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()),
    })
}

fn connect_to(asked: &Asked<'_>) -> Reply {
    let descriptor = asked.int(0);
    let Some(placeholder) = placeholder(asked, descriptor)? else {
        return Ok(Answer::Proceed);
    };
    let name = name(asked)?;
    let mut peer = name.address();
    let (address, file) = match &name {
        Name::None => return Err(Errno::INVAL),
        Name::Abstract(name) => {
            if !asked.shared().sockets.known().names.contains(name) {
                return Err(Errno::CONNREFUSED);
            }
            let name = asked.shared().sockets.abstract_name(name)?;
            (SocketAddrUnix::new_abstract_name(&name)?, None)
        }
        Name::Path(path) => {
            let (view, asker) = (&*asked.shared().view, asked.asker()?);
            let base = view.node(asked.process().directory())?;
            let node = view.find(&asker, &base, path, true)?;
            view.check(&asker, &node, Want::WRITE)?;
            if FileType::from_raw_mode(node.stat.stx_mode.into()) != FileType::Socket {
                return Err(Errno::CONNREFUSED);
            }
            // As it was named when it got its name.
            peer = asked
                .shared()
                .sockets
                .known()
                .files
                .get(&node.key())
                .cloned()
                .unwrap_or(peer);
            let path = format!("/proc/self/fd/{}", node.fd.as_raw_fd());
            (SocketAddrUnix::new(path)?, Some(node))
        }
    };
    let socket = socket_with(
        AddressFamily::UNIX,
        placeholder.kind,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    match connect(&socket, &address) {
        Ok(()) => {
            remember(asked, &socket, |known, inode| _ = known.peers.insert(inode, peer))?;
            put(asked, descriptor, &placeholder, &socket)
        }
        Err(Errno::AGAIN) if placeholder.waits => Ok(Answer::Later(Box::new(move |asked| {
            let _file = file;
            loop {
                std::thread::sleep(PAUSE);
                asked.undisturbed()?;
                match connect(&socket, &address) {
                    Err(Errno::AGAIN) => {}
                    Err(error) => return Err(error),
                    Ok(()) => break,
                }
            }
            remember(asked, &socket, |known, inode| _ = known.peers.insert(inode, peer))?;
            put(asked, descriptor, &placeholder, &socket)
        }))),
        Err(error) => Err(error),
    }
}

fn bind_to(asked: &Asked<'_>) -> Reply {
    let descriptor = asked.int(0);
    let Some(placeholder) = placeholder(asked, descriptor)? else {
        return Ok(Answer::Proceed);
    };
    let socket = socket_with(
        AddressFamily::UNIX,
        placeholder.kind,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    let sockets = &asked.shared().sockets;
    let name = name(asked)?;
    match &name {
        // Nobody could know the name that it would get.
        Name::None => return Err(Errno::INVAL),
        Name::Abstract(name) => {
            let real = sockets.abstract_name(name)?;
            bind(&socket, &SocketAddrUnix::new_abstract_name(&real)?)?;
            sockets.known().names.insert(name.clone());
        }
        Name::Path(path) => {
            let (view, asker) = (&*asked.shared().view, asked.asker()?);
            let base = view.node(asked.process().directory())?;
            let made = view.make_with(&asker, &base, path, 0o777, |path| {
                bind(&socket, &SocketAddrUnix::new(path)?)
            });
            let file = made.map_err(|error| match error {
                Errno::EXIST => Errno::ADDRINUSE,
                other => other,
            })?;
            sockets.known().files.insert(file.key(), name.address());
        }
    }
    // From now on it cannot be connected.
    listen(&socket, BACKLOG)?;
    remember(asked, &socket, |known, inode| {
        _ = known.own.insert(inode, name.address())
    })?;
    put(asked, descriptor, &placeholder, &socket)
}

/// Notes something of a socket by its inode.
fn remember(asked: &Asked<'_>, socket: &OwnedFd, note: impl FnOnce(&mut Known, u64)) -> Result<(), Errno> {
    let inode = rustix::fs::fstat(socket)?.st_ino;
    let mut known = asked.shared().sockets.known();
    // Inodes are given again.
    known.own.remove(&inode);
    known.peers.remove(&inode);
    note(&mut known, inode);
    Ok(())
}

/// Puts a socket in place of its placeholder.
fn put(asked: &Asked<'_>, descriptor: i32, placeholder: &Placeholder, socket: &OwnedFd) -> Reply {
    if placeholder.waits {
        rustix::io::ioctl_fionbio(socket, false)?;
    }
    asked.replace(descriptor, socket, placeholder.close_on_exec)?;
    asked
        .shared()
        .sockets
        .known()
        .placeholders
        .remove(&placeholder.inode);
    Answer::DONE
}
