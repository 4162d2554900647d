//! Capabilities of processes: capabilities(7).

use std::sync::Arc;

use nix::libc;
use rustix::{io::Errno, thread::CapabilitySet};

use super::Table;
use crate::exec::supervised::{Answer, Asked, Reply, Who};

pub(crate) const TABLE: Table = &[(libc::SYS_capget, get), (libc::SYS_capset, set)];

/// `_LINUX_CAPABILITY_VERSION_*`: with 32 bits, and two with 64.
const VERSIONS: [u32; 3] = [0x1998_0330, 0x2007_1026, 0x2008_0522];

/// A header: which version, and which process.
struct Header {
    /// Sets are told in so many words.
    words: usize,
    process: i32,
}

/// Reads the header; with a version that nobody knows, says which one is.
fn header(asked: &Asked<'_>) -> Result<Header, Errno> {
    let mut bytes = [0; 8];
    asked.read(asked.word(0), &mut bytes)?;
    let [version, process] = [0, 4].map(|at| {
        let word = bytes.get(at..).and_then(|rest| rest.first_chunk()).copied();
        u32::from_ne_bytes(word.unwrap_or_default())
    });
    let Some(index) = VERSIONS.iter().position(|known| *known == version) else {
        asked.write(asked.word(0), &VERSIONS[2].to_ne_bytes())?;
        return Err(Errno::INVAL);
    };
    Ok(Header {
        words: if index == 0 { 1 } else { 2 },
        process: process.cast_signed(),
    })
}

fn get(asked: &Asked<'_>) -> Reply {
    let data = asked.word(1);
    let header = match header(asked) {
        // Whoever only wants to know the version.
        Err(Errno::INVAL) if data == 0 => return Answer::DONE,
        other => other?,
    };
    let who = match header.process {
        0 => asked.who(),
        process => asked.shared().family.of(process).ok_or(Errno::SRCH)?.who(),
    };
    let sets = [who.effective, who.permitted, who.inheritable];
    let words = (0..header.words).flat_map(|word| sets.map(|set| (set.bits() >> (32 * word)) as u32));
    let bytes: Vec<u8> = words.flat_map(u32::to_ne_bytes).collect();
    if data != 0 {
        asked.write(data, &bytes)?;
    }
    Answer::DONE
}

fn set(asked: &Asked<'_>) -> Reply {
    let header = header(asked)?;
    if header.process != 0 && header.process != asked.process().id && header.process != asked.thread() {
        return Err(Errno::PERM);
    }
    let bytes = asked.bytes(asked.word(1), header.words * 12)?;
    let words: Vec<u32> = bytes
        .chunks_exact(4)
        .filter_map(|chunk| chunk.first_chunk().copied())
        .map(u32::from_ne_bytes)
        .collect();
    let word = |at: usize| u64::from(words.get(at).copied().unwrap_or_default());
    let [effective, permitted, inheritable] =
        [0, 1, 2].map(|at| CapabilitySet::from_bits_truncate(word(at) | word(at + 3) << 32));
    let mut state = asked.process().state();
    let mut who = Who::clone(&state.who);
    let may_inherit = if who.can(CapabilitySet::SETPCAP) {
        who.inheritable | who.bounding
    } else {
        who.inheritable | (who.permitted & who.bounding)
    };
    if !may_inherit.contains(inheritable)
        || !who.permitted.contains(permitted)
        || !permitted.contains(effective)
    {
        return Err(Errno::PERM);
    }
    who.effective = effective;
    who.permitted = permitted;
    who.inheritable = inheritable;
    who.ambient &= permitted & inheritable;
    state.who = Arc::new(who);
    Answer::DONE
}
