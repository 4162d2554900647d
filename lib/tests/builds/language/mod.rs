//! The Containerfile language, rule by rule: a small file, a small context, and what they yield.
//!
//! - `lexing`: lines, continuations, escapes, JSON forms, heredocs
//! - `variables`: ARG, ENV, expansion
//! - `stages`: FROM, `--from`, ONBUILD
//! - `contexts`: where files, images and platforms come from
//! - `config`: the instructions that change the config alone; history
//! - `workdir`: WORKDIR and USER
//! - `copy`: COPY, what is taken and where it goes
//! - `metadata`: owners, modes, times and links of what is copied
//! - `ignore`: ignore files, wildcards and `--exclude`
//! - `add`: ADD and its archives
//! - `remote`: ADD of URLs and git repositories, and contexts that are one
//! - `run`: what a RUN sees
//! - `layers`: what of a RUN's work is kept
//! - `mounts`: `RUN --mount` and `--network`

mod add;
mod config;
mod contexts;
mod copy;
mod ignore;
mod layers;
mod lexing;
mod metadata;
mod mounts;
mod remote;
mod run;
mod stages;
mod variables;
mod workdir;
