//! The small languages inside of arguments: durations, and others. All work on text that is already expanded.

mod duration;

pub use duration::{InvalidDuration, parse_duration};

/// Whether a name, in lower case, may be a stage's.
pub(super) fn is_stage_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first.is_ascii_lowercase())
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stage_names() {
        for name in ["a", "build", "a1", "a-b_c.d"] {
            assert!(is_stage_name(name), "{name}");
        }
        for name in ["", "1", "-a", "A", "a b", "a/b", "ä"] {
            assert!(!is_stage_name(name), "{name}");
        }
    }
}
