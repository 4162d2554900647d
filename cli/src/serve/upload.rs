//! The body of a request for a build: what is to be built, and a tar with the files.

use std::{fs::File, path::PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use hyper::{
    Request, StatusCode,
    body::{Body, Incoming},
    header::CONTENT_TYPE,
};
use rbuild::store::TmpDir;
use tokio::{io::AsyncWriteExt as _, task::spawn_blocking};

use super::{
    Server,
    access::Access,
    answer::Refusal,
    multipart::{Multipart, Patience},
    order::Order,
};

/// The part `meta` may have so many bytes.
const MAX_META: usize = 1 << 20;
/// What a body may have beside the context: `meta`, and the headers of parts.
const REST: u64 = MAX_META as u64 + (64 << 10);

/// Everything that a build needs.
pub struct Upload {
    pub order: Order,
    pub access: Access,
    /// Removed with all that is in it when this is dropped.
    pub directory: TmpDir,
}

impl Upload {
    /// The tar.
    pub fn context(&self) -> PathBuf {
        self.directory.path().join("context.tar.gz")
    }
}

/// Reads a request to its end; nothing of it is left if that fails.
pub async fn receive(server: &Server, request: Request<Incoming>) -> Result<Upload, Refusal> {
    let patience = Patience {
        bytes: server.limits.context + REST,
        silence: server.limits.silence,
    };
    // Nothing is read of what says itself that it is too large.
    if request.body().size_hint().lower() > patience.bytes {
        return Err(super::multipart::Error::TooLarge.into());
    }
    let kind = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().to_owned();
    let mut parts = Multipart::new(&kind, request.into_body(), patience)?;
    let (mut order, mut directory) = (None, None);
    while let Some(name) = parts.next().await? {
        match name.as_str() {
            "meta" => order = Some(meta(server, &mut parts).await?),
            "file" => directory = Some(file(server, &mut parts).await?),
            // Whatever else there is, is passed over.
            _ => {}
        }
    }
    parts.finish().await?;
    let (Some((order, access)), Some(directory)) = (order, directory) else {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "missing meta or file part"));
    };
    Ok(Upload {
        order,
        access,
        directory,
    })
}

async fn meta(server: &Server, parts: &mut Multipart<Incoming>) -> Result<(Order, Access), Refusal> {
    let mut json = Vec::new();
    while let Some(piece) = parts.chunk().await? {
        if json.len() + piece.len() > MAX_META {
            return Err(Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the meta part is too large",
            ));
        }
        json.extend_from_slice(&piece);
    }
    let order = Order::parse(&json)?;
    let access = Access::of(&order, &server.files)?;
    Ok((order, access))
}

/// Writes the tar down, as it comes.
async fn file(server: &Server, parts: &mut Multipart<Incoming>) -> Result<TmpDir, Refusal> {
    let store = server.store.clone();
    let made = spawn_blocking(move || -> anyhow::Result<(TmpDir, File)> {
        let directory = store.tmp_dir()?;
        let file = File::create_new(directory.path().join("context.tar.gz"))?;
        Ok((directory, file))
    });
    let made = made.await.context("a thread died").and_then(|made| made);
    let (directory, file) = made.map_err(|error| no_room(&error))?;
    let mut file = tokio::fs::File::from_std(file);
    let mut left = server.limits.context;
    while let Some(piece) = parts.chunk().await? {
        left = rest(left, &piece)?;
        server.metrics.received(piece.len());
        let written = file.write_all(&piece).await;
        written.map_err(|error| no_room(&error.into()))?;
    }
    let flushed = file.flush().await;
    flushed.map_err(|error| no_room(&error.into()))?;
    Ok(directory)
}

fn rest(left: u64, piece: &Bytes) -> Result<u64, Refusal> {
    let rest = left.checked_sub(piece.len() as u64);
    rest.ok_or_else(|| super::multipart::Error::TooLarge.into())
}

fn no_room(error: &anyhow::Error) -> Refusal {
    let why = format!("the build machine cannot store the context: {error:#}");
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, why)
}
