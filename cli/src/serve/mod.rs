//! `rbuild serve`: a machine that builds for others, as OpenRun's delegated builds want it.
//!
//! A request is a whole build: it is let in, gets a seat, is received, waits for its turn, is built and pushed, and then
//! answered. Nothing is kept of it but what the store caches, so any number of such machines can stand behind a load
//! balancer.
//!
//! - `http`: connections and requests; `answer`: what goes out
//! - `upload`: a request's body; `multipart`: its parts; `order`: what they ask for; `access`: how to talk to registries
//! - `queue`: how many builds there may be; `job`: one of them
//! - `log`: what builds say; `metrics`: counts

mod access;
mod answer;
mod http;
mod job;
mod log;
mod metrics;
mod multipart;
mod order;
mod queue;
mod upload;

use std::{
    env, fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use rbuild::{Build, exec::Isolation, registry::Chain, store::Store};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    cli::Serve,
    command::{session::Session, shared::run_async},
    interrupt::Watch,
    options::{CacheFrom, CacheTo},
    report::Outcome,
};
use access::Files;
use log::Logs;
use metrics::Metrics;
use queue::Queue;

/// The variable with the token.
const TOKEN: &str = "RBUILD_SERVE_TOKEN";
/// Nothing may come of a body for so long.
const SILENCE: Duration = Duration::from_secs(60);

/// Everything that requests share.
struct Server {
    token: String,
    store: Store,
    session: Session,
    /// Our own, for base images and caches.
    logins: Arc<Chain>,
    files: Files,
    isolation: Isolation,
    caches: Vec<Cache>,
    limits: Limits,
    queue: Queue,
    logs: Logs,
    metrics: Metrics,
    draining: AtomicBool,
    builds: AtomicU64,
}

/// Tells a build of a cache.
type Cache = Box<dyn Fn(Build) -> Build + Send + Sync>;

/// What a request may take.
struct Limits {
    /// Bytes of a context as it comes.
    context: u64,
    /// Bytes of its tar.
    unpacked: u64,
    /// Of a build.
    time: Duration,
    /// Between two pieces of a body.
    silence: Duration,
    /// Bytes of the store when nobody is at work.
    store: Option<u64>,
}

/// Serves until a signal comes, and then until the last build has ended.
pub fn run(options: &Serve, session: Session) -> Outcome {
    let server = Arc::new(Server::new(options, session)?);
    run_async(serve(server, &options.listen))
}

async fn serve(server: Arc<Server>, listen: &str) -> Outcome {
    let listener = TcpListener::bind(listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr().context("cannot listen")?;
    let (draining, mut told) = watch::channel(false);
    let watch = Watch::start(move || _ = draining.send(true), || {})?;
    let (close, closing) = watch::channel(false);
    let accepting = tokio::spawn(http::accept(listener, server.clone(), closing));
    server.say(&format!("listening on http://{address}"));
    // The sender lives as long as the watch.
    let _ = told.wait_for(|told| *told).await;
    server.draining.store(true, Ordering::SeqCst);
    let (running, waiting) = server.queue.counts();
    server.say(&format!("draining: {} builds are left", running + waiting));
    server.queue.close().await;
    let _ = close.send(true);
    accepting.await.context("a thread died")?;
    drop(watch);
    Ok(())
}

impl Server {
    fn new(options: &Serve, session: Session) -> Result<Self> {
        let token = token(options)?;
        session.check_creds()?;
        let processors = || thread::available_parallelism().unwrap_or(std::num::NonZeroUsize::MIN);
        Ok(Self {
            token,
            store: session.store()?,
            logins: Arc::new(session.keychain()?),
            session,
            files: Files::new(options.registry_files.as_deref())?,
            isolation: options.isolation.into(),
            caches: caches(options),
            limits: Limits {
                context: options.max_context_bytes.0,
                unpacked: options.max_unpacked_bytes.0,
                time: options.timeout.0,
                silence: SILENCE,
                store: options.keep_bytes.map(|size| size.0),
            },
            queue: Queue::new(options.jobs.unwrap_or_else(processors), options.queue),
            logs: Logs::default(),
            metrics: Metrics::default(),
            draining: AtomicBool::new(false),
            builds: AtomicU64::new(0),
        })
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// A name for a build that is no other's here.
    fn next_id(&self) -> String {
        let number = self.builds.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number}", std::process::id())
    }

    /// A line for whoever runs this.
    fn say(&self, line: &str) {
        // What a caller sent may be in it.
        let harmless: String = line
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        eprintln!("{harmless}");
    }
}

/// Nobody is let in without a token, so there must be one.
fn token(options: &Serve) -> Result<String> {
    let token = match &options.token_file {
        Some(file) => fs::read_to_string(file)
            .with_context(|| format!("cannot read the token from {}", file.display()))?,
        None => match env::var(TOKEN) {
            Ok(token) => token,
            Err(_) => bail!("there is no token that callers could show: give --token-file, or set {TOKEN}"),
        },
    };
    let token = token.trim().to_owned();
    ensure!(!token.is_empty(), "the token is empty");
    Ok(token)
}

fn caches(options: &Serve) -> Vec<Cache> {
    let from = options.cache_from.iter().map(|CacheFrom(place)| {
        let place = place.clone();
        Box::new(move |build: Build| build.cache_from(place.clone())) as Cache
    });
    let to = options.cache_to.iter().map(|CacheTo(place, mode)| {
        let (place, mode) = (place.clone(), *mode);
        Box::new(move |build: Build| build.cache_to(place.clone(), mode)) as Cache
    });
    from.chain(to).collect()
}
