//! Messages in the memory of a process.

use nix::libc;
use rustix::io::Errno;

use super::{LONGEST, Message};
use crate::exec::supervised::Asked;

/// `sizeof(struct msghdr)`
pub(super) const HEADER: usize = 56;
/// `sizeof(struct cmsghdr)`
const CONTROL: usize = 16;
/// More parts than this are too many: `UIO_MAXIOV`.
const MOST_PARTS: u64 = 1024;
/// Nobody needs more room for what comes along with a message.
const MOST_CONTROL: u64 = 1 << 16;

/// Addresses and lengths.
type Parts = Vec<(u64, u64)>;

/// `struct msghdr`
pub(super) struct Header {
    at: u64,
    pub name: u64,
    pub name_length: i32,
    pub parts: Parts,
    control: u64,
    control_length: u64,
}

impl Header {
    /// EFAULT, or EMSGSIZE.
    pub fn read(asked: &Asked<'_>, at: u64) -> Result<Self, Errno> {
        let words = words(&asked.bytes(at, HEADER)?);
        let [name, name_length, parts, count, control, control_length, _] = words.as_slice() else {
            return Err(Errno::FAULT);
        };
        if *count > MOST_PARTS {
            return Err(Errno::MSGSIZE);
        }
        let parts = asked.bytes(*parts, *count as usize * 16)?;
        let parts = self::words(&parts)
            .chunks_exact(2)
            .map(|part| (part[0], part[1]))
            .collect();
        Ok(Self {
            at,
            name: *name,
            name_length: (*name_length & 0xffff_ffff) as u32 as i32,
            parts,
            control: *control,
            control_length: *control_length,
        })
    }

    /// Whether descriptors come along.
    pub fn has_descriptors(&self, asked: &Asked<'_>) -> Result<bool, Errno> {
        if self.control == 0 || self.control_length == 0 {
            return Ok(false);
        }
        if self.control_length > MOST_CONTROL {
            return Err(Errno::NOBUFS);
        }
        let control = asked.bytes(self.control, self.control_length as usize)?;
        let mut rest = control.as_slice();
        while let Some((length, after)) = rest.split_first_chunk::<8>() {
            let kind = after.get(..8).unwrap_or_default();
            if kind
                == [libc::SOL_SOCKET, libc::SCM_RIGHTS]
                    .map(i32::to_ne_bytes)
                    .concat()
            {
                return Ok(true);
            }
            let length = usize::try_from(u64::from_ne_bytes(*length)).unwrap_or(usize::MAX);
            let next = length.max(CONTROL).checked_next_multiple_of(8);
            rest = next.and_then(|next| rest.get(next..)).unwrap_or_default();
        }
        Ok(false)
    }
}

fn words(bytes: &[u8]) -> Vec<u64> {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().map(|word| u64::from_ne_bytes(*word)).collect()
}

/// All parts of a message. EFAULT, or EMSGSIZE.
pub(super) fn gather(asked: &Asked<'_>, parts: &[(u64, u64)]) -> Result<Vec<u8>, Errno> {
    let mut text = Vec::new();
    for (address, length) in parts {
        let length = usize::try_from(*length).map_err(|_| Errno::MSGSIZE)?;
        if length > LONGEST - text.len() {
            return Err(Errno::MSGSIZE);
        }
        text.extend(asked.bytes(*address, length)?);
    }
    Ok(text)
}

/// Where a message is to be put.
pub(super) struct Wanted {
    parts: Parts,
    /// Where the sender's address goes, and its length, if they are wanted.
    name: u64,
    name_room: u32,
    name_length: u64,
    /// For all else that comes along.
    header: Option<Header>,
}

impl Wanted {
    /// As `recvfrom` has it.
    pub fn bytes(asked: &Asked<'_>) -> Result<Self, Errno> {
        let (name, name_length) = (asked.word(4), asked.word(5));
        let mut room = [0; 4];
        if name != 0 {
            asked.read(name_length, &mut room)?;
        }
        Ok(Self {
            parts: vec![(asked.word(1), asked.word(2))],
            name,
            name_room: u32::from_ne_bytes(room),
            name_length,
            header: None,
        })
    }

    /// As `recvmsg` has it.
    pub fn message(asked: &Asked<'_>, at: u64) -> Result<Self, Errno> {
        let header = Header::read(asked, at)?;
        Ok(Self {
            parts: header.parts.clone(),
            name: header.name,
            name_room: header.name_length.cast_unsigned(),
            name_length: at + 8,
            header: Some(header),
        })
    }

    /// As much as is needed for any message.
    pub fn room(&self) -> usize {
        let all = self
            .parts
            .iter()
            .fold(0_u64, |all, (_, length)| all.saturating_add(*length));
        usize::try_from(all).unwrap_or(LONGEST).min(LONGEST)
    }

    /// Puts a message there.
    pub fn give(&self, asked: &Asked<'_>, message: &Message, address: &[u8]) -> Result<(), Errno> {
        let mut rest = message.text.as_slice();
        for (at, length) in &self.parts {
            let length = usize::try_from(*length).unwrap_or(usize::MAX).min(rest.len());
            let (part, after) = rest.split_at(length);
            asked.write(*at, part)?;
            rest = after;
        }
        if self.name != 0 {
            let room = self.name_room as usize;
            asked.write(self.name, address.get(..room).unwrap_or(address))?;
            asked.write(self.name_length, &(address.len() as u32).to_ne_bytes())?;
        }
        let Some(header) = &self.header else {
            return Ok(());
        };
        let room = usize::try_from(header.control_length).unwrap_or(usize::MAX);
        let fits = room.saturating_sub(CONTROL) / 4;
        let mut numbers = Vec::new();
        for file in message.files.iter().take(fits) {
            numbers.extend(asked.give(file, false)?.to_ne_bytes());
        }
        let mut control = Vec::new();
        if !numbers.is_empty() {
            control.extend(((CONTROL + numbers.len()) as u64).to_ne_bytes());
            control.extend(
                [libc::SOL_SOCKET, libc::SCM_RIGHTS]
                    .map(i32::to_ne_bytes)
                    .concat(),
            );
            control.extend(numbers);
            asked.write(header.control, &control)?;
        }
        let is_cut = message.files.len() > fits;
        let flags = message.flags
            | if is_cut {
                libc::MSG_CTRUNC.cast_unsigned()
            } else {
                0
            };
        asked.write(header.at + 40, &(control.len() as u64).to_ne_bytes())?;
        asked.write(header.at + 48, &flags.to_ne_bytes())
    }
}
