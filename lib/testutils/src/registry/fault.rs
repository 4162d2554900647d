//! Ways to misbehave.

use std::time::Duration;

use super::Kind;

/// How an answer goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection is reset after so many bytes of the answer's body. For an upload: of the request's body.
    Reset(usize),
    /// The connection is closed in good order after so many bytes of the answer's body, fewer than were announced.
    Truncate(usize),
    /// Nothing more comes after so many bytes of the answer's body, but the connection stays open.
    Stall(usize),
    /// The body comes in pieces of so many bytes, with a pause between them.
    Slow(usize, Duration),
    /// This status instead of the right one.
    Status(u16),
    /// This status, and `Retry-After` with this value.
    RetryAfter(u16, String),
    /// One bit of the body is wrong.
    WrongBytes,
    /// More bytes than the content has, correctly announced.
    TooLong,
    /// A range that was asked for is ignored, and everything sent.
    NoRange,
    /// The header `Docker-Content-Digest` names something else.
    WrongDigestHeader,
    /// The request is carried out, but instead of the answer the connection is reset.
    LoseAnswer,
}

pub struct Rule {
    pub kind: Kind,
    pub left: usize,
    pub fault: Fault,
}

/// What to do wrong at a request of this kind.
pub fn take(rules: &mut [Rule], kind: Kind) -> Option<Fault> {
    let rule = rules.iter_mut().find(|rule| rule.kind == kind && rule.left > 0)?;
    rule.left -= 1;
    Some(rule.fault.clone())
}
