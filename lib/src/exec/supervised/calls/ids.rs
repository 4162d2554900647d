//! Users and groups: credentials(7), and the pages of section 2.

use std::sync::Arc;

use nix::libc;
use rustix::{io::Errno, thread::CapabilitySet};

use super::Table;
use crate::exec::supervised::{Answer, Asked, Four, Reply, Who};

pub(crate) const TABLE: Table = &[
    (libc::SYS_getuid, |asked| id(asked.who().user.real)),
    (libc::SYS_geteuid, |asked| id(asked.who().user.effective)),
    (libc::SYS_getgid, |asked| id(asked.who().group.real)),
    (libc::SYS_getegid, |asked| id(asked.who().group.effective)),
    (libc::SYS_getresuid, |asked| get_three(asked, asked.who().user)),
    (libc::SYS_getresgid, |asked| get_three(asked, asked.who().group)),
    (libc::SYS_getgroups, get_groups),
    (libc::SYS_setgroups, set_groups),
    (libc::SYS_setuid, |asked| change(asked, Kind::User, set_one)),
    (libc::SYS_setgid, |asked| change(asked, Kind::Group, set_one)),
    (libc::SYS_setreuid, |asked| change(asked, Kind::User, set_two)),
    (libc::SYS_setregid, |asked| change(asked, Kind::Group, set_two)),
    (libc::SYS_setresuid, |asked| change(asked, Kind::User, set_three)),
    (libc::SYS_setresgid, |asked| change(asked, Kind::Group, set_three)),
    (libc::SYS_setfsuid, |asked| set_file_id(asked, Kind::User)),
    (libc::SYS_setfsgid, |asked| set_file_id(asked, Kind::Group)),
];

/// The id that means "no change".
const SAME: u32 = u32::MAX;

/// `NGROUPS_MAX`.
const MOST_GROUPS: u32 = 65536;

fn id(id: u32) -> Reply {
    Ok(Answer::Value(id.into()))
}

fn get_three(asked: &Asked<'_>, four: Four) -> Reply {
    for (argument, id) in [four.real, four.effective, four.saved].into_iter().enumerate() {
        asked.write(asked.word(argument), &id.to_ne_bytes())?;
    }
    Answer::DONE
}

fn get_groups(asked: &Asked<'_>) -> Reply {
    let who = asked.who();
    let room = usize::try_from(asked.int(0)).map_err(|_| Errno::INVAL)?;
    if room > 0 {
        if room < who.groups.len() {
            return Err(Errno::INVAL);
        }
        let bytes: Vec<u8> = who.groups.iter().flat_map(|group| group.to_ne_bytes()).collect();
        asked.write(asked.word(1), &bytes)?;
    }
    Ok(who.groups.len().into())
}

fn set_groups(asked: &Asked<'_>) -> Reply {
    if !asked.who().can(CapabilitySet::SETGID) {
        return Err(Errno::PERM);
    }
    let count = asked.number_at(0);
    if count > MOST_GROUPS {
        return Err(Errno::INVAL);
    }
    let bytes = asked.bytes(asked.word(1), 4 * count as usize)?;
    let ids = bytes
        .chunks_exact(4)
        .filter_map(|chunk| chunk.first_chunk().copied());
    let mut groups: Vec<u32> = ids.map(u32::from_ne_bytes).collect();
    if groups.contains(&SAME) {
        return Err(Errno::INVAL);
    }
    groups.sort_unstable();
    let mut state = asked.process().state();
    Arc::make_mut(&mut state.who).groups = groups.into();
    Answer::DONE
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Group,
}

impl Kind {
    fn of(self, who: &mut Who) -> &mut Four {
        match self {
            Self::User => &mut who.user,
            Self::Group => &mut who.group,
        }
    }

    /// Who has it may take any id.
    fn capability(self) -> CapabilitySet {
        match self {
            Self::User => CapabilitySet::SETUID,
            Self::Group => CapabilitySet::SETGID,
        }
    }
}

/// Computes new ids from old ones and up to three arguments; `free` says whether any id may be taken.
type Rule = fn(Four, [u32; 3], bool) -> Result<Four, Errno>;

fn change(asked: &Asked<'_>, kind: Kind, rule: Rule) -> Reply {
    let arguments = [asked.number_at(0), asked.number_at(1), asked.number_at(2)];
    let mut state = asked.process().state();
    let mut who = Who::clone(&state.who);
    let free = who.can(kind.capability());
    let four = kind.of(&mut who);
    let before = *four;
    *four = rule(before, arguments, free)?;
    if kind == Kind::User {
        who.user_changed(before);
    }
    state.who = Arc::new(who);
    Answer::DONE
}

fn set_one(four: Four, [id, ..]: [u32; 3], free: bool) -> Result<Four, Errno> {
    match id {
        SAME => Err(Errno::INVAL),
        id if free => Ok(Four::all(id)),
        id if id == four.real || id == four.saved => Ok(Four {
            effective: id,
            file: id,
            ..four
        }),
        _ => Err(Errno::PERM),
    }
}

fn set_two(four: Four, [real, effective, _]: [u32; 3], free: bool) -> Result<Four, Errno> {
    let mut new = four;
    if real != SAME {
        if !free && real != four.real && real != four.effective {
            return Err(Errno::PERM);
        }
        new.real = real;
    }
    if effective != SAME {
        if !free && ![four.real, four.effective, four.saved].contains(&effective) {
            return Err(Errno::PERM);
        }
        new.effective = effective;
    }
    if real != SAME || (effective != SAME && effective != four.real) {
        new.saved = new.effective;
    }
    new.file = new.effective;
    Ok(new)
}

fn set_three(four: Four, [real, effective, saved]: [u32; 3], free: bool) -> Result<Four, Errno> {
    let mine = [four.real, four.effective, four.saved, SAME];
    if !free && ![real, effective, saved].iter().all(|id| mine.contains(id)) {
        return Err(Errno::PERM);
    }
    let or = |id: u32, other: u32| if id == SAME { other } else { id };
    let effective = or(effective, four.effective);
    Ok(Four {
        real: or(real, four.real),
        effective,
        saved: or(saved, four.saved),
        file: effective,
    })
}

/// Tells the id before, be it changed or not.
fn set_file_id(asked: &Asked<'_>, kind: Kind) -> Reply {
    let new = asked.number_at(0);
    let mut state = asked.process().state();
    let mut who = Who::clone(&state.who);
    let free = who.can(kind.capability());
    let four = kind.of(&mut who);
    let before = four.file;
    if new != SAME && (free || [four.real, four.effective, four.saved, four.file].contains(&new)) {
        four.file = new;
        if kind == Kind::User {
            who.file_user_changed(before);
        }
        state.who = Arc::new(who);
    }
    id(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Four = Four {
        real: 1,
        effective: 2,
        saved: 3,
        file: 2,
    };

    fn four(real: u32, effective: u32, saved: u32) -> Four {
        Four {
            real,
            effective,
            saved,
            file: effective,
        }
    }

    #[test]
    fn whoever_may_takes_any_id() {
        assert_eq!(set_one(OLD, [9, 0, 0], true), Ok(Four::all(9)));
        assert_eq!(set_two(OLD, [8, 9, 0], true), Ok(four(8, 9, 9)));
        assert_eq!(set_two(OLD, [SAME, 1, 0], true), Ok(four(1, 1, 3)));
        assert_eq!(set_two(OLD, [SAME, 9, 0], true), Ok(four(1, 9, 9)));
        assert_eq!(set_three(OLD, [7, SAME, 9], true), Ok(four(7, 2, 9)));
    }

    #[test]
    fn others_take_those_they_have() {
        assert_eq!(set_one(OLD, [1, 0, 0], false), Ok(four(1, 1, 3)));
        assert_eq!(set_one(OLD, [3, 0, 0], false), Ok(four(1, 3, 3)));
        assert_eq!(set_one(OLD, [2, 0, 0], false), Err(Errno::PERM));
        assert_eq!(set_one(OLD, [SAME, 0, 0], false), Err(Errno::INVAL));
        assert_eq!(set_two(OLD, [3, SAME, 0], false), Err(Errno::PERM));
        assert_eq!(set_two(OLD, [2, 1, 0], false), Ok(four(2, 1, 1)));
        assert_eq!(set_three(OLD, [3, 1, 2], false), Ok(four(3, 1, 2)));
        assert_eq!(set_three(OLD, [SAME, SAME, 4], false), Err(Errno::PERM));
    }
}
