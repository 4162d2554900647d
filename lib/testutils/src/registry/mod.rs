//! A registry in this process, on a port of the loopback interface, for tests of what talks to one.
//!
//! It speaks the whole protocol that clients use (OCI distribution-spec), counts what it is asked, and can be told to misbehave.
//!
//! - `http`: requests and answers on the wire
//! - `api`: what the requests mean
//! - `content`: repositories, blobs, manifests, uploads
//! - `auth`: Basic and token login
//! - `fault`: ways to misbehave

mod api;
mod auth;
mod content;
mod fault;
pub(crate) mod http;

use std::{
    collections::HashMap,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

pub use auth::Auth;
pub use content::digest;
pub use fault::Fault;
pub(crate) use http::pairs;

use content::Content;

/// The kinds of requests, for counting and for faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `GET /v2/`
    Ping,
    /// To the token server.
    Token,
    /// `HEAD` of a blob.
    BlobHead,
    /// `GET` of a blob, or of a part of it.
    BlobGet,
    /// `POST` that begins an upload.
    UploadStart,
    /// `POST` that asks for a mount.
    Mount,
    /// `PATCH` with a part of a blob.
    UploadChunk,
    /// `PUT` that ends an upload, with or without bytes.
    UploadFinish,
    /// `DELETE` of an upload.
    UploadCancel,
    /// `GET` of the state of an upload.
    UploadStatus,
    /// `HEAD` of a manifest.
    ManifestHead,
    /// `GET` of a manifest.
    ManifestGet,
    /// `PUT` of a manifest.
    ManifestPut,
    /// `DELETE` of a manifest.
    ManifestDelete,
    /// `DELETE` of a blob.
    BlobDelete,
    /// The list of tags.
    Tags,
    /// The list of manifests that refer to one.
    Referrers,
    /// Nothing that the protocol knows.
    Other,
}

/// One request that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it asked for.
    pub kind: Kind,
    /// The repository, empty where there is none.
    pub repository: String,
    /// The digest or tag, empty where there is none.
    pub name: String,
    /// The status of the answer.
    pub status: u16,
    /// Bytes of the request's body.
    pub received: usize,
    /// Bytes of the answer's body, as far as they were sent.
    pub sent: usize,
}

/// A running registry; it ends when this is dropped.
pub struct TestRegistry {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    content: Mutex<Content>,
    auth: Mutex<auth::State>,
    faults: Mutex<Vec<fault::Rule>>,
    seen: Mutex<Vec<Seen>>,
    connections: Mutex<HashMap<u64, TcpStream>>,
    next: AtomicU64,
    mounts: AtomicBool,
    stopped: AtomicBool,
}

impl TestRegistry {
    /// A registry that lets everyone in.
    pub fn start() -> Self {
        Self::with_auth(Auth::None)
    }

    /// A registry that wants a login.
    pub fn with_auth(auth: Auth) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on 127.0.0.1");
        let address = listener.local_addr().expect("the address of a bound socket");
        let shared = Arc::new(Shared {
            content: Mutex::default(),
            auth: Mutex::new(auth::State::new(auth, address)),
            faults: Mutex::default(),
            seen: Mutex::default(),
            connections: Mutex::default(),
            next: AtomicU64::new(0),
            mounts: AtomicBool::new(true),
            stopped: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &of_thread));
        Self { address, shared }
    }

    /// `127.0.0.1:PORT`, to put before a repository.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Misbehaves in this way at each of the next `times` requests of this kind.
    pub fn fault(&self, kind: Kind, times: usize, fault: Fault) {
        lock(&self.shared.faults).push(fault::Rule {
            kind,
            left: times,
            fault,
        });
    }

    /// Misbehaves no more.
    pub fn behave(&self) {
        lock(&self.shared.faults).clear();
    }

    /// From now on, mounts are answered with an ordinary upload (202), as registries may.
    pub fn refuse_mounts(&self) {
        self.shared.mounts.store(false, Ordering::Relaxed);
    }

    /// All tokens given out so far are no longer good.
    pub fn expire_tokens(&self) {
        lock(&self.shared.auth).expire();
    }

    /// All requests so far, in the order of their answers.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        lock(&self.shared.seen).clear();
    }

    /// How many requests of a kind there were.
    pub fn count(&self, kind: Kind) -> usize {
        lock(&self.shared.seen)
            .iter()
            .filter(|seen| seen.kind == kind)
            .count()
    }

    /// How many bytes of blobs were sent to clients.
    pub fn blob_bytes_sent(&self) -> usize {
        lock(&self.shared.seen)
            .iter()
            .filter(|seen| seen.kind == Kind::BlobGet)
            .map(|seen| seen.sent)
            .sum()
    }

    /// How many bytes went either way in bodies.
    pub fn bytes_moved(&self) -> usize {
        lock(&self.shared.seen)
            .iter()
            .map(|seen| seen.received + seen.sent)
            .sum()
    }

    /// Puts a blob into a repository, and says its digest.
    pub fn put_blob(&self, repository: &str, bytes: &[u8]) -> String {
        lock(&self.shared.content).put_blob(repository, bytes.to_vec())
    }

    /// Puts bytes into a repository under a digest that they need not have: for blobs that nobody should ask for, and lies.
    pub fn put_blob_as(&self, repository: &str, digest: &str, bytes: &[u8]) {
        lock(&self.shared.content).put_blob_as(repository, digest, bytes.to_vec());
    }

    /// Puts a manifest into a repository, under a tag or its digest, unchecked.
    pub fn put_manifest(&self, repository: &str, name: &str, media_type: &str, bytes: &[u8]) -> String {
        lock(&self.shared.content).put_manifest(repository, name, media_type, bytes.to_vec())
    }

    /// A blob of a repository.
    pub fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        lock(&self.shared.content)
            .blob(repository, digest)
            .map(|bytes| bytes.to_vec())
    }

    /// A manifest of a repository, by tag or digest.
    pub fn manifest(&self, repository: &str, name: &str) -> Option<Vec<u8>> {
        lock(&self.shared.content)
            .manifest(repository, name)
            .map(|manifest| manifest.bytes.to_vec())
    }
}

impl Drop for TestRegistry {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then lets go of the port.
        drop(TcpStream::connect(self.address));
        for (_, connection) in lock(&self.shared.connections).drain() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for connection in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(connection) = connection else { continue };
        // A body must not wait until its header is acknowledged.
        let _ = connection.set_nodelay(true);
        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        if let Ok(copy) = connection.try_clone() {
            lock(&shared.connections).insert(id, copy);
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            http::serve(&connection, &shared);
            lock(&shared.connections).remove(&id);
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
