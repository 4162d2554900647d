//! Times what RUN steps do in the places that rbuild has for them, side by side: a root of mounts, as root has it;
//! supervision, in a container that may do nothing; and `proot -0`, which wants to write to `/tmp`.
//!
//! ```text
//! cargo build --release -p rbuild-cli -p rbuild-testutils --bins
//! cargo run -p rbuild-benches --release --bin cages -- --runs 3
//! ```
//!
//! Runs as root. `proot` must be there. Only the work itself is timed, by the step: neither its root file system nor
//! its layer. All places take turns within a run, so that a slow moment of the machine hits them alike.
//!
//! - `base`: the image that all of them begin with, made once by rbuild of a Debian and its packages
//! - `places`: where the work is done
//! - `workloads`: the work
//! - `table`: medians and ratios

mod base;
mod places;
mod table;
mod workloads;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use places::Place;
use table::Table;
use workloads::{WORKLOADS, Workload};

/// Times RUN steps side by side in the places that rbuild has for them, and under proot.
#[derive(Parser)]
struct Options {
    /// How often everything is done
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Only workloads with one of these texts in their names
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// A Debian to begin with; its package sources must be within reach when the base is made
    #[arg(long, default_value = "docker.io/library/debian:bookworm-slim")]
    base: String,
    /// The rbuild to time
    #[arg(long, default_value = "target/release/rbuild")]
    rbuild: PathBuf,
    /// The program that locks itself in
    #[arg(long, default_value = "target/release/cage")]
    cage: PathBuf,
    /// Where the base and the stores are kept; everybody must be allowed to get there
    #[arg(long, default_value = "target/cages")]
    dir: PathBuf,
}

fn main() -> Result<()> {
    let options = Options::parse();
    ensure!(options.runs > 0, "at least one run is needed");
    std::fs::create_dir_all(&options.dir).with_context(|| options.dir.display().to_string())?;
    let [dir, rbuild, cage] = [&options.dir, &options.rbuild, &options.cage].map(std::path::absolute);
    let (dir, rbuild, cage) = (dir?, rbuild?, cage?);
    for program in [&rbuild, &cage] {
        ensure!(program.exists(), "{} is missing", program.display());
    }
    let chosen: Vec<&Workload> = WORKLOADS
        .iter()
        .filter(|workload| {
            options.only.is_empty() || options.only.iter().any(|text| workload.name.contains(text))
        })
        .collect();
    let base = base::provide(&options.base, &dir, &rbuild)?;
    let mut places = places::all(&dir, &rbuild, &cage, &base)?;
    let mut table = Table::default();
    for workload in chosen {
        let times = compare(workload, &mut places, options.runs);
        table.add(workload, times);
        // So that there is something if the rest does not come to its end.
        let file = dir.join("table.md");
        std::fs::write(&file, table.to_string()).with_context(|| file.display().to_string())?;
    }
    println!("{table}");
    Ok(())
}

/// Seconds in all places in turn, so many times. One that fails is not tried again, and has no times.
fn compare(workload: &Workload, places: &mut [Place], runs: usize) -> Vec<Vec<f64>> {
    let mut times = vec![Some(Vec::new()); places.len()];
    for run in 1..=runs {
        for (place, times) in places.iter_mut().zip(&mut times) {
            let Some(known) = times else { continue };
            let what = format!("{run}/{runs} {}: {}", workload.name, place.name());
            match place.time(workload) {
                Ok(seconds) => {
                    known.push(seconds);
                    eprintln!("{what} {seconds:.2} s");
                }
                Err(error) => {
                    eprintln!("{what} failed: {error:#}");
                    *times = None;
                }
            }
        }
    }
    times.into_iter().map(Option::unwrap_or_default).collect()
}
