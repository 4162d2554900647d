//! A config on another base.

use std::{collections::BTreeMap, collections::BTreeSet};

use crate::image::{Config, ContainerConfig};

/// The config of an image built on `old`, had it been built on `new`: what the image changed stays, and what it took
/// over from its base is the new base's.
pub(super) fn config(image: &Config, old: &Config, new: &Config) -> Config {
    let (history, above) = (new.history.clone(), image.history.get(old.history.len()..));
    Config {
        architecture: new.architecture.clone(),
        os: new.os.clone(),
        os_version: new.os_version.clone(),
        variant: new.variant.clone(),
        config: container(&image.config, &old.config, &new.config),
        history: history
            .into_iter()
            .chain(above.unwrap_or_default().iter().cloned())
            .collect(),
        ..image.clone()
    }
}

fn container(image: &ContainerConfig, old: &ContainerConfig, new: &ContainerConfig) -> ContainerConfig {
    macro_rules! pick {
        ($($field:ident),*) => {
            ContainerConfig {
                env: env(&image.env, &old.env, &new.env),
                labels: map(&image.labels, &old.labels, &new.labels),
                exposed_ports: set(&image.exposed_ports, &old.exposed_ports, &new.exposed_ports),
                volumes: set(&image.volumes, &old.volumes, &new.volumes),
                other: image.other.clone(),
                $($field: pick(&image.$field, &old.$field, &new.$field),)*
            }
        };
    }
    pick!(
        user,
        entrypoint,
        cmd,
        healthcheck,
        args_escaped,
        working_dir,
        on_build,
        stop_signal,
        stop_timeout,
        shell
    )
}

fn pick<T: PartialEq + Clone>(image: &T, old: &T, new: &T) -> T {
    if image == old { new.clone() } else { image.clone() }
}

/// Variables keep the order of the new base, and those of the image follow.
fn env(image: &[String], old: &[String], new: &[String]) -> Vec<String> {
    let name = |entry: &String| {
        entry
            .split_once('=')
            .map_or(entry.clone(), |(name, _)| name.to_owned())
    };
    let named = |env: &[String]| -> BTreeMap<String, String> {
        env.iter().map(|entry| (name(entry), entry.clone())).collect()
    };
    let mut merged = map(&named(image), &named(old), &named(new));
    let order: Vec<String> = new.iter().chain(image).map(name).collect();
    order.iter().filter_map(|name| merged.remove(name)).collect()
}

fn map<V: PartialEq + Clone>(
    image: &BTreeMap<String, V>,
    old: &BTreeMap<String, V>,
    new: &BTreeMap<String, V>,
) -> BTreeMap<String, V> {
    let names: BTreeSet<&String> = image.keys().chain(new.keys()).collect();
    let value = |name: &&String| {
        let value = pick(&image.get(*name), &old.get(*name), &new.get(*name))?;
        Some(((*name).clone(), value.clone()))
    };
    names.iter().filter_map(value).collect()
}

fn set(image: &BTreeSet<String>, old: &BTreeSet<String>, new: &BTreeSet<String>) -> BTreeSet<String> {
    let keyed = |set: &BTreeSet<String>| set.iter().map(|name| (name.clone(), ())).collect();
    map(&keyed(image), &keyed(old), &keyed(new)).into_keys().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(env: &[&str], cmd: &str, labels: &[(&str, &str)]) -> Config {
        let config = ContainerConfig {
            env: env.iter().map(|entry| (*entry).to_owned()).collect(),
            cmd: Some(vec![cmd.to_owned()]),
            labels: labels
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..ContainerConfig::default()
        };
        Config {
            config,
            ..Config::default()
        }
    }

    #[test]
    fn what_the_image_changed_stays_and_the_rest_is_the_new_base_s() {
        let old = base(&["PATH=/bin", "V=1", "GONE=1"], "sh", &[("a", "1"), ("b", "1")]);
        let new = base(
            &["V=2", "PATH=/bin:/x", "NEW=1"],
            "ash",
            &[("a", "2"), ("b", "2")],
        );
        let mut image = base(
            &["PATH=/bin", "V=9", "GONE=1", "MINE=1"],
            "sh",
            &[("a", "1"), ("c", "1")],
        );
        image.config.entrypoint = Some(vec!["mine".to_owned()]);
        let merged = config(&image, &old, &new).config;
        assert_eq!(merged.env, ["V=9", "PATH=/bin:/x", "NEW=1", "MINE=1"]);
        assert_eq!(merged.cmd, new.config.cmd);
        assert_eq!(merged.entrypoint, image.config.entrypoint);
        let labels: Vec<_> = merged
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(labels, ["a=2", "c=1"], "b was taken away by the image");
    }
}
