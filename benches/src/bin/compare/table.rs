//! Medians and ratios.

use std::{fmt, time::Duration};

use crate::builders::Builder;

/// Times of one builder on one workload, a pair for each run.
#[derive(Clone, Default)]
pub struct Times {
    cold: Vec<Duration>,
    warm: Vec<Duration>,
}

impl Times {
    /// Adds a run.
    pub fn add(&mut self, cold: Duration, warm: Duration) {
        self.cold.push(cold);
        self.warm.push(warm);
    }
}

impl Times {
    /// The middle ones, in seconds; none if there are none.
    fn medians(&self) -> Option<(f64, f64)> {
        Some((median(&self.cold)?, median(&self.warm)?))
    }
}

/// The middle of the times, in seconds; of two in the middle the larger.
fn median(times: &[Duration]) -> Option<f64> {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).map(Duration::as_secs_f64)
}

/// A row for each workload, a column for each builder.
pub struct Table {
    builders: Vec<String>,
    rows: Vec<(&'static str, Vec<Times>)>,
}

impl Table {
    /// An empty one.
    pub fn new(builders: &[Builder]) -> Self {
        Self {
            builders: builders.iter().map(|builder| builder.name.clone()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; the times are in the order of the builders.
    pub fn add(&mut self, workload: &'static str, times: Vec<Times>) {
        self.rows.push((workload, times));
    }
}

impl fmt::Display for Table {
    /// Markdown: `cold / warm` in seconds, and for all but the first builder how many times the first one's they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| cold / warm, s | {} |", self.builders.join(" | "))?;
        writeln!(f, "|---|{}", "---|".repeat(self.builders.len()))?;
        for (workload, times) in &self.rows {
            write!(f, "| {workload} |")?;
            let first = times.first().and_then(Times::medians);
            for (number, times) in times.iter().enumerate() {
                match times.medians() {
                    None => write!(f, " failed")?,
                    Some((cold, warm)) => {
                        write!(f, " {cold:.2} / {warm:.3}")?;
                        if let Some((first_cold, first_warm)) = first.filter(|_| number > 0) {
                            write!(f, " (x{:.1} / x{:.1})", cold / first_cold, warm / first_warm)?;
                        }
                    }
                }
                write!(f, " |")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(cold: &[u64], warm: &[u64]) -> Times {
        let millis = |list: &[u64]| list.iter().copied().map(Duration::from_millis).collect();
        Times {
            cold: millis(cold),
            warm: millis(warm),
        }
    }

    #[test]
    fn medians_and_ratios() {
        let table = Table {
            builders: vec!["rbuild".into(), "other".into(), "third".into()],
            rows: vec![
                (
                    "work",
                    vec![
                        times(&[1000, 9000, 2000], &[100]),
                        times(&[4000], &[150]),
                        times(&[], &[]),
                    ],
                ),
                (
                    "more",
                    vec![times(&[], &[]), times(&[4000], &[150]), times(&[1000], &[1])],
                ),
            ],
        };
        let expected = "\
| cold / warm, s | rbuild | other | third |
|---|---|---|---|
| work | 2.00 / 0.100 | 4.00 / 0.150 (x2.0 / x1.5) | failed |
| more | failed | 4.00 / 0.150 | 1.00 / 0.001 |
";
        assert_eq!(table.to_string(), expected);
    }
}
