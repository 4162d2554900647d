//! The instructions that only change the image's config.

use super::{error::BuildError, stage::Stage};
use crate::{
    containerfile::{
        Command, Healthcheck, InstructionKind, Word,
        values::{Ports, check_signal},
    },
    image,
};

/// What a shell-form command is run by when no SHELL says otherwise.
pub(super) const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Applies an instruction that makes no layer. What it returns goes into the history.
pub(super) fn apply(stage: &mut Stage, kind: &InstructionKind) -> Result<String, BuildError> {
    match kind {
        InstructionKind::Env(pairs) => env(stage, pairs),
        InstructionKind::Label(pairs) => label(stage, pairs),
        InstructionKind::Cmd(command) => Ok(cmd(stage, command)),
        InstructionKind::Entrypoint(command) => Ok(entrypoint(stage, command)),
        InstructionKind::Shell(shell) => Ok(set_shell(stage, shell)),
        InstructionKind::User(word) => user(stage, word),
        InstructionKind::Volume(words) => volume(stage, words),
        InstructionKind::Expose(words) => expose(stage, words),
        InstructionKind::Stopsignal(word) => stopsignal(stage, word),
        InstructionKind::Healthcheck(check) => Ok(healthcheck(stage, check)),
        InstructionKind::Maintainer(word) => Ok(maintainer(stage, word)),
        InstructionKind::Arg(_)
        | InstructionKind::Run(_)
        | InstructionKind::Copy(_)
        | InstructionKind::Add(_)
        | InstructionKind::Workdir(_)
        | InstructionKind::Onbuild(_) => Ok(String::new()),
    }
}

/// Pairs are expanded against the state before the instruction, so all first and set afterwards.
fn expand_pairs(stage: &Stage, pairs: &[(Word, Word)]) -> Result<Vec<(String, String)>, BuildError> {
    pairs
        .iter()
        .map(|(name, value)| Ok((stage.expand(name)?, stage.expand(value)?)))
        .collect()
}

fn joined(keyword: &str, pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!("{keyword} {}", pairs.join(" "))
}

fn env(stage: &mut Stage, pairs: &[(Word, Word)]) -> Result<String, BuildError> {
    let pairs = expand_pairs(stage, pairs)?;
    for (name, value) in &pairs {
        stage.scope.set(name, value);
        stage.image.config_mut().config.set_env(name, value);
    }
    Ok(joined("ENV", &pairs))
}

fn label(stage: &mut Stage, pairs: &[(Word, Word)]) -> Result<String, BuildError> {
    let pairs = expand_pairs(stage, pairs)?;
    stage
        .image
        .config_mut()
        .config
        .labels
        .extend(pairs.iter().cloned());
    Ok(joined("LABEL", &pairs))
}

/// The words of a command: a shell form is run by SHELL.
pub(super) fn words(stage: &Stage, command: &Command) -> Vec<String> {
    match command {
        Command::Exec(words) => words.clone(),
        Command::Shell(text) => {
            let mut words = shell(stage);
            words.push(text.clone());
            words
        }
    }
}

/// SHELL as it stands.
pub(super) fn shell(stage: &Stage) -> Vec<String> {
    let set = stage
        .image
        .config()
        .config
        .shell
        .clone()
        .filter(|shell| !shell.is_empty());
    set.unwrap_or_else(|| SHELL.map(str::to_owned).to_vec())
}

fn quoted(keyword: &str, words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("{keyword} [{}]", words.join(" "))
}

fn cmd(stage: &mut Stage, command: &Command) -> String {
    let words = words(stage, command);
    let history = quoted("CMD", &words);
    stage.cmd_is_own = true;
    stage.image.config_mut().config.cmd = Some(words);
    history
}

/// A new ENTRYPOINT drops a CMD that came from the base.
fn entrypoint(stage: &mut Stage, command: &Command) -> String {
    let words = words(stage, command);
    let history = quoted("ENTRYPOINT", &words);
    let own = stage.cmd_is_own;
    let config = &mut stage.image.config_mut().config;
    config.entrypoint = Some(words);
    if !own {
        config.cmd = None;
    }
    history
}

fn set_shell(stage: &mut Stage, shell: &[String]) -> String {
    stage.image.config_mut().config.shell = Some(shell.to_vec());
    format!("SHELL [{}]", shell.join(" "))
}

fn user(stage: &mut Stage, word: &Word) -> Result<String, BuildError> {
    let user = stage.expand(word)?;
    let history = format!("USER {user}");
    stage.image.config_mut().config.user = user;
    Ok(history)
}

fn volume(stage: &mut Stage, words: &[Word]) -> Result<String, BuildError> {
    let volumes = words
        .iter()
        .map(|word| stage.expand(word))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(index) = volumes.iter().position(String::is_empty) {
        let at = words.get(index).map(|word| word.span.clone()).unwrap_or_default();
        return Err(stage.value_error("VOLUME is given an empty path", at));
    }
    let history = format!("VOLUME [{}]", volumes.join(" "));
    stage.image.config_mut().config.volumes.extend(volumes);
    Ok(history)
}

fn expose(stage: &mut Stage, words: &[Word]) -> Result<String, BuildError> {
    let mut sorted: Vec<&Word> = words.iter().collect();
    sorted.sort_by(|a, b| a.text.cmp(&b.text));
    let mut ports = Vec::new();
    for word in sorted {
        for text in stage.expand_split(word)? {
            let found = Ports::parse(&text);
            let found = found.map_err(|error| stage.value_error(error.to_string(), word.span.clone()))?;
            ports.extend(found.names());
        }
    }
    let history = format!("EXPOSE [{}]", ports.join(" "));
    stage.image.config_mut().config.exposed_ports.extend(ports);
    Ok(history)
}

fn stopsignal(stage: &mut Stage, word: &Word) -> Result<String, BuildError> {
    let signal = stage.expand(word)?;
    check_signal(&signal).map_err(|error| stage.value_error(error.to_string(), word.span.clone()))?;
    let history = format!("STOPSIGNAL {signal}");
    stage.image.config_mut().config.stop_signal = signal;
    Ok(history)
}

fn healthcheck(stage: &mut Stage, check: &Healthcheck) -> String {
    let check = match check {
        Healthcheck::None => image::Healthcheck {
            test: vec!["NONE".to_owned()],
            ..Default::default()
        },
        Healthcheck::Cmd {
            command,
            interval,
            timeout,
            start_period,
            start_interval,
            retries,
        } => {
            let test = match command {
                Command::Shell(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
                Command::Exec(words) => ["CMD".to_owned()].into_iter().chain(words.clone()).collect(),
            };
            image::Healthcheck {
                test,
                interval: interval.unwrap_or(0),
                timeout: timeout.unwrap_or(0),
                start_period: start_period.unwrap_or(0),
                start_interval: start_interval.unwrap_or(0),
                retries: retries.unwrap_or(0),
                ..Default::default()
            }
        }
    };
    let history = format!(
        "HEALTHCHECK {{Test:[{}] Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        check.test.join(" "),
        duration(check.interval),
        duration(check.timeout),
        duration(check.start_period),
        duration(check.start_interval),
        check.retries,
    );
    stage.image.config_mut().config.healthcheck = Some(check);
    history
}

fn maintainer(stage: &mut Stage, word: &Word) -> String {
    stage.image.config_mut().author.clone_from(&word.text);
    format!("MAINTAINER {}", word.text)
}

/// Nanoseconds in the form in which history shows durations: `1m30s`, `500ms`, `0s`.
fn duration(nanoseconds: i64) -> String {
    const SECOND: i64 = 1_000_000_000;
    let (seconds, rest) = (nanoseconds / SECOND, nanoseconds % SECOND);
    if seconds == 0 && rest != 0 {
        let (unit, name) = match rest.abs() {
            1_000_000.. => (1_000_000, "ms"),
            1_000.. => (1_000, "µs"),
            _ => (1, "ns"),
        };
        return format!("{}{name}", decimal(rest / unit, rest % unit, unit));
    }
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let seconds = decimal(seconds, rest, SECOND);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// A number with the fraction `rest / unit`, without trailing zeros.
fn decimal(whole: i64, rest: i64, unit: i64) -> String {
    if rest == 0 {
        return whole.to_string();
    }
    let digits = unit.ilog10() as usize;
    let fraction = format!("{rest:0digits$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (nanoseconds, text) in [
            (0, "0s"),
            (90_000_000_000, "1m30s"),
            (3_000_000_000, "3s"),
            (3_600_000_000_000, "1h0m0s"),
            (1_500_000_000, "1.5s"),
            (500_000_000, "500ms"),
            (1_500_000, "1.5ms"),
            (1_500, "1.5µs"),
            (7, "7ns"),
        ] {
            assert_eq!(duration(nanoseconds), text);
        }
    }
}
