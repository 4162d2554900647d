//! Phrases that the plain and the live display share.

use std::time::Duration;

use super::lines::harmless;

/// `[build 2/5] RUN make`; a stage without a name is called by its number.
pub fn title(stage: &str, position: usize, of: usize, instruction: &str) -> String {
    let unnamed = stage.chars().all(|c| c.is_ascii_digit());
    let prefix = if unnamed { "stage-" } else { "" };
    let mut lines = instruction.trim_end().lines();
    let first = harmless(lines.next().unwrap_or_default());
    let more = if lines.next().is_some() { " ..." } else { "" };
    format!("[{prefix}{} {position}/{of}] {first}{more}", harmless(stage))
}

/// Seconds with a tenth; minutes where there are some: `0.4s`, `1m05s`, `2h00m`.
pub fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}.{}s", time.subsec_millis() / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// `warning: MESSAGE (line 3)`, without the first word.
pub fn warning(message: &str, line: Option<usize>) -> String {
    let message = harmless(message);
    line.map_or(message.clone(), |line| format!("{message} (line {line})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles() {
        let cases = [
            (("build", "RUN make"), "[build 2/5] RUN make"),
            (("0", "RUN make"), "[stage-0 2/5] RUN make"),
            (("a", "RUN <<EOF\nmake\nEOF"), "[a 2/5] RUN <<EOF ..."),
            (("a", "RUN printf '\x1b[2J'"), "[a 2/5] RUN printf ''"),
        ];
        for ((stage, instruction), expected) in cases {
            assert_eq!(title(stage, 2, 5, instruction), expected);
        }
    }

    #[test]
    fn times() {
        let cases = [
            (0, "0.0s"),
            (449, "0.4s"),
            (59_999, "59.9s"),
            (60_000, "1m00s"),
            (3_599_000, "59m59s"),
            (7_260_000, "2h01m"),
        ];
        for (millis, expected) in cases {
            assert_eq!(elapsed(Duration::from_millis(millis)), expected);
        }
    }
}
