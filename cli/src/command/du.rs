//! `rbuild du`

use anyhow::Result;
use rbuild::store::{Store, Usage};

use super::shared::{print, table};
use crate::options::human;

/// Says what takes how much space in the store.
pub fn run(store: &Store) -> Result<()> {
    let usage = store.du()?;
    print(&format!("{}\n{}", store.root().display(), describe(&usage)))
}

fn describe(usage: &Usage) -> String {
    let mut rows = vec![["PART", "COUNT", "SIZE", "BYTES"].map(str::to_owned)];
    for part in &usage.parts {
        rows.push([
            part.name.to_owned(),
            part.count.to_string(),
            human(part.bytes),
            part.bytes.to_string(),
        ]);
    }
    let mut total = |name: &str, bytes: u64| {
        rows.push([name.to_owned(), String::new(), human(bytes), bytes.to_string()]);
    };
    total("total", usage.total());
    total("orphaned", usage.orphaned);
    table(&rows)
}

#[cfg(test)]
mod tests {
    use rbuild::store::Part;

    use super::*;

    #[test]
    fn parts_and_their_sum() {
        let usage = Usage {
            parts: vec![
                Part {
                    name: "blobs",
                    bytes: 1_000_000,
                    count: 3,
                },
                Part {
                    name: "other",
                    bytes: 4096,
                    count: 2,
                },
            ],
            orphaned: 0,
        };
        let expected = "\
PART      COUNT  SIZE    BYTES
blobs     3      1.0 MB  1000000
other     2      4.1 kB  4096
total            1.0 MB  1004096
orphaned         0 B     0
";
        assert_eq!(describe(&usage), expected);
    }
}
