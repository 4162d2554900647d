//! `rbuild outdated`

use anyhow::{Result, anyhow};
use rbuild::inspect::{BaseState, Freshness, base_state};
use serde_json::{Value, json};

use crate::{
    cli::Outdated,
    command::{
        image::{find, platform_or_host},
        session::Session,
        shared::{print, table},
    },
    report::{Failure, Outcome},
};

/// Says of each image whether its base has moved: exit code 1 if one has, an error if that cannot be told.
pub async fn run(options: &Outdated, session: &Session) -> Outcome {
    let mut states = Vec::new();
    for image in &options.images {
        states.push((image, state(image, options, session).await?));
    }
    let text = match options.json {
        true => serde_json::to_string_pretty(&as_json(&states)?).map_err(anyhow::Error::from)? + "\n",
        false => table(
            &states
                .iter()
                .map(|(image, state)| row(image, state))
                .collect::<Vec<_>>(),
        ),
    };
    print(&text)?;
    let any = |wanted: &[Freshness]| states.iter().any(|(_, state)| wanted.contains(&state.state));
    if any(&[Freshness::Outdated]) {
        return Err(Box::new(Failure::silent(1)));
    }
    match any(&[Freshness::Unknown, Freshness::Gone]) {
        true => Err(anyhow!("not every image's base is known: name one with --base").into()),
        false => Ok(()),
    }
}

async fn state(image: &str, options: &Outdated, session: &Session) -> Result<BaseState> {
    let platform = platform_or_host(options.platform.as_ref());
    let found = find(image, session).await?;
    let image = found.open(&platform).await?.image(&platform).await?;
    Ok(base_state(&image, options.base.as_ref(), &found.registry).await?)
}

fn as_json(states: &[(&String, BaseState)]) -> Result<Value> {
    let mut all = Vec::new();
    for (image, state) in states {
        let mut value = serde_json::to_value(state)?;
        value["image"] = json!(image);
        all.push(value);
    }
    Ok(all.into())
}

fn row(image: &str, state: &BaseState) -> [String; 3] {
    let word = match state.state {
        Freshness::Current => "current",
        Freshness::Outdated => "outdated",
        Freshness::Gone => "gone",
        Freshness::Unknown => "unknown",
    };
    [
        image.to_owned(),
        word.to_owned(),
        state.base.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}
