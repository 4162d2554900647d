//! What is shown while the job runs, in the form that `--progress` asks for.

use serde_json::json;

use crate::cli::ProgressMode;

/// Standard error, as the build would use it.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Whether it is for programs.
    json: bool,
    /// Whether only failures are shown.
    quiet: bool,
}

impl Screen {
    /// For these flags of the build.
    pub fn new(progress: ProgressMode, quiet: bool) -> Self {
        Self {
            json: progress == ProgressMode::Json,
            quiet,
        }
    }

    /// A line of the build's log. Standard output and error are one in it; the digest that `-q` prints is shown elsewhere.
    pub fn log(self, line: &str) {
        if !(self.quiet && line.parse::<rbuild::Digest>().is_ok()) {
            eprintln!("{line}");
        }
    }

    /// What happens in the cluster.
    pub fn say(self, what: &str) {
        match (self.quiet, self.json) {
            (true, _) => {}
            (false, true) => eprintln!("{}", json!({ "type": "job", "message": what })),
            (false, false) => eprintln!("job: {what}"),
        }
    }

    /// What the user should know in any case.
    pub fn warn(self, what: &str) {
        match self.json {
            true => eprintln!("{}", json!({ "type": "warning", "message": what })),
            false => eprintln!("warning: {what}"),
        }
    }
}
