//! What the kernel is given to execute.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io,
    os::{
        fd::AsRawFd,
        unix::{
            ffi::OsStrExt,
            fs::{FileExt, MetadataExt, OpenOptionsExt, symlink},
        },
    },
    path::{Path, PathBuf},
};

use super::elf::{self, Kind};

/// A directory of programs, each in a directory of its own as `f`, with symbolic links to it for all names that
/// threads should have.
#[derive(Debug)]
pub(crate) struct Copies {
    directory: PathBuf,
    /// The root of the run on this machine. What is in there can be executed where it is.
    root: PathBuf,
    known: HashMap<Key, Entry>,
    made: usize,
}

/// A file in one state, with the loader that it is to have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    file: State,
    loader: Option<State>,
}

/// Whoever changes a file changes this.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

#[derive(Debug)]
struct Entry {
    number: usize,
    identity: (u64, u64),
    names: HashSet<Vec<u8>>,
}

/// A program that the kernel can execute.
#[derive(Debug)]
pub(super) struct Executable {
    /// Seen from the directory.
    pub path: String,
    /// Device and inode.
    pub identity: (u64, u64),
}

impl Copies {
    /// An empty directory is used for copies.
    pub fn new(directory: PathBuf, root: PathBuf) -> Self {
        Self {
            directory,
            root,
            known: HashMap::new(),
            made: 0,
        }
    }

    /// What the kernel can execute in place of a file. `name` is what the thread will be called.
    pub(super) fn of(
        &mut self,
        file: &File,
        kind: &Kind,
        loader: Option<&File>,
        name: &[u8],
    ) -> io::Result<Executable> {
        let loader = loader.map(|loader| self.plain(loader)).transpose()?;
        let key = Key {
            file: State::of(file)?,
            loader: loader.as_ref().map(|(state, _)| state.clone()),
        };
        if !self.known.get(&key).is_some_and(|entry| self.is_there(entry)) {
            let entry = match (kind, &loader) {
                (Kind::Dynamic(dynamic), Some((_, loader))) => {
                    self.make(file, Some((dynamic.header, loader)))?
                }
                _ => self.link(file, &key.file).or_else(|_| self.make(file, None))?,
            };
            self.known.insert(key.clone(), entry);
        }
        let entry = self.known.get_mut(&key).ok_or(io::ErrorKind::NotFound)?;
        let directory = self.directory.join(entry.number.to_string());
        let name = named(entry, &directory, name)?;
        Ok(Executable {
            path: format!("{}/{name}", entry.number),
            identity: entry.identity,
        })
    }

    /// A loader as it is, and its path.
    fn plain(&mut self, loader: &File) -> io::Result<(State, String)> {
        let state = State::of(loader)?;
        let key = Key {
            file: state.clone(),
            loader: None,
        };
        if !self.known.get(&key).is_some_and(|entry| self.is_there(entry)) {
            let entry = self.make(loader, None)?;
            self.known.insert(key.clone(), entry);
        }
        let entry = self.known.get(&key).ok_or(io::ErrorKind::NotFound)?;
        Ok((state, format!("{}/f", entry.number)))
    }

    /// A link does not follow what it points to when that is renamed.
    fn is_there(&self, entry: &Entry) -> bool {
        let path = self.directory.join(format!("{}/f", entry.number));
        fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == entry.identity)
    }

    fn next(&mut self) -> io::Result<(usize, PathBuf)> {
        self.made += 1;
        let directory = self.directory.join(self.made.to_string());
        fs::create_dir(&directory)?;
        Ok((self.made, directory.join("f")))
    }

    /// A symbolic link to a file that needs no change, if it has a name.
    fn link(&mut self, file: &File, state: &State) -> io::Result<Entry> {
        let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        let found = fs::metadata(&path)?;
        let identity = (state.device, state.inode);
        if (found.dev(), found.ino()) != identity || !path.starts_with(&self.root) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (number, place) = self.next()?;
        symlink(path, place)?;
        Ok(Entry::new(number, identity))
    }

    /// A copy, with another loader if one is given: where its header is, and its path.
    fn make(&mut self, file: &File, loader: Option<(u64, &String)>) -> io::Result<Entry> {
        let (number, place) = self.next()?;
        // A child that is forked meanwhile would have the copy open for writing, which nobody can execute.
        let launching = rbuild_sys::launching();
        let copy = File::options()
            .write(true)
            .create_new(true)
            .mode(0o700)
            .open(place)?;
        let length = copy_all(file, &copy)?;
        if let Some((header, path)) = loader {
            let path = [path.as_bytes(), b"\0"].concat();
            copy.write_all_at(&path, length)?;
            for (at, bytes) in elf::renamed(length, path.len() as u64) {
                copy.write_all_at(&bytes, header + at)?;
            }
        }
        let found = copy.metadata()?;
        drop(copy);
        drop(launching);
        Ok(Entry::new(number, (found.dev(), found.ino())))
    }
}

impl Entry {
    fn new(number: usize, identity: (u64, u64)) -> Self {
        Self {
            number,
            identity,
            names: HashSet::new(),
        }
    }
}

impl State {
    fn of(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

/// The name of an entry's file that has these bytes, or its own if that does not work out.
fn named(entry: &mut Entry, directory: &Path, name: &[u8]) -> io::Result<String> {
    let Ok(text) = str::from_utf8(name) else {
        return Ok("f".to_owned());
    };
    if matches!(text, "" | "." | ".." | "f") {
        return Ok("f".to_owned());
    }
    if entry.names.insert(name.to_owned()) {
        match symlink("f", directory.join(std::ffi::OsStr::from_bytes(name))) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(text.to_owned())
}

/// Copies from the start of both, by the kernel if it can. Gives the length.
fn copy_all(from: &File, to: &File) -> io::Result<u64> {
    let mut at = 0;
    loop {
        let (mut from_at, mut to_at) = (at, at);
        let copied = rustix::fs::copy_file_range(from, Some(&mut from_at), to, Some(&mut to_at), 1 << 30);
        match copied {
            Ok(0) => return Ok(at),
            Ok(length) => at += length as u64,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => break,
        }
    }
    let mut chunk = vec![0; 1 << 18];
    loop {
        let length = from.read_at(&mut chunk, at)?;
        if length == 0 {
            return Ok(at);
        }
        to.write_all_at(chunk.get(..length).unwrap_or_default(), at)?;
        at += length as u64;
    }
}
