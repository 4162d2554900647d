//! The name of a step's result, made of everything that the result depends on.
//!
//! A key is the digest of a list of named parts. Names and values are length-prefixed, so that no two lists run
//! together. The parts are kept beside the key: comparing them with those of an earlier build says why a step missed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, Hasher};

/// Changes with every change of what keys or records mean, so that older records are no longer found.
const VERSION: &str = "rbuild step 1";

/// The name of a step's result.
pub(crate) type Key = Digest;

/// The parts of a [`Key`]: what a step depends on, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parts(BTreeMap<String, String>);

impl Parts {
    /// No parts yet, for an operation of this name.
    pub fn of(operation: &str) -> Self {
        Self::default().with("operation", operation)
    }

    /// The name of the operation.
    pub fn operation(&self) -> &str {
        self.0.get("operation").map_or("", String::as_str)
    }

    /// With one more part.
    pub fn with(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.0.insert(name.into(), value.to_string());
        self
    }

    /// With one more part that is a list.
    pub fn with_list<T: AsRef<str>>(self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        let mut hasher = Hasher::new();
        let mut shown = Vec::new();
        for value in values {
            prefixed(&mut hasher, value.as_ref().as_bytes());
            shown.push(value.as_ref().to_owned());
        }
        let digest = hasher.finish();
        self.with(name, format!("{digest} {}", shown.join(" ")))
    }

    /// The key.
    pub fn key(&self) -> Key {
        let mut hasher = Hasher::new();
        prefixed(&mut hasher, VERSION.as_bytes());
        for (name, value) in &self.0 {
            prefixed(&mut hasher, name.as_bytes());
            prefixed(&mut hasher, value.as_bytes());
        }
        hasher.finish()
    }

    /// The names of the parts that differ from those of an earlier build, sorted.
    pub fn changed_since<'a>(&'a self, earlier: &'a Parts) -> Vec<&'a str> {
        let mut names: Vec<&str> = self
            .0
            .keys()
            .chain(earlier.0.keys())
            .map(String::as_str)
            .collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| self.0.get(*name) != earlier.0.get(*name));
        names
    }
}

/// Hashes a value so that it cannot run into the next.
pub(crate) fn prefixed(hasher: &mut Hasher, bytes: &[u8]) {
    hasher.update((bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts() {
        let one = Parts::of("run").with("a", "1");
        assert_eq!(one.key(), Parts::of("run").with("a", "1").key());
        for other in [
            Parts::of("copy").with("a", "1"),
            Parts::of("run").with("a", "2"),
            Parts::of("run").with("b", "1"),
            Parts::of("run").with("a", "1").with("b", ""),
        ] {
            assert_ne!(one.key(), other.key());
        }
    }

    #[test]
    fn values_do_not_run_together() {
        let list = |values: &[&str]| Parts::of("x").with_list("l", values).key();
        assert_ne!(list(&["a b"]), list(&["a", "b"]));
        assert_ne!(list(&["ab", ""]), list(&["", "ab"]));
        assert_ne!(list(&[]), list(&[""]));
    }

    #[test]
    fn names_what_changed() {
        let old = Parts::of("run").with("a", "1").with("b", "1");
        let new = Parts::of("run").with("a", "2").with("c", "1");
        assert_eq!(new.changed_since(&old), ["a", "b", "c"]);
        assert!(new.changed_since(&new).is_empty());
    }
}
