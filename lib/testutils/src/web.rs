//! A web server in this process, on a port of the loopback interface, for tests of what downloads.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// A request without a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// `GET`.
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// Names are in lower case.
    headers: Vec<(String, String)>,
}

impl Asked {
    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// So many bytes of the body are sent, and then the connection is closed.
    cut: Option<usize>,
}

impl Reply {
    /// This body, 200.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200, body)
    }

    /// Another status.
    pub fn status(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            cut: None,
        }
    }

    /// With one more header.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Breaks off after so many bytes of the body, all of which are announced.
    pub fn cut(mut self, after: usize) -> Self {
        self.cut = Some(after);
        self
    }
}

/// A running server; it ends when this is dropped.
pub struct WebServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    stopped: Arc<AtomicBool>,
}

impl WebServer {
    /// A server that answers like this.
    pub fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on 127.0.0.1");
        let server = Self {
            address: listener.local_addr().expect("the address of a bound socket"),
            asked: Arc::default(),
            stopped: Arc::default(),
        };
        let (asked, stopped) = (server.asked.clone(), server.stopped.clone());
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for connection in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (asked, answer) = (asked.clone(), answer.clone());
                let serve = move |connection: TcpStream| {
                    // A body must not wait until its header is acknowledged.
                    connection.set_nodelay(true)?;
                    serve(&connection, &asked, &*answer)
                };
                // An error is the end of the connection, whoever ended it.
                thread::spawn(move || connection.and_then(serve));
            }
        });
        server
    }

    /// `127.0.0.1:PORT`
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The URL of a path that begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests since this was last called, in their order.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then lets go of the port.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(
    mut connection: &TcpStream,
    asked: &Mutex<Vec<Asked>>,
    answer: &dyn Fn(&Asked) -> Reply,
) -> io::Result<()> {
    let mut reader = BufReader::new(connection);
    while let Some(request) = read(&mut reader)? {
        // Noted before the client can see the answer, so that tests can count as soon as they have it.
        asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request.clone());
        let reply = answer(&request);
        let mut head = format!(
            "HTTP/1.1 {} Test\r\nContent-Length: {}\r\n",
            reply.status,
            reply.body.len()
        );
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        connection.write_all(format!("{head}\r\n").as_bytes())?;
        if request.method == "HEAD" || reply.status == 304 {
            continue;
        }
        match reply.cut {
            Some(after) => return connection.write_all(reply.body.get(..after).unwrap_or(&reply.body)),
            None => connection.write_all(&reply.body)?,
        }
    }
    Ok(())
}

fn read(reader: &mut impl BufRead) -> io::Result<Option<Asked>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let mut asked = Asked {
        method: words.next().unwrap_or_default(),
        target: words.next().unwrap_or_default(),
        headers: Vec::new(),
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => asked
                .headers
                .push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => return Ok(Some(asked)),
        }
    }
}
