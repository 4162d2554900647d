//! What to do about an error, where that is known.

use std::{error::Error, io};

use rbuild::{
    copy, edit,
    exec::Missing,
    registry::{self, Cause},
    store,
};

/// Advice for the first cause in the chain that there is some for.
pub fn find(error: &(dyn Error + 'static)) -> Option<String> {
    anyhow::Chain::new(error).find_map(hint)
}

fn hint(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(missing) = error.downcast_ref::<Missing>() {
        return Some(missing.hint());
    }
    if let Some(error) = error.downcast_ref::<registry::Error>() {
        return of_registry(error.cause()).map(str::to_owned);
    }
    if let Some(error) = error.downcast_ref::<copy::Error>() {
        // It says what the error in it says, and stands in its place.
        return match error {
            copy::Error::Registry(error) => of_registry(error.cause()).map(str::to_owned),
            copy::Error::Store(error) => hint(error),
            _ => None,
        };
    }
    if let Some(edit::Error::Copy(error)) = error.downcast_ref() {
        return hint(error);
    }
    if let Some(store::Error::NoImage { .. }) = error.downcast_ref() {
        return Some("`rbuild images` lists those there are".to_owned());
    }
    of_io(error.downcast_ref::<io::Error>()?).map(str::to_owned)
}

/// Advice about what the operating system says.
pub fn of_io(error: &io::Error) -> Option<&'static str> {
    (error.kind() == io::ErrorKind::StorageFull)
        .then_some("`rbuild prune` frees space; --root DIR or RBUILD_ROOT puts the store elsewhere")
}

/// Advice about a registry's refusal.
pub fn of_registry(cause: &Cause) -> Option<&'static str> {
    match cause {
        Cause::NotFound { .. } => Some("check the spelling of the name and the tag"),
        Cause::Connection { .. } => Some("check that the registry runs and that its name and port are right"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn the_chain_is_searched() {
        let full = Outer(io::ErrorKind::StorageFull.into());
        assert!(find(&full).is_some_and(|hint| hint.contains("rbuild prune")));
        assert_eq!(find(&Outer(io::ErrorKind::NotFound.into())), None);
        let missing = Missing::IdMapProgram("newuidmap");
        assert_eq!(find(&missing), Some(missing.hint()));
    }
}
