//! How each builder is called. Each keeps what it stores in a directory of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{registry::Registry, shell};

/// A builder that was found.
pub struct Builder {
    /// Its program.
    pub name: String,
    kind: Kind,
    /// Where its stores are.
    stores: PathBuf,
    /// How many there were.
    count: usize,
    /// What it stores.
    state: PathBuf,
    /// Where it pushes to.
    image: String,
    log: PathBuf,
    /// What no build may take longer than.
    limit: Duration,
}

enum Kind {
    Rbuild {
        program: PathBuf,
    },
    /// buildah or podman, told by `containers.conf` not to ask for more than this process may do.
    Containers {
        config: PathBuf,
    },
    /// A daemon that runs already.
    Buildkit,
    /// Kaniko replaces its own root file system, so it gets one of its own.
    Kaniko {
        program: PathBuf,
    },
}

/// All that this machine has, rbuild first.
pub fn found(dir: &Path, rbuild: &Path, registry: &Registry, limit: Duration) -> Result<Vec<Builder>> {
    let builder = |name: &str, kind| Builder {
        name: name.to_owned(),
        kind,
        stores: dir.join(format!("{name}-stores")),
        count: 0,
        state: PathBuf::new(),
        image: registry.name(&format!("made/{name}")),
        log: dir.join(format!("{name}.log")),
        limit,
    };
    let mut builders = vec![builder(
        "rbuild",
        Kind::Rbuild {
            program: rbuild.to_owned(),
        },
    )];
    for name in ["buildah", "podman"] {
        if shell::find(name).is_some() {
            builders.push(builder(
                name,
                Kind::Containers {
                    config: containers_conf(dir)?,
                },
            ));
        }
    }
    if shell::find("buildctl").is_some() && std::env::var_os("BUILDKIT_HOST").is_some() {
        builders.push(builder("buildctl", Kind::Buildkit));
    }
    if let Some(program) = shell::find("executor") {
        builders.push(builder("kaniko", Kind::Kaniko { program }));
    }
    Ok(builders)
}

impl Builder {
    /// Builds and pushes; how long that took.
    pub fn build(&self, context: &Path) -> Result<Duration> {
        let mut commands = self.commands(context)?;
        let start = Instant::now();
        for command in &mut commands {
            shell::run(command, &self.log, self.limit)?;
        }
        Ok(start.elapsed())
    }

    /// Begins with an empty store, and a disk that has nothing left to do for the builder before. The store before stays
    /// until the end: for minutes after files were deleted, ext4 is slow to make new ones.
    pub fn begin(&mut self) -> Result<()> {
        if let Kind::Buildkit = self.kind {
            let mut prune = Command::new("buildctl");
            return shell::run(prune.args(["prune", "--all"]), &self.log, self.limit);
        }
        self.count += 1;
        self.state = self.stores.join(self.count.to_string());
        shell::remove(&self.state)?;
        fs::create_dir_all(&self.stores).with_context(|| self.stores.display().to_string())?;
        shell::run(&mut Command::new("sync"), &self.log, self.limit)
    }

    /// Removes all its stores.
    pub fn end(&self) -> Result<()> {
        shell::remove(&self.stores)
    }

    fn commands(&self, context: &Path) -> Result<Vec<Command>> {
        match &self.kind {
            Kind::Rbuild { program } => Ok(vec![self.rbuild(program, context)]),
            Kind::Containers { config } => Ok(self.containers(config, context)),
            Kind::Buildkit => Ok(vec![self.buildkit(context)]),
            Kind::Kaniko { program } => Ok(vec![self.kaniko(program, context)?]),
        }
    }

    fn rbuild(&self, program: &Path, context: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .arg("--root")
            .arg(&self.state)
            .args(["build", "--push", "-t", &self.image])
            .arg(context);
        command
    }

    /// A mount namespace for each command: what it leaves mounted ends with it.
    fn containers(&self, config: &Path, context: &Path) -> Vec<Command> {
        let command = |arguments: &[&str]| {
            let mut command = Command::new("unshare");
            command
                .args(["--mount", &self.name, "--root"])
                .arg(self.state.join("root"));
            command
                .arg("--runroot")
                .arg(self.state.join("run"))
                .args(arguments);
            command
                .env("CONTAINERS_CONF", config)
                .env("STORAGE_DRIVER", "overlay");
            command
        };
        let mut build = command(&[
            "build",
            "--isolation=chroot",
            "--layers",
            "--tls-verify=false",
            "-t",
            &self.image,
        ]);
        build.arg(context);
        vec![build, command(&["push", "--tls-verify=false", &self.image])]
    }

    fn buildkit(&self, context: &Path) -> Command {
        let mut command = Command::new("buildctl");
        command.args(["build", "--frontend=dockerfile.v0", "--progress=plain"]);
        for local in ["context", "dockerfile"] {
            command
                .arg("--local")
                .arg(format!("{local}={}", context.display()));
        }
        command.arg("--output");
        command.arg(format!(
            "type=image,push=true,registry.insecure=true,name={}",
            self.image
        ));
        command
    }

    fn kaniko(&self, program: &Path, context: &Path) -> Result<Command> {
        let root = &self.state;
        for directory in ["kaniko", "workspace", "proc", "dev", "etc", "tmp"] {
            fs::create_dir_all(root.join(directory)).with_context(|| root.display().to_string())?;
        }
        fs::copy(program, root.join("kaniko/executor")).context("cannot copy Kaniko's executor")?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "sh", "-euc"]);
        command.arg(
            "mount --rbind \"$1\" \"$2/workspace\"; mount -t proc proc \"$2/proc\"; mount --rbind /dev \"$2/dev\"; \
             exec chroot \"$2\" /kaniko/executor --force --context=dir:///workspace --insecure --insecure-pull \
             --cache --cache-copy-layers --cache-repo=\"$3/cache\" --destination=\"$3\"",
        );
        command.arg("sh").args([context, root]).arg(&self.image);
        Ok(command)
    }
}

/// The default limits are those of this process: to raise them takes a capability that it may not have.
fn containers_conf(dir: &Path) -> Result<PathBuf> {
    let limits = fs::read_to_string("/proc/self/limits").context("/proc/self/limits")?;
    let hard = |name: &str| -> Option<u64> {
        limits
            .lines()
            .find(|line| line.starts_with(name))?
            .split_whitespace()
            .rev()
            .nth(1)?
            .parse()
            .ok()
    };
    let pid_max = fs::read_to_string("/proc/sys/kernel/pid_max").context("/proc/sys/kernel/pid_max")?;
    let pid_max = pid_max.trim().parse::<u64>().unwrap_or(u64::MAX);
    let mut settings = Vec::new();
    if let Some(files) = hard("Max open files") {
        settings.push(format!("\"nofile={files}:{files}\""));
    }
    if let Some(processes) = hard("Max processes").map(|processes| processes.min(pid_max)) {
        settings.push(format!("\"nproc={processes}:{processes}\""));
    }
    let config = dir.join("containers.conf");
    let text = format!("[containers]\ndefault_ulimits = [{}]\n", settings.join(", "));
    fs::write(&config, text).with_context(|| config.display().to_string())?;
    Ok(config)
}
