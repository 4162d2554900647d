//! `rbuild login` and `rbuild logout`

use anyhow::{Context as _, Result, bail, ensure};
use rbuild::registry::{Explicit, LoginFile};

use crate::{
    cli::{Login, Logout},
    command::{session::Session, shared::print},
};

/// Asks the registry whether the password is good, and keeps it then.
pub async fn login(options: &Login, session: &Session) -> Result<()> {
    let password = match &options.password {
        Some(password) => password.clone(),
        None => session.password()?,
    };
    let host = bare(&options.host)?;
    let keychain = Explicit::new(host, &options.username, &password, "standard input");
    session.registry_with(keychain).check_login(host).await?;
    let file = file()?;
    file.keep(host, &options.username, &password)?;
    print(&format!(
        "logged in to {host}; kept in {}\n",
        file.path().display()
    ))
}

/// Forgets the password.
pub fn logout(options: &Logout) -> Result<()> {
    let host = bare(&options.host)?;
    match file()?.forget(host)? {
        true => print(&format!("logged out of {host}\n")),
        false => bail!("there is no login for {host}"),
    }
}

fn file() -> Result<LoginFile> {
    LoginFile::from_environment().context("no place for the login: set DOCKER_CONFIG, or HOME")
}

/// A host without what people copy from a browser.
fn bare(text: &str) -> Result<&str> {
    let host = text
        .strip_prefix("https://")
        .unwrap_or(text)
        .trim_end_matches('/');
    ensure!(
        host == "localhost" || host.contains(['.', ':']) && !host.contains('/'),
        "{text:?} is not the name of a registry's host, as in ghcr.io or localhost:5000"
    );
    match host {
        "index.docker.io" | "registry-1.docker.io" => Ok("docker.io"),
        host => Ok(host),
    }
}
