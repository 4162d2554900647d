//! What can go wrong with a registry. Every error says where it happened: host and repository.

use std::{fmt, io, time::Duration};

use crate::{Digest, image};

/// An operation on a registry failed, or a download.
///
/// Prints as `PLACE: CAUSE`, where the place is `HOST/REPOSITORY[:TAG][@DIGEST]`, or the URL.
#[derive(Debug)]
pub struct Error {
    place: String,
    cause: Cause,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.cause)
    }
}

impl std::error::Error for Error {
    /// What is behind the cause; the cause itself is printed already.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.cause)
    }
}

/// Why an operation on a registry failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The registry has no such tag, manifest, blob or repository (404).
    #[error("no such {kind}{}", Said(.message))]
    NotFound {
        /// What was asked for.
        kind: Kind,
        /// The registry's own words.
        message: String,
    },
    /// What came is no valid image, or has none for the platform.
    #[error(transparent)]
    Image(image::Error),
    /// The registry wants a login and there is none, or does not take the one there is (401).
    #[error("the registry refuses access: {tried}{}", Said(.message))]
    Unauthorized {
        /// Which credentials were used, or where none were found.
        tried: String,
        /// The registry's own words.
        message: String,
    },
    /// Logged in or anonymous, this is not allowed (403).
    #[error("the registry denies this: {tried}{}", Said(.message))]
    Denied {
        /// Which credentials were used, or where none were found.
        tried: String,
        /// The registry's own words.
        message: String,
    },
    /// The token server of the registry did not give a token.
    #[error("login at {realm} failed: {tried}{}", Said(.message))]
    Login {
        /// Address of the token server.
        realm: String,
        /// Which credentials were used, or where none were found.
        tried: String,
        /// The server's own words.
        message: String,
    },
    /// No connection, or it broke and retrying did not help.
    #[error("cannot reach {host}: {reason}")]
    Connection {
        /// The host that does not answer: the registry, its token server or its storage.
        host: String,
        /// The innermost reason: `Connection refused (os error 111)`.
        reason: String,
    },
    /// The connection was made, but a transfer ended early or stalled, and retrying did not help.
    #[error("the transfer of {digest} broke off after {received} of {size} bytes: {reason}")]
    Broken {
        /// The blob.
        digest: Digest,
        /// Bytes received in all.
        received: u64,
        /// Bytes expected.
        size: u64,
        /// What happened last.
        reason: String,
    },
    /// The registry asks to wait for longer than is sensible (429 or 503 with Retry-After).
    #[error("the server is too busy, and asks to come back in {} s", .0.as_secs())]
    Busy(Duration),
    /// Any other answer that is not success.
    #[error("the server answers {status}{}", Said(.message))]
    Status {
        /// The HTTP status with its name.
        status: reqwest::StatusCode,
        /// The registry's own words.
        message: String,
    },
    /// The registry says no, in its own words.
    #[error("the registry refuses: {0}")]
    Refused(String),
    /// What came is not what the digest names.
    #[error("wrong content: expected {expected}, got {actual}")]
    WrongDigest {
        /// The digest asked for.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// What came is longer or shorter than its descriptor says.
    #[error("wrong size of {digest}: expected {expected} bytes, the registry has {actual}")]
    WrongSize {
        /// The blob.
        digest: Digest,
        /// By the descriptor.
        expected: u64,
        /// By the registry, or as many as came before the transfer was ended.
        actual: u64,
    },
    /// A config or another small document is larger than such things are.
    #[error("{digest} has {size} bytes, more than the {limit} allowed for a document of its kind")]
    TooLarge {
        /// The blob.
        digest: Digest,
        /// Bytes.
        size: u64,
        /// Bytes.
        limit: u64,
    },
    /// The answer breaks the protocol.
    #[error("the server's answer makes no sense: {0}")]
    Protocol(String),
    /// A manifest in a format that is not supported.
    #[error("a manifest of type {0} is not supported")]
    Unsupported(String),
    /// A configuration file is not valid.
    #[error("the configuration is not valid: {0}")]
    Configuration(String),
    /// Configuration forbids this registry.
    #[error("registries.conf blocks this registry")]
    Blocked,
    /// A name without a registry may mean several images.
    #[error("it may mean {}, and short-name-mode is enforcing: write it in full", .0.join(" or "))]
    Ambiguous(Vec<String>),
    /// No registry gave the image of a name that may mean several.
    #[error("no registry to search gave it: {}", Each(.0))]
    Nowhere(Vec<Error>),
    /// The certificates or keys for this host cannot be used.
    #[error("no secure connection to {host}: {reason}")]
    Tls {
        /// The host that was to be connected to.
        host: String,
        /// What is wrong with the server's certificate, or with the files for it on this machine.
        reason: String,
    },
    /// What was pulled or downloaded could not be written.
    #[error("cannot write what was pulled")]
    Write(#[source] io::Error),
    /// What is to be pushed could not be read.
    #[error("cannot read {digest} to push it")]
    Source {
        /// The blob.
        digest: Digest,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Kinds of things in a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A tag or manifest.
    Image,
    /// A blob.
    Blob,
    /// A repository.
    Repository,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Image => "image in the registry",
            Self::Blob => "blob in the registry",
            Self::Repository => "repository in the registry",
        })
    }
}

/// The registry's own words in brackets, if it had any.
struct Said<'a>(&'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.0)
        }
    }
}

/// Errors in one line.
struct Each<'a>(&'a [Error]);

impl fmt::Display for Each<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&errors.join("; "))
    }
}

impl Error {
    pub(super) fn new(place: &(impl fmt::Display + ?Sized), cause: Cause) -> Self {
        Self {
            place: place.to_string(),
            cause,
        }
    }

    /// The same, said of another place.
    pub(super) fn placed(self, place: &str) -> Self {
        Self::new(place, self.cause)
    }

    /// Where: `HOST/REPOSITORY[:TAG][@DIGEST]`, or the URL.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Why.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// Whether the registry answered, and does not have it.
    pub fn is_not_found(&self) -> bool {
        matches!(self.cause, Cause::NotFound { .. })
    }

    /// Whether the registry asks to come back later (429).
    pub(super) fn is_busy(&self) -> bool {
        let busy = reqwest::StatusCode::TOO_MANY_REQUESTS;
        matches!(self.cause, Cause::Status { status, .. } if status == busy)
    }
}
