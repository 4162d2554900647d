//! How the pod is to talk to registries: the logins and certificates that this machine has for those that the build names.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rbuild::{
    Reference,
    build::CachePlace,
    registry::{Keychain, Secret},
};
use serde_json::{Map, Value, json};

use super::files::Files;
use crate::{
    cli::{Build, RegistryFlags},
    options::Output,
};

/// Names of certificates, as docker and podman have them.
const CERTIFICATES: [&str; 3] = ["crt", "cert", "key"];

/// What the build pulls and pushes, as far as the command line says.
pub fn named(build: &Build) -> Result<BTreeSet<String>> {
    let mut names = build.tags.clone();
    names.extend(build.source_image.clone());
    names.extend(build.outputs.iter().filter_map(|output| match output {
        Output::Registry(name) => name.clone(),
        _ => None,
    }));
    let caches = build.cache_from.iter().map(|from| &from.0);
    for cache in caches.chain(build.cache_to.iter().map(|to| &to.0)) {
        if let CachePlace::Registry(reference) = cache {
            names.push(reference.to_string());
        }
    }
    let parse = |name: String| Ok(name.parse::<Reference>()?.without_selector().to_string());
    names.into_iter().map(parse).collect()
}

/// The arguments that say how to talk to registries; what they name is put among the files. With `keychain`, logins of
/// this machine go along.
pub fn arguments(
    flags: &RegistryFlags,
    keychain: Option<&dyn Keychain>,
    images: &BTreeSet<String>,
    files: &mut Files,
) -> Result<Vec<String>> {
    let mut arguments: Vec<String> = flags
        .insecure
        .iter()
        .map(|host| format!("--insecure={host}"))
        .collect();
    if let Some(directory) = &flags.cert_dir {
        files.add_directory(directory, &CERTIFICATES, "certificates")?;
        arguments.push(format!("--cert-dir={}/certificates", super::files::HOME));
    }
    if let Some(file) = &flags.registries_conf {
        let content = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        arguments.push(format!(
            "--registries-conf={}",
            files.add("registries.conf", content)
        ));
    }
    let references = images
        .iter()
        .map(|name| name.parse())
        .collect::<Result<Vec<Reference>, _>>()?;
    for host in references.iter().map(Reference::host).collect::<BTreeSet<_>>() {
        certificates(host, files)?;
    }
    if let Some(keychain) = keychain
        && let Some(config) = logins(keychain, &references)?
    {
        arguments.push(format!("--authfile={}", files.add(".docker/config.json", config)));
    }
    Ok(arguments)
}

/// The certificates for one host that this machine has where docker and podman look.
fn certificates(host: &str, files: &mut Files) -> Result<()> {
    let own = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config/containers/certs.d"));
    let places = own
        .into_iter()
        .chain(["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from));
    for place in places {
        let to = format!(".config/containers/certs.d/{host}");
        if files.add_directory(&place.join(Path::new(host)), &CERTIFICATES, &to)? > 0 {
            break;
        }
    }
    Ok(())
}

/// A configuration file of docker's with the logins for these repositories; none if there are none.
fn logins(keychain: &dyn Keychain, images: &[Reference]) -> Result<Option<Vec<u8>>> {
    let mut entries = Map::new();
    for image in images {
        let (host, repository) = (image.host(), image.repository());
        if let Some(login) = keychain.credentials(host, repository)? {
            entries.insert(format!("{host}/{repository}"), entry(&login.secret)?);
        }
    }
    if entries.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::to_vec(&json!({ "auths": entries }))?))
}

fn entry(secret: &Secret) -> Result<Value> {
    Ok(match secret {
        Secret::Password { username, password } => {
            json!({ "auth": BASE64_STANDARD.encode(format!("{username}:{password}")) })
        }
        Secret::IdentityToken(token) => json!({ "identitytoken": token }),
        Secret::RegistryToken(token) => json!({ "registrytoken": token }),
        _ => anyhow::bail!("there is a login of a kind that cannot be sent"),
    })
}

#[cfg(test)]
mod tests {
    use rbuild::registry::{Chain, DockerKeychain, Explicit};

    use super::*;

    #[test]
    fn the_logins_that_are_needed_and_no_others() {
        let keychain = Chain::new(vec![
            Box::new(Explicit::new("r.example:5000", "me", "pa:ss", "test")),
            Box::new(Explicit::new("docker.io", "hub", "word", "test")),
            Box::new(Explicit::new("elsewhere.example", "other", "x", "test")),
        ]);
        let images = ["r.example:5000/team/app", "debian", "free.example/a"];
        let images = images.map(|image| image.parse().unwrap());
        let config = logins(&keychain, &images).unwrap().unwrap();
        assert!(!String::from_utf8_lossy(&config).contains("elsewhere"));

        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.json");
        std::fs::write(&file, config).unwrap();
        let read = DockerKeychain::new(vec![file]);
        let login = |host: &str, repository: &str| {
            let found = read.credentials(host, repository).unwrap()?;
            match found.secret {
                Secret::Password { username, password } => Some((username, password)),
                _ => None,
            }
        };
        let some = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(login("r.example:5000", "team/app"), some("me", "pa:ss"));
        assert_eq!(login("docker.io", "library/debian"), some("hub", "word"));
        assert_eq!(login("free.example", "a"), None);
        assert_eq!(
            logins(&keychain, &["free.example/a".parse().unwrap()]).unwrap(),
            None
        );
    }
}
