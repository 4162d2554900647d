//! The context on its way into the pod: `attach`, with nothing but standard input.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{AttachParams, AttachedProcess},
};
use rbuild::build::Parcel;
use tokio::{io::AsyncWriteExt as _, sync::mpsc, time::sleep};

use super::manifest::CONTAINER;

/// How much is on its way at once, in bytes.
const BUFFER: usize = 64 * 1024;

/// How often to ask for a connection, and how long to wait in between. A container that runs may not be attachable yet.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// What is attached to the pod, and how many bytes it was sent. The connection is to be kept until the pod ends: it may not
/// have delivered all of them.
pub struct Sent {
    /// Kept for its `Drop`.
    _connection: AttachedProcess,
    /// In bytes.
    pub size: u64,
}

/// Sends the context.
///
/// # Errors
/// When the pod cannot be reached, or a file not be read. The pod then has half a context at most, and knows it.
pub async fn send(pods: Api<Pod>, pod: String, parcel: Arc<Parcel>) -> Result<Sent> {
    let mut connection = attach(&pods, &pod).await?;
    let Some(mut stdin) = connection.stdin() else {
        bail!("the pod has no standard input");
    };
    let (sender, mut chunks) = mpsc::channel::<Vec<u8>>(4);
    let writing = tokio::task::spawn_blocking(move || {
        let mut out = io::BufWriter::with_capacity(BUFFER, Chunks(sender));
        parcel.write_context(&mut out).map_err(anyhow::Error::from)?;
        out.flush().context("cannot send the context")
    });
    let mut size = 0;
    while let Some(chunk) = chunks.recv().await {
        stdin
            .write_all(&chunk)
            .await
            .context("the pod takes no more of the context")?;
        size += chunk.len() as u64;
    }
    writing.await.context("the context is not read to its end")??;
    stdin
        .shutdown()
        .await
        .context("the pod takes no more of the context")?;
    Ok(Sent {
        _connection: connection,
        size,
    })
}

async fn attach(pods: &Api<Pod>, pod: &str) -> Result<AttachedProcess> {
    let parameters = AttachParams::default()
        .container(CONTAINER)
        .stdin(true)
        .stdout(false)
        .stderr(false)
        .max_stdin_buf_size(BUFFER);
    let mut attempt = 1;
    loop {
        match pods.attach(pod, &parameters).await {
            Ok(connection) => return Ok(connection),
            Err(error) if attempt == ATTEMPTS => {
                return Err(error).context("cannot attach to the pod, to send it the context");
            }
            Err(_) => sleep(PAUSE).await,
        }
        attempt += 1;
    }
}

/// What is written goes to the one who receives the chunks.
struct Chunks(mpsc::Sender<Vec<u8>>);

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.blocking_send(bytes.to_vec()) {
            Ok(()) => Ok(bytes.len()),
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
