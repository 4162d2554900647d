//! `WORKDIR`.

use std::path::Path;

use super::{
    error::BuildError,
    place::{Destination, Placer},
    stage::Stage,
    users::Users,
};
use crate::containerfile::{Instruction, Word};

/// Sets the working directory and makes it, each missing component belonging to the current USER. A layer each time,
/// even an empty one, unless it is `/`.
pub(super) async fn workdir(
    stage: &mut Stage,
    instruction: &Instruction,
    word: &Word,
) -> Result<(), BuildError> {
    let text = stage.expand(word)?;
    let current = stage.image.config().config.working_dir.clone();
    let path = absolute(&current, &text);
    let history = format!("WORKDIR {path}");
    stage.image.config_mut().config.working_dir.clone_from(&path);
    if path == "/" {
        stage.note(history);
        return Ok(());
    }
    let mut step = stage.start(instruction);
    let user = stage.image.config().config.user.clone();
    let mut parts = stage
        .parts("WORKDIR")
        .with("the directory", &path)
        .with("the user", &user);
    if let Some(epoch) = stage.shared.epoch {
        parts = parts.with("SOURCE_DATE_EPOCH", epoch);
    }
    if stage.cached(&mut step, &parts, &history).await? {
        return Ok(());
    }
    let owner = match super::users::is_numeric(&user) {
        true => Users::default().owner(&user),
        false => super::small::users(stage).await?.owner(&user),
    };
    let now = stage.now();
    let mut tree = stage.tree().await?.clone();
    let mut placer = Placer::new(&mut tree, now);
    placer.owner = Some(owner);
    placer.working_directory(&Destination::new("/", &path))?;
    let changes = placer.changes();
    let made = stage.shared.layers.make(&stage.shared, changes).await?;
    stage.made(&mut step, &parts, history, made)
}

/// An absolute path stays as written; a relative one is joined to the current directory and cleaned.
pub(super) fn absolute(current: &str, text: &str) -> String {
    if text.starts_with('/') {
        return text.to_owned();
    }
    let joined = Path::new("/").join(current).join(text);
    format!("/{}", super::select::clean(&joined.to_string_lossy()).display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_current_directory() {
        for (current, text, path) in [
            ("", "a", "/a"),
            ("/a", "b/../c/", "/a/c"),
            ("/a", "/x/", "/x/"),
            ("/a", "..", "/"),
            ("/a", "../../b", "/b"),
            ("/a", ".", "/a"),
            ("/a", "", "/a"),
        ] {
            assert_eq!(absolute(current, text), path, "{current} {text}");
        }
    }
}
