//! The stages that the target needs, side by side, each once.

use std::{
    borrow::Cow,
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::future::{BoxFuture, FutureExt, try_join_all};
use tokio::sync::OnceCell;

use super::{
    Build, Built, Context,
    base::Found,
    caches::{self, Caches, Doubts, Jobs},
    early::{Departures, Early},
    error::{At, BuildError, Problem},
    fetch::Fetcher,
    input::{Input, Sources},
    layers::Layers,
    once::Once,
    output,
    stage::{self, Stage},
    threads::Threads,
};
use crate::{
    containerfile::{self, Word},
    event::{Event, StepId},
    exec::{Cancel, Engine, ProbeConfig},
    image::Platform,
    plan::graph::Graph,
    registry::Registry,
    store::{Hold, Store},
};

/// What all stages of one build share.
pub(super) struct Shared {
    pub options: Build,
    pub store: Store,
    pub registry: Registry,
    pub input: Input,
    pub graph: Graph,
    /// `ARG`s before the first `FROM`, and those that every build has.
    pub globals: Globals,
    pub layers: Layers,
    pub caches: Caches,
    pub early: Early,
    pub sources: Sources,
    pub fetcher: Fetcher,
    /// Ends the processes of this build.
    pub cancel: Cancel,
    /// `SOURCE_DATE_EPOCH`, seconds since 1970.
    pub epoch: Option<i64>,
    /// Each holds this in turn: they are let go of at the end, or nothing here would ever be.
    stages: Mutex<Vec<StageCell>>,
    engine: OnceCell<Engine>,
    /// What names stand for in registries, by name and platform.
    pub pulled: Once<(String, String), Found>,
    next_step: Arc<AtomicUsize>,
    /// Nothing is deleted from the store meanwhile.
    _hold: Hold,
    pub threads: Threads,
}

type StageCell = Arc<OnceCell<Result<Arc<Stage>, BuildError>>>;

/// Arguments that no stage declared.
#[derive(Clone, Debug, Default)]
pub(super) struct Globals {
    /// From before the first `FROM`, with their values.
    pub declared: HashMap<String, Option<String>>,
    /// `TARGETPLATFORM` and its like.
    pub given: HashMap<String, String>,
}

/// Builds what the options say.
pub(super) async fn solve(options: Build, store: &Store, registry: &Registry) -> Result<Built, BuildError> {
    let outer = options.cancel.clone();
    let (threads, idle) = Threads::new()?;
    let mut guard = Guard {
        cancel: threads.cancel.clone(),
        done: false,
    };
    let result = {
        let work = attempts(options, store, registry, &threads);
        let cancelled = async {
            match &outer {
                Some(outer) => outer.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            result = work => result,
            () = cancelled => Err(Problem::Cancelled.into()),
        }
    };
    guard.done = result.is_ok();
    drop(guard);
    // What runs in other threads has been told to stop; the build ends when it has.
    threads.end(idle).await;
    result
}

/// Builds, and begins again when a cache did not have what it promised.
async fn attempts(
    options: Build,
    store: &Store,
    registry: &Registry,
    threads: &Threads,
) -> Result<Built, BuildError> {
    let doubts = Doubts::default();
    let next_step = Arc::new(AtomicUsize::new(0));
    loop {
        let before = doubts.count();
        let (caches, jobs) = Caches::new(&options, &doubts);
        let (early, departures) = Early::new(&options);
        let start = Start {
            options: options.clone(),
            caches,
            early,
            next_step: next_step.clone(),
        };
        match attempt(start, (jobs, departures), store, registry, threads.clone()).await {
            Err(_) if doubts.count() > before && !threads.cancel.is_cancelled() => {}
            result => return result,
        }
    }
}

/// Builds once, and writes to caches and registries meanwhile.
async fn attempt(
    start: Start,
    (jobs, departures): (Jobs, Departures),
    store: &Store,
    registry: &Registry,
    threads: Threads,
) -> Result<Built, BuildError> {
    let shared = Arc::new(prepare(start, store, registry, threads).await?);
    let _end = ForgetStages(shared.clone());
    let work = async {
        let built = finish(&shared).await;
        // If it failed: what was made until then need not be made again.
        let _ = shared.layers.packings.end().await;
        shared.caches.close();
        shared.early.close();
        built
    };
    let (built, (), ()) = tokio::join!(work, jobs.run(&shared), departures.run(&shared));
    built
}

/// What an attempt starts from.
struct Start {
    options: Build,
    caches: Caches,
    early: Early,
    /// Goes on from one attempt to the next.
    next_step: Arc<AtomicUsize>,
}

/// Cancels the processes of a build whose future fails or is dropped. If it is done, the image may still be written
/// somewhere.
struct Guard {
    cancel: Cancel,
    done: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.done {
            self.cancel.cancel();
        }
    }
}

/// Lets go of the stages in the end.
struct ForgetStages(Arc<Shared>);

impl Drop for ForgetStages {
    fn drop(&mut self) {
        self.0.stages().clear();
    }
}

async fn prepare(
    start: Start,
    store: &Store,
    registry: &Registry,
    threads: Threads,
) -> Result<Shared, BuildError> {
    let Start {
        options,
        caches,
        early,
        next_step,
    } = start;
    let hold = {
        let store = store.clone();
        threads.run(move || Ok(store.hold()?)).await?
    };
    let epoch = epoch(&options)?;
    let fetcher = Fetcher::new(&options, store, registry, &threads, epoch);
    let fetched = match &options.context {
        Context::Remote(address) => Some(fetcher.context(address).await?),
        _ => None,
    };
    let (input, sources) = {
        let (options, store) = (options.clone(), store.clone());
        threads
            .run(move || Input::read(&options, &store, fetched))
            .await?
    };
    for found in super::check::before_build(&input, sources.ignore())? {
        (options.sink)(Event::Warning {
            message: format!("{}: {}", found.name, found.message),
            line: Some(input.line(found.span.start)),
        });
    }
    let globals = globals(&options, &input)?;
    let graph = graph(&options, &input, &globals)?;
    let stages = graph.stages.iter().map(|_| StageCell::default()).collect();
    Ok(Shared {
        layers: Layers::new(store.clone(), registry.clone(), options.sink.clone()),
        caches,
        early,
        options,
        store: store.clone(),
        registry: registry.clone(),
        input,
        graph,
        globals,
        sources,
        cancel: threads.cancel.clone(),
        threads,
        fetcher,
        epoch,
        stages: Mutex::new(stages),
        engine: OnceCell::new(),
        pulled: Once::default(),
        next_step,
        _hold: hold,
    })
}

async fn finish(shared: &Arc<Shared>) -> Result<Built, BuildError> {
    let needed = shared.graph.needed();
    shared.tell(Event::Planned {
        steps: needed.iter().map(|index| shared.steps_of(*index)).sum(),
    });
    try_join_all(needed.iter().copied().map(|index| shared.stage(index))).await?;
    let mut target = (*shared.stage(shared.graph.target).await?).clone();
    shared.layers.packings.end().await?;
    shared.layers.packings.settle(&mut target.image).await?;
    // What is in the image is checked before there is an image.
    shared
        .layers
        .verify_restored(shared, target.image.layers())
        .await?;
    shared.caches.remember(shared).await?;
    shared.layers.landings.end().await?;
    let built = output::finish(shared, &target).await?;
    caches::mounts::keep(shared).await;
    Ok(built)
}

fn epoch(options: &Build) -> Result<Option<i64>, BuildError> {
    let given = options
        .args
        .iter()
        .rev()
        .find(|(name, _)| name == "SOURCE_DATE_EPOCH");
    let Some((_, text)) = given.filter(|(_, text)| !text.is_empty()) else {
        return Ok(None);
    };
    let epoch = text.parse::<i64>().ok().filter(|epoch| *epoch >= 0);
    epoch.map(Some).ok_or_else(|| {
        let message = format!("SOURCE_DATE_EPOCH is {text:?}; it must be a number of seconds since 1970");
        Problem::Value(message).into()
    })
}

fn globals(options: &Build, input: &Input) -> Result<Globals, BuildError> {
    let target = options.platform.clone().unwrap_or_else(Platform::host);
    let mut given = HashMap::new();
    for (prefix, platform) in [("TARGET", &target), ("BUILD", &Platform::host())] {
        given.insert(format!("{prefix}PLATFORM"), platform.to_string());
        given.insert(format!("{prefix}OS"), platform.os.clone());
        given.insert(format!("{prefix}ARCH"), platform.architecture.clone());
        given.insert(
            format!("{prefix}VARIANT"),
            platform.variant.clone().unwrap_or_default(),
        );
        given.insert(
            format!("{prefix}OSVERSION"),
            platform.os_version.clone().unwrap_or_default(),
        );
    }
    let last = input
        .parsed
        .stages
        .last()
        .and_then(|stage| stage.from.name.as_ref());
    let stage = options.target.clone().or(last.map(|name| name.text.clone()));
    given.insert(
        "TARGETSTAGE".to_owned(),
        stage.unwrap_or_else(|| "default".to_owned()),
    );
    let mut globals = Globals {
        declared: HashMap::new(),
        given,
    };
    for instruction in &input.parsed.global_args {
        let containerfile::InstructionKind::Arg(args) = &instruction.kind else {
            continue;
        };
        for (name, default) in args {
            let value = match options.build_arg(&name.text) {
                Some(value) => Some(value.to_owned()),
                None => match default {
                    Some(word) => Some(globals.expand(word, input)?),
                    None => globals.given.get(&name.text).cloned(),
                },
            };
            globals.declared.insert(name.text.clone(), value);
        }
    }
    Ok(globals)
}

impl Globals {
    /// The value a `FROM` sees.
    fn get(&self, name: &str) -> Option<String> {
        let declared = self.declared.get(name).cloned().flatten();
        declared.or_else(|| self.given.get(name).cloned())
    }

    fn expand(&self, word: &Word, input: &Input) -> Result<String, BuildError> {
        let escape = input.parsed.directives.escape;
        containerfile::expand::expand(&word.text, escape, &|name| self.get(name).map(Cow::Owned)).map_err(
            |error| {
                BuildError::from(Problem::Value(error.to_string())).at_place(|| input.at(word.span.clone()))
            },
        )
    }
}

fn graph(options: &Build, input: &Input, globals: &Globals) -> Result<Graph, BuildError> {
    let escape = input.parsed.directives.escape;
    let expand = |word: &Word| {
        let value = |name: &str| globals.get(name).map(Cow::Owned);
        containerfile::expand::expand(&word.text, escape, &value).map_err(|error| error.to_string())
    };
    Graph::new(&input.parsed, options.target.as_deref(), expand).map_err(|error| {
        let span = error.span().cloned();
        let error = BuildError::from(error);
        match span {
            Some(span) => error.at_place(|| input.at(span)),
            None => error,
        }
    })
}

/// Names of images that the Containerfile takes from, named contexts among them.
pub(super) fn images(options: &Build, input: &Input) -> Result<Vec<String>, BuildError> {
    Ok(graph(options, input, &globals(options, input)?)?.images())
}

impl Build {
    /// The value of `--build-arg`, the last one given.
    pub(super) fn build_arg(&self, name: &str) -> Option<&str> {
        self.args
            .iter()
            .rev()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

impl Shared {
    /// Tells the caller.
    pub fn tell(&self, event: Event) {
        (self.options.sink)(event);
    }

    /// Files of new layers get no later time than this, seconds since 1970.
    pub fn latest_time(&self) -> Option<i64> {
        self.epoch.filter(|_| self.options.clamp_times)
    }

    /// The number for the next step.
    pub fn next_step(&self) -> StepId {
        self.next_step.fetch_add(1, Ordering::Relaxed)
    }

    /// How many steps a stage has: its `FROM`, and what makes layers. Triggers of its base are not known yet.
    pub fn steps_of(&self, index: usize) -> usize {
        let layers = self.graph.stages.get(index).map_or(0, |stage| {
            stage
                .instructions
                .iter()
                .filter(|instruction| stage::makes_layer(&instruction.kind))
                .count()
        });
        1 + layers
    }

    fn stages(&self) -> MutexGuard<'_, Vec<StageCell>> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stage, built by whoever asks first.
    pub fn stage(self: &Arc<Self>, index: usize) -> BoxFuture<'_, Result<Arc<Stage>, BuildError>> {
        async move {
            let Some(cell) = self.stages().get(index).cloned() else {
                return Err(Problem::Value(format!("there is no stage {index}")).into());
            };
            cell.get_or_init(|| async { stage::build(self, index).await.map(Arc::new) })
                .await
                .clone()
        }
        .boxed()
    }

    /// What runs processes, found out when the first one is to be run.
    pub async fn engine(self: &Arc<Self>) -> Result<&Engine, BuildError> {
        self.engine
            .get_or_try_init(|| async {
                let scratch = self.store.root().to_owned();
                let isolation = self.options.isolation;
                let store = self.store.clone();
                self.blocking(move || {
                    let engine = Engine::probe(&ProbeConfig { scratch, isolation })?;
                    // What killed builds left behind may belong to ids that only the engine can reach. It does no
                    // harm if it cannot be removed now.
                    let remove = |path: &Path| engine.remove_tree(path).map_err(std::io::Error::other);
                    let _ = store.sweep(&remove);
                    Ok(engine)
                })
                .await
            })
            .await
    }

    /// What runs processes, if there was anything to run yet.
    pub fn known_engine(&self) -> Option<&Engine> {
        self.engine.get()
    }

    /// Does blocking work in another thread.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, BuildError> + Send + 'static,
    ) -> Result<T, BuildError> {
        self.threads.run(work).await
    }

    /// The place in the Containerfile, for errors.
    pub fn at(&self, span: containerfile::Span) -> At {
        self.input.at(span)
    }
}
