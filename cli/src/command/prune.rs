//! `rbuild prune`

use std::{io, path::Path};

use anyhow::Result;
use rbuild::{
    exec::{Engine, ProbeConfig},
    store::{Plain, Store},
};

use super::shared::print;
use crate::{cli::Prune, options::human};

/// Deletes what nothing needs, and says how much it was.
pub fn run(options: &Prune, store: &Store) -> Result<()> {
    let keep = options.keep_bytes.map(|size| size.0);
    let scratch = store.root().join("tmp");
    // Where nothing can be run, no layer was unpacked with other users' files.
    let pruned = match Engine::probe(&ProbeConfig::new(scratch)) {
        Ok(engine) => store.prune(keep, &|path: &Path| {
            engine.remove_tree(path).map_err(io::Error::other)
        }),
        Err(_) => store.prune(keep, &Plain),
    }?;
    print(&format!(
        "removed {} files and layers, {}\n",
        pruned.count,
        human(pruned.bytes)
    ))
}
