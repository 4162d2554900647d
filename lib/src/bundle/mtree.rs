//! Lists of what files are like: BSD's mtree(5), with the keywords that umoci's library has.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{OsStr, OsString},
    fmt::Write as _,
    fs::{self, File},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    Error,
    disk::{Found, Step},
    error::At,
    vis,
};
use crate::{Digest, Hasher};

/// What a file was like. What is absent was not written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub kind: Option<String>,
    pub size: Option<u64>,
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub link: Option<OsString>,
    pub mtime: Option<i64>,
    pub digest: Option<String>,
    pub xattrs: BTreeMap<OsString, Vec<u8>>,
}

/// The list of a directory.
pub(super) fn write(root: &Path, steps: &[Step]) -> Result<String, Error> {
    let mut text = String::from("#mtree\n");
    let (mut uid, mut gid) = (0, 0);
    for step in steps {
        match step {
            Step::Enter(found) if found.path.as_os_str().is_empty() => {
                (uid, gid) = (found.metadata.uid(), found.metadata.gid());
                let _ = writeln!(text, "# .\n/set type=file nlink=1 mode=0664 uid={uid} gid={gid}");
                text.push('.');
                keywords(&mut text, root, found, (uid, gid))?;
            }
            Step::Enter(found) => {
                let _ = write!(
                    text,
                    "\n# {}\n{}",
                    vis::encode(found.path.as_os_str().as_bytes()),
                    name(found)
                );
                keywords(&mut text, root, found, (uid, gid))?;
            }
            Step::File(found) => {
                let _ = write!(text, "    {}", name(found));
                keywords(&mut text, root, found, (uid, gid))?;
            }
            Step::Leave => text.push_str("..\n"),
        }
    }
    Ok(text)
}

fn name(found: &Found) -> String {
    vis::encode(found.path.file_name().unwrap_or_default().as_bytes())
}

fn keywords(text: &mut String, root: &Path, found: &Found, set: (u32, u32)) -> Result<(), Error> {
    let metadata = &found.metadata;
    let _ = write!(text, " size={}", metadata.size());
    match found.kind() {
        Some("file") | None => {}
        Some(kind) => _ = write!(text, " type={kind}"),
    }
    if metadata.uid() != set.0 {
        let _ = write!(text, " uid={}", metadata.uid());
    }
    if metadata.gid() != set.1 {
        let _ = write!(text, " gid={}", metadata.gid());
    }
    // As umoci's library writes it, which compares the text.
    let _ = match found.mode() {
        0 => write!(text, " mode=0"),
        mode => write!(text, " mode=0{mode:o}"),
    };
    if metadata.nlink() != 1 {
        let _ = write!(text, " nlink={}", metadata.nlink());
    }
    if let Some(link) = &found.link {
        let _ = write!(text, " link={}", vis::encode(link.as_bytes()));
    }
    let _ = write!(text, " tar_time={}.000000000", metadata.mtime());
    if metadata.is_file() {
        let _ = write!(text, " sha256digest={}", digest(&root.join(&found.path))?.hex());
    }
    for (name, value) in &found.xattrs {
        let name = vis::encode(name.as_bytes());
        let _ = write!(text, " xattr.{name}={}", BASE64_STANDARD.encode(value));
    }
    text.push('\n');
    Ok(())
}

/// The digest of a file of this machine.
pub(super) fn digest(path: &Path) -> Result<Digest, Error> {
    let mut file = File::open(path).at("cannot open", path)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match std::io::Read::read(&mut file, &mut buffer).at("cannot read", path)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// Reads a list: what each path was like.
pub(super) fn read(path: &Path) -> Result<HashMap<PathBuf, Entry>, Error> {
    let text = fs::read_to_string(path).at("cannot read", path)?;
    let not = |line: &str| Error::NotABundle {
        path: path.to_owned(),
        why: format!("{line:?} is no line of a list of files"),
    };
    parse(&text).map_err(|line| not(&line))
}

/// Reads the text of a list; the line that is none, if there is one.
pub(super) fn parse(text: &str) -> Result<HashMap<PathBuf, Entry>, String> {
    let mut entries = HashMap::new();
    let mut defaults = Entry::default();
    let mut directory = PathBuf::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut line = line.trim().to_owned();
        // A line goes on after a backslash.
        while line.ends_with('\\') {
            line.pop();
            line += lines.next().unwrap_or_default().trim();
        }
        let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
        match first {
            "" => {}
            comment if comment.starts_with('#') => {}
            "/set" => set(&mut defaults, rest).ok_or(line.clone())?,
            "/unset" => defaults = Entry::default(),
            ".." => _ = directory.pop(),
            name => {
                let mut entry = defaults.clone();
                set(&mut entry, rest).ok_or(line.clone())?;
                let name = vis::decode(name).map(OsString::from_vec).ok_or(line.clone())?;
                let path = place(&directory, &name).ok_or(line.clone())?;
                if entry.kind.as_deref() == Some("dir") && !name.as_bytes().contains(&b'/') {
                    directory.clone_from(&path);
                }
                entries.insert(path, entry);
            }
        }
    }
    Ok(entries)
}

/// A name with a slash is a path from the root, any other is in the directory around it.
fn place(directory: &Path, name: &OsStr) -> Option<PathBuf> {
    let parts = Path::new(name).components();
    let mut path = match name.as_bytes().contains(&b'/') {
        true => PathBuf::new(),
        false => directory.to_owned(),
    };
    for part in parts {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::Normal(name) => path.push(name),
            _ => return None,
        }
    }
    Some(path)
}

fn set(entry: &mut Entry, keywords: &str) -> Option<()> {
    for word in keywords.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "type" => entry.kind = Some(value.to_owned()),
            "size" => entry.size = Some(value.parse().ok()?),
            "mode" => entry.mode = Some(u32::from_str_radix(value, 8).ok()?),
            "uid" => entry.uid = Some(value.parse().ok()?),
            "gid" => entry.gid = Some(value.parse().ok()?),
            "link" => entry.link = Some(OsString::from_vec(vis::decode(value)?)),
            "time" | "tar_time" => entry.mtime = Some(value.split('.').next()?.parse().ok()?),
            "sha256digest" | "sha256" => entry.digest = Some(value.to_owned()),
            _ => {
                if let Some(name) = key.strip_prefix("xattr.").or_else(|| key.strip_prefix("xattrs.")) {
                    let value = BASE64_STANDARD.decode(value).ok()?;
                    entry.xattrs.insert(OsString::from_vec(vis::decode(name)?), value);
                }
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_others_are_read() {
        let text = "#mtree\n/set type=file uid=1 mode=0664\n. type=dir mode=0755\n    a\\040b size=3 \\\n  mode=0600\n\
            # d\nd type=dir mode=0700\n    l type=link link=x\\sy tar_time=12.000000000 xattr.user.k=dg==\n..\n    z\n./d/full uid=9\n..\n";
        let entries = parse(text).unwrap();
        let of = |path: &str| entries[Path::new(path)].clone();
        assert_eq!(
            (of("").mode, of("a b").mode, of("a b").size),
            (Some(0o755), Some(0o600), Some(3))
        );
        assert_eq!(
            (of("d/l").link, of("d/l").mtime, of("d/l").uid),
            (Some("x y".into()), Some(12), Some(1))
        );
        assert_eq!(of("d/l").xattrs[OsStr::new("user.k")], b"v");
        assert_eq!(
            (of("z").kind.as_deref(), of("d/full").uid),
            (Some("file"), Some(9))
        );
        for wrong in ["a mode=9", "a size=x", "a xattr.x=*", "a/../../b"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
