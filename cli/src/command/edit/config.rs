//! `rbuild config`

use super::{settings, target};
use crate::{cli::Configure, command::session::Session, report::Outcome};

/// Changes the config of an image.
pub async fn run(options: &Configure, session: &Session) -> Outcome {
    let (mut edit, found) = target::open(&options.image, &options.target, session).await?;
    settings::apply(&options.settings, edit.image_mut())?;
    let created = edit.image().config().created.clone();
    let history = target::history(&options.target, "config", created.as_ref());
    edit.image_mut().note(history);
    target::write(edit, found, &options.target, session).await
}
