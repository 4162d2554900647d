//! The part `meta`: what is to be built, and where it goes. Checked before anything is done with it.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use rbuild::Reference;
use serde::Deserialize;

/// What is to be built.
pub struct Order {
    /// The image's name in the registry.
    pub image: Reference,
    /// In the context; by its usual names if it has none.
    pub containerfile: Option<PathBuf>,
    /// Values of `ARG`s.
    pub args: BTreeMap<String, String>,
    /// How to talk to the registry.
    pub registry: RegistryConfig,
}

/// As OpenRun sends it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    image_tag: String,
    #[serde(default)]
    container_file: String,
    /// An empty map of Go's may be null.
    #[serde(default)]
    container_args: Option<BTreeMap<String, String>>,
    #[serde(default)]
    registry_config: Option<RegistryConfig>,
}

/// How to talk to the registry. Its fields have the names of OpenRun's configuration file, or those of its source, which
/// are what is sent. The region of Amazon's registries is passed over: it is in their names.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct RegistryConfig {
    #[serde(alias = "URL")]
    url: String,
    #[serde(alias = "Project")]
    project: String,
    #[serde(rename = "type", alias = "Type")]
    kind: String,
    /// Without TLS, or without looking at its certificate.
    #[serde(alias = "Insecure")]
    pub insecure: bool,
    /// The login.
    #[serde(alias = "Username")]
    pub username: String,
    /// The login.
    #[serde(alias = "Password")]
    pub password: String,
    /// Where the password is, on this machine.
    #[serde(alias = "PasswordFile")]
    pub password_file: String,
    /// Certificates of authorities, on this machine.
    #[serde(alias = "CAFile")]
    pub ca_file: String,
    /// A client certificate, on this machine.
    #[serde(alias = "ClientCertFile")]
    pub client_cert_file: String,
    /// Its key, on this machine.
    #[serde(alias = "ClientKeyFile")]
    pub client_key_file: String,
}

impl Order {
    /// Reads the part.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let meta: Meta = serde_json::from_slice(json).context("invalid meta json")?;
        let registry = meta.registry_config.unwrap_or_default();
        ensure!(
            !registry.url.is_empty(),
            "registry url needs to be set on the sender for delegated builds"
        );
        ensure!(
            registry.kind.is_empty() || registry.is_ecr(),
            "registry type {:?}: expected \"ecr\", or nothing",
            registry.kind
        );
        let image = image(&registry, &meta.image_tag)?;
        // This machine's login is for these alone: of no other registry may a caller have the use of it.
        ensure!(
            !registry.is_ecr() || is_amazons(image.host()),
            "registry type \"ecr\": {} is none of Amazon's registries",
            image.host()
        );
        Ok(Self {
            image,
            containerfile: containerfile(&meta.container_file)?,
            args: meta.container_args.unwrap_or_default(),
            registry,
        })
    }
}

impl RegistryConfig {
    /// Whether it is one of Amazon's, for which this machine has the login.
    pub fn is_ecr(&self) -> bool {
        self.kind.eq_ignore_ascii_case("ecr")
    }
}

fn is_amazons(host: &str) -> bool {
    host.contains(".dkr.ecr")
        && [".amazonaws.com", ".amazonaws.com.cn"]
            .iter()
            .any(|end| host.ends_with(end))
}

/// `URL/PROJECT/TAG`.
fn image(registry: &RegistryConfig, tag: &str) -> Result<Reference> {
    let url = registry
        .url
        .trim_start_matches("https://")
        .trim_start_matches("http://");
    let parts = [url, &registry.project, tag].map(|part| part.trim_matches('/'));
    ensure!(!tag.is_empty(), "ImageTag is empty");
    let name = parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("/");
    let image: Reference = name.parse().with_context(|| format!("bad image name {name:?}"))?;
    ensure!(
        image.digest().is_none(),
        "bad image name {name:?}: an image is pushed by a tag, and not by a digest"
    );
    Ok(image.or_latest())
}

/// A path in the context that does not try to leave it.
fn containerfile(name: &str) -> Result<Option<PathBuf>> {
    if name.is_empty() {
        return Ok(None);
    }
    let path = Path::new(name);
    let inside = path
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !inside || name.contains('\0') {
        bail!("invalid container file path {name:?}: it must be in the context");
    }
    Ok(Some(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn order(meta: &Value) -> Result<Order, String> {
        Order::parse(meta.to_string().as_bytes()).map_err(|error| format!("{error:#}"))
    }

    /// With these values in the place of what is right.
    fn with(key: &str, value: Value) -> Value {
        let mut meta = json!({
            "ImageTag": "cl_app:1",
            "ContainerFile": "deploy/Containerfile",
            "ContainerArgs": { "A": "1" },
            "RegistryConfig": { "URL": "r.example:5000", "Project": "", "CAFile": "ca.pem", "Insecure": true },
        });
        match key.split_once('.') {
            Some((outer, inner)) => meta[outer][inner] = value,
            None => meta[key] = value,
        }
        meta
    }

    #[test]
    fn names_of_images() {
        for (key, value, expected) in [
            ("ImageTag", "a:1", "r.example:5000/a:1"),
            ("ImageTag", "a", "r.example:5000/a:latest"),
            ("RegistryConfig.Project", "p/q", "r.example:5000/p/q/cl_app:1"),
            ("RegistryConfig.URL", "https://r.example/", "r.example/cl_app:1"),
            ("RegistryConfig.URL", "r.example/deep", "r.example/deep/cl_app:1"),
        ] {
            let order = order(&with(key, value.into())).unwrap();
            assert_eq!(order.image.to_string(), expected);
            assert_eq!(order.args["A"], "1");
            assert_eq!(
                order.containerfile.as_deref(),
                Some(Path::new("deploy/Containerfile"))
            );
            assert!(order.registry.insecure && order.registry.ca_file == "ca.pem");
        }
    }

    /// The names of the configuration file, and those that Go gives to the fields of the struct.
    #[test]
    fn fields_have_two_names() {
        let config = json!({ "url": "1.dkr.ecr.eu.amazonaws.com", "project": "p", "type": "ECR", "username": "u", "password_file": "f",
            "client_cert_file": "c", "client_key_file": "k", "ca_file": "a", "aws_region": "eu", "insecure": false });
        let order = order(&with("RegistryConfig", config)).unwrap();
        assert_eq!(order.image.to_string(), "1.dkr.ecr.eu.amazonaws.com/p/cl_app:1");
        let registry = order.registry;
        assert!(registry.is_ecr());
        let found = [
            &registry.username,
            &registry.password_file,
            &registry.client_cert_file,
            &registry.client_key_file,
            &registry.ca_file,
        ];
        assert_eq!(found, ["u", "f", "c", "k", "a"]);
    }

    #[test]
    fn nothing_need_be_said_of_args_and_the_file() {
        let order = order(&with("ContainerArgs", Value::Null)).unwrap();
        assert!(order.args.is_empty());
        let order = self::order(&with("ContainerFile", "".into())).unwrap();
        assert_eq!(order.containerfile, None);
    }

    #[test]
    fn what_is_refused() {
        for (key, value, expected) in [
            (
                "ContainerFile",
                json!("../Containerfile"),
                "invalid container file path",
            ),
            ("ContainerFile", json!("a/../b"), "invalid container file path"),
            (
                "ContainerFile",
                json!("/etc/passwd"),
                "invalid container file path",
            ),
            ("ContainerFile", json!("a\0b"), "invalid container file path"),
            ("ContainerFile", json!(1), "invalid meta json"),
            ("RegistryConfig", Value::Null, "registry url needs to be set"),
            ("RegistryConfig.URL", json!(""), "registry url needs to be set"),
            ("RegistryConfig.Type", json!("gcr"), "registry type \"gcr\""),
            (
                "RegistryConfig.Type",
                json!("ecr"),
                "registry type \"ecr\": r.example:5000 is none",
            ),
            ("ImageTag", json!(""), "ImageTag is empty"),
            ("ImageTag", json!("../a"), "bad image name"),
            ("ImageTag", json!("a b"), "bad image name"),
            (
                "ImageTag",
                json!(format!("a@sha256:{}", "0".repeat(64))),
                "bad image name",
            ),
        ] {
            let error = order(&with(key, value)).err().unwrap();
            assert!(error.starts_with(expected), "{key}: {error}");
        }
    }
}
