//! `--context` and what goes with it.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail, ensure};
use rbuild::{build::Context, registry::Registry};

use super::{bucket, flags::Given};

/// A tar on standard input is read from here, once.
const STDIN: &str = "/dev/stdin";

/// Where a build's files come from, and which of their directories is meant.
#[derive(Debug)]
pub struct Source {
    pub context: Context,
    pub below: Option<PathBuf>,
}

/// The context; one in an object store is fetched into `scratch`.
pub async fn fetch(given: &Given, registry: &Registry, scratch: &Path) -> Result<Source> {
    let below = given.one("context-sub-path").map(PathBuf::from);
    let address = address(given)?;
    let Some((scheme, rest)) = address.split_once("://") else {
        return Ok(Source {
            context: Context::Directory(address.into()),
            below,
        });
    };
    let context = match scheme {
        "dir" => Context::Directory(rest.into()),
        "tar" if rest == "stdin" => Context::Tar(STDIN.into()),
        "tar" => Context::Tar(rest.into()),
        "s3" | "gs" => {
            let file = scratch.join("context.tar");
            bucket::fetch(scheme, rest, registry, &file).await?;
            Context::Tar(file)
        }
        "git" => return git(given, rest, below.as_deref()),
        "http" | "https" if Context::is_address(&address) => Context::Remote(address),
        _ => bail!("--context {address}: expected dir://, tar://, git://, https://, s3:// or gs://"),
    };
    Ok(Source { context, below })
}

/// `--bucket B` is short for `gs://B/PATH`.
fn address(given: &Given) -> Result<String> {
    let context = given.one("context");
    let Some(bucket) = given.one("bucket") else {
        return Ok(context.unwrap_or("/workspace/").to_owned());
    };
    let object = context.unwrap_or("context.tar.gz");
    ensure!(
        !object.contains("://"),
        "--bucket and --context {object} exclude each other"
    );
    Ok(format!("gs://{bucket}/{object}"))
}

/// `git://HOST/PATH[#REF[#COMMIT]]`, fetched by HTTPS, or by what `GIT_PULL_METHOD` says. The directory is part of the
/// address.
fn git(given: &Given, rest: &str, below: Option<&Path>) -> Result<Source> {
    let scheme = env::var("GIT_PULL_METHOD").unwrap_or_else(|_| "https".to_owned());
    ensure!(
        ["http", "https"].contains(&scheme.as_str()),
        "GIT_PULL_METHOD={scheme}: expected http or https"
    );
    let address = git_address(&scheme, rest, given.one("git"), below)?;
    Ok(Source {
        context: Context::Remote(address),
        below: None,
    })
}

fn git_address(scheme: &str, rest: &str, options: Option<&str>, below: Option<&Path>) -> Result<String> {
    let mut parts = rest.splitn(3, '#');
    let repository = parts.next().unwrap_or_default();
    let mut wanted = parts.filter(|part| !part.is_empty()).last().map(str::to_owned);
    let mut submodules = false;
    for option in options.into_iter().flat_map(|options| options.split(',')) {
        match option.split_once('=').unwrap_or((option, "true")) {
            ("branch", branch) if wanted.is_none() => wanted = Some(format!("refs/heads/{branch}")),
            ("recurse-submodules", value) => submodules = value == "true",
            // No more than the wanted commit is ever fetched.
            ("branch" | "single-branch" | "depth" | "", _) => {}
            ("insecure-skip-tls", "false") => {}
            ("insecure-skip-tls", _) => bail!("--git insecure-skip-tls: set GIT_SSL_NO_VERIFY=1 instead"),
            (other, _) => bail!("--git {other}: expected branch, single-branch, depth or recurse-submodules"),
        }
    }
    let suffix = if repository.ends_with(".git") { "" } else { ".git" };
    let below = below
        .map(|path| format!(":{}", path.display()))
        .unwrap_or_default();
    let wanted = wanted.unwrap_or_default();
    let mark = if wanted.is_empty() && below.is_empty() {
        ""
    } else {
        "#"
    };
    let query = format!("?submodules={submodules}");
    Ok(format!(
        "{scheme}://{repository}{suffix}{query}{mark}{wanted}{below}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_repositories() {
        for (rest, options, below, expected) in [
            ("h/o/r.git", None, None, "https://h/o/r.git?submodules=false"),
            (
                "h/o/r",
                Some("recurse-submodules=true"),
                None,
                "https://h/o/r.git?submodules=true",
            ),
            (
                "h/r.git#refs/heads/x",
                None,
                None,
                "https://h/r.git?submodules=false#refs/heads/x",
            ),
            (
                "h/r.git#refs/heads/x#abc",
                None,
                None,
                "https://h/r.git?submodules=false#abc",
            ),
            (
                "h/r.git",
                Some("branch=x,depth=1"),
                None,
                "https://h/r.git?submodules=false#refs/heads/x",
            ),
            (
                "h/r.git#y",
                Some("branch=x"),
                Some("a/b"),
                "https://h/r.git?submodules=false#y:a/b",
            ),
            ("h/r.git", None, Some("a"), "https://h/r.git?submodules=false#:a"),
        ] {
            let address = git_address("https", rest, options, below.map(Path::new)).unwrap();
            assert_eq!(address, expected, "{rest}");
            assert!(Context::is_address(&address), "{address}");
        }
        for options in ["insecure-skip-tls=true", "nosuch=1"] {
            assert!(
                git_address("https", "h/r", Some(options), None).is_err(),
                "{options}"
            );
        }
    }
}
