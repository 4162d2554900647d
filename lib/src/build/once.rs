//! Work that several stages want done, and that is done once.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;

use super::error::BuildError;

/// Work that is done once for each key; others wait for whoever does it.
pub(super) struct Once<K, V>(Mutex<HashMap<K, Arc<OnceCell<V>>>>);

impl<K, V> Default for Once<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq, V: Clone> Once<K, V> {
    /// Whether the work is done.
    pub fn is_done(&self, key: &K) -> bool {
        let cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cells.get(key).is_some_and(|cell| cell.initialized())
    }

    /// What the work would give, known by the way; no matter if somebody is at it.
    pub fn know(&self, key: K, value: V) {
        let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = cells.entry(key).or_default().set(value);
    }

    /// What the work gave; a failure is not remembered.
    pub async fn get<F, Fut>(&self, key: K, work: F) -> Result<V, BuildError>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, BuildError>>,
    {
        let cell = {
            let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            cells.entry(key).or_default().clone()
        };
        cell.get_or_try_init(work).await.cloned()
    }
}
