//! The small languages inside of arguments. All of these work on text that is already expanded.
//!
//! - `chmod`, `owner`: what `--chmod` and `--chown`, and `USER`, say
//! - `duration`: of `HEALTHCHECK`
//! - `git`: sources that are git repositories, or URLs
//! - `port`: of `EXPOSE`
//! - `scalar`: yes or no, and sizes
//! - `signal`: of `STOPSIGNAL`

mod chmod;
mod duration;
mod git;
mod owner;
mod port;
mod scalar;
mod signal;

pub use chmod::{Chmod, InvalidChmod};
pub use duration::{InvalidDuration, parse_duration};
pub use git::{GitSource, InvalidGitSource, Origin};
pub use owner::{Owner, Principal};
pub use port::{InvalidPort, Ports, Protocol};
pub use scalar::{parse_bool, parse_size};
pub use signal::{InvalidSignal, check_signal};

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
