//! The page: HTML and CSS, no scripts, nothing from elsewhere; light or dark, as the browser is.

use std::{
    fmt::{Display, Write},
    time::Duration,
};

use rbuild::event::{Direction, Moved};

use super::{
    cpu::Sample,
    path::{self, Item},
    record::{How, Record, Span, Step, Transfer, Way},
};
use crate::options::human;

const STYLE: &str = include_str!("page.css");

/// A build as a page. It ended at `last`.
pub fn html(record: &Record, samples: &[Sample], last: Duration, succeeded: bool) -> String {
    let chart = Chart {
        record,
        last,
        path: path::critical(record, last),
    };
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>rbuild: {what}</title><style>\n{STYLE}</style></head>\n<body>\n\
         <h1>{what}</h1>\n",
        what = Escaped(&record.what)
    );
    page.extend([
        head(record, samples, last, succeeded),
        chart.cpu(samples),
        chart.steps(),
        chart.transfers(),
        chart.critical_path(),
        warnings(record),
    ]);
    page.push_str("</body></html>\n");
    page
}

fn head(record: &Record, samples: &[Sample], last: Duration, succeeded: bool) -> String {
    let outcome = match succeeded {
        true => "<div class=\"faint\">built by rbuild</div>",
        false => "<div class=\"failed-word\">failed</div>",
    };
    let used = samples.last().map_or(0.0, |sample| sample.used);
    let ran = record.count(|how| matches!(how, How::Ran(_) | How::Failed));
    let cached = record.count(|how| *how == How::Cached);
    let restored = record.count(|how| matches!(how, How::Restored(_)));
    let average = used / last.as_secs_f64().max(0.001);
    let tiles = [
        (seconds(last), "in all".to_owned()),
        (ran.to_string(), "steps done".to_owned()),
        (cached.to_string(), "steps in the store".to_owned()),
        (restored.to_string(), "steps from shared caches".to_owned()),
        (human(record.bytes(Direction::Pull)), "pulled".to_owned()),
        (human(record.bytes(Direction::Push)), "pushed".to_owned()),
        (format!("{used:.1} s"), format!("of CPU: {average:.1} at a time")),
    ];
    let tiles = tiles.map(|(figure, of)| format!("<li><b>{figure}</b>{of}</li>"));
    format!("{outcome}\n<ul class=\"tiles\">{}</ul>\n", tiles.concat())
}

/// What all parts of the time line share.
struct Chart<'a> {
    record: &'a Record,
    last: Duration,
    path: Vec<Item>,
}

impl Chart<'_> {
    /// Where a time is, in per cent.
    fn place(&self, time: Duration) -> f64 {
        100.0 * time.as_secs_f64() / self.last.as_secs_f64().max(1e-6)
    }

    /// The processors in use at a time.
    fn cpu(&self, samples: &[Sample]) -> String {
        let rates: Vec<(f64, f64)> = samples
            .windows(2)
            .filter_map(|pair| {
                let [before, after] = pair else { return None };
                let passed = after.at.saturating_sub(before.at).as_secs_f64();
                let rate = (after.used - before.used) / passed.max(0.001);
                Some((self.place(after.at), rate))
            })
            .collect();
        // A build that is over before anything can be seen has no curve.
        let (Some(first), Some(end)) = (rates.first(), rates.last()) else {
            return String::new();
        };
        let most = rates.iter().map(|(_, rate)| *rate).fold(1.0, f64::max).ceil();
        let mut line = format!("M{:.2} 100", first.0);
        for (x, rate) in &rates {
            // Writing to a String does not fail.
            let _ = write!(line, "L{x:.2} {:.1}", 100.0 - 100.0 * rate / most);
        }
        let _ = write!(line, "L{:.2} 100Z", end.0);
        format!(
            "<h2>CPU</h2>\n<div class=\"row\"><div class=\"label faint\">processors in use, of {most:.0}</div>\
             <svg viewBox=\"0 0 100 100\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"CPU use\">\
             <path d=\"{line}\"/></svg></div>\n"
        )
    }

    fn axis(&self) -> String {
        let every = tick(self.last.as_secs_f64());
        let mut marks = String::new();
        let mut at = 0.0;
        while at <= self.last.as_secs_f64() * 0.96 {
            let left = self.place(Duration::from_secs_f64(at));
            let shown = seconds(Duration::from_secs_f64(at));
            let _ = write!(marks, "<span style=\"left:{left:.2}%\">{shown}</span>");
            at += every;
        }
        format!("<div class=\"axis\"><div></div><div class=\"scale\">{marks}</div></div>\n")
    }

    fn steps(&self) -> String {
        let keys = [
            ("", "done"),
            ("cached", "in the store"),
            ("restored", "from a shared cache"),
            ("failed", "failed"),
            ("pull", "pulled"),
            ("push", "pushed"),
        ];
        let keys = keys.map(|(class, of)| format!("<span><i class=\"bar {class}\"></i>{of}</span>"));
        let mut part = format!(
            "<h2>Steps</h2>\n<div class=\"key\">{}<span><i class=\"bar critical\"></i>on the critical path</span></div>\n{}",
            keys.concat(),
            self.axis()
        );
        let mut stages: Vec<&str> = self.record.steps.iter().map(|step| &*step.stage).collect();
        let mut seen = std::collections::HashSet::new();
        stages.retain(|stage| seen.insert(*stage));
        for stage in stages {
            let _ = writeln!(part, "<div class=\"stage\">Stage {}</div>", Escaped(stage));
            for (index, step) in self.record.steps.iter().enumerate() {
                if step.stage == stage {
                    part.push_str(&self.step(index, step));
                }
            }
        }
        part
    }

    fn step(&self, index: usize, step: &Step) -> String {
        let (class, how) = match &step.how {
            How::Ran(None) => ("", "done".to_owned()),
            How::Ran(Some(why)) => ("", format!("done: {why}")),
            How::Cached => ("cached", "in the store".to_owned()),
            How::Restored(from) => ("restored", format!("from {from}")),
            How::Failed => ("failed", "failed".to_owned()),
        };
        let (position, of) = step.position;
        let label = format!("{position}/{of} {}", one_line(&step.instruction));
        self.row(&label, &how, class, step.span, Item::Step(index))
    }

    fn transfers(&self) -> String {
        if self.record.transfers.is_empty() {
            return String::new();
        }
        let mut part = format!("<h2>Transfers</h2>\n{}", self.axis());
        for (index, transfer) in self.record.transfers.iter().enumerate() {
            let Transfer {
                way,
                name,
                place,
                bytes,
                size,
                how,
                ..
            } = transfer;
            let (class, sign) = match way {
                Way::Moves(Direction::Pull) => ("pull", "↓"),
                Way::Moves(Direction::Push) => ("push", "↑"),
                Way::Packed => ("packed", "→"),
            };
            let how = match how {
                Some(Moved::Copied) => human(*bytes),
                Some(Moved::Existed) => "was there".to_owned(),
                Some(Moved::Mounted) => "taken from another repository".to_owned(),
                None => format!("{} of {}", human(*bytes), human(*size)),
            };
            let label = format!("{sign} {name} {place}");
            part.push_str(&self.row(&label, &how, class, transfer.span, Item::Transfer(index)));
        }
        part
    }

    fn row(&self, label: &str, how: &str, class: &str, span: Span, item: Item) -> String {
        let (left, end) = (self.place(span.begin), self.place(span.end(self.last)));
        let critical = if self.path.contains(&item) {
            " critical"
        } else {
            ""
        };
        let length = seconds(span.length(self.last));
        // Behind the bar, before it or in it: where there is room.
        let (place, side) = match (left, end) {
            (_, ..75.0) => ("time", format!("left:{end:.2}%")),
            (25.0.., _) => ("time", format!("right:{:.2}%", 100.0 - left)),
            _ => ("time inside", format!("right:{:.2}%", 100.0 - end)),
        };
        let shown = match item {
            Item::Step(_) => length.clone(),
            Item::Transfer(_) => format!("{length}, {how}"),
        };
        format!(
            "<div class=\"row\" title=\"{title}\"><div class=\"label\">{label}</div><div class=\"lane\">\
             <div class=\"bar {class}{critical}\" style=\"left:{left:.2}%;width:{width:.2}%\"></div>\
             <span class=\"{place}\" style=\"{side}\">{shown}</span></div></div>\n",
            title = Escaped(format!("{label}\n{how}, {length}, from {}", seconds(span.begin))),
            label = Escaped(label),
            width = end - left,
            shown = Escaped(shown),
        )
    }

    fn critical_path(&self) -> String {
        let mut rows = String::new();
        let mut on_path = Duration::ZERO;
        for item in &self.path {
            let (what, span) = match item {
                Item::Step(index) => match self.record.steps.get(*index) {
                    Some(step) => (
                        format!("[{}] {}", step.stage, one_line(&step.instruction)),
                        step.span,
                    ),
                    None => continue,
                },
                Item::Transfer(index) => match self.record.transfers.get(*index) {
                    Some(transfer) => (format!("{} {}", transfer.name, transfer.place), transfer.span),
                    None => continue,
                },
            };
            on_path += span.length(self.last);
            let _ = writeln!(
                rows,
                "<tr><td class=\"number\">{}</td><td class=\"number faint\">{:.0} %</td><td class=\"what\">{}</td></tr>",
                seconds(span.length(self.last)),
                self.place(span.length(self.last)),
                Escaped(what)
            );
        }
        if rows.is_empty() {
            return String::new();
        }
        let rest = self.last.saturating_sub(on_path);
        format!(
            "<h2>Critical path</h2>\n<p class=\"faint\">What the end waited for; {} were none of this.</p>\n\
             <table>{rows}</table>\n",
            seconds(rest)
        )
    }
}

fn warnings(record: &Record) -> String {
    if record.warnings.is_empty() {
        return String::new();
    }
    let mut part = "<h2>Warnings</h2>\n<ul>".to_owned();
    for warning in &record.warnings {
        let _ = write!(part, "<li>{}</li>", Escaped(warning));
    }
    part + "</ul>\n"
}

/// The seconds between two marks of an axis: some eight of them.
fn tick(length: f64) -> f64 {
    let steps = [
        0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0,
    ];
    let fits = |every: &&f64| length / **every <= 10.0;
    steps.iter().find(fits).copied().unwrap_or(3600.0)
}

fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        0.0 => "0".to_owned(),
        short if short < 1.0 => format!("{:.0} ms", short * 1000.0),
        middling if middling < 60.0 => format!("{middling:.1} s"),
        long => format!("{}:{:02}", long as u64 / 60, long as u64 % 60),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Text that is no markup.
struct Escaped<T>(T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.to_string().chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c if c.is_control() && c != '\n' => f.write_char('\u{fffd}'),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use rbuild::Event;

    use super::*;

    #[test]
    fn shows_what_happened_and_nothing_runs_in_it() {
        let at = Duration::from_millis;
        let mut record = Record::new("<script>alert(1)</script>".to_owned());
        let started = |step, instruction: &str| Event::StepStarted {
            step,
            stage: "\"s\"".to_owned(),
            position: step + 1,
            of: 2,
            instruction: instruction.to_owned(),
            line: 1,
        };
        let finished = |step| Event::StepFinished {
            step,
            elapsed: at(1),
            layer: None,
        };
        let from = Some("r.example/c".to_owned());
        for (now, event) in [
            (0, started(0, "COPY a b")),
            (100, Event::StepCached { step: 0, from }),
            (100, finished(0)),
            (100, started(1, "RUN echo '<b>' && \\\n  true")),
            (2000, finished(1)),
        ] {
            record.event(at(now), &event);
        }
        let samples = [(0, 0.0), (1000, 1.0), (2000, 2.5)].map(|(ms, used)| Sample { at: at(ms), used });
        let page = html(&record, &samples, at(2000), true);
        for expected in [
            "&lt;script&gt;",
            "Stage &quot;s&quot;",
            "2/2 RUN echo &#39;&lt;b&gt;&#39; &amp;&amp; \\ true",
            "bar restored critical\" style=\"left:0.00%;width:5.00%\"",
            "bar  critical\" style=\"left:5.00%;width:95.00%\"",
            "<li><b>2.0 s</b>in all</li>",
            "<li><b>1</b>steps from shared caches</li>",
            "<li><b>2.5 s</b>of CPU: 1.2 at a time</li>",
            "processors in use, of 2",
        ] {
            assert!(page.contains(expected), "{expected}: {page}");
        }
        assert!(!page.contains("<script") && !page.contains("http"), "{page}");
    }

    #[test]
    fn an_empty_build_is_a_page_too() {
        let page = html(&Record::new("x".to_owned()), &[], Duration::ZERO, false);
        assert!(page.contains("failed-word") && !page.contains("NaN"), "{page}");
    }
}
