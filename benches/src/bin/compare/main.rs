//! Times rbuild side by side with the builders that this machine has, on the same work, to an image in a local registry.
//!
//! ```text
//! cargo run -p rbuild-benches --release --bin compare -- --runs 3
//! ```
//!
//! Runs as root. `mmdebstrap` and `docker-registry` must be there; `buildah`, `podman`, `buildctl` (with `BUILDKIT_HOST`
//! set) and Kaniko's `executor` are timed if they are. *Cold* is a build with an empty store, *warm* the same build
//! again, nothing changed. All builders take turns within a run, so that a slow moment of the machine hits them alike.
//!
//! - `workloads`: the builds
//! - `builders`: how each builder is called
//! - `bases`: base images, made once and kept under `target/compare`
//! - `registry`: a docker-registry of our own
//! - `shell`: running programs
//! - `table`: medians and ratios

mod bases;
mod builders;
mod registry;
mod shell;
mod table;
mod workloads;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use builders::Builder;
use registry::Registry;
use table::{Table, Times};
use workloads::Workload;

/// Times rbuild side by side with other builders.
#[derive(Parser)]
struct Options {
    /// How often everything is done
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Only workloads with one of these texts in their names
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these builders
    #[arg(long, value_delimiter = ',')]
    builders: Vec<String>,
    /// The rbuild to time
    #[arg(long, default_value = "target/release/rbuild")]
    rbuild: PathBuf,
    /// Where bases, contexts and stores are kept; needs some 20 GB
    #[arg(long, default_value = "target/compare")]
    dir: PathBuf,
    /// Seconds that a build may take; a builder that takes longer has failed at the workload
    #[arg(long, default_value_t = 300)]
    limit: u64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    ensure!(options.runs > 0, "at least one run is needed");
    std::fs::create_dir_all(&options.dir).with_context(|| options.dir.display().to_string())?;
    let dir = std::path::absolute(&options.dir)?;
    let rbuild = std::path::absolute(&options.rbuild)?;
    ensure!(
        rbuild.exists(),
        "{} is missing: cargo build --release -p rbuild-cli",
        rbuild.display()
    );

    let registry = Registry::start(&dir)?;
    let limit = Duration::from_secs(options.limit);
    let mut builders = builders::found(&dir, &rbuild, &registry, limit)?;
    builders.retain(|builder| options.builders.is_empty() || options.builders.contains(&builder.name));
    ensure!(!builders.is_empty(), "no builder is left to time");

    let mut workloads = workloads::all(&registry);
    workloads.retain(|workload| {
        options.only.is_empty() || options.only.iter().any(|text| workload.name.contains(text))
    });
    let bases: BTreeSet<&str> = workloads.iter().map(|workload| workload.base).collect();
    let mut missing = BTreeSet::new();
    for base in bases {
        if let Err(error) = bases::provide(base, &dir, &rbuild, &registry) {
            eprintln!("{base} cannot be made: {error:#}");
            missing.insert(base);
        }
    }
    let mut table = Table::new(&builders);
    for workload in workloads {
        let context = workload.write(&dir)?;
        let times = match missing.contains(workload.base) {
            true => vec![Times::default(); builders.len()],
            false => compare(&workload, &context, &mut builders, options.runs),
        };
        table.add(workload.name, workload.elsewhere, times);
        // So that there is something if the rest does not come to its end.
        let file = dir.join("table.md");
        std::fs::write(&file, table.to_string()).with_context(|| file.display().to_string())?;
    }
    println!("{table}");
    builders.iter().try_for_each(Builder::end)?;
    Ok(())
}

/// All builders in turn, so many times. One that fails is not tried again, and has no times.
fn compare(workload: &Workload, context: &Path, builders: &mut [Builder], runs: usize) -> Vec<Times> {
    let mut times = vec![Some(Times::default()); builders.len()];
    for run in 1..=runs {
        for (builder, times) in builders.iter_mut().zip(&mut times) {
            let Some(known) = times else { continue };
            let start = format!("{run}/{runs} {}: {}", workload.name, builder.name);
            match once(context, builder) {
                Ok((cold, warm)) => {
                    known.add(cold, warm);
                    eprintln!("{start} {:.2} / {:.3} s", cold.as_secs_f64(), warm.as_secs_f64());
                }
                Err(error) => {
                    eprintln!("{start} failed: {error:#}");
                    *times = None;
                }
            }
        }
    }
    times.into_iter().map(Option::unwrap_or_default).collect()
}

/// A build with an empty store, and the same again.
fn once(context: &Path, builder: &mut Builder) -> Result<(Duration, Duration)> {
    builder.begin()?;
    let cold = builder.build(context).context("cold")?;
    let warm = builder.build(context).context("warm")?;
    Ok((cold, warm))
}
