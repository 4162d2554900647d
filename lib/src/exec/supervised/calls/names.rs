//! Names made, moved and taken away.

use nix::libc;
use rustix::{fs::RenameFlags, io::Errno};

use super::{
    super::{Answer, Asked, Reply},
    Table,
    named::Named,
};
use crate::exec::farm::{Device, Special};

pub(crate) const TABLE: Table = &[
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mkdir, |asked| {
        make_directory(&asked.named(None, 0)?, asked.number_at(1))
    }),
    (libc::SYS_mkdirat, |asked| {
        make_directory(&asked.named(Some(0), 1)?, asked.number_at(2))
    }),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mknod, |asked| {
        make_special(&asked.named(None, 0)?, asked.number_at(1), asked.number_at(2))
    }),
    (libc::SYS_mknodat, |asked| {
        make_special(&asked.named(Some(0), 1)?, asked.number_at(2), asked.number_at(3))
    }),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rmdir, |asked| remove(&asked.named(None, 0)?, true)),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_unlink, |asked| remove(&asked.named(None, 0)?, false)),
    (libc::SYS_unlinkat, |asked| match asked.int(2) {
        0 => remove(&asked.named(Some(0), 1)?, false),
        libc::AT_REMOVEDIR => remove(&asked.named(Some(0), 1)?, true),
        _ => Err(Errno::INVAL),
    }),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rename, |asked| {
        rename(&asked.named(None, 0)?, &asked.named(None, 1)?, 0)
    }),
    (libc::SYS_renameat, |asked| {
        rename(&asked.named(Some(0), 1)?, &asked.named(Some(2), 3)?, 0)
    }),
    (libc::SYS_renameat2, |asked| {
        rename(
            &asked.named(Some(0), 1)?,
            &asked.named(Some(2), 3)?,
            asked.number_at(4),
        )
    }),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_link, |asked| {
        let (old, new) = (asked.named(None, 0)?, asked.named(None, 1)?);
        new.view
            .link(&new.asker, &old.find(false)?, &new.base, new.path())?;
        Answer::DONE
    }),
    (libc::SYS_linkat, link),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_symlink, |asked| {
        make_link(asked, &asked.named(None, 1)?)
    }),
    (libc::SYS_symlinkat, |asked| {
        make_link(asked, &asked.named(Some(1), 2)?)
    }),
];

fn make_directory(new: &Named<'_>, mode: u32) -> Reply {
    new.view.make_directory(&new.asker, &new.base, new.path(), mode)?;
    Answer::DONE
}

fn make_special(new: &Named<'_>, mode: u32, device: u32) -> Reply {
    let device = |block| {
        Special::Device(Device {
            block,
            number: (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xf_ff00),
        })
    };
    let special = match mode & libc::S_IFMT {
        0 | libc::S_IFREG => Special::File,
        libc::S_IFIFO => Special::Fifo,
        libc::S_IFSOCK => Special::Socket,
        libc::S_IFCHR => device(false),
        libc::S_IFBLK => device(true),
        libc::S_IFDIR => return Err(Errno::PERM),
        _ => return Err(Errno::INVAL),
    };
    new.view
        .make_special(&new.asker, &new.base, new.path(), mode & 0o7777, special)?;
    Answer::DONE
}

fn remove(old: &Named<'_>, directory: bool) -> Reply {
    old.view.remove(&old.asker, &old.base, old.path(), directory)?;
    Answer::DONE
}

fn rename(old: &Named<'_>, new: &Named<'_>, flags: u32) -> Reply {
    let flags = RenameFlags::from_bits(flags).ok_or(Errno::INVAL)?;
    let both = RenameFlags::NOREPLACE | RenameFlags::EXCHANGE;
    if flags.contains(RenameFlags::WHITEOUT) || flags.contains(both) {
        return Err(Errno::INVAL);
    }
    let (from, to) = ((&old.base, old.path()), (&new.base, new.path()));
    new.view.rename(&new.asker, from, to, flags)?;
    Answer::DONE
}

fn link(asked: &Asked<'_>) -> Reply {
    let flags = asked.int(4);
    if flags & !(libc::AT_SYMLINK_FOLLOW | libc::AT_EMPTY_PATH) != 0 {
        return Err(Errno::INVAL);
    }
    let follow = flags & libc::AT_SYMLINK_FOLLOW != 0;
    let old = match flags & libc::AT_EMPTY_PATH != 0 && asked.path(1)?.is_empty() {
        true => asked.shared().view.node(asked.directory(0)?)?,
        false => asked.named(Some(0), 1)?.find(follow)?,
    };
    let new = asked.named(Some(2), 3)?;
    new.view.link(&new.asker, &old, &new.base, new.path())?;
    Answer::DONE
}

fn make_link(asked: &Asked<'_>, new: &Named<'_>) -> Reply {
    let target = asked.path(0)?;
    new.view
        .make_link(&new.asker, target.as_bytes(), &new.base, new.path())?;
    Answer::DONE
}
