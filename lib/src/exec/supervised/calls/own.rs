//! What a process says or asks about itself.

use std::sync::Arc;

use nix::libc;
use rustix::{io::Errno, thread::CapabilitySet};

use super::Table;
use crate::exec::supervised::{
    Answer, Asked, Reply, Who,
    who::{KEEP_CAPABILITIES, SECURE_BITS},
};

pub(crate) const TABLE: Table = &[
    (libc::SYS_umask, umask),
    (libc::SYS_uname, uname),
    (libc::SYS_prctl, control),
];

fn umask(asked: &Asked<'_>) -> Reply {
    let new = asked.number_at(0) & 0o777;
    let before = std::mem::replace(&mut asked.process().state().umask, new);
    Ok(Answer::Value(before.into()))
}

/// As the kernel tells it, with another host name: `struct utsname` has six names of 65 bytes.
fn uname(asked: &Asked<'_>) -> Reply {
    const LENGTH: usize = 65;
    let system = rustix::system::uname();
    let names = [
        system.sysname().to_bytes(),
        asked.shared().hostname.as_bytes(),
        system.release().to_bytes(),
        system.version().to_bytes(),
        system.machine().to_bytes(),
        b"(none)",
    ];
    let mut bytes = Vec::with_capacity(names.len() * LENGTH);
    for (index, name) in names.into_iter().enumerate() {
        bytes.extend(name.iter().take(LENGTH - 1));
        bytes.resize((index + 1) * LENGTH, 0);
    }
    asked.write(asked.word(0), &bytes)?;
    Answer::DONE
}

/// `prctl`, where it is about capabilities, or about what others may do with this process.
fn control(asked: &Asked<'_>) -> Reply {
    let mut state = asked.process().state();
    let mut who = Who::clone(&state.who);
    let value = controlled(&mut who, [0, 1, 2].map(|argument| asked.word(argument)))?;
    if who != *state.who {
        state.who = Arc::new(who);
    }
    Ok(Answer::Value(value))
}

fn controlled(who: &mut Who, [option, second, third]: [u64; 3]) -> Result<i64, Errno> {
    let capability = |number: u64| {
        let bit = u32::try_from(number)
            .ok()
            .and_then(|number| 1_u64.checked_shl(number));
        let set = CapabilitySet::from_bits_truncate(bit.unwrap_or_default());
        if set.is_empty() {
            Err(Errno::INVAL)
        } else {
            Ok(set)
        }
    };
    Ok(match (option & 0xffff_ffff) as i32 {
        libc::PR_CAPBSET_READ => who.bounding.contains(capability(second)?).into(),
        libc::PR_CAPBSET_DROP => {
            let dropped = capability(second)?;
            permitted(who)?;
            who.bounding -= dropped;
            0
        }
        libc::PR_CAP_AMBIENT => return ambient(who, second, third, capability),
        libc::PR_GET_KEEPCAPS => (who.secure_bits & KEEP_CAPABILITIES != 0).into(),
        libc::PR_SET_KEEPCAPS => {
            match second {
                0 => who.secure_bits &= !KEEP_CAPABILITIES,
                1 => who.secure_bits |= KEEP_CAPABILITIES,
                _ => return Err(Errno::INVAL),
            }
            0
        }
        libc::PR_GET_SECUREBITS => who.secure_bits.into(),
        libc::PR_SET_SECUREBITS => {
            permitted(who)?;
            who.secure_bits = u32::try_from(second)
                .ok()
                .filter(|bits| bits & !SECURE_BITS == 0)
                .ok_or(Errno::PERM)?;
            0
        }
        libc::PR_GET_NO_NEW_PRIVS => who.no_new_privileges.into(),
        libc::PR_SET_NO_NEW_PRIVS if second == 1 => {
            who.no_new_privileges = true;
            0
        }
        // Its memory must stay readable for what answers it; nobody else may read it anyway.
        libc::PR_GET_DUMPABLE => 1,
        libc::PR_SET_DUMPABLE if second <= 1 => 0,
        libc::PR_SET_PTRACER => 0,
        _ => return Err(Errno::INVAL),
    })
}

fn permitted(who: &Who) -> Result<(), Errno> {
    if who.can(CapabilitySet::SETPCAP) {
        Ok(())
    } else {
        Err(Errno::PERM)
    }
}

fn ambient(
    who: &mut Who,
    what: u64,
    number: u64,
    capability: impl Fn(u64) -> Result<CapabilitySet, Errno>,
) -> Result<i64, Errno> {
    const NO_AMBIENT_RAISE: u32 = 1 << 6;
    match what as i32 {
        libc::PR_CAP_AMBIENT_CLEAR_ALL => who.ambient = CapabilitySet::empty(),
        libc::PR_CAP_AMBIENT_IS_SET => return Ok(who.ambient.contains(capability(number)?).into()),
        libc::PR_CAP_AMBIENT_LOWER => who.ambient -= capability(number)?,
        libc::PR_CAP_AMBIENT_RAISE => {
            let raised = capability(number)?;
            if !(who.permitted & who.inheritable).contains(raised) || who.secure_bits & NO_AMBIENT_RAISE != 0
            {
                return Err(Errno::PERM);
            }
            who.ambient |= raised;
        }
        _ => return Err(Errno::INVAL),
    }
    Ok(0)
}
