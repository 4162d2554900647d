//! What several commands need.

use std::{
    fmt::Write as _,
    io::{self, Write},
    path::Path,
};

use anyhow::{Context, Result};
use rbuild::store::Store;

use crate::report::Outcome;

/// The store that `--root` names, or the user's own.
pub fn open_store(root: Option<&Path>) -> Result<Store> {
    let store = match root {
        Some(root) => Store::open(root),
        None => Store::open_default(),
    };
    Ok(store?)
}

/// Runs what waits for the network. What it leaves running in the background ends with the process.
pub fn run_async(work: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("cannot start threads")?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}

/// Writes to standard output; a reader that went away is no error.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

/// Rows with their columns aligned, two blanks between them.
pub fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a String does not fail.
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [["NAME", "SIZE"], ["a", "1 B"], ["longer", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "NAME    SIZE\na       1 B\nlonger\n");
    }
}
