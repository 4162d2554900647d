//! Which scripts there are, and where.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::super::error::{BuildError, Problem};
use crate::store::TmpDir;

/// All that a builder image, a source or a URL may have.
pub(super) const NAMES: [&str; 4] = ["assemble", "run", "save-artifacts", "assemble-runtime"];

/// Scripts, the last that were added first.
pub(super) struct Scripts {
    /// Those that are not in the builder image.
    pub outside: PathBuf,
    /// Names in `outside` that count.
    names: BTreeSet<String>,
    /// The directory in the builder image, if its scripts are known.
    inside: Option<String>,
    _directory: TmpDir,
}

impl Scripts {
    /// None yet; `directory` is for those that come.
    pub fn new(directory: TmpDir) -> Self {
        Self {
            outside: directory.path().to_owned(),
            names: BTreeSet::new(),
            inside: None,
            _directory: directory,
        }
    }

    /// From now on, those in this directory of the builder image are meant.
    pub fn all_inside(&mut self, directory: String) {
        self.inside = Some(directory);
        self.names.clear();
    }

    /// Adds those of a directory of this machine, if there is such a directory.
    pub fn add_directory(&mut self, directory: &Path) -> Result<(), BuildError> {
        for name in NAMES {
            let file = directory.join(name);
            if file.is_file() {
                fs::copy(&file, self.outside.join(name)).map_err(Problem::io("copy", &file))?;
                self.here(name)?;
            }
        }
        Ok(())
    }

    /// This one is in `outside`, now.
    pub fn here(&mut self, name: &str) -> Result<(), BuildError> {
        use std::os::unix::fs::PermissionsExt;
        let file = self.outside.join(name);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))
            .map_err(Problem::io("change", &file))?;
        self.names.insert(name.to_owned());
        Ok(())
    }

    /// Whether there is one, or the builder image may have one.
    pub fn may_have(&self, name: &str) -> bool {
        self.is_outside(name) || self.inside.is_some()
    }

    /// Whether it is to be copied into the image.
    pub fn is_outside(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Whether any is.
    pub fn any_outside(&self) -> bool {
        !self.names.is_empty()
    }

    /// The path of a script in the builder image; `destination` has those that were copied.
    pub fn path(&self, name: &str, destination: &str) -> Option<String> {
        match self.is_outside(name) {
            true => Some(format!("{destination}/scripts/{name}")),
            false => Some(format!("{}/{name}", self.inside.as_ref()?)),
        }
    }
}

/// The directory that an `image://` URL names.
pub(super) fn in_image(url: &str) -> Option<String> {
    let path = url.strip_prefix("image://")?;
    Some(format!("/{}", path.trim_matches('/')))
}

/// What is wrong with a builder image that is none.
pub(super) fn nowhere(image: &str, script: &str) -> String {
    format!(
        "there is no script {script}: the image {image} has no label io.openshift.s2i.scripts-url that says where its \
         scripts are, and the source has none in .s2i/bin"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn urls_of_images_name_directories() {
        for (url, path) in [
            ("image:///usr/libexec/s2i", Some("/usr/libexec/s2i")),
            ("image:///usr/libexec/s2i/", Some("/usr/libexec/s2i")),
            ("file:///usr", None),
            ("https://x.example/s2i", None),
        ] {
            assert_eq!(in_image(url).as_deref(), path, "{url}");
        }
    }

    #[test]
    fn what_is_added_later_counts_first() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let mut scripts = Scripts::new(store.tmp_dir().unwrap());
        assert!(!scripts.may_have("assemble"));
        scripts.all_inside("/usr/libexec/s2i".to_owned());
        fs::write(dir.path().join("assemble"), "#!/bin/sh\n").unwrap();
        scripts.add_directory(dir.path()).unwrap();
        let path = |scripts: &Scripts, name| scripts.path(name, "/tmp").unwrap();
        assert_eq!(path(&scripts, "assemble"), "/tmp/scripts/assemble");
        assert_eq!(path(&scripts, "run"), "/usr/libexec/s2i/run");
        scripts.all_inside("/other".to_owned());
        assert_eq!(path(&scripts, "assemble"), "/other/assemble");
        assert!(!scripts.any_outside());
    }
}
