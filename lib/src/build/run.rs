//! `RUN`.

use std::{
    collections::VecDeque,
    ffi::OsString,
    io::{BufRead, Write},
    path::PathBuf,
    sync::Arc,
};

use super::{
    config,
    error::{BuildError, Problem},
    layers::{self, clamp_times, complete},
    mounts::{self, Mounted},
    packing::{self, Fresh},
    small,
    solver::Shared,
    stage::{Stage, Step},
    users::Identity,
};
use crate::{
    containerfile::{Command, Instruction, Network, PROXY_VARIABLES, Run},
    event::{Event, StepId, Stream},
    exec::{self, Engine, RunSpec, Stack},
    image::Layer,
    layer::{self, LocalContents},
    plan::key::Parts,
    rootfs::Rootfs,
    store::TmpDir,
    tree::Tree,
};

/// The host name that processes see.
const HOSTNAME: &str = "rbuild";

/// Where a heredoc that is a program of its own is mounted.
const PIPES: &str = "/dev/pipes";

/// Runs a RUN.
pub(super) async fn run(stage: &mut Stage, instruction: &Instruction, run: &Run) -> Result<(), BuildError> {
    if run.insecure {
        let message = "RUN --security=insecure is not supported: nothing here has privileges to give";
        return Err(Problem::Unsupported(message.to_owned()).into());
    }
    let mut step = stage.start(instruction);
    let program = Program::of(stage, run);
    let history = history(stage, &program);
    let mounts = mounts::resolve(stage, run).await?;
    let parts = parts(stage, run, &program, &mounts);
    if stage.cached(&mut step, &parts, &history).await? {
        return Ok(());
    }
    let made = execute(stage, run, program, mounts, &step).await?;
    stage.made(&mut step, &parts, history, made)
}

/// What a RUN runs.
struct Program {
    argv: Vec<String>,
    /// A heredoc with its own interpreter line: its name and content.
    script: Option<(String, String)>,
}

impl Program {
    /// A heredoc that stands alone is the script, run by SHELL or by its own `#!` line; otherwise the heredocs are
    /// given to the shell as they are written.
    fn of(stage: &Stage, run: &Run) -> Self {
        let text = match &run.command {
            Command::Exec(words) => {
                return Self {
                    argv: words.clone(),
                    script: None,
                };
            }
            Command::Shell(text) => text,
        };
        let mut script = None;
        let command = match &run.heredocs[..] {
            [] => text.clone(),
            [only] if !text.trim().contains(char::is_whitespace) => match only.content.starts_with("#!") {
                true => {
                    script = Some((only.name.clone(), only.content.clone()));
                    format!("{PIPES}/{}", only.name)
                }
                false => only.content.clone(),
            },
            several => several.iter().fold(text.clone(), |text, heredoc| {
                format!("{text}\n{}{}", heredoc.content, heredoc.name)
            }),
        };
        let mut argv = config::shell(stage);
        argv.push(command);
        Self { argv, script }
    }
}

fn history(stage: &Stage, program: &Program) -> String {
    let mut words = Vec::new();
    let declared = stage.scope.declared();
    if !declared.is_empty() {
        words.push(format!("|{}", declared.len()));
        words.extend(declared);
    }
    words.extend(program.argv.iter().cloned());
    format!("RUN {} # buildkit", words.join(" "))
}

fn parts(stage: &Stage, run: &Run, program: &Program, mounts: &[Mounted]) -> Parts {
    let config = &stage.image.config().config;
    let mut parts = stage
        .parts("RUN")
        .with_list("the command", &program.argv)
        .with("the script", format!("{:?}", program.script))
        .with("the user", &config.user)
        .with("the directory", &config.working_dir)
        .with("the network", format!("{:?}", run.network));
    let ignored = &stage.shared.options.ignored;
    if !ignored.is_empty() {
        parts = parts.with("the ignored paths", format!("{ignored:?}"));
    }
    for entry in stage.scope.environment() {
        let (name, value) = entry.split_once('=').unwrap_or((&entry, ""));
        parts = parts.with(format!("the variable {name}"), value);
    }
    for (index, mount) in mounts.iter().enumerate() {
        parts = parts.with(
            format!("mount {} ({})", index + 1, mount.target.display()),
            &mount.key,
        );
    }
    parts
}

/// `NAME=value` for the process.
fn environment(stage: &Stage, identity: &Identity, mounts: &[Mounted]) -> Vec<OsString> {
    let mut environment = stage.scope.environment();
    let set = |environment: &[String], name: &str| {
        environment
            .iter()
            .any(|entry| entry.split_once('=').is_some_and(|(known, _)| known == name))
    };
    for name in PROXY_VARIABLES {
        let value = stage.shared.options.build_arg(name);
        // Programs disagree about the case, so both are there.
        let other = stage.shared.options.build_arg(&swap_case(name));
        if let Some(value) = value.or(other)
            && !set(&environment, name)
        {
            environment.push(format!("{name}={value}"));
        }
    }
    if !set(&environment, "HOME") {
        environment.push(format!("HOME={}", identity.home));
    }
    let mut environment: Vec<OsString> = environment.into_iter().map(OsString::from).collect();
    environment.extend(mounts.iter().filter_map(|mount| mount.variable.clone()));
    environment
}

fn swap_case(name: &str) -> String {
    match name.starts_with(char::is_lowercase) {
        true => name.to_uppercase(),
        false => name.to_lowercase(),
    }
}

/// Runs the process, and makes a layer of what it wrote. Where the kernel does not know what runs programs of another
/// machine, that is found out with the first of them; the layer is the same.
async fn execute(
    stage: &mut Stage,
    run: &Run,
    program: Program,
    mounts: Vec<Mounted>,
    step: &Step,
) -> Result<Fresh, BuildError> {
    let engine = stage.shared.engine().await?.clone();
    if !stage.foreign {
        let made = execute_native(engine.clone(), stage, run, &program, mounts.clone(), step).await;
        let Some(why) = made
            .as_ref()
            .err()
            .and_then(|error| registration(error.problem()))
        else {
            return made;
        };
        if engine.supervised().is_none() {
            return made;
        }
        say(stage, step, &why);
        stage.foreign = true;
    }
    let engine = engine.supervised().cloned().unwrap_or(engine);
    execute_with(engine, stage, run, &program, mounts, step).await
}

/// If all that a run lacked is that the kernel knows an emulator: what is done about that.
fn registration(problem: &Problem) -> Option<String> {
    match problem {
        Problem::Exec(exec::Error::Foreign {
            architecture,
            source: source @ exec::Missing::Registration(_),
            ..
        }) => Some(format!(
            "The program is for {architecture}, and {source}: its system calls are answered instead"
        )),
        _ => None,
    }
}

fn say(stage: &Stage, step: &Step, line: &str) {
    stage.shared.tell(Event::StepOutput {
        step: step.id,
        stream: Stream::Stderr,
        bytes: format!("{line}\n").into_bytes(),
    });
}

/// Runs the process, and makes a layer of what it wrote. Where device nodes cannot be made, that is found out when it
/// makes one; the layer is the same.
async fn execute_native(
    engine: Engine,
    stage: &mut Stage,
    run: &Run,
    program: &Program,
    mounts: Vec<Mounted>,
    step: &Step,
) -> Result<Fresh, BuildError> {
    let Some(other) = engine.instead().cloned() else {
        return execute_with(engine, stage, run, program, mounts, step).await;
    };
    // As below: before anybody asks what is in the layers.
    let shared = stage.shared.clone();
    let unpacked = shared.layers.unpack(&shared, &engine, stage.image.layers());
    let why = match unpacked.await {
        Err(_) if has_strangers(stage, &engine).await? => {
            "The image has users that there are not, and whose files cannot be shown"
        }
        Err(error) => return Err(error),
        Ok(_) if has_devices(stage).await? => "The image has device nodes, which cannot be shown",
        Ok(_) => {
            let made = execute_with(engine, stage, run, program, mounts.clone(), step).await;
            match made.as_ref().map_err(BuildError::problem) {
                Err(Problem::Exec(exec::Error::Device)) => {
                    "The step makes a device node, which cannot be done"
                }
                Err(Problem::Exec(exec::Error::Id)) => {
                    "The step names a user or a group that there is not, which cannot be done"
                }
                _ => return made,
            }
        }
    };
    say(
        stage,
        step,
        &format!("{why} in a user namespace: its system calls are answered instead"),
    );
    execute_with(other, stage, run, program, mounts, step).await
}

/// Whether there are files of users or groups that a run cannot have.
async fn has_strangers(stage: &mut Stage, engine: &Engine) -> Result<bool, BuildError> {
    let tree = stage.tree().await?;
    let is_strange = |id| !engine.has_id(id);
    Ok(tree
        .walk()
        .any(|found| is_strange(found.node.metadata.uid) || is_strange(found.node.metadata.gid)))
}

/// Whether there are device nodes that a run would see: its `/dev` is another one.
async fn has_devices(stage: &mut Stage) -> Result<bool, BuildError> {
    let shared = stage.shared.clone();
    let mut some = false;
    for layer in stage.image.layers() {
        some |= shared.layers.oddities(&shared, layer).await?.devices;
    }
    // Those of one layer may be gone in the next.
    let seen = |tree: &Tree| {
        tree.walk()
            .any(|found| found.node.is_device() && !found.path.starts_with("dev"))
    };
    Ok(some && seen(stage.tree().await?))
}

async fn execute_with(
    engine: Engine,
    stage: &mut Stage,
    run: &Run,
    program: &Program,
    mounts: Vec<Mounted>,
    step: &Step,
) -> Result<Fresh, BuildError> {
    let shared = stage.shared.clone();
    let image_layers: Vec<Layer> = stage.image.layers().to_vec();
    // First of all: what unpacks a layer also indexes it, and the tree would be a reason to read it once more.
    shared.layers.unpack(&shared, &engine, &image_layers).await?;
    let tree = stage.tree().await?.clone();
    let layers = shared.layers.stack(&shared, &engine, &image_layers, tree).await?;
    let identity = small::users(stage)
        .await?
        .identity(&stage.image.config().config.user)?;
    let environment = environment(stage, &identity, &mounts);
    let mounts = mounts::prepare(&shared, &engine, mounts).await?;
    let workdir = stage.image.config().config.working_dir.clone();
    let process = Process {
        argv: program.argv.iter().map(OsString::from).collect(),
        env: environment,
        cwd: if workdir.is_empty() {
            "/".into()
        } else {
            workdir.into()
        },
        user: exec::User {
            uid: identity.uid,
            gid: identity.gid,
            groups: identity.groups,
        },
        mounts: mounts::for_process(&mounts, program.script.clone().map(|script| (PIPES, script))),
        network: match run.network {
            Network::None => exec::Network::None,
            Network::Default | Network::Host => exec::Network::Host,
        },
    };
    let id = step.id;
    let kept = stage.take_root(&engine);
    let work = Work {
        kept,
        shared: shared.clone(),
        engine,
        layers,
        step: id,
    };
    // The mounts' locks are held until the process has ended.
    let (made, root) = shared
        .blocking(move || {
            let made = work.run(process);
            drop(mounts);
            made
        })
        .await?;
    stage.keep_root(root, made.index.diff_id);
    Ok(made)
}

/// A process of an image.
struct Process {
    argv: Vec<OsString>,
    env: Vec<OsString>,
    cwd: PathBuf,
    user: exec::User,
    mounts: Vec<exec::Mount>,
    network: exec::Network,
}

/// A root file system, and the directory that it is in, which goes away after it.
pub(super) struct Root {
    rootfs: Rootfs,
    #[allow(dead_code, reason = "held until the root is gone")]
    scratch: TmpDir,
}

impl Root {
    /// Whether it is one of this engine's.
    pub fn is_of(&self, engine: &Engine) -> bool {
        self.rootfs.is_of(engine)
    }
}

/// What a RUN works on.
struct Work {
    /// The root that the step before has left.
    kept: Option<Root>,
    shared: Arc<Shared>,
    engine: Engine,
    /// The layers below.
    layers: Stack,
    step: StepId,
}

impl Work {
    /// Runs the process and makes a layer of what it wrote; on disk that is then as if unpacked from the layer. Gives the
    /// root too, if the next step can go on with it.
    fn run(mut self, process: Process) -> Result<(Fresh, Option<Root>), BuildError> {
        let store = &self.shared.store;
        let root = match self.kept.take() {
            Some(root) => root,
            None => {
                let scratch = store.tmp_dir()?;
                let rootfs = Rootfs::new(&self.engine, scratch.path(), self.layers.clone())?;
                Root { rootfs, scratch }
            }
        };
        let spec = RunSpec {
            argv: process.argv,
            env: process.env,
            cwd: process.cwd,
            user: process.user,
            mounts: process.mounts,
            network: process.network,
            hostname: HOSTNAME.to_owned(),
            ..root.rootfs.run_spec()
        };
        self.process(&spec)?;
        drop(spec);
        let made = self.snapshot(&root.rootfs)?;
        let directory = store.new_layer_dir()?;
        root.rootfs.publish(&directory.root(), &made.index)?;
        let directory = directory.publish(self.engine.format(), &made.index.diff_id)?;
        let Root { rootfs, scratch } = root;
        // If it cannot go on, the next step makes a new one.
        let next = rootfs.advance(&made.index, &directory).unwrap_or_default();
        Ok((made, next.map(|rootfs| Root { rootfs, scratch })))
    }

    fn process(&self, spec: &RunSpec) -> Result<(), BuildError> {
        let mut tail = Tail::default();
        let tell = |stream, bytes: &[u8]| {
            self.shared.tell(Event::StepOutput {
                step: self.step,
                stream,
                bytes: bytes.to_vec(),
            });
        };
        let outcome = self
            .engine
            .run(spec, &self.shared.cancel, &mut |stream, bytes: &[u8]| {
                tail.push(bytes);
                tell(stream, bytes);
            });
        let code = match outcome {
            Ok(outcome) => outcome.code(),
            Err(exec::Error::Cancelled) => return Err(Problem::Cancelled.into()),
            Err(exec::Error::Start {
                program,
                code,
                reason,
            }) => {
                let line = format!("{program}: {reason}\n");
                tail.push(line.as_bytes());
                tell(Stream::Stderr, line.as_bytes());
                code
            }
            Err(error) => return Err(error.into()),
        };
        match code {
            0 => Ok(()),
            code => Err(Problem::Run {
                code,
                tail: tail.into_bytes(),
            }
            .into()),
        }
    }

    fn snapshot(&self, rootfs: &Rootfs) -> Result<Fresh, BuildError> {
        let write = |out: &mut dyn Write| -> Result<(), layer::Error> {
            let mut changes = rootfs.changes()?;
            let ignored = &self.shared.options.ignored;
            changes.retain(|change| !ignored.iter().any(|path| change.path.starts_with(path)));
            let mut changes = complete(changes, &self.layers.tree);
            clamp_times(&mut changes, self.shared.latest_time());
            rootfs.settle(&changes)?;
            layer::write_tar(&changes, &LocalContents, out)
        };
        let (spool, packing) = packing::begin(&self.shared)?;
        let index = self.engine.produce(write, |tar: &mut dyn BufRead| {
            layers::index_into(&self.shared.store, tar, spool)
        })??;
        Ok(Fresh { index, packing })
    }
}

/// The last lines of an output.
#[derive(Default)]
struct Tail(VecDeque<u8>);

impl Tail {
    const MOST: usize = 64 << 10;

    fn push(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        let excess = self.0.len().saturating_sub(Self::MOST);
        self.0.drain(..excess);
    }

    /// Whole lines only, where the beginning was dropped.
    fn into_bytes(self) -> Vec<u8> {
        let cut = self.0.len() == Self::MOST;
        let bytes: Vec<u8> = self.0.into();
        match bytes.iter().position(|byte| *byte == b'\n').filter(|_| cut) {
            Some(end) => bytes[end + 1..].to_vec(),
            None => bytes,
        }
    }
}
