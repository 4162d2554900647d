//! A Containerfile of 10,000 lines: parsed, printed, and its ignore file applied to as many paths.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rbuild::containerfile::{Containerfile, ignore::Ignore};

/// Twenty lines of what files are made of, five hundred times.
fn source() -> String {
    let block = r#"
# what this stage is for
FROM --platform=$BUILDPLATFORM docker.io/library/golang:${GO_VERSION}-alpine AS build-STAGE
ARG TARGETOS TARGETARCH
ENV CGO_ENABLED=0 \
    GOFLAGS="-mod=vendor -trimpath" \
    PATH=/usr/local/go/bin:$PATH
WORKDIR /src
COPY --link go.mod go.sum ./
RUN --mount=type=cache,target=/root/.cache,sharing=locked \
    --mount=type=bind,source=.,target=. \
    set -eux; \
    # built for every platform
    go build -ldflags "-X main.version=${VERSION:-dev}" -o /out/app ./cmd/app
COPY <<-"EOF" /etc/app.conf
	listen = ":80"
	EOF
LABEL org.opencontainers.image.title="app" org.opencontainers.image.version=$VERSION
EXPOSE 8080 8443/tcp
HEALTHCHECK --interval=30s --timeout=3s CMD ["/app", "healthy"]
ENTRYPOINT ["/usr/bin/app", "--config", "/etc/app.conf"]"#;
    let blocks: String = (0..500)
        .map(|stage| block.replace("STAGE", &stage.to_string()))
        .collect();
    blocks.trim_start().to_owned()
}

fn parsing(criterion: &mut Criterion) {
    let source = source();
    assert_eq!(source.lines().count(), 10_000);
    let file = Containerfile::parse(&source).expect("valid");
    let ignore = Ignore::parse("**/*.log\n.git\nnode_modules\n!node_modules/kept\n*.tmp\n**/target/**\n")
        .expect("valid");
    let paths: Vec<String> = (0..10_000)
        .map(|n| format!("src/module{}/deep/file{n}.rs", n % 100))
        .collect();

    let mut group = criterion.benchmark_group("a file of 10,000 lines");
    group.throughput(Throughput::Bytes(source.len() as u64));
    group.bench_function("parse", |bencher| bencher.iter(|| Containerfile::parse(&source)));
    group.bench_function("print", |bencher| bencher.iter(|| file.to_string()));
    group.bench_function("lint", |bencher| bencher.iter(|| file.lint(&Default::default())));
    group.finish();
    criterion.bench_function("10,000 paths and an ignore file", |bencher| {
        bencher.iter(|| paths.iter().filter(|path| ignore.matches(path)).count());
    });
}

criterion_group!(benches, parsing);
criterion_main!(benches);
