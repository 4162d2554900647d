//! `rbuild serve`.

use std::{num::NonZeroUsize, path::PathBuf, str::FromStr, time::Duration};

use anyhow::{Result, ensure};
use clap::Args;
use rbuild::containerfile::values::parse_duration;

use super::IsolationMode;
use crate::options::{CacheFrom, CacheTo, Size};

/// What is served.
const PATHS: &str = "\
POST /_openrun/delegate_build takes a build: Authorization: Bearer TOKEN, and a form with the parts `meta`, JSON that says what to build and
where to push it, and `file`, a tar.gz of the context. GET /builds/ID/log streams what a build says, with ID as in the header X-Build-Id of
the request. GET /healthz and GET /metrics need no token.";

/// `rbuild serve`.
#[derive(Args, Debug)]
#[command(after_help = PATHS)]
pub struct Serve {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "HOST:PORT")]
    pub listen: String,
    /// The file with the token that callers must show [default: the token is in RBUILD_SERVE_TOKEN]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Builds at work at once [default: as many as there are processors]
    #[arg(long, value_name = "NUMBER")]
    pub jobs: Option<NonZeroUsize>,
    /// Builds that may wait for one of these to end
    #[arg(long, default_value_t = 100, value_name = "NUMBER")]
    pub queue: usize,
    /// How long one build may take
    #[arg(long, default_value = "1h", value_name = "TIME")]
    pub timeout: Time,
    /// How large a context may be as it comes
    #[arg(long, default_value = "512MiB", value_name = "SIZE")]
    pub max_context_bytes: Size,
    /// How large it may be unpacked
    #[arg(long, default_value = "4GiB", value_name = "SIZE")]
    pub max_unpacked_bytes: Size,
    /// When nobody is at work, remove what was not used for longest until the store is no larger than this
    #[arg(long, value_name = "SIZE")]
    pub keep_bytes: Option<Size>,
    /// The directory with the passwords and certificates that callers may name; without it they may name no file
    #[arg(long, value_name = "DIR")]
    pub registry_files: Option<PathBuf>,
    /// Take results of steps from a cache that machines share: REF, type=registry,ref=REF or type=local,src=DIR
    #[arg(long, value_name = "SPEC")]
    pub cache_from: Vec<CacheFrom>,
    /// Keep results of steps there: REF, type=registry,ref=REF or type=local,dest=DIR; mode=min: of the last stages only
    #[arg(long, value_name = "SPEC")]
    pub cache_to: Vec<CacheTo>,
    /// What RUN steps run in; without it, the best that works: see `rbuild doctor`
    #[arg(long, value_enum, default_value_t = IsolationMode::Auto, value_name = "MODE")]
    pub isolation: IsolationMode,
}

/// A time as Go writes it: `90s`, `1h30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Duration);

impl FromStr for Time {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let time = parse_duration(text)?;
        ensure!(time > 0, "expected a time, as in 30m");
        Ok(Self(Duration::from_nanos(time.unsigned_abs())))
    }
}
