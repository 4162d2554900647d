//! Running `git`, so that nobody's configuration matters and nobody is asked anything.

use std::{
    env, io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, Signal, kill_process_group},
};

use crate::{build::error::Problem, exec::Cancel, registry::without_password};

/// How much `git` may say before the rest is left out.
const LINES: usize = 4;

/// Configuration for all commands: no program that somebody else configured runs, and nothing happens in the background.
const SETTINGS: [(&str, &str); 9] = [
    ("core.hooksPath", "/dev/null"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("credential.helper", ""),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("advice.detachedHead", "false"),
    ("init.defaultBranch", "main"),
    // The store may belong to another user, as when root builds in a mounted directory.
    ("safe.directory", "*"),
];

/// The `git` program, talking to one remote.
pub(super) struct Git {
    program: &'static str,
    remote: String,
    cancel: Cancel,
    /// `Authorization` for the remote.
    authorization: Option<String>,
    /// The agent's socket, where it is not the user's own.
    agent: Option<PathBuf>,
}

impl Git {
    pub fn new(remote: &str, cancel: Cancel, authorization: Option<String>, agent: Option<PathBuf>) -> Self {
        Self {
            program: "git",
            remote: remote.to_owned(),
            cancel,
            authorization,
            agent,
        }
    }

    /// Another program in its place.
    #[cfg(test)]
    pub fn program(self, program: &'static str) -> Self {
        Self { program, ..self }
    }

    /// What to fetch from.
    pub fn remote(&self) -> &str {
        &self.remote
    }

    /// Ends what runs.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// A command in a directory.
    pub fn command<const N: usize>(&self, directory: &Path, arguments: [&str; N]) -> Command {
        let mut command = Command::new(self.program);
        command.current_dir(directory).args(arguments);
        for (name, _) in env::vars_os() {
            let kept = ["GIT_SSL_", "GIT_SSH"];
            let text = name.to_string_lossy();
            if text.starts_with("GIT_") && !kept.iter().any(|prefix| text.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        command
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            // Not the files of this machine, and no program that an address names: submodules have addresses, too.
            .env("GIT_ALLOW_PROTOCOL", "git:http:https:ssh");
        if env::var_os("GIT_SSH_COMMAND").is_none() && env::var_os("GIT_SSH").is_none() {
            command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes");
        }
        if let Some(agent) = &self.agent {
            command.env("SSH_AUTH_SOCK", agent);
        }
        let header = self.header();
        let header = header.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let settings = SETTINGS.into_iter().chain(header).enumerate();
        let mut count = 0;
        for (index, (key, value)) in settings {
            command.env(format!("GIT_CONFIG_KEY_{index}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{index}"), value);
            count = index + 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
        command
    }

    /// The setting that sends the authorization to the remote's host, and to no other.
    fn header(&self) -> Option<(String, String)> {
        let authorization = self.authorization.as_ref()?;
        let (scheme, rest) = self.remote.split_once("://")?;
        let host = rest.split('/').next()?.rsplit('@').next()?;
        Some((
            format!("http.{}://{host}/.extraheader", scheme.to_ascii_lowercase()),
            format!("Authorization: {authorization}"),
        ))
    }

    /// Runs a command to its end, and gives what it wrote.
    pub fn run(&self, mut command: Command) -> Result<String, Problem> {
        command.stdin(Stdio::null());
        let output = self.output(&mut command).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => self.problem("there is no program git on this machine".to_owned()),
            _ => self.problem(format!("git cannot be run: {error}")),
        })?;
        if self.cancel.is_cancelled() {
            return Err(Problem::Cancelled);
        }
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(self.problem(self.in_words(&output))),
        }
    }

    /// Waits for a command; ends it, and all that it started, when the build is cancelled.
    fn output(&self, command: &mut Command) -> io::Result<Output> {
        use std::os::unix::process::CommandExt;
        let (reader, writer) = io::pipe()?;
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut wait = [
                    PollFd::from_borrowed_fd(self.cancel.as_fd(), PollFlags::IN),
                    PollFd::from_borrowed_fd(reader.as_fd(), PollFlags::IN),
                ];
                while matches!(poll(&mut wait, None), Err(rustix::io::Errno::INTR)) {}
                let done = !wait[1].revents().is_empty();
                if let (Some(group), false) = (group, done) {
                    // It may be gone already.
                    let _ = kill_process_group(group, Signal::KILL);
                }
            });
            let output = child.wait_with_output();
            drop(writer);
            output
        })
    }

    /// Something that is wrong with the remote.
    pub fn problem(&self, why: String) -> Problem {
        Problem::Git {
            remote: without_password(&self.remote),
            why,
        }
    }

    /// What `git` said last.
    fn in_words(&self, output: &Output) -> String {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.replace(&self.remote, &without_password(&self.remote));
        let lines: Vec<&str> = said
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let last = &lines[lines.len().saturating_sub(LINES)..];
        match last {
            [] => format!("git ended with {}", output.status),
            last => last.join("; "),
        }
    }
}
