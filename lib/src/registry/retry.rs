//! Trying again: what can be, how often, and how long to wait before.

use std::{
    fmt,
    hash::{BuildHasher, Hasher as _},
    time::{Duration, SystemTime},
};

use reqwest::{StatusCode, header::HeaderMap};

use super::{Cause, Error};

/// How often and after which pauses a failed request is made again.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Attempts in all; 1 means never again.
    pub attempts: u32,
    /// The pause after the first failure; doubled after each further one, less a random part of up to a half.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// The longest pause that a registry may ask for with `Retry-After`; it gets no further request if it asks for more.
    pub longest_asked: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(10),
            longest_asked: Duration::from_secs(120),
        }
    }
}

/// One attempt that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) again: Again,
}

/// Whether another attempt makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    No,
    Yes,
    /// Not before this much time, says the registry.
    After(Duration),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error,
            again: Again::No,
        }
    }
}

/// Counts the attempts at one thing.
pub(super) struct Attempts {
    policy: Retry,
    failed: u32,
}

impl Retry {
    pub(super) fn start(self) -> Attempts {
        Attempts {
            policy: self,
            failed: 0,
        }
    }

    /// Does `attempt` until it succeeds, cannot succeed, or has failed too often.
    pub(super) async fn run<T, F>(
        self,
        at: &(impl fmt::Display + Sync),
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut attempts = self.start();
        loop {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(failure) => attempts.pause(at, failure).await?,
            }
        }
    }
}

impl Attempts {
    /// Waits before the next attempt, or gives the failure back as final.
    pub(super) async fn pause(
        &mut self,
        at: &(impl fmt::Display + Sync),
        failure: Failure,
    ) -> Result<(), Error> {
        self.failed += 1;
        let pause = match failure.again {
            Again::Yes if self.failed < self.policy.attempts => self.backoff(),
            Again::After(asked) if asked > self.policy.longest_asked => {
                return Err(Error::new(at, Cause::Busy(asked)));
            }
            Again::After(asked) if self.failed < self.policy.attempts => asked.max(self.backoff()),
            _ => return Err(failure.error),
        };
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// What came before does not count any more: there was progress.
    pub(super) fn forget(&mut self) {
        self.failed = 0;
    }

    fn backoff(&self) -> Duration {
        let doublings = self.failed.saturating_sub(1).min(16);
        let full = (self.policy.first_pause * (1 << doublings)).min(self.policy.longest_pause);
        full.mul_f64(1.0 - random_fraction() / 2.0)
    }
}

/// In `0..1`, good enough to keep clients from retrying in step.
fn random_fraction() -> f64 {
    let bits = std::hash::RandomState::new().build_hasher().finish() >> 32;
    bits as f64 / f64::from(u32::MAX)
}

/// Whether a request that got this answer may be made again.
pub(super) fn after_status(status: StatusCode, headers: &HeaderMap) -> Again {
    let asked = headers
        .get(reqwest::header::RETRY_AFTER)
        .and_then(|value| retry_after(value.to_str().ok()?));
    match asked {
        _ if !is_transient(status) => Again::No,
        Some(pause) => Again::After(pause),
        None => Again::Yes,
    }
}

/// Whether the same request may get another answer soon.
pub(super) fn is_transient(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_EARLY
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// `Retry-After` is a number of seconds or a date (RFC 9110, 10.2.3).
fn retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value.trim()).ok()?;
    Some(
        SystemTime::from(date.timestamp())
            .duration_since(SystemTime::now())
            .unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let policy = Retry {
            attempts: 99,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_millis(1000),
            ..Retry::default()
        };
        for (failed, most) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (90, 1000)] {
            let pause = Attempts { policy, failed }.backoff();
            assert!(
                pause <= Duration::from_millis(most) && pause >= Duration::from_millis(most / 2),
                "{failed}: {pause:?}"
            );
        }
    }

    #[test]
    fn reads_both_forms_of_retry_after() {
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert!(
            retry_after("Fri, 31 Dec 2117 23:59:59 GMT")
                .is_some_and(|pause| pause > Duration::from_secs(86400))
        );
        assert_eq!(retry_after("soon"), None);
    }

    #[test]
    fn only_transient_statuses_are_tried_again() {
        let mut asked = HeaderMap::new();
        asked.insert("retry-after", "3".parse().unwrap());
        for (status, headers, again) in [
            (429, &asked, Again::After(Duration::from_secs(3))),
            (503, &HeaderMap::new(), Again::Yes),
            (500, &HeaderMap::new(), Again::Yes),
            (404, &asked, Again::No),
            (401, &HeaderMap::new(), Again::No),
            (501, &HeaderMap::new(), Again::No),
        ] {
            assert_eq!(
                after_status(StatusCode::from_u16(status).unwrap(), headers),
                again,
                "{status}"
            );
        }
    }
}
