//! The Containerfile that makes an image of a source.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    super::{
        chain::{within, word},
        error::Problem,
    },
    scripts::Scripts,
};

/// The named contexts with the source, and with scripts that are not in the builder image.
pub(super) const SOURCE: &str = "s2i-source";
pub(super) const SCRIPTS: &str = "s2i-scripts";

/// What an earlier build saved, in a stage that is thrown away; and where the builder sees it.
const SAVED: &str = "/tmp/.s2i-saved";

/// Everything that the Containerfile depends on.
pub(super) struct Text<'a> {
    pub builder: &'a str,
    pub workdir: &'a str,
    /// Who runs `assemble`; nobody for root.
    pub user: String,
    /// Who runs containers of the image.
    pub image_user: String,
    /// The directory with source, scripts and artifacts, without a slash at its end.
    pub destination: String,
    pub labels: BTreeMap<String, String>,
    pub environment: Vec<&'a (String, String)>,
    pub ignored: &'a [String],
    pub scripts: &'a Scripts,
    pub previous: Option<Previous>,
    pub runtime: Option<Runtime>,
}

/// The image of an earlier build.
pub(super) struct Previous {
    pub image: String,
    pub user: String,
    pub workdir: String,
}

/// The image that what was assembled is put onto.
pub(super) struct Runtime {
    pub image: String,
    pub workdir: String,
    pub user: String,
    pub image_user: String,
    /// Paths in the builder, and directories below `workdir`.
    pub artifacts: Vec<(String, String)>,
    pub assemble: Option<String>,
    pub run: Option<String>,
}

impl Text<'_> {
    /// The whole file.
    pub fn containerfile(&self) -> Result<String, Problem> {
        let (previous, builder) = (self.previous_stage(), self.builder_stage()?);
        let rest = match &self.runtime {
            Some(runtime) => self.runtime_stage(runtime)?,
            None => {
                user(&self.image_user, &self.user)
                    + &self.command(self.scripts.path("run", &self.destination))
            }
        };
        Ok(previous + &builder + &rest)
    }

    /// What an earlier build has to offer. That it has nothing, or fails to say, is no reason not to build.
    fn previous_stage(&self) -> String {
        let (Some(previous), Some(script)) = (
            &self.previous,
            self.scripts.path("save-artifacts", &self.destination),
        ) else {
            return String::new();
        };
        let mut text = format!("FROM {} AS previous\n", previous.image);
        if self.scripts.is_outside("save-artifacts") {
            text += &format!("COPY --from={SCRIPTS} [\"/save-artifacts\", {}]\n", word(&script));
        }
        let save = format!(
            "if [ -s {script} ]; then {script} > {SAVED}/saved.tar || {{ echo nothing was saved >&2; : > {SAVED}/saved.tar; }}; \
             else : > {SAVED}/saved.tar; fi"
        );
        // The directory belongs to who writes into it.
        text += &user(&previous.user, "");
        text + &format!(
            "WORKDIR {SAVED}\nWORKDIR {}\n{}",
            previous.workdir,
            shell("", &save)
        )
    }

    fn builder_stage(&self) -> Result<String, Problem> {
        let destination = &self.destination;
        let mut text = format!("FROM {} AS assembled\n", self.builder);
        text += &self.description()?;
        text += "USER 0\n";
        let owner = match self.user.split(':').next() {
            None | Some("" | "root" | "0") => String::new(),
            Some(user) => format!(" --chown={user}:0"),
        };
        if self.scripts.any_outside() {
            text += &format!(
                "COPY --from={SCRIPTS}{owner} [\"/.\", {}]\n",
                word(&format!("{destination}/scripts/"))
            );
        }
        let mut excluded = String::new();
        for pattern in self.ignored {
            if pattern.contains(char::is_whitespace) {
                return Err(Problem::Value(format!(
                    ".s2iignore: {pattern:?} has a blank in it"
                )));
            }
            excluded += &format!(" --exclude={pattern}");
        }
        text += &format!(
            "COPY --from={SOURCE}{owner}{excluded} [\"/.\", {}]\n",
            word(&format!("{destination}/src/"))
        );
        text += &user(&self.user, "0");
        if !self.previous_stage().is_empty() {
            text += &self.restore();
        }
        if let Some(assemble) = self.scripts.path("assemble", destination) {
            text += &format!("RUN [{}]\n", json(&assemble));
        }
        Ok(text)
    }

    fn restore(&self) -> String {
        let artifacts = format!("{}/artifacts", self.destination);
        let mount = format!("--mount=type=bind,from=previous,source={SAVED},target={SAVED} ");
        let unpack =
            format!("if [ -s {SAVED}/saved.tar ]; then tar -xf {SAVED}/saved.tar -C {artifacts}; fi");
        format!(
            "WORKDIR {artifacts}\nWORKDIR {}\n{}",
            self.workdir,
            shell(&mount, &unpack)
        )
    }

    fn runtime_stage(&self, runtime: &Runtime) -> Result<String, Problem> {
        let mut text = format!("FROM {}\n{}", runtime.image, self.description()?);
        let workdir = runtime.workdir.trim_end_matches('/');
        text += "USER 0\n";
        for (path, directory) in &runtime.artifacts {
            check(path, directory)?;
            let paths = [path.as_str(), &format!("{workdir}{}", within(directory, path))]
                .map(word)
                .join(", ");
            // Programs and directories 0755, and other files 0644.
            text += &format!("COPY --from=assembled --chmod=u=rwX,go=rX [{paths}]\n");
        }
        for name in ["assemble-runtime", "run"] {
            if self.scripts.is_outside(name) {
                let paths = [format!("/{name}"), format!("{workdir}/scripts/{name}")]
                    .map(|path| word(&path))
                    .join(", ");
                text += &format!("COPY --from={SCRIPTS} [{paths}]\n");
            }
        }
        text += &user(&runtime.user, "0");
        if let Some(script) = &runtime.assemble {
            text += &format!("RUN [{}]\n", json(script));
        }
        text += &user(&runtime.image_user, &runtime.user);
        Ok(text + &self.command(runtime.run.clone()))
    }

    /// Labels and environment.
    fn description(&self) -> Result<String, Problem> {
        let mut text = String::new();
        for (name, value) in &self.labels {
            text += &pair("LABEL", name, value)?;
        }
        for (name, value) in &self.environment {
            text += &pair("ENV", name, value)?;
        }
        Ok(text)
    }

    fn command(&self, run: Option<String>) -> String {
        run.map(|run| format!("CMD [{}]\n", json(&run)))
            .unwrap_or_default()
    }
}

/// From now on somebody else than who it is now; nobody said is root.
fn user(user: &str, now: &str) -> String {
    let or_root = |user: &str| {
        if user.is_empty() {
            "0".to_owned()
        } else {
            user.to_owned()
        }
    };
    match or_root(user) == or_root(now) {
        true => String::new(),
        false => format!("USER {}\n", or_root(user)),
    }
}

/// A RUN of a line by the shell, whatever SHELL the image has. Such lines are not expanded.
fn shell(flags: &str, line: &str) -> String {
    format!("RUN {flags}[\"/bin/sh\", \"-c\", {}]\n", json(line))
}

/// A word of what is not expanded.
pub(super) fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// `ENV` or `LABEL` with a value that means itself.
pub(super) fn pair(instruction: &str, name: &str, value: &str) -> Result<String, Problem> {
    let named = |c: char| !c.is_whitespace() && !matches!(c, '=' | '"' | '\'' | '\\' | '$' | '#');
    if name.is_empty() || !name.chars().all(named) || value.contains(['\n', '\r']) {
        return Err(Problem::Value(format!(
            "{name}={value:?} cannot be set in an image"
        )));
    }
    let mut text = format!("{instruction} {name}=\"");
    for c in value.chars() {
        // Writing to a String does not fail.
        let _ = match c {
            '"' | '\\' | '$' => write!(text, "\\{c}"),
            c => write!(text, "{c}"),
        };
    }
    Ok(text + "\"\n")
}

/// `PATH[:DIRECTORY]`
pub(super) fn artifact(text: &str) -> (String, String) {
    let (path, directory) = text.trim().split_once(':').unwrap_or((text.trim(), "."));
    (path.to_owned(), directory.to_owned())
}

/// By the rules of s2i: no wildcards, and directories that stay below.
fn check(path: &str, directory: &str) -> Result<(), Problem> {
    let wrong = |why: &str| Err(Problem::Value(format!("{path}:{directory}: {why}")));
    if !path.starts_with('/') || path.contains(['*', '?']) {
        return wrong("what the runtime image gets is an absolute path without wildcards");
    }
    match directory.starts_with('/') || directory.split('/').any(|part| part == "..") {
        true => wrong("it goes into a directory below the runtime image's working directory"),
        false => Ok(()),
    }
}
