//! An app manager that embeds the builder. Each directory of APPS is an app; those whose image is not in the registry yet
//! are built, all at once, and pushed. A page shows how far they are, and has a button to cancel each.
//!
//! `cargo run -p rbuild --example manager -- 127.0.0.1:8000 127.0.0.1:5000/apps v1 APPS`, and look at
//! <http://127.0.0.1:8000>.

use std::{
    collections::HashMap,
    convert::Infallible,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode, body::Frame, header::CONTENT_TYPE, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rbuild::{Build, Locator, Reference, build::Problem, exec::Cancel, registry::Registry, store::Store};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, prefix, tag, apps] = &arguments[..] else {
        bail!("expected LISTEN REGISTRY/PREFIX TAG APPS");
    };
    let manager = Manager::new(Store::open_default()?, Registry::from_environment(), prefix, tag);
    let listener = TcpListener::bind(listen).await?;
    println!("http://{}", listener.local_addr()?);
    manager.deploy_all(Path::new(apps))?;
    manager.serve(listener).await
}

/// What there is one of, however many apps there are.
pub struct Manager {
    store: Store,
    registry: Registry,
    prefix: String,
    tag: String,
    /// What stops the builds that are at work.
    at_work: Mutex<HashMap<String, Cancel>>,
    /// All that was said so far, as JSON.
    said: watch::Sender<Vec<String>>,
}

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

impl Manager {
    /// Images are called `PREFIX/APP:TAG`.
    pub fn new(store: Store, registry: Registry, prefix: &str, tag: &str) -> Arc<Self> {
        Arc::new(Self {
            store,
            registry,
            prefix: prefix.to_owned(),
            tag: tag.to_owned(),
            at_work: Mutex::default(),
            said: watch::Sender::default(),
        })
    }

    /// Begins with the apps in a directory.
    pub fn deploy_all(self: &Arc<Self>, apps: &Path) -> Result<()> {
        for entry in std::fs::read_dir(apps)? {
            let source = entry?.path();
            let name = source
                .file_name()
                .context("an app has no name")?
                .to_string_lossy()
                .into_owned();
            let manager = self.clone();
            tokio::spawn(async move {
                let outcome = manager.deploy(&name, source).await;
                manager.end(&name);
                manager.say(
                    &name,
                    "ended",
                    &outcome.unwrap_or_else(|error| format!("failed: {error:#}")),
                );
            });
        }
        Ok(())
    }

    /// Sees to it that the image of an app is in the registry, and says how it got there.
    async fn deploy(self: &Arc<Self>, name: &str, source: PathBuf) -> Result<String> {
        let image: Reference = format!("{}/{name}:{}", self.prefix, self.tag).parse()?;
        if let Some(digest) = self.registry.digest(&image).await? {
            return Ok(format!("is there: {digest}"));
        }
        let cancel = self.begin(name)?;
        let (manager, app) = (self.clone(), name.to_owned());
        let build = Build::context(source)
            .cancelled_by(cancel)
            .on_event(move |event| manager.say(&app, "event", &event));
        let built = match build.run(&self.store, &self.registry).await {
            Err(error) if matches!(error.problem(), Problem::Cancelled) => return Ok("cancelled".to_owned()),
            built => built?,
        };
        built.write_to(&Locator::Registry(image), &self.registry).await?;
        Ok(format!("built: {}", built.digest()))
    }

    fn begin(&self, name: &str) -> Result<Cancel> {
        let cancel = Cancel::new()?;
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        at_work.insert(name.to_owned(), cancel.clone());
        Ok(cancel)
    }

    fn end(&self, name: &str) -> Option<Cancel> {
        self.at_work
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name)
    }

    fn say(&self, app: &str, kind: &str, what: &impl serde::Serialize) {
        let what = serde_json::to_value(what).unwrap_or(Value::Null);
        let line = json!({ "app": app, kind: what }).to_string();
        self.said.send_modify(|said| said.push(line));
    }

    /// Serves the page.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> Result<()> {
        loop {
            let (stream, _) = listener.accept().await?;
            let manager = self.clone();
            tokio::spawn(async move {
                let answer = |request| std::future::ready(Ok::<_, Infallible>(manager.answer(&request)));
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
                // A browser that goes away is no error.
                let _ = connection.await;
            });
        }
    }

    fn answer<B>(&self, request: &Request<B>) -> Answer {
        let cancelled = request.uri().path().strip_prefix("/cancel/");
        match (request.method(), request.uri().path(), cancelled) {
            (&Method::GET, "/", _) => typed("text/html; charset=utf-8", Full::from(PAGE).boxed_unsync()),
            (&Method::GET, "/events", _) => self.events(),
            (&Method::POST, _, Some(name)) => {
                let found = self.end(name).inspect(Cancel::cancel);
                status(if found.is_some() {
                    StatusCode::OK
                } else {
                    StatusCode::NOT_FOUND
                })
            }
            _ => status(StatusCode::NOT_FOUND),
        }
    }

    /// All that was said and will be, as server-sent events.
    fn events(&self) -> Answer {
        let pieces = stream::unfold((self.said.subscribe(), 0), |(mut said, from)| async move {
            let (text, to) = {
                let lines = said.wait_for(|lines| lines.len() > from).await.ok()?;
                let new = lines.iter().skip(from).map(|line| format!("data: {line}\n\n"));
                (new.collect::<String>(), lines.len())
            };
            Some((Ok(Frame::data(text.into())), (said, to)))
        });
        typed("text/event-stream", StreamBody::new(pieces).boxed_unsync())
    }
}

fn typed(kind: &'static str, body: UnsyncBoxBody<Bytes, Infallible>) -> Answer {
    let mut answer = Response::new(body);
    let kind = hyper::header::HeaderValue::from_static(kind);
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

fn status(status: StatusCode) -> Answer {
    let mut answer = typed("text/plain", Full::default().boxed_unsync());
    *answer.status_mut() = status;
    answer
}

/// A heading, a button and a list of lines for each app.
const PAGE: &str = r#"<!doctype html><title>Apps</title><body><script>
const lists = {};
function list(app) {
  if (lists[app]) return lists[app];
  const add = (kind, text) => { const e = document.createElement(kind); e.textContent = text; return document.body.appendChild(e); };
  add("h2", app);
  add("button", "Cancel").onclick = () => fetch("/cancel/" + encodeURIComponent(app), { method: "POST" });
  return lists[app] = add("pre", "");
}
new EventSource("/events").onmessage = message => {
  const { app, event, ended } = JSON.parse(message.data);
  list(app).textContent += (ended || JSON.stringify(event)) + "\n";
};
</script>"#;
