//! The processes of a run, and what each believes of itself.

use std::{
    collections::HashMap,
    fs,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use rbuild_sys::Memory;
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
};

use super::Who;

/// A process of the run, with all its threads. What changes is behind locks of its own, none of which is held while
/// another one is taken.
#[derive(Debug)]
pub(crate) struct Process {
    /// Its number, here and there.
    pub id: i32,
    state: Mutex<State>,
}

/// What a child inherits. The kernel's own copies of these mean nothing: they are answered from here.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub who: Arc<Who>,
    pub umask: u32,
    /// The working directory, opened with `O_PATH`.
    pub directory: Arc<OwnedFd>,
    /// The root directory, if it is not that of the run.
    pub root: Option<Arc<OwnedFd>>,
    /// The program, as a path in the root of the run.
    pub program: Arc<[u8]>,
    /// What has loaded it, likewise; empty for static programs.
    pub loader: Arc<[u8]>,
    /// Where in its memory the path of the next program is put.
    pub place: u64,
}

impl Process {
    fn new(id: i32, state: State) -> Self {
        Self {
            id,
            state: Mutex::new(state),
        }
    }

    /// Not to be held while anything else is waited for.
    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub fn who(&self) -> Arc<Who> {
        Arc::clone(&self.state().who)
    }

    pub fn umask(&self) -> u32 {
        self.state().umask
    }

    /// The working directory.
    pub fn directory(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.state().directory)
    }

    /// The root directory, if it is not that of the run.
    pub fn root(&self) -> Option<Arc<OwnedFd>> {
        self.state().root.clone()
    }

    /// Where in its memory the path of the next program is put.
    pub fn place(&self) -> u64 {
        self.state().place
    }

    /// What a child of it begins with.
    pub fn inherited(&self) -> State {
        self.state().clone()
    }

    /// The program that it runs, as a path in the root of the run.
    pub fn program(&self) -> Arc<[u8]> {
        Arc::clone(&self.state().program)
    }

    /// What has loaded its program, as a path in the root of the run.
    pub fn loader(&self) -> Arc<[u8]> {
        Arc::clone(&self.state().loader)
    }
}

/// All processes of a run, by the numbers of their threads. Only the tracer changes it: a thread is in here before it
/// makes its first system call, until it has ended.
#[derive(Debug, Default)]
pub(crate) struct Family {
    threads: Mutex<HashMap<i32, Arc<Process>>>,
    first: OnceLock<i32>,
    kept: Mutex<Kept>,
}

/// What is kept open of some threads that asked lately.
///
/// Whatever is in here was opened by the number of a thread while this was locked, and it is forgotten when the number
/// comes to mean a new thread, and when the thread comes to have other memory: always before that makes a call. So it
/// is of the very thread that asks.
#[derive(Debug, Default)]
struct Kept {
    /// Where their descriptors are found.
    tables: HashMap<i32, Arc<OwnedFd>>,
    memories: HashMap<i32, Arc<Memory>>,
}

/// More of each are not kept open: several runs share what one process may open.
const MOST_KEPT: usize = 32;

impl Family {
    /// The process that a thread belongs to.
    pub fn of(&self, thread: i32) -> Option<Arc<Process>> {
        lock(&self.threads).get(&thread).cloned()
    }

    /// A process by its own number.
    pub fn process(&self, id: i32) -> Option<Arc<Process>> {
        self.of(id).filter(|process| process.id == id)
    }

    /// All processes, each once.
    pub fn processes(&self) -> Vec<Arc<Process>> {
        let threads = lock(&self.threads);
        let leaders = threads.iter().filter(|(thread, process)| **thread == process.id);
        leaders.map(|(_, process)| Arc::clone(process)).collect()
    }

    /// The process that all others come from.
    pub fn first(&self) -> Option<i32> {
        self.first.get().copied()
    }

    /// The directory in the machine's `/proc` with the descriptors of a thread. It is of this very thread for ever,
    /// whatever its number comes to mean.
    pub fn descriptors(&self, thread: i32) -> Result<Arc<OwnedFd>, Errno> {
        let tables = &mut lock(&self.kept).tables;
        if let Some(table) = tables.get(&thread) {
            return Ok(Arc::clone(table));
        }
        if tables.len() >= MOST_KEPT {
            tables.clear();
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let table = Arc::new(openat(CWD, format!("/proc/{thread}/fd"), flags, Mode::empty())?);
        tables.insert(thread, Arc::clone(&table));
        Ok(table)
    }

    /// The memory of a thread.
    pub fn memory(&self, thread: i32) -> Arc<Memory> {
        let memories = &mut lock(&self.kept).memories;
        if let Some(memory) = memories.get(&thread) {
            return Arc::clone(memory);
        }
        if memories.len() >= MOST_KEPT {
            memories.clear();
        }
        let memory = Arc::new(Memory::of(thread));
        memories.insert(thread, Arc::clone(&memory));
        memory
    }

    /// A thread has other memory now, or is another one.
    pub fn renew(&self, thread: i32) {
        let mut kept = lock(&self.kept);
        kept.tables.remove(&thread);
        kept.memories.remove(&thread);
    }

    /// The links in the machine's `/proc` to everything that any thread has open.
    pub fn open_files(&self) -> Vec<PathBuf> {
        let tables = self
            .threads()
            .into_iter()
            .map(|thread| format!("/proc/{thread}/fd"));
        let entries = tables.flat_map(|table| fs::read_dir(table).into_iter().flatten());
        entries.flatten().map(|entry| entry.path()).collect()
    }

    /// A new process of one thread.
    pub fn begin(&self, id: i32, state: State) -> Arc<Process> {
        self.renew(id);
        self.first.get_or_init(|| id);
        let process = Arc::new(Process::new(id, state));
        lock(&self.threads).insert(id, Arc::clone(&process));
        process
    }

    /// A new thread of a process.
    pub fn add(&self, thread: i32, process: &Arc<Process>) {
        self.renew(thread);
        lock(&self.threads).insert(thread, Arc::clone(process));
    }

    /// A thread has ended.
    pub fn remove(&self, thread: i32) {
        self.renew(thread);
        lock(&self.threads).remove(&thread);
    }

    /// Numbers of all threads.
    pub fn threads(&self) -> Vec<i32> {
        lock(&self.threads).keys().copied().collect()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
