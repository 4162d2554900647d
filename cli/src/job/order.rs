//! The flags as an order: what is sent, and what the cluster is asked for.

use std::{
    collections::BTreeSet,
    env,
    hash::{BuildHasher, Hasher, RandomState},
};

use anyhow::Result;
use rbuild::{
    build::{self, Parcel},
    registry::Keychain,
};

use super::{
    arguments,
    files::Files,
    manifest::{Context, Order},
    registries,
};
use crate::{
    cli::Job,
    command::{
        build::{context, request},
        session::Session,
    },
    report::Failure,
};

/// Where a container leaves what is to be read at its end (the default of `terminationMessagePath`).
const LAST_WORDS: &str = "/dev/termination-log";

/// What the flags ask for, and the context if it is sent from here. Reads files, and asks no cluster.
pub fn place<'a>(
    options: &'a Job,
    namespace: Option<String>,
    session: &Session,
) -> Result<(Order<'a>, Option<Parcel>), Box<Failure>> {
    session.check_creds()?;
    let mut files = Files::default();
    let variables = |name: &str| env::var(name).ok();
    let mut arguments = arguments::of(&options.build, &variables, &mut files)?;
    let (context, parcel) = sources(options, session, &mut arguments, &mut files)?;
    let images = images(options, parcel.as_ref())?;
    let keychain = match options.pod.registry_secret {
        Some(_) => None,
        None => Some(session.keychain()?),
    };
    let keychain = keychain.as_ref().map(|chain| chain as &dyn Keychain);
    arguments.extend(registries::arguments(
        session.flags(),
        keychain,
        &images,
        &mut files,
    )?);
    arguments.push(format!("--metadata-file={LAST_WORDS}"));
    files.check_size()?;
    let order = Order {
        name: options.pod.name.clone().unwrap_or_else(new_name),
        namespace,
        pod: &options.pod,
        arguments,
        context,
        files,
    };
    Ok((order, parcel))
}

/// The context, and the flag that says where the Containerfile is.
fn sources(
    options: &Job,
    session: &Session,
    arguments: &mut Vec<String>,
    files: &mut Files,
) -> Result<(Context, Option<Parcel>), Box<Failure>> {
    if let Ok(build::Context::Remote(address)) = context::parse(&options.build.context) {
        if let Some(file) = &options.build.file {
            if file == "-" {
                let why = "-f -: the Containerfile of a remote context is in it, and not on standard input";
                return Err(Box::new(Failure::new(why)));
            }
            arguments.push(format!("--file={}", file.display()));
        }
        let hidden = address.split_once("://").is_some_and(|(_, rest)| {
            let authority = rest.split('/').next().unwrap_or_default();
            authority.contains('@')
        });
        let context = match hidden {
            true => Context::Hidden(files.add_variable("context", address)),
            false => Context::Address(address),
        };
        return Ok((context, None));
    }
    let parcel = request::build(&options.build)?.parcel(&session.store()?)?;
    let file = files.add("Containerfile", parcel.containerfile());
    // What the ignore file hides is not sent. Where it lies it might hide more: this one, which hides nothing, counts more.
    files.add("Containerfile.dockerignore", "");
    arguments.push(format!("--file={file}"));
    Ok((Context::Streamed, Some(parcel)))
}

/// What is pulled and pushed, as far as it is known here.
fn images(options: &Job, parcel: Option<&Parcel>) -> Result<BTreeSet<String>> {
    let mut images = registries::named(&options.build)?;
    let bases = parcel.map(Parcel::images).unwrap_or_default();
    images.extend(bases.iter().map(|image| image.without_selector().to_string()));
    Ok(images)
}

/// A name that no other Job has.
fn new_name() -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    // Keyed by the system's random numbers.
    let mut number = RandomState::new().build_hasher().finish();
    let mut name = "rbuild-".to_owned();
    for _ in 0..10 {
        name.push(char::from(DIGITS[(number % 32) as usize]));
        number /= 32;
    }
    name
}
