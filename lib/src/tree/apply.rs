//! A layer onto a Tree.

use std::path::Path;

use super::{Change, Error, Kind, Tree, What};

impl Tree {
    /// Applies a layer.
    ///
    /// Whiteouts and opaque directories hide what lower layers hold and nothing of the layer itself, wherever in it
    /// they stand (OCI image-spec `layer.md`, whiteouts), so they come first.
    ///
    /// # Errors
    /// When a path is not clean, or a hard link names nothing. The Tree is then the layer's up to there.
    pub fn apply(&mut self, changes: &[Change]) -> Result<(), Error> {
        for Change { path, what } in changes {
            match what {
                What::Whiteout => _ = self.remove(path)?,
                What::Opaque => self.clear(path),
                What::Node(_) | What::HardLink(_) => {}
            }
        }
        // The files that say so are in directories, and there is no layer without those.
        for directory in changes.iter().filter_map(marked) {
            self.ensure_directory(directory)?;
        }
        for change in changes {
            match &change.what {
                What::Node(node) => self.insert(&change.path, node.clone())?,
                What::HardLink(target) => self.link(&change.path, target)?,
                // Again, should the layer have replaced one since; but not in place of what it has.
                What::Whiteout | What::Opaque => {
                    if let Some(directory) = marked(change).filter(|directory| !self.is_taken(directory)) {
                        self.ensure_directory(directory)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a path is, or goes through, something that is not a directory.
    fn is_taken(&self, path: &Path) -> bool {
        path.ancestors()
            .filter_map(|path| self.get(path))
            .any(|node| node.kind != Kind::Directory)
    }
}

/// The directory of the file that says that something is hidden.
fn marked(change: &Change) -> Option<&Path> {
    match change.what {
        What::Whiteout => change.path.parent(),
        What::Opaque => Some(&change.path),
        What::Node(_) | What::HardLink(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::tree::{Content, Kind, Metadata, Node, Origin};

    fn node(kind: Kind, mode: u32) -> Node {
        Node {
            metadata: Metadata {
                mode,
                ..Metadata::default()
            },
            kind,
        }
    }

    fn file(text: &str) -> What {
        let bytes = text.as_bytes();
        let origin = Origin::Memory(bytes.into());
        let content = Content {
            size: bytes.len() as u64,
            digest: Some(crate::Digest::of(bytes)),
            origin,
        };
        What::Node(node(Kind::File(content), 0o644))
    }

    fn directory(mode: u32) -> What {
        What::Node(node(Kind::Directory, mode))
    }

    fn change(path: &str, what: What) -> Change {
        Change {
            path: path.into(),
            what,
        }
    }

    fn paths(tree: &Tree) -> Vec<String> {
        tree.walk()
            .map(|found| found.path.to_string_lossy().into_owned())
            .collect()
    }

    fn lower() -> Tree {
        let mut tree = Tree::new();
        let changes = [
            change("d", directory(0o700)),
            change("d/x", file("x")),
            change("d/y", file("y")),
            change("f", file("f")),
        ];
        tree.apply(&changes).unwrap();
        tree
    }

    #[test]
    fn follows_the_rules_of_layers() {
        let cases: &[(&str, &[Change], &[&str])] = &[
            ("whiteout", &[change("d/x", What::Whiteout)], &["d", "d/y", "f"]),
            ("whiteout of a directory", &[change("d", What::Whiteout)], &["f"]),
            (
                "whiteout of nothing",
                &[change("d/z", What::Whiteout)],
                &["d", "d/x", "d/y", "f"],
            ),
            (
                "opaque",
                &[change("d", What::Opaque), change("d/z", file(""))],
                &["d", "d/z", "f"],
            ),
            (
                "opaque after its entries",
                &[change("d/z", file("")), change("d", What::Opaque)],
                &["d", "d/z", "f"],
            ),
            (
                "whiteout after the entry",
                &[change("d/x", file("")), change("d/x", What::Whiteout)],
                &["d", "d/x", "d/y", "f"],
            ),
            (
                "directory over directory",
                &[change("d", directory(0o711))],
                &["d", "d/x", "d/y", "f"],
            ),
            ("file over directory", &[change("d", file(""))], &["d", "f"]),
            (
                "directory over file",
                &[change("f", directory(0)), change("f/g", file(""))],
                &["d", "d/x", "d/y", "f", "f/g"],
            ),
            (
                "below a file",
                &[change("f/g/h", file(""))],
                &["d", "d/x", "d/y", "f", "f/g", "f/g/h"],
            ),
            (
                "recreated",
                &[
                    change("d", What::Whiteout),
                    change("d", directory(0o700)),
                    change("d/z", file("")),
                ],
                &["d", "d/z", "f"],
            ),
            (
                "links",
                &[
                    change("a", What::HardLink("f".into())),
                    change("f", What::Whiteout),
                ],
                &[],
            ),
        ];
        for (name, changes, expected) in cases {
            let mut tree = lower();
            match tree.apply(changes) {
                Ok(()) => assert_eq!(paths(&tree), *expected, "{name}"),
                Err(error) => assert_eq!((*name, error), ("links", no_target("a", "f"))),
            }
        }
    }

    fn no_target(path: &str, target: &str) -> Error {
        Error::NoLinkTarget {
            path: path.into(),
            target: target.into(),
        }
    }

    #[test]
    fn implies_parents_and_keeps_what_is_known_of_them() {
        let mut tree = lower();
        tree.apply(&[change("d/n/f", file("")), change("o/f", file(""))])
            .unwrap();
        let mode = |path: &str| tree.get(path).unwrap().metadata.mode;
        assert_eq!((mode("d"), mode("d/n"), mode("o")), (0o700, 0o755, 0o755));
    }

    #[test]
    fn hard_links_are_one_inode() {
        let mut tree = lower();
        tree.apply(&[change("g", What::HardLink("f".into())), change("h", file("f"))])
            .unwrap();
        assert_eq!(tree.inode("f"), tree.inode("g"));
        assert_ne!(tree.inode("f"), tree.inode("h"));
        assert_eq!(
            tree.link("l", "d"),
            Err(Error::LinkToDirectory {
                path: "l".into(),
                target: "d".into()
            })
        );
    }

    #[test]
    fn refuses_what_is_no_path_in_it() {
        let mut tree = lower();
        for path in ["/f", "../f", "d/../f", "./f"] {
            let wrong = Err(Error::Unclean(PathBuf::from(path)));
            assert_eq!(tree.apply(&[change(path, file(""))]), wrong);
            assert_eq!(tree.apply(&[change(path, What::Whiteout)]), wrong);
        }
        assert_eq!(tree.apply(&[change("", file(""))]), Err(Error::Root));
        assert_eq!(tree.apply(&[change("", What::Whiteout)]), Err(Error::Root));
        assert_eq!(tree, lower());
    }

    #[test]
    fn clones_are_independent() {
        let tree = lower();
        let mut copy = tree.clone();
        copy.apply(&[change("d/x", What::Whiteout), change("d", directory(0))])
            .unwrap();
        assert_eq!(tree, lower());
        assert_ne!(copy, tree);
    }

    #[test]
    fn deep_trees_are_compared_and_dropped() {
        let deep = vec!["d"; 1000].join("/");
        let mut tree = lower();
        tree.apply(&[change(&deep, file(""))]).unwrap();
        let mut again = lower();
        again.apply(&crate::tree::diff(&again, &tree)).unwrap();
        assert_eq!(again, tree);
        assert_eq!(tree.resolve(&deep, true).unwrap().path, Path::new(&deep));
    }
}
