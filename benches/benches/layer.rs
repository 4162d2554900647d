//! Layers: tar, digest and compress; index; unpack; what is kept on disk.

use std::{hint::black_box, io, path::Path, thread, time::Duration};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rbuild::{
    layer::{
        Compression, Ids, LayerIndex, LocalContents, Whiteouts, decompress, index, ingest, unpack, write_tar,
    },
    tree::Tree,
};

/// 2,000 files, 64 MB.
fn tar() -> Vec<u8> {
    let mut tar = Vec::new();
    write_tar(&rbuild_benches::layer(2000, 32_000), &LocalContents, &mut tar).expect("a tar in memory");
    tar
}

fn making(criterion: &mut Criterion) {
    let changes = rbuild_benches::layer(2000, 32_000);
    let mut group = criterion.benchmark_group("make a layer of 64 MB");
    group.throughput(Throughput::Bytes(tar().len() as u64));
    for (name, compression) in [
        ("gzip", Compression::default()),
        ("zstd", Compression::Zstd(3)),
        ("plain", Compression::None),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                thread::scope(|scope| {
                    let (reader, writer) = io::pipe().expect("a pipe");
                    scope.spawn(|| write_tar(&changes, &LocalContents, writer));
                    ingest(reader, io::sink(), compression).expect("a layer")
                })
            });
        });
    }
}

fn reading(criterion: &mut Criterion) {
    let tar = tar();
    let mut group = criterion.benchmark_group("read a layer of 64 MB");
    group.throughput(Throughput::Bytes(tar.len() as u64));
    group.bench_function("index", |bencher| {
        bencher.iter(|| index(&*tar, None).expect("a tar"))
    });
    for compression in [Compression::default(), Compression::Zstd(3)] {
        let mut blob = Vec::new();
        ingest(&*tar, &mut blob, compression).expect("a layer");
        let read = || index(decompress(&*blob).expect("a blob"), None).expect("a tar");
        group.bench_function(format!("{compression:?}"), |bencher| bencher.iter(read));
    }
}

fn unpacking(criterion: &mut Criterion) {
    let tar = tar();
    let new = || tempfile::tempdir().expect("a directory");
    let mut group = criterion.benchmark_group("unpack a layer of 64 MB");
    group.throughput(Throughput::Bytes(tar.len() as u64));
    group.bench_function("files of 32 kB", |bencher| {
        let unpack = |place: tempfile::TempDir| {
            unpack(&*tar, place.path(), Whiteouts::User, Ids::Keep).expect("a tar");
            place
        };
        bencher.iter_batched(new, unpack, BatchSize::PerIteration);
    });
}

fn remembering(criterion: &mut Criterion) {
    let mut tar = Vec::new();
    write_tar(&rbuild_benches::layer(100_000, 10), &LocalContents, &mut tar).expect("a tar in memory");
    let layer = index(&*tar, None).expect("a tar");
    let mut saved = Vec::new();
    layer.save(&mut saved).expect("an index in memory");
    let mut tree = Tree::new();
    tree.apply(&layer.changes).expect("a layer");
    let mut group = criterion.benchmark_group("100,000 entries");
    group.bench_function("save", |bencher| bencher.iter(|| layer.save(io::sink())));
    group.bench_function("load", |bencher| {
        bencher.iter(|| LayerIndex::load(&*saved).expect("an index"))
    });
    group.bench_function("apply", |bencher| {
        bencher.iter(|| {
            let mut tree = Tree::new();
            tree.apply(&layer.changes).expect("a layer");
            tree
        });
    });
    group.bench_function("clone and change", |bencher| {
        bencher.iter(|| {
            let mut copy = black_box(&tree).clone();
            copy.remove(Path::new("directory-0500/file-050000"))
                .expect("a path");
            copy
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(5));
    targets = making, reading, unpacking, remembering
}
criterion_main!(benches);
