//! `rbuild unpack`, `rbuild repack` and `rbuild raw unpack`

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use rbuild::{
    bundle::{self, Bundle},
    copy::Source,
    edit::Edit,
    image::{History, Image, Platform},
    inspect::Files,
};

use super::{settings, target::destination};
use crate::{
    cli::{RawUnpack, Repack, Unpack},
    command::{
        image::{find, platform_or_host, transfer},
        session::Session,
        shared::print,
    },
    report::Outcome,
};

/// Makes a bundle of an image.
pub async fn unpack(options: &Unpack, session: &Session) -> Result<()> {
    let (source, image, files) = open(&options.image, options.platform.as_ref(), session).await?;
    let (path, rootless) = (options.bundle.clone(), options.rootless);
    let work = move || bundle::unpack(&source, &image, &files, &path, rootless).map(drop);
    Ok(tokio::task::spawn_blocking(work).await??)
}

/// Writes the files of an image and nothing else.
pub async fn raw_unpack(options: &RawUnpack, session: &Session) -> Result<()> {
    let (_, image, files) = open(&options.image, options.platform.as_ref(), session).await?;
    let (path, rootless) = (options.rootfs.clone(), options.rootless);
    let work = move || bundle::unpack_files(&image, &files, &path, rootless);
    Ok(tokio::task::spawn_blocking(work).await??)
}

async fn open(name: &str, platform: Option<&Platform>, session: &Session) -> Result<(Source, Image, Files)> {
    let platform = platform_or_host(platform);
    let found = find(&as_place(name), session).await?;
    let source = found.open(&platform).await?;
    let image = source.image(&platform).await?;
    let files = source.files(&image, found.store.as_ref()).await?;
    Ok((source, image, files))
}

/// umoci's way to name an image in a layout, as a place.
pub fn as_place(name: &str) -> String {
    let path = name.split(':').next().unwrap_or(name);
    match Path::new(path).join("oci-layout").is_file() {
        true => format!("oci:{name}"),
        false => name.to_owned(),
    }
}

/// Makes an image of a bundle.
pub async fn repack(options: &Repack, session: &Session) -> Outcome {
    let to = destination(Some(&as_place(&options.image)), None, None)?;
    let bundle = Bundle::open(&options.bundle).map_err(anyhow::Error::from)?;
    let store = session.store().ok();
    let base = bundle.base(&to, store.as_ref(), &session.registry()?).await;
    let base = base.with_context(|| {
        format!(
            "cannot find the image that {} was made of",
            options.bundle.display()
        )
    })?;
    let base = base.compression(options.compression.map(|compress| compress.0).unwrap_or_default());
    let (mut edit, changed) = layer(base, bundle.clone(), options).await?;
    if !changed && !options.show.quiet {
        print("nothing has changed\n")?;
    }
    if changed {
        settings::apply(&options.settings, edit.image_mut())?;
    }
    let copying = session.copy_options(&[&to])?;
    let mut written = None;
    transfer::watch(&options.show, copying, session, async |options, registry| {
        let image = edit.write_to(&to, options, registry).await?;
        written = Some(image.clone());
        Ok(image.digest)
    })
    .await?;
    if let Some(image) = written.filter(|_| options.refresh_bundle) {
        bundle
            .refresh(&image, &to.to_string())
            .map_err(anyhow::Error::from)?;
    }
    Ok(())
}

async fn layer(mut edit: Edit, bundle: Bundle, options: &Repack) -> Result<(Edit, bool)> {
    let created = settings::created(options.settings.created.as_deref())?;
    let created_by = options
        .history
        .clone()
        .unwrap_or_else(|| "rbuild repack".to_owned());
    let wanted = bundle::Repack {
        history: History {
            created: Some(created),
            created_by,
            ..History::default()
        },
        masked: masked(&edit, options),
        latest: env::var("SOURCE_DATE_EPOCH")
            .ok()
            .and_then(|text| text.parse().ok()),
    };
    let work = move || -> Result<(Edit, bool)> {
        let files = edit.files(None)?;
        let changed = bundle::repack(&mut edit, &files, &bundle, &wanted)?;
        Ok((edit, changed))
    };
    tokio::task::spawn_blocking(work).await?
}

fn masked(edit: &Edit, options: &Repack) -> Vec<PathBuf> {
    let inside = |path: &Path| path.strip_prefix("/").unwrap_or(path).to_owned();
    let volumes = edit.image().config().config.volumes.iter().map(Path::new);
    let volumes = volumes.filter(|_| !options.no_mask_volumes).map(inside);
    volumes
        .chain(options.mask_path.iter().map(|path| inside(path)))
        .collect()
}
