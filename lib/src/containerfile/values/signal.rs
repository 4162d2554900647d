//! Signals of `STOPSIGNAL`.

/// A text that is no signal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no signal such as SIGTERM, KILL or 9")]
pub struct InvalidSignal(String);

const NAMES: [&str; 34] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
];

/// Checks a signal: a number other than 0, or a name in any case, with or without `SIG`.
pub fn check_signal(text: &str) -> Result<(), InvalidSignal> {
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let valid = match text.parse::<i32>() {
        Ok(number) => number > 0,
        Err(_) => NAMES.contains(&name) || is_real_time(name),
    };
    if valid {
        Ok(())
    } else {
        Err(InvalidSignal(text.to_owned()))
    }
}

/// `RTMIN`, `RTMIN+1` to `RTMIN+15`, `RTMAX-14` to `RTMAX-1`, `RTMAX`.
fn is_real_time(name: &str) -> bool {
    let (rest, sign, most) = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => (rest, '+', 15),
        (_, Some(rest)) => (rest, '-', 14),
        _ => return false,
    };
    let offset = |number: &str| {
        number
            .parse::<u32>()
            .ok()
            .filter(|_| !number.starts_with(['0', '+']))
    };
    rest.is_empty()
        || rest
            .strip_prefix(sign)
            .and_then(offset)
            .is_some_and(|offset| (1..=most).contains(&offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals() {
        for text in [
            "SIGKILL",
            "kill",
            "SigTerm",
            "9",
            "1",
            "SIGRTMIN",
            "RTMIN+15",
            "SIGRTMAX-1",
            "rtmax",
            "USR1",
        ] {
            assert_eq!(check_signal(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "", "SIGFOO", "0", "-1", "SIG", "RTMIN+16", "RTMIN-1", "RTMAX-15", "RTMAX+1", "RTMIN+0",
            "RTMIN+01", "9 ",
        ] {
            assert_eq!(check_signal(text), Err(InvalidSignal(text.into())), "{text}");
        }
    }
}
