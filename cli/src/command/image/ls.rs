//! `rbuild ls`

use std::path::{Path, PathBuf};

use anyhow::Result;
use rbuild::{
    inspect::{Error, Files},
    tree::{Kind, Node},
};

use super::find::{find, platform_or_host};
use crate::{
    cli::Ls,
    command::{
        session::Session,
        shared::{print, table},
    },
};

/// Lists a directory, or names a file.
pub async fn run(options: &Ls, session: &Session) -> Result<()> {
    let platform = platform_or_host(options.platform.as_ref());
    let found = find(&options.image, session).await?;
    let source = found.open(&platform).await?;
    let image = source.image(&platform).await?;
    let files = source.files(&image, found.store.as_ref()).await?;
    let listed = list(&files, &options.path, options.recursive)?;
    print(&table(
        &listed
            .iter()
            .map(|(path, node)| row(path, node))
            .collect::<Vec<_>>(),
    ))
}

/// What is in a directory, by names in it; a file by its own name.
fn list<'a>(files: &'a Files, path: &Path, recursive: bool) -> Result<Vec<(PathBuf, &'a Node)>> {
    let tree = files.tree();
    let found = tree.resolve(path, true)?;
    let Some(node) = found.node else {
        return Err(Error::Missing { path: found.path }.into());
    };
    if node.kind != Kind::Directory {
        let name = path.file_name().map_or_else(|| path.to_owned(), PathBuf::from);
        return Ok(vec![(name, node)]);
    }
    if !recursive {
        let children = tree.children(&found.path);
        return Ok(children.map(|(name, node)| (PathBuf::from(name), node)).collect());
    }
    let below = tree.walk().filter_map(|entry| {
        let name = entry.path.strip_prefix(&found.path).ok()?.to_owned();
        Some((name, tree.get(&entry.path)?)).filter(|(name, _)| !name.as_os_str().is_empty())
    });
    Ok(below.collect())
}

/// As `ls -ln` has it.
fn row(path: &Path, node: &Node) -> [String; 5] {
    let metadata = &node.metadata;
    let size = match &node.kind {
        Kind::File(content) => content.size.to_string(),
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => format!("{major},{minor}"),
        _ => "-".to_owned(),
    };
    let mut name = path.display().to_string();
    if let Kind::Symlink(target) = &node.kind {
        name = format!("{name} -> {}", target.display());
    }
    [
        mode(node),
        format!("{}:{}", metadata.uid, metadata.gid),
        size,
        minute(metadata.mtime),
        harmless(&name),
    ]
}

/// Names in images are not to be trusted with a terminal.
fn harmless(name: &str) -> String {
    let escape = |c: char| match c.is_control() {
        true => c.escape_default().collect(),
        false => c.to_string(),
    };
    name.chars().map(escape).collect()
}

/// `-rwxr-xr-x`.
fn mode(node: &Node) -> String {
    let kind = match node.kind {
        Kind::File(_) => '-',
        Kind::Directory => 'd',
        Kind::Symlink(_) => 'l',
        Kind::Fifo => 'p',
        Kind::CharDevice { .. } => 'c',
        Kind::BlockDevice { .. } => 'b',
    };
    let mode = node.metadata.mode;
    let bit = |mask: u32, shown: char| if mode & mask != 0 { shown } else { '-' };
    let run = |x: u32, special: u32, both: char| match (mode & x != 0, mode & special != 0) {
        (true, true) => both,
        (false, true) => both.to_ascii_uppercase(),
        (true, false) => 'x',
        (false, false) => '-',
    };
    let letters = [
        kind,
        bit(0o400, 'r'),
        bit(0o200, 'w'),
        run(0o100, 0o4000, 's'),
        bit(0o040, 'r'),
        bit(0o020, 'w'),
        run(0o010, 0o2000, 's'),
        bit(0o004, 'r'),
        bit(0o002, 'w'),
        run(0o001, 0o1000, 't'),
    ];
    letters.iter().collect()
}

fn minute(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    time.strftime("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use rbuild::tree::Metadata;

    use super::*;

    #[test]
    fn modes_as_people_read_them() {
        for (kind, bits, expected) in [
            (Kind::Directory, 0o1777, "drwxrwxrwt"),
            (Kind::Fifo, 0o640, "prw-r-----"),
            (Kind::Directory, 0o2755, "drwxr-sr-x"),
            (Kind::Fifo, 0o4644, "prwSr--r--"),
            (Kind::CharDevice { major: 1, minor: 3 }, 0o666, "crw-rw-rw-"),
        ] {
            let metadata = Metadata {
                mode: bits,
                ..Metadata::default()
            };
            assert_eq!(mode(&Node { metadata, kind }), expected);
        }
    }

    #[test]
    fn names_do_not_reach_the_terminal_raw() {
        let node = Node {
            metadata: Metadata::default(),
            kind: Kind::Symlink("\x1b[2J".into()),
        };
        let row = row(Path::new("a\nb"), &node);
        assert_eq!(row[4], "a\\nb -> \\u{1b}[2J");
        assert_eq!(row[3], "1970-01-01 00:00");
    }
}
