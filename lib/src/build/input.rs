//! What a build starts from: the context, the Containerfile and the ignore file.

use std::{
    fs,
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    Build, Context, Source,
    error::{At, BuildError, Problem},
    fetch::Fetched,
    stage::Text,
    tarball::Tarball,
};
use crate::{
    Digest, Hasher,
    containerfile::{Containerfile, Span, ignore::Ignore},
    layer::Limits,
    plan::key::prefixed,
    registry::without_password,
    store::Store,
    tree::{self, Filter, StatCache, Tree},
};

/// Names of a Containerfile, when none is given.
const NAMES: [&str; 2] = ["Containerfile", "Dockerfile"];

/// The Containerfile, and what goes with it.
pub(super) struct Input {
    pub parsed: Containerfile,
    pub text: Arc<Text>,
    /// The same for every build of the same file in the same place.
    pub identity: String,
}

/// Trees that COPY, ADD and mounts take from, apart from stages: scanned when first asked for.
pub(super) struct Sources {
    context: Context,
    ignore: Ignore,
    ignore_file: Option<String>,
    /// The index of a context that is a tar.
    tar: Option<Arc<Tarball>>,
    /// All tars that files are read from: the context, named contexts, checkouts, archives.
    tarballs: Mutex<Vec<Arc<Tarball>>>,
    store: Store,
    scanned: Mutex<Vec<(PathBuf, Scanned)>>,
}

/// Files of a context.
#[derive(Clone)]
pub(super) enum Files {
    Directory(Scanned),
    Tar(Arc<Tree>),
}

/// Files of a directory.
#[derive(Clone)]
pub(super) struct Scanned {
    /// Stands for the directory in the store.
    key: Digest,
    context: Arc<Mutex<tree::Context>>,
}

impl Input {
    /// Reads everything but the files of the context.
    pub fn read(
        options: &Build,
        store: &Store,
        fetched: Option<Fetched>,
    ) -> Result<(Self, Sources), BuildError> {
        let (tar, (file, bytes)) = match given(options, store, fetched)? {
            Given::Files(tar) => {
                let found = containerfile(options, tar.as_deref())?;
                (tar, found)
            }
            Given::Containerfile { name, bytes } => (None, (name, bytes)),
        };
        let source = text(&file, bytes)?;
        let parsed = Containerfile::parse(&source).map_err(|mistakes| {
            let whole = At {
                file: file.clone(),
                source: source.as_str().into(),
                span: 0..0,
            };
            BuildError::from(Problem::Syntax(mistakes)).at_place(|| whole)
        })?;
        let (ignore, ignore_file) = ignore(options, &file, tar.as_deref())?;
        let text = Text {
            source: parsed.source.clone(),
            escape: parsed.directives.escape,
            file: file.clone(),
        };
        let context = || format!("{:?}", options.context);
        let identity = format!("{} {file}", options.name.clone().unwrap_or_else(context));
        let tarballs = tar.iter().cloned().collect();
        let sources = Sources {
            context: options.context.clone(),
            ignore,
            ignore_file,
            tar,
            store: store.clone(),
            tarballs: Mutex::new(tarballs),
            scanned: Mutex::default(),
        };
        Ok((
            Self {
                parsed,
                text: Arc::new(text),
                identity,
            },
            sources,
        ))
    }

    /// A place in the file, for errors.
    pub fn at(&self, span: Span) -> At {
        At {
            file: self.text.file.clone(),
            source: self.text.source.clone(),
            span,
        }
    }

    /// The line of an offset, from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.text
            .source
            .bytes()
            .take(offset)
            .filter(|byte| *byte == b'\n')
            .count()
            + 1
    }
}

/// What the context turns out to be.
enum Given {
    /// Files; of a tar, if it is one.
    Files(Option<Arc<Tarball>>),
    /// No files, but a Containerfile.
    Containerfile { name: String, bytes: Vec<u8> },
}

fn given(options: &Build, store: &Store, fetched: Option<Fetched>) -> Result<Given, BuildError> {
    let wants_containerfile = matches!(options.containerfile, Source::Default);
    let tar = match &options.context {
        Context::Tar(path) => {
            let mut file = fs::File::open(path).map_err(Problem::io("read the context", path))?;
            let io = Problem::io("read the context", path);
            let head = head(&mut file).map_err(io)?;
            if head.is_empty() {
                // What was cut off before it began must not pass for a tar with nothing in it, which has an end at least.
                let error =
                    io::Error::new(io::ErrorKind::UnexpectedEof, "there is not even the end of a tar");
                return Err(Problem::io("read the context", path)(error).into());
            }
            let mut whole = Cursor::new(&head).chain(file);
            if wants_containerfile && is_text(&head) {
                let mut bytes = Vec::new();
                let io = Problem::io("read the Containerfile", path);
                whole.read_to_end(&mut bytes).map_err(io)?;
                let name = path.display().to_string();
                return Ok(Given::Containerfile { name, bytes });
            }
            let limits = options.context_limits.unwrap_or_else(Limits::from_environment);
            Some(Arc::new(Tarball::read_context(whole, limits, store)?))
        }
        Context::Directory(path) => {
            let metadata = fs::metadata(path).map_err(Problem::io("read", path))?;
            if !metadata.is_dir() {
                let error = io::Error::new(io::ErrorKind::NotADirectory, "it is not a directory");
                return Err(Problem::io("use as context", path)(error).into());
            }
            None
        }
        Context::Remote(url) => match fetched {
            Some(Fetched::Files(tar)) => Some(tar),
            Some(Fetched::File(file)) if wants_containerfile => {
                let path = file.path(store);
                let bytes = fs::read(&path).map_err(Problem::io("read", &path))?;
                let name = without_password(url);
                return Ok(Given::Containerfile { name, bytes });
            }
            _ => None,
        },
        Context::Empty => None,
    };
    match (&options.below, tar) {
        (Some(path), Some(tar)) => Ok(Given::Files(Some(Arc::new(tar.below(path)?)))),
        (_, tar) => Ok(Given::Files(tar)),
    }
}

/// As much as the first header of a tar.
const HEAD: u64 = 512;

fn head(file: &mut fs::File) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

/// Whether something begins as text does and no archive can: the header of a tar is padded with zeros, and what is
/// compressed is not UTF-8 for long.
fn is_text(head: &[u8]) -> bool {
    let ends_within_a_character = |error: std::str::Utf8Error| error.error_len().is_none();
    let is_utf8 = std::str::from_utf8(head).map_or_else(ends_within_a_character, |_| true);
    is_utf8 && !head.is_empty() && !head.contains(&0)
}

fn text(file: &str, bytes: Vec<u8>) -> Result<String, BuildError> {
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        Problem::NotText {
            place: file.to_owned(),
            offset,
        }
        .into()
    })
}

/// The Containerfile's name and bytes.
fn containerfile(options: &Build, tar: Option<&Tarball>) -> Result<(String, Vec<u8>), BuildError> {
    let read = |path: &Path| {
        let bytes = fs::read(path).map_err(Problem::io("read the Containerfile", path))?;
        Ok((path.display().to_string(), bytes))
    };
    match (&options.containerfile, &options.context) {
        (Source::Text(text), _) => Ok(("Containerfile".to_owned(), text.clone().into_bytes())),
        (Source::Path(path), _) => read(path),
        (Source::InContext(path), Context::Directory(directory)) => read(&directory.join(path)),
        (Source::InContext(path), Context::Remote(address)) if tar.is_none() => {
            Err(Problem::NoContainerfile {
                names: vec![path.display().to_string()],
                place: without_password(address),
            }
            .into())
        }
        (Source::InContext(path), _) => in_tar(tar, &[&path.to_string_lossy()]),
        (Source::Default, Context::Directory(directory)) => {
            let there = NAMES
                .iter()
                .map(|name| directory.join(name))
                .find(|path| path.exists());
            read(&there.ok_or_else(|| Problem::NoContainerfile {
                names: NAMES.map(str::to_owned).to_vec(),
                place: directory.display().to_string(),
            })?)
        }
        (Source::Default, _) => in_tar(tar, &NAMES),
    }
}

fn in_tar(tar: Option<&Tarball>, names: &[&str]) -> Result<(String, Vec<u8>), BuildError> {
    let found = names
        .iter()
        .find_map(|name| Some((*name, tar?.bytes(Path::new(name)).transpose()?)));
    match found {
        Some((name, bytes)) => Ok((name.to_owned(), bytes?)),
        None => Err(Problem::NoContainerfile {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            place: "the context".to_owned(),
        }
        .into()),
    }
}

/// The ignore file beats by its name: `<Containerfile>.dockerignore`, then `.containerignore`, then `.dockerignore`.
fn ignore(
    options: &Build,
    file: &str,
    tar: Option<&Tarball>,
) -> Result<(Ignore, Option<String>), BuildError> {
    let beside = format!("{file}.dockerignore");
    let in_context = |name: &str| -> Result<Option<(String, Vec<u8>)>, BuildError> {
        match (&options.context, tar) {
            (Context::Directory(directory), _) => {
                let path = directory.join(name);
                match fs::read(&path) {
                    Ok(bytes) => Ok(Some((path.display().to_string(), bytes))),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(Problem::io("read", path)(error).into()),
                }
            }
            (_, Some(tar)) => Ok(tar.bytes(Path::new(name))?.map(|bytes| (name.to_owned(), bytes))),
            _ => Ok(None),
        }
    };
    let own = match (&options.containerfile, tar) {
        (Source::Text(_), _) => None,
        // Beside the Containerfile in the tar, and not beside one of this machine.
        (Source::Default | Source::InContext(_), Some(_)) => in_context(&beside)?,
        _ => fs::read(&beside).ok().map(|bytes| (beside.clone(), bytes)),
    };
    let found = match own {
        Some(own) => Some(own),
        None => match in_context(".containerignore")? {
            Some(found) => Some(found),
            None => in_context(".dockerignore")?,
        },
    };
    let Some((name, bytes)) = found else {
        return Ok((Ignore::default(), None));
    };
    let ignore = Ignore::parse(&text(&name, bytes)?).map_err(|error| Problem::IgnoreFile {
        file: name.clone(),
        message: error.to_string(),
    })?;
    Ok((ignore, Some(name)))
}

/// Leaves out what an ignore file names.
struct Hidden<'a>(&'a Ignore);

impl Filter for Hidden<'_> {
    fn skips(&self, path: &Path) -> bool {
        self.0.matches(path)
    }

    fn may_descend(&self, directory: &Path) -> bool {
        self.0.may_descend(directory)
    }
}

impl Sources {
    /// The files of the build context.
    pub fn context(&self) -> Result<Files, BuildError> {
        match (&self.context, &self.tar) {
            (Context::Directory(directory), _) => self.directory(directory, &self.ignore),
            (_, Some(tar)) => {
                let mut tree = tar.tree()?;
                let hidden: Vec<PathBuf> = tree
                    .walk()
                    .map(|walked| walked.path)
                    .filter(|path| self.hides(path, &tree))
                    .collect();
                for path in hidden {
                    tree.remove(path)?;
                }
                Ok(Files::Tar(Arc::new(tree)))
            }
            _ => Ok(Files::Tar(Arc::new(Tree::new()))),
        }
    }

    /// Whether the ignore file hides a path, and everything below it.
    fn hides(&self, path: &Path, tree: &Tree) -> bool {
        let is_directory = tree
            .get(path)
            .is_some_and(|node| matches!(node.kind, tree::Kind::Directory));
        self.ignore.matches(path) && !(is_directory && self.ignore.may_descend(path))
    }

    /// What the ignore file of the context leaves out.
    pub fn ignore(&self) -> &Ignore {
        &self.ignore
    }

    /// Keeps a tar at hand, as files of it are about to be used.
    pub fn know(&self, tar: &Arc<Tarball>) {
        let mut known = self.tarballs.lock().unwrap_or_else(PoisonError::into_inner);
        known.push(tar.clone());
    }

    /// The tar with this digest.
    pub fn tarball(&self, digest: &Digest) -> Option<Arc<Tarball>> {
        let known = self.tarballs.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|tar| tar.index.diff_id == *digest).cloned()
    }

    /// The files of a directory that has a name of its own.
    pub fn named(&self, directory: &Path) -> Result<Files, BuildError> {
        let read = fs::read_to_string(directory.join(".dockerignore")).unwrap_or_default();
        let ignore = Ignore::parse(&read).map_err(|error| Problem::IgnoreFile {
            file: directory.join(".dockerignore").display().to_string(),
            message: error.to_string(),
        })?;
        self.directory(directory, &ignore)
    }

    fn directory(&self, directory: &Path, ignore: &Ignore) -> Result<Files, BuildError> {
        let mut scanned = self.scanned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = scanned.iter().find(|(known, _)| known == directory) {
            return Ok(Files::Directory(known.clone()));
        }
        let key = context_key(directory);
        let cache = StatCache::load(&self.cache_file(&key));
        let context = tree::Context::scan(directory, &Hidden(ignore), cache)?;
        let context = Arc::new(Mutex::new(context));
        let files = Scanned { key, context };
        scanned.push((directory.to_owned(), files.clone()));
        Ok(Files::Directory(files))
    }

    /// Remembers the digests of files for the next build.
    pub fn save(&self) -> Result<(), BuildError> {
        for (_, scanned) in self.scanned.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let file = self.cache_file(&scanned.key);
            let saved = scanned.context().save_cache(&file);
            saved.map_err(Problem::io("write", &file))?;
        }
        Ok(())
    }

    fn cache_file(&self, key: &Digest) -> PathBuf {
        self.store.root().join("contexts").join(key.hex())
    }

    /// Which ignore file hides a path that is on disk, if one does.
    pub fn hidden_by(&self, path: &Path) -> Option<String> {
        let Context::Directory(directory) = &self.context else {
            return None;
        };
        let there = directory.join(path).symlink_metadata().is_ok();
        self.ignore_file
            .clone()
            .filter(|_| there && self.ignore.matches(path))
    }

    /// The context in words.
    pub fn describe(&self) -> String {
        match &self.context {
            Context::Directory(directory) => format!("the context {}", directory.display()),
            Context::Tar(path) => format!("the context {}", path.display()),
            Context::Remote(address) => format!("the context {}", without_password(address)),
            Context::Empty => "the context, which is empty".to_owned(),
        }
    }
}

fn context_key(directory: &Path) -> Digest {
    let absolute = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    let mut hasher = Hasher::new();
    prefixed(&mut hasher, b"rbuild context 1");
    prefixed(&mut hasher, absolute.as_os_str().as_encoded_bytes());
    hasher.finish()
}

impl Scanned {
    fn context(&self) -> MutexGuard<'_, tree::Context> {
        self.context.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    /// For files of a directory: what stands for that, and a stamp of what is there now (see [`tree::Context::stamp`]).
    pub fn stamp(&self) -> Option<(Digest, Digest)> {
        match self {
            Self::Directory(scanned) => Some((scanned.key, scanned.context().stamp()?)),
            Self::Tar(_) => None,
        }
    }

    /// Calls `look` with the tree.
    pub fn with_tree<T>(&self, look: impl FnOnce(&Tree) -> T) -> T {
        match self {
            Self::Directory(scanned) => look(scanned.context().tree()),
            Self::Tar(tree) => look(tree),
        }
    }

    /// The tree, with digests of all files at and below these paths.
    pub fn digested(&self, paths: &[PathBuf]) -> Result<Tree, BuildError> {
        match self {
            Self::Directory(scanned) => {
                let mut context = scanned.context();
                context.digest(paths)?;
                Ok(context.tree().clone())
            }
            Self::Tar(tree) => Ok((**tree).clone()),
        }
    }
}
