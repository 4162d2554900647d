//! An upper directory made into what unpacking its layer would give.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    os::unix::{fs::FileTypeExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, FileType, Mode, lremovexattr, makedev, mknodat},
    io::Errno,
};

use super::{set_times, unpack::Whiteouts};
use crate::{
    layer::Error,
    tree::{Change, What},
};

/// Makes an overlay's upper directory exactly the layer that [`scan_upper`](super::scan_upper) found in it.
///
/// The layer is known by its digest, and the same layer may come to lie over other ones. So nothing may stay that only
/// fits those below: copies of files that turned out as they were, and opaque directories, which would hide more there
/// than the layer says. Times are cut to whole seconds, as the layer has them.
///
/// Fit for a forked child, as `scan_upper` is.
///
/// # Errors
/// [`Error::Disk`].
pub fn settle_upper(upper: &Path, format: Whiteouts, changes: &[Change]) -> Result<(), Error> {
    let said: HashMap<&Path, &What> = changes
        .iter()
        .map(|change| (&*change.path, &change.what))
        .collect();
    let directories = drop_files(upper, format, &said)?;
    let needed: HashSet<&Path> = said.keys().flat_map(|path| path.ancestors()).collect();
    // Those below come later.
    for path in directories.iter().rev() {
        if !path.as_os_str().is_empty() && !needed.contains(&**path) {
            let place = upper.join(path);
            fs::remove_dir(&place).map_err(Error::disk("cannot remove", &place))?;
        }
    }
    for (path, _) in said.iter().filter(|(_, what)| ***what == What::Whiteout) {
        whiteout(&upper.join(path))?;
    }
    set_times(upper, changes)
}

/// Removes files that the layer does not have, and makes no directory opaque. All directories that there are.
fn drop_files(upper: &Path, format: Whiteouts, said: &HashMap<&Path, &What>) -> Result<Vec<PathBuf>, Error> {
    let mut directories = vec![PathBuf::new()];
    let mut next = 0;
    while let Some(path) = directories.get(next).cloned() {
        next += 1;
        let place = upper.join(&path);
        let failed = || Error::disk::<io::Error>("cannot read", &place);
        not_opaque(&place, format)?;
        for entry in fs::read_dir(&place).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let below = path.join(entry.file_name());
            let is_directory = entry.file_type().map_err(failed())?.is_dir();
            match said.get(&*below) {
                _ if is_directory => directories.push(below),
                Some(What::Node(_) | What::HardLink(_)) => {}
                Some(What::Whiteout) if is_whiteout(&entry.path()) => {}
                _ => fs::remove_file(entry.path()).map_err(Error::disk("cannot remove", entry.path()))?,
            }
        }
    }
    Ok(directories)
}

fn not_opaque(place: &Path, format: Whiteouts) -> Result<(), Error> {
    match lremovexattr(place, format.opaque()) {
        Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => Ok(()),
        Err(error) => Err(Error::disk("cannot remove an attribute of", place)(error)),
    }
}

fn is_whiteout(place: &Path) -> bool {
    fs::symlink_metadata(place).is_ok_and(|stat| stat.file_type().is_char_device() && stat.rdev() == 0)
}

/// Hides a name of lower layers, if that is not done already.
fn whiteout(place: &Path) -> Result<(), Error> {
    match mknodat(
        CWD,
        place,
        FileType::CharacterDevice,
        Mode::empty(),
        makedev(0, 0),
    ) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(Error::disk("cannot make whiteout", place)(error)),
    }
}
