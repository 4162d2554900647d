//! Connections and requests: who is let in, and which path is what.

use std::{convert::Infallible, pin::Pin, sync::Arc, task::Context, time::Duration};

use hyper::{
    Method, Request, StatusCode,
    body::Incoming,
    header::{ALLOW, AUTHORIZATION, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rbuild::exec::Cancel;
use subtle::ConstantTimeEq as _;
use tokio::{
    io::AsyncReadExt as _,
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};

use super::{
    Server,
    answer::{self, Answer, BUILD_ID, Refusal},
    job, upload,
};

/// Connections at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 1024;
/// How long a client may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(30);
/// Bytes that a connection holds.
const BUFFER: usize = 64 << 10;
/// After an answer that did not wait for the whole request, so much of the rest is read and thrown away, for so long:
/// to close at once would take the answer from a client that is still sending.
const LINGER: (u64, Duration) = (64 << 20, Duration::from_secs(5));
/// How long clients may take to read their answers once all builds have ended.
const FAREWELL: Duration = Duration::from_secs(10);

/// Accepts connections until told to close, and then waits for those there are.
pub async fn accept(listener: TcpListener, server: Arc<Server>, mut closing: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            _ = closing.wait_for(|closing| *closing) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let served = serve(stream, server.clone(), closing.clone());
                connections.spawn(async move {
                    served.await;
                    drop(place);
                });
            }
            // Too many open files, say, which passes.
            Err(error) => {
                server.say(&format!("cannot accept a connection: {error}"));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let _ = timeout(FAREWELL, async {
        while connections.join_next().await.is_some() {}
    })
    .await;
}

async fn serve(stream: TcpStream, server: Arc<Server>, mut closing: watch::Receiver<bool>) {
    let service = service_fn(move |request| {
        let server = server.clone();
        Box::pin(async move { Ok::<_, Infallible>(route(&server, request).await) })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let work = |context: &mut Context<'_>| connection.poll_without_shutdown(context);
    let ended = tokio::select! {
        _ = std::future::poll_fn(work) => true,
        _ = closing.wait_for(|closing| *closing) => false,
    };
    if !ended {
        Pin::new(&mut connection).graceful_shutdown();
        let _ = std::future::poll_fn(|context| connection.poll_without_shutdown(context)).await;
    }
    linger(connection.into_parts().io.into_inner()).await;
}

async fn linger(mut stream: TcpStream) {
    let (most, time) = LINGER;
    if stream.shutdown().await.is_ok() {
        let mut rest = stream.take(most);
        let _ = timeout(time, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    }
}

/// Which path is what.
async fn route(server: &Arc<Server>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let wanted = match path.as_str() {
        "/_openrun/delegate_build" => Method::POST,
        _ => Method::GET,
    };
    let log_of = path
        .strip_prefix("/builds/")
        .and_then(|rest| rest.strip_suffix("/log"));
    let known = [
        "/_openrun/delegate_build",
        "/_openrun/health",
        "/healthz",
        "/metrics",
    ];
    if log_of.is_none() && !known.contains(&path.as_str()) {
        return Refusal::new(StatusCode::NOT_FOUND, "there is nothing of that name").into();
    }
    if request.method() != wanted {
        let mut answer = Answer::from(Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("only {wanted} allowed"),
        ));
        let allowed = HeaderValue::from_str(wanted.as_str());
        answer
            .headers_mut()
            .extend(allowed.ok().map(|allowed| (ALLOW, allowed)));
        return answer;
    }
    match (path.as_str(), log_of) {
        ("/metrics", _) => {
            let (running, waiting) = server.queue.counts();
            let text = server.metrics.text(running, waiting);
            answer::typed(StatusCode::OK, "text/plain; version=0.0.4", text)
        }
        (_, Some(id)) => log(server, &request, id).unwrap_or_else(Answer::from),
        ("/_openrun/delegate_build", _) => {
            let result = build(server, request).await;
            result.unwrap_or_else(|refusal| {
                server.metrics.refused();
                server.say(&format!("refused: {} {}", refusal.status.as_u16(), refusal.why));
                refusal.into()
            })
        }
        _ if server.is_draining() => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "draining").into(),
        _ => answer::text(StatusCode::OK, "ok\n"),
    }
}

/// Lets nobody in who has not the token.
fn admit(server: &Server, request: &Request<Incoming>) -> Result<(), Refusal> {
    let shown = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let shown = shown.and_then(|shown| shown.split_at_checked("Bearer ".len()));
    let is_right = shown.is_some_and(|(scheme, token)| {
        scheme.eq_ignore_ascii_case(b"Bearer ")
            && bool::from(token.trim_ascii().ct_eq(server.token.as_bytes()))
    });
    match is_right {
        true => Ok(()),
        false => Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "authorization header with the right bearer token is required",
        )),
    }
}

fn log(server: &Server, request: &Request<Incoming>, id: &str) -> Result<Answer, Refusal> {
    admit(server, request)?;
    let log = server.logs.find(id);
    let none = || {
        Refusal::new(
            StatusCode::NOT_FOUND,
            "there is no such build, or it is long gone",
        )
    };
    log.map(answer::log).ok_or_else(none)
}

/// Takes in a build, and answers when it has ended. A caller who goes away ends it.
async fn build(server: &Arc<Server>, request: Request<Incoming>) -> Result<Answer, Refusal> {
    admit(server, &request)?;
    let busy = |why: &str| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why);
    if server.is_draining() {
        return Err(busy(
            "this build machine takes no more builds: it is about to end",
        ));
    }
    let id = id(server, &request)?;
    let seat = server.queue.seat();
    let seat = seat.ok_or_else(|| busy("too many builds are waiting already"))?;
    let upload = upload::receive(server, request).await?;
    let taken = || Refusal::new(StatusCode::CONFLICT, format!("a build {id} is at work already"));
    let log = server.logs.open(&id).ok_or_else(taken)?;
    let cancel = Cancel::new().map_err(|error| busy(&format!("cannot make a pipe: {error}")))?;
    let gone = Gone(cancel.clone());
    let work = tokio::spawn(job::run(
        server.clone(),
        id.clone(),
        upload,
        log.clone(),
        cancel,
        seat,
    ));
    let done = work.await;
    drop(gone);
    let mut answer = match done {
        Ok(done) if done.status == StatusCode::OK => {
            answer::typed(done.status, "application/json", done.text)
        }
        Ok(done) => answer::text(done.status, done.text),
        Err(error) => {
            log.end();
            answer::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("the build died: {error}\n"),
            )
        }
    };
    let id = HeaderValue::from_str(&id);
    answer.headers_mut().extend(id.ok().map(|id| (BUILD_ID, id)));
    Ok(answer)
}

/// Cancels a build when its caller has gone, or has the answer.
struct Gone(Cancel);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// The name of a build: the caller's choice, or ours.
fn id(server: &Server, request: &Request<Incoming>) -> Result<String, Refusal> {
    let Some(chosen) = request.headers().get(BUILD_ID) else {
        return Ok(server.next_id());
    };
    let fit = |text: &&str| {
        let letter = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        (1..=64).contains(&text.len()) && text.chars().all(letter)
    };
    let chosen = chosen.to_str().ok().filter(fit).map(str::to_owned);
    let wrong = "X-Build-Id: expected up to 64 letters, digits, dots, dashes and underscores";
    chosen.ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, wrong))
}
