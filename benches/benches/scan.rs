//! A build context of 20,000 files: names and stats alone, with remembered digests, and read.

use std::{thread, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use rbuild::tree::{Context, StatCache};

fn scanning(criterion: &mut Criterion) {
    let root = tempfile::tempdir().expect("a directory");
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("cache");
    rbuild_benches::directory(root.path(), 20_000, 4000).expect("files");
    // Until the files are old enough to be remembered.
    thread::sleep(Duration::from_millis(100));
    let scan = |cache| Context::scan(root.path(), &(), cache).expect("a context");
    let mut known = scan(StatCache::default());
    known.digest(&["".into()]).expect("files");
    known.save_cache(&file).expect("a cache");

    let mut group = criterion.benchmark_group("a context of 20,000 files");
    group.bench_function("scan", |bencher| bencher.iter(|| scan(StatCache::default())));
    group.bench_function("unchanged", |bencher| {
        bencher.iter(|| {
            let mut context = scan(StatCache::load(&file));
            context.digest(&["".into()]).expect("files");
            context.save_cache(&file).expect("a cache");
        });
    });
    group.bench_function("read", |bencher| {
        bencher.iter(|| scan(StatCache::default()).digest(&["".into()]).expect("files"));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(5));
    targets = scanning
}
criterion_main!(benches);
