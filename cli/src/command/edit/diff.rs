//! `rbuild diff`

use anyhow::Result;
use rbuild::{
    copy::Source,
    image::Image,
    inspect::{
        FieldDifference, LayerDifference, PathChange, PathDifference, compare_configs, compare_layers,
        compare_trees,
    },
    store::Store,
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    cli::{Diff, Difference},
    command::{
        image::{Found, find, platform_or_host},
        session::Session,
        shared::print,
    },
    report::{Failure, Outcome},
};

/// All that was asked for; what was not is absent.
#[derive(Default, Serialize)]
struct Differences {
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<LayerDifference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Vec<FieldDifference>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<PathDifference>>,
}

/// Says what differs between two images. Their layers are read only if files are asked for and layers differ.
pub async fn run(options: &Diff, session: &Session) -> Outcome {
    let platform = platform_or_host(options.platform.as_ref());
    let open = async |name: &str| -> Result<(Found, Source, Image)> {
        let found = find(name, session).await?;
        let source = found.open(&platform).await?;
        let image = source.image(&platform).await?;
        Ok((found, source, image))
    };
    let (old, new) = (open(&options.old).await?, open(&options.new).await?);
    let wanted = |what| options.only.is_none_or(|only| only == what);
    let mut differences = Differences::default();
    let layers = compare_layers(&old.2, &new.2);
    let same_files = layers.added.is_empty() && layers.removed.is_empty();
    if wanted(Difference::Config) {
        let config = compare_configs(old.2.config(), new.2.config()).map_err(anyhow::Error::from)?;
        differences.config = Some(config);
    }
    if wanted(Difference::Files) {
        differences.files = Some(match same_files {
            true => Vec::new(),
            false => files(&old, &new, session.store().ok().as_ref()).await?,
        });
    }
    differences.layers = wanted(Difference::Layers).then_some(layers);
    print(&match options.json {
        true => serde_json::to_string_pretty(&differences).map_err(anyhow::Error::from)? + "\n",
        false => differences.text(),
    })?;
    match options.exit_code && differences.any() {
        true => Err(Box::new(Failure::silent(1))),
        false => Ok(()),
    }
}

async fn files(
    old: &(Found, Source, Image),
    new: &(Found, Source, Image),
    store: Option<&Store>,
) -> Result<Vec<PathDifference>> {
    let (before, after) = (
        old.1.files(&old.2, store).await?,
        new.1.files(&new.2, store).await?,
    );
    Ok(compare_trees(before.tree(), after.tree()))
}

impl Differences {
    fn any(&self) -> bool {
        self.layers
            .as_ref()
            .is_some_and(|layers| !layers.added.is_empty() || !layers.removed.is_empty())
            || self.config.as_ref().is_some_and(|fields| !fields.is_empty())
            || self.files.as_ref().is_some_and(|files| !files.is_empty())
    }

    /// One difference a line: `+` only the second has it, `-` only the first, `~` both but not the same.
    fn text(&self) -> String {
        let mut lines = Vec::new();
        if let Some(layers) = &self.layers {
            lines.extend(
                layers
                    .removed
                    .iter()
                    .map(|layer| format!("- layer {} ({} bytes)", layer.digest, layer.size)),
            );
            lines.extend(
                layers
                    .added
                    .iter()
                    .map(|layer| format!("+ layer {} ({} bytes)", layer.digest, layer.size)),
            );
        }
        lines.extend(self.config.iter().flatten().flat_map(field));
        lines.extend(self.files.iter().flatten().map(path));
        lines.iter().map(|line| format!("{}\n", harmless(line))).collect()
    }
}

fn field(difference: &FieldDifference) -> Vec<String> {
    let line = |sign: &str, value: &Option<Value>| {
        value
            .as_ref()
            .map(|value| format!("{sign} config {}: {value}", difference.field))
    };
    [line("-", &difference.old), line("+", &difference.new)]
        .into_iter()
        .flatten()
        .collect()
}

fn path(difference: &PathDifference) -> String {
    let sign = match difference.change {
        PathChange::Added => '+',
        PathChange::Removed => '-',
        PathChange::Changed => '~',
    };
    let sizes = match (difference.old_size, difference.new_size) {
        (Some(old), Some(new)) if old != new => format!(" {old} -> {new} bytes"),
        (None, Some(size)) | (Some(size), None) => format!(" {size} bytes"),
        _ => String::new(),
    };
    let ways = match difference.ways.is_empty() {
        true => String::new(),
        false => format!(" ({})", difference.ways.join(", ")),
    };
    format!("{sign} {}{ways}{sizes}", difference.path)
}

/// Names in images are not to be trusted with a terminal.
fn harmless(line: &str) -> String {
    line.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect()
            } else {
                vec![c]
            }
        })
        .collect()
}
