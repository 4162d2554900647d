//! Benchmarks of rbuild: `benches/` for single paths, `src/bin/compare` for whole builds beside other builders.
