//! `rbuild prune`

use std::{io, path::Path};

use anyhow::Result;
use rbuild::{
    exec::{Engine, ProbeConfig},
    store::{Error, Plain, Pruned, Store},
};

use super::shared::print;
use crate::{cli::Prune, options::human};

/// Deletes what nothing needs, and says how much it was.
pub fn run(options: &Prune, store: &Store) -> Result<()> {
    let pruned = prune(store, options.keep_bytes.map(|size| size.0))?;
    print(&format!(
        "removed {} files and layers, {}\n",
        pruned.count,
        human(pruned.bytes)
    ))
}

/// Deletes what nothing needs, and then what was not used for longest, until there are no more than so many bytes.
pub fn prune(store: &Store, keep: Option<u64>) -> Result<Pruned, Error> {
    let scratch = store.root().join("tmp");
    // Where nothing can be run, no layer was unpacked with other users' files.
    match Engine::probe(&ProbeConfig::new(scratch)) {
        Ok(engine) => store.prune(keep, &|path: &Path| {
            engine.remove_tree(path).map_err(io::Error::other)
        }),
        Err(_) => store.prune(keep, &Plain),
    }
}
