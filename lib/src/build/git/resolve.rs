//! What a reference stands for.

use std::path::Path;

use super::{Commit, program::Git};
use crate::build::error::Problem;

/// Asks the remote, unless the reference is a whole commit.
pub(super) fn resolve(git: &Git, reference: Option<&str>) -> Result<Commit, Problem> {
    let Some(name) = reference else {
        return head(git);
    };
    if is_commit(name) {
        return Ok(Commit {
            id: name.to_ascii_lowercase(),
            reference: None,
        });
    }
    let mut command = git.command(Path::new("/"), ["ls-remote", "--", git.remote(), name]);
    // Annotated tags are objects of their own; what they point to is listed under this name.
    command.arg(format!("{name}^{{}}"));
    let listed = git.run(command)?;
    choose(&listed, name).ok_or_else(|| {
        let hint = match name.len() >= 7 && is_hex(name) {
            true => "; commits are named by all their digits",
            false => "",
        };
        git.problem(format!("it has no branch, tag or commit {name:?}{hint}"))
    })
}

/// What the remote checks out by default.
fn head(git: &Git) -> Result<Commit, Problem> {
    let listed = git.run(git.command(
        Path::new("/"),
        ["ls-remote", "--symref", "--", git.remote(), "HEAD"],
    ))?;
    let mut branch = None;
    for (value, name) in pairs(&listed) {
        match value.strip_prefix("ref: ") {
            Some(target) if name == "HEAD" => branch = Some(target.to_owned()),
            None if name == "HEAD" => {
                return Ok(Commit {
                    id: value.to_owned(),
                    reference: branch,
                });
            }
            _ => {}
        }
    }
    Err(git.problem("it is empty".to_owned()))
}

/// A full reference beats a branch, a branch a tag.
fn choose(listed: &str, name: &str) -> Option<Commit> {
    let with = |prefix: &str| format!("{prefix}{}", name.strip_prefix(prefix).unwrap_or(name));
    let find = |reference: &str| pairs(listed).find(|(_, name)| *name == reference);
    for reference in [with("refs/"), with("refs/heads/"), with("refs/tags/")] {
        let peeled = find(&format!("{reference}^{{}}"));
        if let Some((id, _)) = peeled.or_else(|| find(&reference)) {
            return Some(Commit {
                id: id.to_owned(),
                reference: Some(reference),
            });
        }
    }
    None
}

fn pairs(listed: &str) -> impl Iterator<Item = (&str, &str)> {
    listed.lines().filter_map(|line| line.split_once('\t'))
}

/// SHA-1 or SHA-256, whole.
fn is_commit(name: &str) -> bool {
    matches!(name.len(), 40 | 64) && is_hex(name)
}

fn is_hex(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_beats_what() {
        let listed = "1\trefs/heads/v1\n2\trefs/tags/v1\n3\trefs/tags/v1^{}\n4\trefs/tags/light\n5\trefs/pull/7/head\n\
                      6\trefs/heads/other/v2\n7\trefs/heads/heads/x\n8\trefs/heads/x";
        for (name, expected) in [
            ("v1", Some(("1", "refs/heads/v1"))),
            ("refs/heads/v1", Some(("1", "refs/heads/v1"))),
            ("tags/v1", Some(("3", "refs/tags/v1"))),
            ("refs/tags/v1", Some(("3", "refs/tags/v1"))),
            ("light", Some(("4", "refs/tags/light"))),
            ("refs/pull/7/head", Some(("5", "refs/pull/7/head"))),
            ("pull/7/head", Some(("5", "refs/pull/7/head"))),
            ("heads/x", Some(("8", "refs/heads/x"))),
            ("v2", None),
            ("v", None),
            ("refs/heads/light", None),
        ] {
            let found = choose(listed, name);
            let found = found.as_ref().map(|commit| {
                let reference = commit.reference.as_deref().unwrap_or_default();
                (commit.id.as_str(), reference)
            });
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn whole_commits() {
        assert!(is_commit(&"0a".repeat(20)) && is_commit(&"0A".repeat(32)));
        assert!(!is_commit("0a") && !is_commit(&"0g".repeat(20)));
    }
}
