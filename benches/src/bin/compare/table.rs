//! Medians and ratios.

use std::{fmt, time::Duration};

use crate::{builders::Builder, workloads::Elsewhere};

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
    rows: Vec<Row>,
}

struct Row {
    workload: &'static str,
    elsewhere: Elsewhere,
    /// In the order of the builders.
    times: Vec<Times>,
}

impl Row {
    /// How many times rbuild's times, cold and warm, the best builder of the other machine would take here, if this
    /// machine is to that one as buildah's times are. `buildah` is its column.
    fn against_elsewhere(&self, buildah: usize) -> Option<[f64; 2]> {
        let ours = self.times.first()?.medians()?;
        let buildah = self.times.get(buildah)?.medians()?;
        let [cold, warm] = self.elsewhere.best;
        let [buildah_cold, buildah_warm] = self.elsewhere.buildah;
        Some([
            cold * buildah.0 / buildah_cold / ours.0,
            warm * buildah.1 / buildah_warm / ours.1,
        ])
    }
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
    pub fn add(&mut self, workload: &'static str, elsewhere: Elsewhere, times: Vec<Times>) {
        self.rows.push(Row {
            workload,
            elsewhere,
            times,
        });
    }

    /// What of other machines can be compared with, once buildah was timed here too.
    fn elsewhere(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(buildah) = self.builders.iter().position(|name| name == "buildah") else {
            return Ok(());
        };
        writeln!(
            f,
            "\n| cold / warm | the best elsewhere, by buildah's times |\n|---|---|"
        )?;
        for row in &self.rows {
            if let Some([cold, warm]) = row.against_elsewhere(buildah) {
                writeln!(f, "| {} | x{cold:.1} / x{warm:.1} |", row.workload)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Table {
    /// Markdown: `cold / warm` in seconds, and for all but the first builder how many times the first one's they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| cold / warm, s | {} |", self.builders.join(" | "))?;
        writeln!(f, "|---|{}", "---|".repeat(self.builders.len()))?;
        for Row { workload, times, .. } in &self.rows {
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
        self.elsewhere(f)
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
        let row = |workload, times| Row {
            workload,
            elsewhere: Elsewhere {
                buildah: [8.0, 0.3],
                best: [6.0, 0.1],
            },
            times,
        };
        let table = Table {
            builders: vec!["rbuild".into(), "buildah".into(), "third".into()],
            rows: vec![
                row(
                    "work",
                    vec![
                        times(&[1000, 9000, 2000], &[100]),
                        times(&[4000], &[150]),
                        times(&[], &[]),
                    ],
                ),
                row(
                    "more",
                    vec![times(&[], &[]), times(&[4000], &[150]), times(&[1000], &[1])],
                ),
            ],
        };
        let expected = "\
| cold / warm, s | rbuild | buildah | third |
|---|---|---|---|
| work | 2.00 / 0.100 | 4.00 / 0.150 (x2.0 / x1.5) | failed |
| more | failed | 4.00 / 0.150 | 1.00 / 0.001 |

| cold / warm | the best elsewhere, by buildah's times |
|---|---|
| work | x1.5 / x0.5 |
";
        assert_eq!(table.to_string(), expected);
    }
}
