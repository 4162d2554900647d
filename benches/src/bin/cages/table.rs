//! Medians and ratios.

use std::fmt;

use crate::workloads::Workload;

/// A row for each workload: with mounts, under supervision, under proot.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

struct Row {
    name: &'static str,
    limit: Option<f64>,
    times: Vec<Vec<f64>>,
}

impl Table {
    /// Adds a row; the times are in the order of the places.
    pub fn add(&mut self, workload: &Workload, times: Vec<Vec<f64>>) {
        self.rows.push(Row {
            name: workload.name,
            limit: workload.limit,
            times,
        });
    }
}

/// The middle of the times; of two in the middle the larger.
fn median(times: &[f64]) -> Option<f64> {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

impl fmt::Display for Table {
    /// Markdown: seconds, and how many times the first place's they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| s | mounts, as root | restricted | at most | proot -0 |")?;
        writeln!(f, "|---|---|---|---|---|")?;
        for Row { name, limit, times } in &self.rows {
            let medians: Vec<Option<f64>> = times.iter().map(|times| median(times)).collect();
            let first = medians.first().copied().flatten();
            let cell = |place: usize| match (medians.get(place).copied().flatten(), first) {
                (None, _) => "failed".to_owned(),
                (Some(time), Some(first)) if place > 0 => format!("{time:.2} (x{:.2})", time / first),
                (Some(time), _) => format!("{time:.2}"),
            };
            let limit = limit.map_or_else(String::new, |limit| format!("x{limit}"));
            writeln!(
                f,
                "| {name} | {} | {} | {limit} | {} |",
                cell(0),
                cell(1),
                cell(2)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios() {
        let work = |name, limit| Workload {
            name,
            script: "",
            limit,
        };
        let mut table = Table::default();
        table.add(
            &work("work", Some(1.3)),
            vec![vec![1.0, 9.0, 2.0], vec![3.0], vec![]],
        );
        table.add(&work("more", None), vec![vec![], vec![3.0], vec![1.0]]);
        let expected = "\
| s | mounts, as root | restricted | at most | proot -0 |
|---|---|---|---|---|
| work | 2.00 | 3.00 (x1.50) | x1.3 | failed |
| more | failed | 3.00 | | 1.00 |
"
        .replace("| 3.00 | |", "| 3.00 |  |");
        assert_eq!(table.to_string(), expected);
    }
}
