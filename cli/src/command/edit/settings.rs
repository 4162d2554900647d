//! Flags to a config.

use std::env;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use rbuild::image::{Config, Image};

use crate::cli::{Part, Settings};

/// Changes the config of an image, and says whether anything of a container's changed.
pub fn apply(settings: &Settings, image: &mut Image) -> Result<()> {
    for part in &settings.clear {
        clear(*part, image);
    }
    let annotations = image.annotations_mut();
    annotations.extend(
        settings
            .annotation
            .iter()
            .map(|pair| (pair.name.clone(), pair.value.clone())),
    );
    annotations.retain(|name, _| !settings.unset_annotation.contains(name));
    let config = image.config_mut();
    container(settings, config)?;
    if let Some(author) = &settings.author {
        config.author.clone_from(author);
    }
    if let Some(platform) = &settings.set_platform {
        config.os.clone_from(&platform.os);
        config.architecture.clone_from(&platform.architecture);
        config.variant.clone_from(&platform.variant);
        config.os_version.clone_from(&platform.os_version);
    }
    config.created = Some(created(settings.created.as_deref())?);
    Ok(())
}

fn container(settings: &Settings, config: &mut Config) -> Result<()> {
    let config = &mut config.config;
    if !settings.entrypoint.is_empty() {
        config.entrypoint = words(&settings.entrypoint)?;
    }
    if !settings.cmd.is_empty() {
        config.cmd = words(&settings.cmd)?;
    }
    for pair in &settings.env {
        config.set_env(&pair.name, &pair.value);
    }
    let name = |entry: &String| {
        entry
            .split_once('=')
            .map_or(entry.clone(), |(name, _)| name.to_owned())
    };
    config
        .env
        .retain(|entry| !settings.unset_env.contains(&name(entry)));
    config.labels.extend(
        settings
            .label
            .iter()
            .map(|pair| (pair.name.clone(), pair.value.clone())),
    );
    config
        .labels
        .retain(|name, _| !settings.unset_label.contains(name));
    let copy = |from: &Option<String>, to: &mut String| {
        if let Some(from) = from {
            to.clone_from(from);
        }
    };
    copy(&settings.user, &mut config.user);
    copy(&settings.workdir, &mut config.working_dir);
    copy(&settings.stop_signal, &mut config.stop_signal);
    for port in &settings.port {
        config.exposed_ports.insert(self::port(port)?);
    }
    config.volumes.extend(settings.volume.iter().cloned());
    Ok(())
}

fn clear(part: Part, image: &mut Image) {
    if part == Part::Annotations {
        return image.annotations_mut().clear();
    }
    let config = image.config_mut();
    match part {
        Part::Entrypoint => config.config.entrypoint = None,
        Part::Cmd => config.config.cmd = None,
        Part::Env => config.config.env.clear(),
        Part::Labels => config.config.labels.clear(),
        Part::Ports => config.config.exposed_ports.clear(),
        Part::Volumes => config.config.volumes.clear(),
        Part::Annotations => {}
        Part::History => {
            config.history.retain(|entry| !entry.empty_layer);
            for entry in &mut config.history {
                *entry = rbuild::image::History::default();
            }
        }
    }
}

/// A JSON array, or the words themselves; one empty word means none at all.
fn words(given: &[String]) -> Result<Option<Vec<String>>> {
    match given {
        [word] if word.is_empty() => Ok(None),
        [json] if json.starts_with('[') => {
            let words = serde_json::from_str(json);
            Ok(Some(words.with_context(|| {
                format!("{json} is not a JSON array of words")
            })?))
        }
        words => Ok(Some(words.to_vec())),
    }
}

fn port(text: &str) -> Result<String> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let is_number = |text: &str| text.parse::<u16>().is_ok();
    let in_range = number
        .split_once('-')
        .map_or(is_number(number), |(a, b)| is_number(a) && is_number(b));
    if !in_range || !["tcp", "udp", "sctp"].contains(&protocol) {
        bail!("{text:?} is no port, as in 80, 8000-8010 or 53/udp");
    }
    Ok(format!("{number}/{protocol}"))
}

/// RFC 3339: as given, or SOURCE_DATE_EPOCH, or now.
pub fn created(given: Option<&str>) -> Result<String> {
    let epoch = env::var("SOURCE_DATE_EPOCH").ok();
    let time = match given.or(epoch.as_deref()) {
        None => Timestamp::now(),
        Some(text) => match text.parse::<i64>() {
            Ok(seconds) => Timestamp::from_second(seconds)?,
            Err(_) => text
                .parse::<Timestamp>()
                .with_context(|| format!("{text:?} is no time: neither RFC 3339 nor seconds since 1970"))?,
        },
    };
    // Whole seconds are enough for anybody, and look the same everywhere.
    Ok(Timestamp::from_second(time.as_second())?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_an_array_or_themselves() {
        let given = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(words(&given(&["a b"])).unwrap(), Some(given(&["a b"])));
        assert_eq!(words(&given(&["a", "[b"])).unwrap(), Some(given(&["a", "[b"])));
        assert_eq!(
            words(&given(&[r#"["a","b c"]"#])).unwrap(),
            Some(given(&["a", "b c"]))
        );
        assert_eq!(words(&given(&[""])).unwrap(), None);
        assert!(words(&given(&["[a"])).is_err());
    }

    #[test]
    fn ports_have_a_protocol() {
        for (text, expected) in [
            ("80", Some("80/tcp")),
            ("53/udp", Some("53/udp")),
            ("1-2", Some("1-2/tcp")),
        ] {
            assert_eq!(port(text).ok().as_deref(), expected);
        }
        for text in ["", "x", "80/x", "70000", "1-"] {
            assert!(port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_whole_seconds() {
        assert_eq!(created(Some("86400")).unwrap(), "1970-01-02T00:00:00Z");
        assert_eq!(
            created(Some("2026-01-02T03:04:05.5+01:00")).unwrap(),
            "2026-01-02T02:04:05Z"
        );
        assert!(created(Some("yesterday")).is_err());
    }
}
