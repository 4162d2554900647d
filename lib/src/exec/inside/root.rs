//! The root view: layers as one file system, in a mount namespace that ends with the run.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, ResolveFlags},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
        OpenTreeFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount,
        mount_change, move_mount, open_tree,
    },
};

use crate::exec::{
    Whiteouts,
    child::{Doing, Report},
};

/// Writes of an overlay.
pub(in crate::exec) struct Writes<'a> {
    pub upper: &'a Path,
    pub work: &'a Path,
}

/// Keeps mounts of this mount namespace and those of its parent from each other.
pub(in crate::exec) fn private_mounts() -> Result<(), Report> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .doing(|| "make the mount namespace private".to_owned())
}

/// A small file system in memory, mounted on `place`: it holds the places of other mounts, and files that only a run
/// sees.
pub(in crate::exec) fn scaffold(place: &Path) -> Result<OwnedFd, Report> {
    let mount = file_system("tmpfs", &[("mode", "0755")], MountAttrFlags::empty())?;
    attach(&mount, open_directory(place)?.as_fd()).doing(|| format!("mount on {}", place.display()))?;
    Ok(mount)
}

/// A new file system of a type that needs no device, not attached anywhere.
pub(in crate::exec) fn file_system(
    kind: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> Result<OwnedFd, Report> {
    let make = || {
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", kind)?;
        for (name, value) in options {
            fsconfig_set_string(&context, *name, *value)?;
        }
        fsconfig_create(&context)?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    make().doing(|| format!("make a {kind} file system"))
}

/// Attaches a mount to a directory or file.
pub(in crate::exec) fn attach(mount: impl AsFd, place: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, "", place, "", flags)?)
}

/// The file or directory behind a descriptor, with all that is mounted below, as a mount of its own.
pub(in crate::exec) fn bind(what: impl AsFd) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    Ok(open_tree(what, "", flags)?)
}

/// A directory or file as a place, without the right to read it.
pub(in crate::exec) fn open_place(path: &Path) -> Result<OwnedFd, Report> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .doing(|| format!("open {}", path.display()))
}

fn open_directory(path: &Path) -> Result<OwnedFd, Report> {
    rustix::fs::open(
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .doing(|| format!("open the directory {}", path.display()))
}

/// What a path names inside a root: no symbolic link leads out of it.
pub(in crate::exec) fn open_in_root(root: impl AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            result => return result,
        }
    }
}

/// Makes an empty directory in another, and opens it.
pub(in crate::exec) fn make_directory(parent: impl AsFd, name: &str) -> Result<OwnedFd, Report> {
    rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)).doing(|| format!("make {name}"))?;
    rustix::fs::openat(
        parent,
        name,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .doing(|| format!("open {name}"))
}

/// Makes an overlay of layers and attaches it to a new directory `name` of the scaffold. The topmost layer is the
/// first. Without `writes` it can only be read.
///
/// Device nodes in it cannot be opened: a run may make the node of a disk, but not read that disk.
pub(in crate::exec) fn overlay(
    scaffold: BorrowedFd<'_>,
    name: &str,
    lowers: &[impl AsRef<Path>],
    writes: Option<Writes<'_>>,
    whiteouts: Whiteouts,
) -> Result<OwnedFd, Report> {
    let mut lower = Vec::with_capacity(lowers.len() + 2);
    for path in lowers {
        lower.push(open_directory(path.as_ref())?);
    }
    // One lower layer is the least that overlayfs takes, two if nothing is written. Any empty directory will do.
    while lower.len() < if writes.is_some() { 1 } else { 2 } {
        lower.push(make_directory(scaffold, &format!("{name}-empty{}", lower.len()))?);
    }
    let writes = match writes {
        Some(writes) => Some((open_directory(writes.upper)?, open_directory(writes.work)?)),
        None => None,
    };
    let place = make_directory(scaffold, name)?;
    let overlay = Overlay {
        lower,
        writes,
        whiteouts,
    };
    let done = match overlay.create() {
        Ok(mount) => attach(&mount, place.as_fd()),
        Err(Errno::INVAL) => overlay.create_by_options(&place),
        Err(error) => Err(error.into()),
    };
    done.doing(|| format!("mount an overlay of {} layers", lowers.len()))?;
    open_in_root(scaffold, Path::new(name)).doing(|| format!("open {name}"))
}

/// Layers by descriptor. They are named to the kernel as `/proc/self/fd/N`: short enough for every limit, and without
/// characters that mean something in a list of options. It also keeps paths of this machine from the run's mount table.
struct Overlay {
    lower: Vec<OwnedFd>,
    writes: Option<(OwnedFd, OwnedFd)>,
    whiteouts: Whiteouts,
}

impl Overlay {
    /// Layer by layer; Linux 6.7 and later, others say EINVAL.
    fn create(&self) -> rustix::io::Result<OwnedFd> {
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", "overlay")?;
        for lower in &self.lower {
            fsconfig_set_string(&context, "lowerdir+", path_of(lower))?;
        }
        for (name, value) in self.settings() {
            match value {
                Some(value) => fsconfig_set_string(&context, name, value)?,
                None => fsconfig_set_flag(&context, name)?,
            }
        }
        fsconfig_create(&context)?;
        fsmount(
            &context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::MOUNT_ATTR_NODEV,
        )
    }

    /// By mount(2), whose options must fit into a page: so the lower layers are named relative to `/proc/self/fd`.
    fn create_by_options(&self, place: &OwnedFd) -> io::Result<()> {
        let before = rustix::fs::open(".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let names: Vec<_> = self.lower.iter().map(|fd| number_of(fd).to_string()).collect();
        let mut options = format!("lowerdir={}", names.join(":"));
        for (name, value) in self.settings() {
            options.push(',');
            options.push_str(name);
            if let Some(value) = value {
                options.push('=');
                options.push_str(&value);
            }
        }
        let options = std::ffi::CString::new(options)?;
        rustix::process::chdir("/proc/self/fd")?;
        let done = mount(
            "overlay",
            path_of(place),
            "overlay",
            MountFlags::NODEV,
            options.as_c_str(),
        );
        rustix::process::fchdir(before)?;
        Ok(done?)
    }

    fn settings(&self) -> Vec<(&'static str, Option<String>)> {
        let mut settings = vec![];
        if let Some((upper, work)) = &self.writes {
            settings.push(("upperdir", Some(path_of(upper))));
            settings.push(("workdir", Some(path_of(work))));
            // A run that is cut short is thrown away, so nothing needs to reach the disk while it lasts.
            settings.push(("volatile", None));
        }
        match self.whiteouts {
            // Features that leave marks in the upper directory which are not part of a layer's format.
            Whiteouts::Trusted => {
                for name in ["redirect_dir", "metacopy", "index"] {
                    settings.push((name, Some("off".to_owned())));
                }
            }
            // Implies the same; naming them would be an error.
            Whiteouts::User => settings.push(("userxattr", None)),
        }
        settings
    }
}

fn number_of(fd: &OwnedFd) -> i32 {
    std::os::fd::AsRawFd::as_raw_fd(fd)
}

fn path_of(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", number_of(fd))
}

/// Makes a mount the root of this mount namespace, and lets go of all that was there before.
pub(in crate::exec) fn become_root(root: BorrowedFd<'_>) -> Result<(), Report> {
    let enter = || {
        rustix::process::fchdir(root)?;
        rustix::process::pivot_root(".", ".")?;
        // The old root is now mounted over the new one, here.
        rustix::mount::unmount(".", rustix::mount::UnmountFlags::DETACH)?;
        rustix::process::chdir("/")
    };
    enter().doing(|| "change the root directory".to_owned())
}

/// Puts a file into the scaffold, and gives a mount of it that can only be read.
pub(in crate::exec) fn file_mount(
    scaffold: BorrowedFd<'_>,
    name: &str,
    contents: &[u8],
    mode: u32,
    owner: (u32, u32),
) -> Result<OwnedFd, Report> {
    let make = || -> io::Result<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file: std::fs::File =
            rustix::fs::openat(scaffold, name, flags, Mode::from_raw_mode(0o600))?.into();
        io::Write::write_all(&mut file, contents)?;
        let (uid, gid) = (
            rustix::fs::Uid::from_raw(owner.0),
            rustix::fs::Gid::from_raw(owner.1),
        );
        rustix::fs::fchown(&file, Some(uid), Some(gid))?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o777))?;
        drop(file);
        let mount = bind(rustix::fs::openat(
            scaffold,
            name,
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
        )?)?;
        let read_only = rbuild_sys::MountAttributes {
            read_only: true,
            no_dev: true,
            ..Default::default()
        };
        rbuild_sys::set_mount_attributes(&mount, read_only)?;
        Ok(mount)
    };
    make().doing(|| format!("make the file {name} for a mount"))
}

/// Whether something is there and is a directory.
pub(in crate::exec) fn is_directory(place: impl AsFd) -> bool {
    rustix::fs::statat(place, "", AtFlags::EMPTY_PATH)
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rbuild_sys::{Ended, Keep};
    use rustix::thread::UnshareFlags;

    use super::*;
    use crate::exec::ids::{Ids, map_ids};

    #[test]
    fn old_kernels_get_many_layers_too() {
        rbuild_testutils::cages::in_each_cage(|_, room| {
            let layer = |number: usize| room.join(format!("layer {number}"));
            for number in 0..200 {
                std::fs::create_dir(layer(number)).unwrap();
                std::fs::write(layer(number).join(format!("{number}")), "").unwrap();
            }
            for name in ["upper", "work", "mounts"] {
                std::fs::create_dir(room.join(name)).unwrap();
            }
            let ids = match rustix::process::geteuid().is_root() {
                true => Ids::Own,
                false => Ids::Mapped(map_ids().unwrap().namespace),
            };
            let child = rbuild_sys::fork(Keep::All, || match mount_old_way(&ids, room, &layer) {
                Ok(200) => 0,
                _ => 1,
            });
            assert_eq!(child.unwrap().wait().unwrap(), Ended::Exited(0));
            assert!(room.join("upper/new").exists());
        });
    }

    /// How many entries an overlay of 200 layers has, made with mount(2).
    fn mount_old_way(ids: &Ids, room: &Path, layer: &dyn Fn(usize) -> PathBuf) -> Result<usize, Report> {
        ids.enter()?;
        rbuild_sys::unshare(UnshareFlags::NEWNS).doing(String::new)?;
        private_mounts()?;
        let scaffold = scaffold(&room.join("mounts"))?;
        let lower = (0..200)
            .map(|number| open_directory(&layer(number)))
            .collect::<Result<_, _>>()?;
        let writes = Some((
            open_directory(&room.join("upper"))?,
            open_directory(&room.join("work"))?,
        ));
        let whiteouts = match ids {
            Ids::Own | Ids::Emulated => Whiteouts::Trusted,
            Ids::Mapped(_) => Whiteouts::User,
        };
        let place = make_directory(&scaffold, "root")?;
        Overlay {
            lower,
            writes,
            whiteouts,
        }
        .create_by_options(&place)
        .doing(|| "mount".to_owned())?;
        let root = room.join("mounts/root");
        let count = std::fs::read_dir(&root).doing(String::new)?.count();
        std::fs::write(root.join("new"), "").doing(String::new)?;
        // An ordinary user cannot remove what overlayfs leaves there.
        std::fs::remove_dir_all(room.join("work")).doing(String::new)?;
        Ok(count)
    }
}
