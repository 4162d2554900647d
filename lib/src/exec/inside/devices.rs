//! Device nodes, which nobody may make in a user namespace, and ids that it does not have: a run that tries to make or to
//! use them is to be told from others.

use std::{io, os::unix::net::UnixStream};

use nix::libc;
use rbuild_sys::{
    read_memory, receive_descriptor,
    seccomp::{Call, Condition, Filter, Listener, Rule, Test, Verdict},
    send_descriptor,
};

use super::End;

/// Calls that take ids, and which of their arguments are some.
const WITH_IDS: &[(libc::c_long, &[u8])] = &[
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chown, &[1, 2]),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_lchown, &[1, 2]),
    (libc::SYS_fchown, &[1, 2]),
    (libc::SYS_fchownat, &[2, 3]),
    (libc::SYS_setuid, &[0]),
    (libc::SYS_setgid, &[0]),
    (libc::SYS_setreuid, &[0, 1]),
    (libc::SYS_setregid, &[0, 1]),
    (libc::SYS_setresuid, &[0, 1, 2]),
    (libc::SYS_setresgid, &[0, 1, 2]),
];

/// Of 32 bits: what the kernel looks at of an id.
const ALL_ONES: u64 = 0xffff_ffff;

/// `NGROUPS_MAX`
const MOST_GROUPS: usize = 65_536;

/// The monitor's end, and that of the payload.
pub(super) struct Watch {
    here: UnixStream,
    there: UnixStream,
    /// How many ids there are, from 0 on.
    count: u32,
}

impl Watch {
    pub fn new(count: u32) -> io::Result<Self> {
        let (here, there) = UnixStream::pair()?;
        Ok(Self { here, there, count })
    }

    /// Puts the caller under the watch, as long as it still has the capabilities to do so.
    ///
    /// # Errors
    /// When the kernel cannot do it, or somebody watches the caller already.
    pub fn begin(&self) -> io::Result<()> {
        send_descriptor(&self.there, filter(self.count).install_listening()?)
    }

    /// What tells the monitor; nothing if the payload could not be watched.
    pub fn listener(self) -> Option<Listener> {
        drop(self.there);
        receive_descriptor(self.here).ok().map(Listener::from)
    }
}

/// What somebody who is watched is about to do, by the call that waits; nothing if that is fine, and goes on. There are so
/// many ids, from 0 on.
pub(super) fn seen(listener: &Listener, count: u32) -> Option<End> {
    // Who does not wait any more has ended.
    let call = listener.receive().ok()??;
    let number = i64::from(call.number);
    let ids = match WITH_IDS.iter().find(|(with, _)| *with == number) {
        Some((_, ids)) => {
            let id = |index: &u8| {
                call.arguments
                    .get(usize::from(*index))
                    .copied()
                    .unwrap_or(ALL_ONES)
            };
            ids.iter().map(|index| (id(index) & ALL_ONES) as u32).collect()
        }
        None if number == libc::SYS_setgroups => groups(&call),
        None => return Some(End::Device),
    };
    // All ones leave an id as it is. Whatever was looked at, the kernel decides on what goes on.
    match ids.into_iter().any(|id| id >= count && id != u32::MAX) {
        true => Some(End::Id),
        false => {
            let _ = listener.proceed(&call);
            None
        }
    }
}

/// The list of a `setgroups`; nothing of one that the kernel would not take.
fn groups(call: &Call) -> Vec<u32> {
    let [length, list, ..] = call.arguments;
    let length = usize::try_from(length & ALL_ONES).unwrap_or_default();
    if length > MOST_GROUPS {
        return Vec::new();
    }
    let mut bytes = vec![0; length * size_of::<u32>()];
    let read = read_memory(call.thread, list, &mut bytes).unwrap_or_default();
    let groups = bytes
        .get(..read)
        .unwrap_or_default()
        .chunks_exact(size_of::<u32>());
    groups
        .filter_map(|id| id.first_chunk().copied().map(u32::from_ne_bytes))
        .collect()
}

/// Asks about nodes of devices, and about ids beyond those that there are. Device 0:0 is none: the kernel lets everybody make it, and overlays let nobody.
fn filter(count: u32) -> Filter {
    let mut rules = Vec::new();
    let mut watch = |call: libc::c_long, mode| {
        let Ok(number) = u32::try_from(call) else { return };
        for (kind, least) in [(libc::S_IFCHR, Some(0)), (libc::S_IFBLK, None)] {
            let is_kind = Test::Masked {
                mask: libc::S_IFMT.into(),
                value: kind.into(),
            };
            let mut when = vec![Condition {
                argument: mode,
                test: is_kind,
            }];
            when.extend(least.map(|least| Condition {
                argument: mode + 1,
                test: Test::Greater(least),
            }));
            rules.push(Rule {
                calls: number..=number,
                when,
                verdict: Verdict::Notify,
            });
        }
    };
    #[cfg(target_arch = "x86_64")]
    watch(libc::SYS_mknod, 1);
    watch(libc::SYS_mknodat, 2);
    let lists: (libc::c_long, &[u8]) = (libc::SYS_setgroups, &[0]);
    for (call, ids) in WITH_IDS.iter().chain([&lists]) {
        let least = match *call {
            libc::SYS_setgroups => 0,
            _ => u64::from(count.saturating_sub(1)),
        };
        let Ok(number) = u32::try_from(*call) else {
            continue;
        };
        rules.extend(ids.iter().map(|argument| Rule {
            calls: number..=number,
            when: vec![Condition {
                argument: *argument,
                test: Test::Greater(least),
            }],
            verdict: Verdict::Notify,
        }));
    }
    Filter {
        rules,
        otherwise: Verdict::Allow,
        foreign: Verdict::Allow,
    }
}
