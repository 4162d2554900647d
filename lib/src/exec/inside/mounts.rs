//! The mounts that a RUN asks for, and the files that every RUN sees.

use std::{
    fs,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rbuild_sys::{MountAttributes, set_mount_attributes};
use rustix::mount::MountAttrFlags;

use super::{
    place::{Places, Shape},
    root::{Writes, attach, bind, file_mount, file_system, is_directory, open_in_root, open_place, overlay},
};
use crate::exec::{
    Mount, MountKind, RunSpec, Whiteouts,
    child::{Doing, Report},
};

/// Mounts name resolution and what the run asks for, in this order.
pub(super) fn mount_all(
    spec: &RunSpec,
    scaffold: BorrowedFd<'_>,
    whiteouts: Whiteouts,
    places: &mut Places,
) -> Result<(), Report> {
    let name = &spec.hostname;
    let hosts = format!("127.0.0.1\tlocalhost {name}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    let resolver = fs::read("/etc/resolv.conf").unwrap_or_default();
    for (file, contents) in [("hosts", hosts.as_bytes()), ("resolv.conf", &resolver)] {
        let mount = file_mount(scaffold, file, contents, 0o644, (0, 0))?;
        put(places, &mount, &Path::new("/etc").join(file))?;
    }
    for (number, mount) in spec.mounts.iter().enumerate() {
        let made = make(mount, number, spec, scaffold, whiteouts)?;
        put(places, &made, &mount.target)?;
    }
    Ok(())
}

/// Attaches a mount to a path of the root.
fn put(places: &mut Places, mount: &OwnedFd, target: &Path) -> Result<(), Report> {
    let shape = if is_directory(mount) {
        Shape::Directory
    } else {
        Shape::File
    };
    let place = places.find_or_make(target, shape);
    let place = place.doing(|| format!("make the mount point {}", target.display()))?;
    attach(mount, place.as_fd()).doing(|| format!("mount on {}", target.display()))
}

fn make(
    mount: &Mount,
    number: usize,
    spec: &RunSpec,
    scaffold: BorrowedFd<'_>,
    whiteouts: Whiteouts,
) -> Result<OwnedFd, Report> {
    match &mount.kind {
        MountKind::Bind { source, read_only } => show(open_place(source)?, *read_only, source),
        MountKind::Layers {
            layers,
            source,
            writable,
        } => {
            let name = format!("layers{number}");
            let (upper, work) = (
                spec.spare.join(format!("upper{number}")),
                spec.spare.join(format!("work{number}")),
            );
            let mut writes = None;
            if *writable {
                for directory in [&upper, &work] {
                    fs::create_dir(directory).doing(|| format!("make {}", directory.display()))?;
                }
                writes = Some(Writes {
                    upper: &upper,
                    work: &work,
                });
            }
            let root = overlay(scaffold, &name, &layers.lowers, writes, whiteouts)?;
            let found = open_in_root(root, source).doing(|| format!("find {} to mount", source.display()))?;
            show(found, !writable, source)
        }
        MountKind::Tmpfs { size, mode } => {
            let (size, mode) = (size.map(|bytes| bytes.to_string()), format!("{mode:o}"));
            let mut options = vec![("mode", mode.as_str())];
            options.extend(size.as_deref().map(|size| ("size", size)));
            file_system("tmpfs", &options, MountAttrFlags::MOUNT_ATTR_NODEV)
        }
        MountKind::File {
            contents,
            mode,
            uid,
            gid,
        } => file_mount(scaffold, &format!("file{number}"), contents, *mode, (*uid, *gid)),
    }
}

/// A mount of something that exists. Device nodes in it cannot be opened.
fn show(what: OwnedFd, read_only: bool, path: &Path) -> Result<OwnedFd, Report> {
    let mount = bind(what).doing(|| format!("mount {}", path.display()))?;
    let attributes = MountAttributes {
        read_only,
        no_dev: true,
        ..Default::default()
    };
    set_mount_attributes(&mount, attributes).doing(|| format!("protect the mount of {}", path.display()))?;
    Ok(mount)
}
