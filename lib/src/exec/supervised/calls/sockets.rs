//! Sockets that have names in the file system.
//!
//! Nobody can take a descriptor from another process here, and the kernel would look for names in the machine's root.
//! So a Unix socket begins as a *placeholder*, which can name no file, and the real one, connected or listening, is put
//! in its place when the process says what for. No Unix socket of a run could be connected to anything else then,
//! whichever descriptor a thread of it puts where: so `connect` and `bind` of all other sockets are left to the kernel,
//! and what is sent is sent without asking. For messages that need no connection there is [`datagrams`](super::datagrams).

use std::{
    collections::{HashMap, HashSet},
    fs,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::libc;
use rustix::{
    fs::{FileType, fstat, rename, stat},
    io::Errno,
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
        socketpair,
    },
};

use super::{Table, datagrams};
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
pub(crate) struct Sockets {
    known: Mutex<Known>,
    pub(super) mail: Mutex<datagrams::Mail>,
}

#[derive(Debug, Default)]
pub(super) struct Known {
    /// What should be in place of a placeholder, by its inode.
    placeholders: HashMap<u64, SocketType>,
    /// Abstract names of the run.
    names: HashSet<Vec<u8>>,
    /// Addresses as the run knows them: of sockets and of whom they are connected to, by their inodes, and of sockets'
    /// files.
    pub(super) own: HashMap<u64, Vec<u8>>,
    peers: HashMap<u64, Vec<u8>>,
    files: HashMap<Key, Vec<u8>>,
    /// Addresses of listening sockets by what the kernel takes for their names, which accepted ones have as well.
    real: HashMap<Vec<u8>, Vec<u8>>,
    /// What sets them apart from all others of the machine.
    prefix: Option<String>,
}

impl Sockets {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a socket is a placeholder for one of a kind.
    pub(super) fn is_placeholder(&self, inode: u64, kind: SocketType) -> bool {
        self.known().placeholders.get(&inode) == Some(&kind)
    }

    /// Something else is in place of a placeholder.
    pub(super) fn is_placed(&self, inode: u64) {
        self.known().placeholders.remove(&inode);
    }

    /// Says whom a socket is connected to, by an address.
    pub(super) fn set_peer(&self, inode: u64, address: Option<Vec<u8>>) {
        let mut known = self.known();
        match address {
            Some(address) => known.peers.insert(inode, address),
            None => known.peers.remove(&inode),
        };
    }

    /// The name that an abstract name of the run has on this machine, where others could take or guess it otherwise.
    fn abstract_name(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let mut known = self.known();
        let prefix = match &known.prefix {
            Some(prefix) => prefix.clone(),
            None => {
                let mut random = [0; 16];
                fs::File::open("/dev/urandom")
                    .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut random))
                    .map_err(crate::exec::supervised::asked::errno)?;
                let prefix = format!("{:032x}", u128::from_ne_bytes(random));
                known.prefix.insert(prefix).clone()
            }
        };
        Ok([prefix.as_bytes(), name].concat())
    }
}

/// `socket`, of Unix sockets; the filter knows the others.
fn make(asked: &Asked<'_>) -> Reply {
    let (kind, flags) = kind(asked.int(1))?;
    let file = nobody(asked, kind)?;
    rustix::io::ioctl_fionbio(&file, flags.contains(SocketFlags::NONBLOCK))?;
    Ok(Answer::Descriptor {
        file,
        close_on_exec: flags.contains(SocketFlags::CLOEXEC),
    })
}

/// A new placeholder for a socket of a kind.
pub(super) fn nobody(asked: &Asked<'_>, kind: SocketType) -> Result<OwnedFd, Errno> {
    let sockets = &asked.shared().sockets;
    let file = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let inode = rustix::fs::fstat(&file)?.st_ino;
    let mut known = sockets.known();
    if known.placeholders.len() >= MOST {
        return Err(Errno::NFILE);
    }
    known.placeholders.insert(inode, kind);
    drop(known);
    if kind == SocketType::DGRAM {
        let mut mail = sockets.mail.lock().unwrap_or_else(PoisonError::into_inner);
        mail.is_used = true;
    }
    Ok(file)
}

/// What a Unix socket of the run is, and its flags.
fn kind(asked: i32) -> Result<(SocketType, SocketFlags), Errno> {
    let flags = SocketFlags::from_bits_truncate(asked.cast_unsigned() & !0xf);
    match asked & 0xf {
        libc::SOCK_STREAM => Ok((SocketType::STREAM, flags)),
        // As the kernel has it.
        libc::SOCK_DGRAM | libc::SOCK_RAW => Ok((SocketType::DGRAM, flags)),
        libc::SOCK_SEQPACKET => Ok((SocketType::SEQPACKET, flags)),
        _ => Err(Errno::PROTONOSUPPORT),
    }
}

/// `socketpair`, of sockets for messages, which become ones for packets; the kernel makes the others.
fn make_pair(asked: &Asked<'_>) -> Reply {
    if asked.int(0) != libc::AF_UNIX {
        return Err(Errno::OPNOTSUPP);
    }
    let (_, flags) = kind(asked.int(1))?;
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    let (one, other) = socketpair(family, kind, flags | SocketFlags::CLOEXEC, None)?;
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

/// What a placeholder is for, and which flags it has by now.
pub(super) struct Placeholder {
    inode: u64,
    kind: SocketType,
    modes: Modes,
}

/// Whether a descriptor waits, and whether it is closed on exec.
pub(super) struct Modes {
    pub waits: bool,
    pub close_on_exec: bool,
}

/// The inode of a socket; `None` if a descriptor is anything else.
pub(super) fn inode(asked: &Asked<'_>, descriptor: i32) -> Result<Option<u64>, Errno> {
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
            // It has a name, and nobody at the other end.
            None if known.own.contains_key(&inode) => return Err(Errno::NOTCONN),
            None if !known.placeholders.contains_key(&inode) => match accepted(&known, inode) {
                Some(address) if whose == Whose::Own => address,
                _ => return Ok(Answer::Proceed),
            },
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

/// The address of a socket that was accepted.
fn accepted(known: &Known, inode: u64) -> Option<Vec<u8>> {
    if known.real.is_empty() {
        return None;
    }
    let table = fs::read("/proc/net/unix").ok()?;
    let inode = inode.to_string();
    let name = table.split(|byte| *byte == b'\n').find_map(|line| {
        let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        (words.nth(6)? == inode.as_bytes()).then(|| words.collect::<Vec<_>>().join(&b' '))
    })?;
    known.real.get(&name).cloned()
}

/// `None` if a descriptor is none, but another socket or anything else.
fn placeholder(asked: &Asked<'_>, descriptor: i32) -> Result<Option<Placeholder>, Errno> {
    let Some(inode) = inode(asked, descriptor)? else {
        return Ok(None);
    };
    let Some(kind) = asked.shared().sockets.known().placeholders.get(&inode).copied() else {
        return Ok(None);
    };
    let modes = modes(asked, descriptor)?;
    Ok(Some(Placeholder { inode, kind, modes }))
}

/// The flags that one of its descriptors has.
pub(super) fn modes(asked: &Asked<'_>, descriptor: i32) -> Result<Modes, Errno> {
    let info = fs::read_to_string(format!("/proc/{}/fdinfo/{descriptor}", asked.thread()));
    asked.still()?;
    let info = info.map_err(|_| Errno::BADF)?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags
        .and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok())
        .unwrap_or_default();
    Ok(Modes {
        waits: flags & libc::O_NONBLOCK == 0,
        close_on_exec: flags & libc::O_CLOEXEC != 0,
    })
}

/// The name in a Unix socket's address.
pub(super) enum Name {
    Path(Vec<u8>),
    Abstract(Vec<u8>),
    None,
    /// `AF_UNSPEC`: nobody any more.
    Nobody,
}

/// `AF_UNIX`, as an address begins; and all of the address of a socket without a name.
const FAMILY: [u8; 2] = (libc::AF_UNIX as u16).to_ne_bytes();

impl Name {
    /// As an address.
    pub fn address(&self) -> Vec<u8> {
        match self {
            Self::Path(path) => [&FAMILY, path.as_slice(), &[0]].concat(),
            Self::Abstract(name) => [&FAMILY, [0].as_slice(), name].concat(),
            Self::None | Self::Nobody => FAMILY.to_vec(),
        }
    }
}

/// The name in an address of the process's.
pub(super) fn name_at(asked: &Asked<'_>, at: u64, length: i32) -> Result<Name, Errno> {
    let length = usize::try_from(length).map_err(|_| Errno::INVAL)?;
    if !(2..=ADDRESS).contains(&length) {
        return Err(Errno::INVAL);
    }
    let bytes = asked.bytes(at, length)?;
    let (family, name) = bytes.split_first_chunk().ok_or(Errno::INVAL)?;
    match i32::from(u16::from_ne_bytes(*family)) {
        libc::AF_UNIX => {}
        libc::AF_UNSPEC => return Ok(Name::Nobody),
        _ => return Err(Errno::INVAL),
    }
    Ok(match name.first() {
        None => Name::None,
        Some(0) => Name::Abstract(name[1..].to_vec()),
        Some(_) => Name::Path(name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()),
    })
}

fn connect_to(asked: &Asked<'_>) -> Reply {
    if let Some(answer) = datagrams::connect(asked)? {
        return Ok(answer);
    }
    let descriptor = asked.int(0);
    let Some(placeholder) = placeholder(asked, descriptor)? else {
        return Ok(Answer::Proceed);
    };
    let name = name_at(asked, asked.word(1), asked.int(2))?;
    let mut peer = name.address();
    let (address, file) = match &name {
        Name::None | Name::Nobody => return Err(Errno::INVAL),
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
        Err(Errno::AGAIN) if placeholder.modes.waits => Ok(Answer::Later(Box::new(move |asked| {
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
    let name = name_at(asked, asked.word(1), asked.int(2))?;
    if placeholder.kind == SocketType::DGRAM {
        return datagrams::bind(asked, descriptor, &placeholder, &name);
    }
    let socket = socket_with(
        AddressFamily::UNIX,
        placeholder.kind,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    let sockets = &asked.shared().sockets;
    match &name {
        // Nobody could know the name that it would get.
        Name::None | Name::Nobody => return Err(Errno::INVAL),
        Name::Abstract(name) => {
            let real = sockets.abstract_name(name)?;
            bind(&socket, &SocketAddrUnix::new_abstract_name(&real)?)?;
            let seen = [b"@", real.as_slice()].concat();
            let mut known = sockets.known();
            known.real.insert(seen, [&FAMILY, [0].as_slice(), name].concat());
            known.names.insert(name.clone());
        }
        Name::Path(path) => {
            let (view, asker) = (&*asked.shared().view, asked.asker()?);
            let base = view.node(asked.process().directory())?;
            let (aside, other) = view.aside()?;
            let mut real = format!("/proc/self/fd/{}/{other}", aside.as_raw_fd());
            let made = view.make_with(&asker, &base, path, 0o777, |path| {
                let parent = Path::new(path).parent().unwrap_or(Path::new("."));
                if fstat(&aside)?.st_dev != stat(parent)?.st_dev {
                    real = path.to_owned();
                    return bind(&socket, &SocketAddrUnix::new(path)?);
                }
                // The kernel remembers what it was bound to, which is like no other name of the machine.
                bind(&socket, &SocketAddrUnix::new(&real)?)?;
                rename(&real, path)
            });
            let file = made.map_err(datagrams::in_use)?;
            let mut known = sockets.known();
            known.files.insert(file.key(), name.address());
            known.real.insert(real.into_bytes(), name.address());
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
pub(super) fn remember(
    asked: &Asked<'_>,
    socket: &OwnedFd,
    note: impl FnOnce(&mut Known, u64),
) -> Result<(), Errno> {
    let inode = rustix::fs::fstat(socket)?.st_ino;
    let mut known = asked.shared().sockets.known();
    // Inodes are given again.
    known.own.remove(&inode);
    known.peers.remove(&inode);
    note(&mut known, inode);
    Ok(())
}

/// Puts a socket in place of its placeholder.
pub(super) fn put(asked: &Asked<'_>, descriptor: i32, placeholder: &Placeholder, socket: &OwnedFd) -> Reply {
    if placeholder.modes.waits {
        rustix::io::ioctl_fionbio(socket, false)?;
    }
    asked.replace(descriptor, socket, placeholder.modes.close_on_exec)?;
    asked.shared().sockets.is_placed(placeholder.inode);
    Answer::DONE
}
