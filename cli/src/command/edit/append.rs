//! `rbuild append`

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use rbuild::{
    Locator, Reference,
    edit::{Edit, Files},
    image::History,
    layer::{LocalContents, decompress},
};

use super::{settings, target};
use crate::{
    cli::Append,
    command::{image::Found, session::Session},
    report::Outcome,
};

/// Puts files onto an image, of which nothing but the manifest and the config is read.
pub async fn run(options: &Append, session: &Session) -> Outcome {
    let (mut edit, found) = target::open(&options.image, &options.target, session).await?;
    let created = settings::created(options.settings.created.as_deref())?;
    if let Some(base) = base(found.as_ref(), options) {
        let recorded = edit.image_mut().record_base(&base);
        recorded.map_err(anyhow::Error::from)?;
    }
    let history = target::history(&options.target, "append", Some(&created));
    let files = files(options)?;
    let tars = options.tar.clone();
    let append = move || -> Result<Edit> {
        if !files.is_empty() {
            edit.append(&files.changes(), &LocalContents, history.clone())?;
        }
        for tar in &tars {
            append_tar(&mut edit, tar, history.clone())?;
        }
        Ok(edit)
    };
    let task = tokio::task::spawn_blocking(append).await;
    let mut edit = task.context("the work was cut short")??;
    settings::apply(&options.settings, edit.image_mut())?;
    target::write(edit, found, &options.target, session).await
}

/// The image of a registry that another is made of.
fn base(found: Option<&Found>, options: &Append) -> Option<Reference> {
    let to = options.target.tag.as_ref()?.parse::<Locator>().ok();
    match &found?.locator {
        from @ Locator::Registry(name) if to.as_ref() != Some(from) => Some(name.clone().or_latest()),
        _ => None,
    }
}

fn files(options: &Append) -> Result<Files> {
    let mut files = Files::new();
    if let Some(owner) = options.chown {
        files = files.owner(owner.uid, owner.gid);
    }
    if let Some(mode) = options.chmod {
        files = files.mode(mode);
    }
    if let Some(epoch) = std::env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|text| text.parse().ok())
    {
        files = files.no_later_than(epoch);
    }
    for given in &options.files {
        let (from, to) = places(given);
        files = files.add(from, to)?;
    }
    Ok(files)
}

/// `SRC[:DEST]`. As with cp, a file goes into what ends in a slash.
fn places(given: &str) -> (PathBuf, PathBuf) {
    let (from, to) = match given.rsplit_once(':') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => (from, to),
        _ => (given, "/"),
    };
    let from = Path::new(from);
    let to = match from.file_name() {
        Some(name) if to.ends_with('/') && !from.is_dir() => Path::new(to).join(name),
        _ => PathBuf::from(to),
    };
    (from.to_owned(), to)
}

fn append_tar(edit: &mut Edit, path: &Path, history: History) -> Result<()> {
    let input: Box<dyn Read + Send> = match path.as_os_str() == "-" {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(path).with_context(|| format!("cannot open {}", path.display()))?),
    };
    let layer = decompress(input).map(|tar| edit.append_tar(tar, history));
    layer?.with_context(|| format!("cannot make a layer of {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_where_it_is_told() {
        for (given, from, to) in [
            ("x/app", "x/app", "/app"),
            ("x/app:/usr/bin/", "x/app", "/usr/bin/app"),
            ("x/app:/usr/bin/other", "x/app", "/usr/bin/other"),
            ("/:/usr/", "/", "/usr/"),
            ("a:b:/c", "a:b", "/c"),
        ] {
            assert_eq!(places(given), (from.into(), to.into()), "{given}");
        }
    }
}
