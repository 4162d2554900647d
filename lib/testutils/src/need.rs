//! Programs and abilities that a machine may lack: tests that need them are skipped there, and say so.

use std::path::PathBuf;

/// Where a program is; `None` if it is missing, and then the test returns.
///
/// ```
/// let Some(cat) = rbuild_testutils::need("cat") else { return };
/// assert!(cat.is_absolute());
/// ```
///
/// # Panics
/// If it is missing and `RBUILD_TEST_REQUIRE_ALL=1`.
pub fn need(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // An ordinary user's PATH may lack the directories of what only root used to run.
    let extra = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path)
        .chain(extra)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file());
    if found.is_none() {
        skip(&format!("{program} is not installed"));
    }
    found
}

/// Says that a test is skipped, and why; the test then returns.
///
/// # Panics
/// If `RBUILD_TEST_REQUIRE_ALL=1`.
pub fn skip(why: &str) {
    let required = std::env::var_os("RBUILD_TEST_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!required, "RBUILD_TEST_REQUIRE_ALL=1 and {why}");
    eprintln!("skipped: {why}");
}
