//! Where work is done.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::workloads::{Workload, seconds};

/// A kind of place, and a shell that is in one.
pub struct Place {
    kind: Kind,
    shell: Shell,
    /// How often something was done here.
    count: usize,
    base: PathBuf,
    rbuild: PathBuf,
    /// Takes a Containerfile for each step.
    contexts: PathBuf,
    /// Where the store is, seen by the shell.
    store: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mounts,
    Restricted,
    Proot,
}

/// All places, the one that the others are compared with first.
pub fn all(dir: &Path, rbuild: &Path, cage: &Path, base: &Path) -> Result<Vec<Place>> {
    [Kind::Mounts, Kind::Restricted, Kind::Proot]
        .into_iter()
        .map(|kind| Place::new(kind, dir, rbuild, cage, base))
        .collect()
}

impl Place {
    fn new(kind: Kind, dir: &Path, rbuild: &Path, cage: &Path, base: &Path) -> Result<Self> {
        let home = dir.join(kind.name());
        fs::create_dir_all(&home).with_context(|| home.display().to_string())?;
        let mut command = Command::new("sh");
        command.env("HOME", &home);
        if kind == Kind::Restricted {
            command = Command::new(cage);
            command.args(["restricted", "sh"]);
        }
        let store = match kind {
            Kind::Mounts => dir.join("root-store").display().to_string(),
            _ => "$HOME/store".to_owned(),
        };
        let contexts = dir.join("steps").join(kind.name());
        fs::create_dir_all(&contexts).with_context(|| contexts.display().to_string())?;
        let place = Self {
            kind,
            shell: Shell::start(&mut command)?,
            count: 0,
            base: base.to_owned(),
            rbuild: rbuild.to_owned(),
            contexts,
            store,
        };
        Ok(place)
    }

    /// For the table.
    pub fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// Does some work, and gives the seconds that it took.
    pub fn time(&mut self, workload: &Workload) -> Result<f64> {
        self.count += 1;
        let script = workload.timed();
        let output = match self.kind {
            Kind::Mounts => self.build(&script, "--isolation mounts")?,
            Kind::Restricted => self.build(&script, "--isolation supervised")?,
            Kind::Proot => self.proot(&script)?,
        };
        seconds(&output).with_context(|| format!("it says: {output}"))
    }

    /// The same bytes in the root each time; the argument is what the cache has not seen.
    fn build(&mut self, script: &str, options: &str) -> Result<String> {
        let context = self.contexts.join(self.count.to_string());
        fs::create_dir_all(&context)?;
        let text = format!("FROM base\nARG COUNT\nRUN {script}\n");
        fs::write(context.join("Containerfile"), text)?;
        let (rbuild, store, base) = (self.rbuild.display(), &self.store, self.base.display());
        self.shell.run(&format!(
            "{rbuild} --root \"{store}\" build {options} --no-cache --progress plain --compression none \
             --build-context base=oci-layout://{base} {} 2>&1",
            context.display()
        ))
    }

    /// Each time with a root of its own. The older ones stay until the end: for minutes after files were deleted, ext4 is
    /// slow to make new ones.
    fn proot(&mut self, script: &str) -> Result<String> {
        let (rbuild, store, base) = (self.rbuild.display(), &self.store, self.base.display());
        if self.count == 1 {
            let context = self.contexts.join("tree");
            fs::create_dir_all(&context)?;
            fs::write(context.join("Containerfile"), "FROM base\n")?;
            self.shell.run(&format!(
                "{rbuild} --root \"{store}\" build -o type=tar,dest=$HOME/tree.tar \
                 --build-context base=oci-layout://{base} {} 2>&1",
                context.display()
            ))?;
        }
        let tree = format!("$HOME/tree-{}", self.count);
        self.shell.run(&format!(
            "rm -rf {tree}; mkdir {tree} && tar -x --no-same-owner --exclude='./dev/*' --exclude='dev/*' -f $HOME/tree.tar -C {tree} 2>&1"
        ))?;
        let script = format!(
            "export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root; {script}"
        );
        self.shell.run(&format!(
            "proot -0 -r {tree} -b /proc -b /dev -b /sys -w / /bin/sh -c '{script}' 2>&1"
        ))
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Mounts => "mounts",
            Self::Restricted => "restricted",
            Self::Proot => "proot",
        }
    }
}

/// A shell that does one thing after the other.
struct Shell {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// Comes after what a command has printed, before its status.
const END: &str = "status:";

impl Shell {
    fn start(command: &mut Command) -> Result<Self> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{command:?}"))?;
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().context("no output")?);
        Ok(Self {
            process,
            input,
            output,
        })
    }

    /// Runs a command, and gives what it prints.
    fn run(&mut self, command: &str) -> Result<String> {
        let input = self.input.as_mut().context("it has ended")?;
        writeln!(input, "( {command} ) </dev/null; echo; echo {END} $?")?;
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            ensure!(
                self.output.read_line(&mut line)? > 0,
                "the shell has ended: {printed}"
            );
            if let Some(status) = line.strip_prefix(END) {
                ensure!(status.trim() == "0", "{command}: {printed}");
                return Ok(printed);
            }
            printed.push_str(&line);
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.process.wait();
    }
}
