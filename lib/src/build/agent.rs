//! An ssh agent as a RUN sees it: a socket with the mode and the owner that the mount asks for, which leads to the
//! agent's own.

use std::{
    fs::{self, File, Permissions},
    os::{
        fd::AsRawFd,
        unix::{
            fs::{PermissionsExt, chown},
            net::UnixListener as Listener,
        },
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::{
    io::copy_bidirectional,
    net::{UnixListener, UnixStream},
    task::JoinSet,
};

use super::{
    error::{BuildError, Problem},
    solver::Shared,
};
use crate::{exec::Engine, store::TmpDir};

/// Mode and owner of a socket.
#[derive(Clone, Copy)]
pub(super) struct Access {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// A socket that leads to an agent's. It goes away with this.
pub(super) struct Agent {
    directory: TmpDir,
    _connections: JoinSet<()>,
}

impl Agent {
    /// Leads to the socket `agent`.
    pub async fn start(
        shared: &Arc<Shared>,
        engine: &Engine,
        agent: &Path,
        access: Access,
    ) -> Result<Self, BuildError> {
        let (tmp, engine) = (shared.store.clone(), engine.clone());
        let make = move || make(tmp.tmp_dir()?, &engine, access);
        let (directory, listener) = shared.blocking(make).await?;
        let listener =
            UnixListener::from_std(listener).map_err(Problem::io("listen on", directory.path()))?;
        let mut connections = JoinSet::new();
        connections.spawn(lead(listener, agent.to_owned()));
        Ok(Self {
            directory,
            _connections: connections,
        })
    }

    /// Where it is.
    pub fn socket(&self) -> PathBuf {
        socket(&self.directory)
    }
}

fn socket(directory: &TmpDir) -> PathBuf {
    directory.path().join("agent")
}

fn make(directory: TmpDir, engine: &Engine, access: Access) -> Result<(TmpDir, Listener), BuildError> {
    let path = socket(&directory);
    let listener = listen(directory.path()).map_err(Problem::io("make the socket", &path))?;
    let permit = || {
        chown(&path, Some(access.uid), Some(access.gid))?;
        fs::set_permissions(&path, Permissions::from_mode(access.mode))
    };
    engine.with_ids(permit)?;
    Ok((directory, listener))
}

/// The address of a socket has room for 107 bytes, and directories may have longer names: so by the descriptor.
fn listen(directory: &Path) -> std::io::Result<Listener> {
    let directory = File::open(directory)?;
    let listener = Listener::bind(format!("/proc/self/fd/{}/agent", directory.as_raw_fd()))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Takes connections until it is dropped, and every one of them with it. One that fails is just closed: whoever made
/// it sees that.
async fn lead(listener: UnixListener, agent: PathBuf) {
    let mut connections = JoinSet::new();
    while let Ok((mut here, _)) = listener.accept().await {
        let agent = agent.clone();
        connections.spawn(async move {
            if let Ok(mut there) = UnixStream::connect(agent).await {
                let _ = copy_bidirectional(&mut here, &mut there).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn what_is_said_goes_both_ways_until_it_ends() {
        let room = tempfile::tempdir().unwrap();
        let agent = room.path().join("agent");
        let known = Listener::bind(&agent).unwrap();
        let long = room.path().join("long".repeat(40));
        fs::create_dir(&long).unwrap();
        let answer = std::thread::spawn(move || {
            let (mut connection, _) = known.accept()?;
            let mut word = [0; 5];
            connection.read_exact(&mut word)?;
            connection.write_all(b"and you?")?;
            std::io::Result::Ok(word)
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let said = runtime.unwrap().block_on(async {
            let here = listen(&long).unwrap();
            let tasks = JoinSet::from_iter([lead(UnixListener::from_std(here).unwrap(), agent)]);
            let talk = move || {
                let directory = File::open(&long)?;
                let address = format!("/proc/self/fd/{}/agent", directory.as_raw_fd());
                let mut connection = std::os::unix::net::UnixStream::connect(address)?;
                connection.write_all(b"hello")?;
                let mut said = String::new();
                connection.read_to_string(&mut said)?;
                std::io::Result::Ok(said)
            };
            let said = tokio::task::spawn_blocking(talk).await.unwrap();
            drop(tasks);
            said
        });
        assert_eq!(said.unwrap(), "and you?");
        assert_eq!(&answer.join().unwrap().unwrap(), b"hello");
    }
}
