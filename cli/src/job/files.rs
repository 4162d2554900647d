//! Files of this machine that the pod gets: all in one Secret, whether they are secret or not.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};

/// The home directory of the build, which has these files in it.
pub const HOME: &str = "/etc/rbuild";

/// What the cluster lets a Secret hold, in bytes (`MaxSecretSize` of the API).
const LARGEST: usize = 1024 * 1024;

/// Files and variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    entries: Vec<Entry>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the Secret.
    pub key: String,
    /// Where it is below [`HOME`]; a variable is in no file.
    pub path: Option<String>,
    /// What is in it.
    pub content: Vec<u8>,
}

impl Files {
    /// Adds a file, by its path below [`HOME`], and says where the pod finds it.
    pub fn add(&mut self, path: &str, content: impl Into<Vec<u8>>) -> String {
        self.put(path, Some(path), content.into());
        format!("{HOME}/{path}")
    }

    /// Adds a value that the pod gets as a variable, and says what it is called in the Secret.
    pub fn add_variable(&mut self, name: &str, value: impl Into<Vec<u8>>) -> String {
        self.put(name, None, value.into())
    }

    fn put(&mut self, name: &str, path: Option<&str>, content: Vec<u8>) -> String {
        // Names in a Secret are of letters, digits, `-`, `_` and `.`.
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let name: String = name.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
        let key = format!("{}-{}", self.entries.len(), name.trim_start_matches('.'));
        self.entries.push(Entry {
            key: key.clone(),
            path: path.map(str::to_owned),
            content,
        });
        key
    }

    /// Adds the files of a directory whose names end so, or none if there is no such directory.
    pub fn add_directory(&mut self, directory: &Path, endings: &[&str], to: &str) -> Result<usize> {
        let Ok(entries) = fs::read_dir(directory) else {
            return Ok(0);
        };
        let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        paths.retain(|path| {
            path.extension()
                .is_some_and(|ending| endings.iter().any(|known| ending == *known))
        });
        for path in &paths {
            let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            self.add(&format!("{to}/{name}"), content);
        }
        Ok(paths.len())
    }

    /// All of them.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether the cluster takes that much.
    pub fn check_size(&self) -> Result<()> {
        let size: usize = self.entries.iter().map(|entry| entry.content.len()).sum();
        ensure!(
            size <= LARGEST,
            "the Containerfile, secrets, logins and certificates have {size} bytes in all; a Secret of the cluster holds {LARGEST}"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_secret_are_such_as_it_takes_and_differ() {
        let mut files = Files::default();
        let place = files.add(".config/containers/certs.d/r.example:5000/ca.crt", "pem");
        assert_eq!(
            place,
            "/etc/rbuild/.config/containers/certs.d/r.example:5000/ca.crt"
        );
        files.add("a/b", "1");
        files.add("a_b", "2");
        files.add_variable("context", "https://u:p@example.com/a.git");
        let keys: Vec<&str> = files.entries().iter().map(|entry| &*entry.key).collect();
        assert_eq!(
            keys,
            [
                "0-config_containers_certs.d_r.example_5000_ca.crt",
                "1-a_b",
                "2-a_b",
                "3-context"
            ]
        );
    }

    #[test]
    fn what_is_too_large_is_found_out_here() {
        let mut files = Files::default();
        files.add("secrets/0", vec![0; LARGEST]);
        files.check_size().unwrap();
        files.add("secrets/1", "x");
        assert!(
            files
                .check_size()
                .unwrap_err()
                .to_string()
                .contains("1048577 bytes")
        );
    }
}
