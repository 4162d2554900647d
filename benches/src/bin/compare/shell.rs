//! Running programs.

use std::{
    fs::File,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

/// Where the program is, if it is on the `PATH`.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// Runs a program to its end, but not longer than `limit`; what it prints goes to a file, whose name is part of the error.
pub fn run(command: &mut Command, log: &Path, limit: Duration) -> Result<()> {
    let file = File::create(log).with_context(|| log.display().to_string())?;
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        // To be ended with all that it starts.
        .process_group(0);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run {command:?}"))?;
    let group = format!("-{}", child.id());
    let (done, ended) = mpsc::channel::<()>();
    let (status, late) = thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let late = ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if late {
                let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            }
            late
        });
        let status = child.wait();
        drop(done);
        (status, watch.join().unwrap_or(false))
    });
    ensure!(
        !late,
        "{command:?}: not done after {limit:?}; see {}",
        log.display()
    );
    let status = status?;
    ensure!(status.success(), "{command:?}: {status}; see {}", log.display());
    Ok(())
}

/// Removes a directory, if it is there.
pub fn remove(dir: &Path) -> Result<()> {
    if dir.exists() {
        std::fs::remove_dir_all(dir).with_context(|| dir.display().to_string())?;
    }
    Ok(())
}
