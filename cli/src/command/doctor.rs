//! `rbuild doctor`

use anyhow::Result;
use rbuild::{
    exec::{self, Finding, ProbeConfig, Survey},
    store::Store,
};
use serde::Serialize;

use super::shared::{print, table};
use crate::{cli::Doctor, report};

/// Says what this machine allows, what RUN steps would run in, and why.
pub fn run(options: &Doctor, store: &Store) -> Result<()> {
    let survey = Survey::take(&ProbeConfig::new(store.root()));
    let examination = Examination::of(&survey);
    print(&if options.json {
        serde_json::to_string_pretty(&examination)? + "\n"
    } else {
        examination.render()
    })
}

/// What was found, and what follows, in words.
#[derive(Serialize)]
struct Examination {
    findings: Vec<Found>,
    run: Run,
}

#[derive(Serialize)]
struct Found {
    name: &'static str,
    state: Option<bool>,
    detail: String,
}

/// What RUN steps would run in.
#[derive(Serialize)]
struct Run {
    isolation: Option<&'static str>,
    why: String,
    cost: &'static str,
    hint: Option<String>,
}

impl Examination {
    fn of(survey: &Survey) -> Self {
        let found = |finding: &Finding| Found {
            name: finding.name,
            state: finding.state,
            detail: finding.detail.clone(),
        };
        Self {
            findings: survey.findings.iter().map(found).collect(),
            run: match &survey.engine {
                Ok(engine) => Run::possible(engine),
                Err(error) => Run::impossible(error),
            },
        }
    }

    fn render(&self) -> String {
        let state = |state| match state {
            Some(true) => "yes",
            Some(false) => "no",
            None => "-",
        };
        let row = |found: &Found| [found.name, state(found.state), &found.detail].map(str::to_owned);
        let mut text = table(&self.findings.iter().map(row).collect::<Vec<_>>());
        let run = &self.run;
        text.push_str(&format!(
            "\nRUN steps: {}\nwhy: {}\ncost: {}\n",
            run.isolation.unwrap_or("impossible"),
            run.why,
            run.cost
        ));
        if let Some(hint) = &run.hint {
            text.push_str(&format!("hint: {hint}\n"));
        }
        text
    }
}

impl Run {
    fn possible(engine: &exec::Engine) -> Self {
        let tried = "everything that it needs was tried, and works";
        Self {
            isolation: Some(engine.describe()),
            why: match engine.instead_of() {
                Some(missing) => format!("mounts are not possible: {}", rbuild::in_words(missing)),
                None => tried.to_owned(),
            },
            cost: match engine.mounts() {
                true => "none: processes run as fast as outside",
                false => "some microseconds for each call that names a file or a user",
            },
            hint: engine.instead_of().map(exec::Missing::hint),
        }
    }

    fn impossible(error: &exec::Error) -> Self {
        Self {
            isolation: None,
            why: rbuild::in_words(error),
            cost: "builds with RUN fail; all other instructions work",
            hint: report::hint(error),
        }
    }
}
