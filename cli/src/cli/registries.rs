//! How to talk to registries: flags of every command.

use std::{path::PathBuf, str::FromStr};

use clap::Args;

/// How to talk to registries.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Registries")]
pub struct RegistryFlags {
    /// The login, for this registry or for whichever is asked; may be repeated
    #[arg(
        long,
        global = true,
        value_name = "[HOST=]USER[:PASSWORD]",
        hide_short_help = true
    )]
    pub creds: Vec<Creds>,
    /// Read the password from standard input
    #[arg(long, global = true, hide_short_help = true)]
    pub password_stdin: bool,
    /// The file with logins, in the place of docker's and podman's [env: REGISTRY_AUTH_FILE]
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub authfile: Option<PathBuf>,
    /// Do not check this registry's certificate, and speak plain HTTP if it knows no TLS; may be repeated
    #[arg(long, global = true, value_name = "HOST[:PORT]", hide_short_help = true)]
    pub insecure: Vec<String>,
    /// Certificates: *.crt of authorities, *.cert with *.key of our own
    #[arg(long, global = true, value_name = "DIR", hide_short_help = true)]
    pub cert_dir: Option<PathBuf>,
    /// Mirrors, blocked registries and short names [default: as podman finds them]
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub registries_conf: Option<PathBuf>,
}

/// `[HOST=]USER[:PASSWORD]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Creds {
    /// Any, if there is none.
    pub host: Option<String>,
    /// The user.
    pub user: String,
    /// To be asked for elsewhere, if there is none.
    pub password: Option<String>,
}

impl FromStr for Creds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, login) = match text.split_once('=') {
            Some((host, login)) if is_host(host) => (Some(host), login),
            _ => (None, text),
        };
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password.to_owned())),
            None => (login, None),
        };
        match user.is_empty() {
            true => Err("expected [HOST=]USER[:PASSWORD]".to_owned()),
            false => Ok(Self {
                host: host.map(str::to_owned),
                user: user.to_owned(),
                password,
            }),
        }
    }
}

/// `HOST[:PORT]`, and no user with the beginning of a password.
fn is_host(text: &str) -> bool {
    let (name, port) = text
        .split_once(':')
        .map_or((text, None), |(name, port)| (name, Some(port)));
    match port {
        Some(port) => !name.is_empty() && port.parse::<u16>().is_ok(),
        None => name == "localhost" || name.contains('.'),
    }
}

impl std::fmt::Debug for Creds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Creds({:?}, {})", self.host, self.user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_may_be_for_one_host() {
        let of = |text: &str| {
            let creds: Creds = text.parse().unwrap();
            (creds.host, creds.user, creds.password)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of("me:a=b:c"), (None, "me".to_owned(), some("a=b:c")));
        assert_eq!(
            of("r.example=me:a"),
            (some("r.example"), "me".to_owned(), some("a"))
        );
        assert_eq!(
            of("localhost:5000=me"),
            (some("localhost:5000"), "me".to_owned(), None)
        );
        assert!(":x".parse::<Creds>().is_err());
    }
}
