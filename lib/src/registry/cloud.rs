//! Logins that the environment of a job gives away by itself: GitLab's job tokens, and those of Google, Azure and
//! Amazon.
//!
//! | registry | variables |
//! |---|---|
//! | the one in `CI_REGISTRY` | `CI_REGISTRY_USER`, `CI_REGISTRY_PASSWORD`; `CI_JOB_TOKEN` |
//! | `gcr.io`, `*.gcr.io`, `*-docker.pkg.dev` | `GOOGLE_OAUTH_ACCESS_TOKEN`, `CLOUDSDK_AUTH_ACCESS_TOKEN` |
//! | `*.azurecr.io` | `ACR_REFRESH_TOKEN`; `AZURE_CLIENT_ID`, `AZURE_CLIENT_SECRET` |
//! | `*.dkr.ecr.REGION.amazonaws.com` | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`: see `ecr` |

use std::env;

use super::{Credentials, Keychain, KeychainError, Secret, ecr::Ecr};

/// Credentials from environment variables that CI systems and clouds set. A file that knows the host counts more.
#[derive(Clone, Copy, Debug, Default)]
pub struct CloudKeychain;

impl Keychain for CloudKeychain {
    fn credentials(&self, host: &str, _repository: &str) -> Result<Option<Credentials>, KeychainError> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        match Ecr::of(host, variable) {
            Some(ecr) => ecr.credentials().map(Some),
            None => Ok(find(host, variable)),
        }
    }

    fn looks_in(&self) -> Vec<String> {
        Vec::new()
    }
}

fn find(host: &str, variable: impl Fn(&str) -> Option<String>) -> Option<Credentials> {
    let password = |username: &str, name: &str| {
        let secret = Secret::Password {
            username: username.to_owned(),
            password: variable(name)?,
        };
        Some(Credentials {
            secret,
            source: format!("the variable {name}"),
        })
    };
    let is_at = |domain: &str| {
        host.strip_suffix(domain)
            .is_some_and(|rest| rest.ends_with(['.', '-']))
    };
    if variable("CI_REGISTRY").as_deref() == Some(host) {
        let user = variable("CI_REGISTRY_USER");
        return password(
            user.as_deref().unwrap_or("gitlab-ci-token"),
            "CI_REGISTRY_PASSWORD",
        )
        .or_else(|| password("gitlab-ci-token", "CI_JOB_TOKEN"));
    }
    if host == "gcr.io" || is_at("gcr.io") || is_at("docker.pkg.dev") {
        return password("oauth2accesstoken", "GOOGLE_OAUTH_ACCESS_TOKEN")
            .or_else(|| password("oauth2accesstoken", "CLOUDSDK_AUTH_ACCESS_TOKEN"));
    }
    if is_at("azurecr.io") {
        let token = variable("ACR_REFRESH_TOKEN").map(|token| Credentials {
            secret: Secret::IdentityToken(token),
            source: "the variable ACR_REFRESH_TOKEN".to_owned(),
        });
        return token.or_else(|| password(&variable("AZURE_CLIENT_ID")?, "AZURE_CLIENT_SECRET"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_its_variables() {
        let set = [
            ("CI_REGISTRY", "registry.gitlab.example"),
            ("CI_JOB_TOKEN", "job"),
            ("CLOUDSDK_AUTH_ACCESS_TOKEN", "google"),
            ("ACR_REFRESH_TOKEN", "azure"),
        ];
        let variable = |name: &str| {
            set.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        let table = [
            ("registry.gitlab.example", Some("gitlab-ci-token:job")),
            ("gcr.io", Some("oauth2accesstoken:google")),
            ("eu.gcr.io", Some("oauth2accesstoken:google")),
            ("europe-docker.pkg.dev", Some("oauth2accesstoken:google")),
            ("me.azurecr.io", Some("azure")),
            ("evilgcr.io", None),
            ("gcr.io.example", None),
            ("docker.io", None),
        ];
        for (host, expected) in table {
            let found = find(host, variable).map(|found| match found.secret {
                Secret::Password { username, password } => format!("{username}:{password}"),
                Secret::IdentityToken(token) | Secret::RegistryToken(token) => token,
            });
            assert_eq!(found.as_deref(), expected, "{host}");
        }
        assert!(find("gcr.io", |_| None).is_none());
    }
}
