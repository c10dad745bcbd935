//! A cloud of regions on loopback, for the tests of this crate.
#![allow(dead_code)] // each test file uses its part

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use peer::{
    Authority, BoxBody, Caller, Client, Credentials, Handler, Identity, Limits, Peer, PeerError,
    Room, Tls,
};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc, oneshot},
    task::JoinHandle,
};
use types::{Clock, RegionId, SystemClock};

pub const WAIT: Duration = Duration::from_secs(20);
pub const HOUR: Duration = Duration::from_secs(3600);

pub fn region(id: &str) -> RegionId {
    RegionId::new(id)
}

pub struct Cloud {
    pub authority: Authority,
    pub clock: Arc<dyn Clock>,
}

impl Cloud {
    pub fn new() -> Self {
        Self::on(Arc::new(SystemClock))
    }
    pub fn on(clock: Arc<dyn Clock>) -> Self {
        let authority = Authority::create("test", clock.now()).unwrap();
        Self { authority, clock }
    }
    /// Credentials and their serial.
    pub fn credentials_for(&self, id: &str, valid: Duration) -> (Credentials, String) {
        let identity = Identity::create().unwrap();
        let csr = identity.csr(&region(id)).unwrap();
        let now = self.clock.now();
        let issued = self.authority.issue(&csr, &region(id), now, valid).unwrap();
        let credentials = Credentials {
            identity,
            certificate: issued.pem,
            authority: self.authority.certificate_pem(),
            region: region(id),
        };
        (credentials, issued.serial)
    }
    pub fn credentials(&self, id: &str) -> Credentials {
        self.credentials_for(id, HOUR).0
    }
    pub fn tls(&self, id: &str) -> Arc<Tls> {
        Tls::with_clock(self.credentials(id), Arc::clone(&self.clock)).unwrap()
    }
    pub fn client(&self, id: &str) -> Client {
        Client::new(self.tls(id))
    }
}

/// `/echo` gives back the body, `/who` the caller, `/silent` never answers, `/stall` sends one
/// byte and no more, `/zeros/<n>` that many zeros, `/count` the length of the body.
#[derive(Default)]
pub struct Echo {
    pub asked: AtomicUsize,
    pub hold: Notify,
    pub strangers: bool,
}

#[async_trait]
impl Handler for Echo {
    async fn handle(
        &self,
        from: Caller,
        _room: Room,
        request: Request<Incoming>,
    ) -> Response<BoxBody> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let path = request.uri().path().to_owned();
        if from == Caller::Stranger && !(self.strangers && path == "/join") {
            let mut refused = Response::new(peer::empty());
            *refused.status_mut() = StatusCode::FORBIDDEN;
            return refused;
        }
        match path.as_str() {
            "/who" | "/join" => Response::new(peer::full(format!("{from:?}"))),
            "/echo" => Response::new(request.into_body().map_err(Into::into).boxed_unsync()),
            "/count" => {
                let (mut body, mut bytes) = (request.into_body(), 0);
                while let Ok(Some(data)) = peer::next_data(&mut body, WAIT).await {
                    bytes += data.len();
                }
                Response::new(peer::full(bytes.to_string()))
            }
            "/hold" => {
                self.hold.notified().await;
                Response::new(peer::empty())
            }
            "/stall" => {
                let (send, receive) = mpsc::channel(1);
                send.send(Bytes::from_static(b"x")).await.unwrap();
                std::mem::forget(send); // the body never ends
                Response::new(channel_body(receive))
            }
            "/silent" => std::future::pending().await,
            _ => match path.strip_prefix("/zeros/") {
                Some(n) => Response::new(zeros(n.parse().unwrap())),
                None => Response::new(peer::empty()),
            },
        }
    }
}

pub fn channel_body(mut receive: mpsc::Receiver<Bytes>) -> BoxBody {
    let stream = futures_util::stream::poll_fn(move |cx| receive.poll_recv(cx));
    let frames = futures_util::StreamExt::map(stream, |bytes| Ok(Frame::data(bytes)));
    StreamBody::new(frames).boxed_unsync()
}

/// `bytes` zeros in pieces of 64 KiB, made as they are asked for.
pub fn zeros(bytes: u64) -> BoxBody {
    static ZEROS: [u8; 65536] = [0; 65536];
    let stream = futures_util::stream::unfold(bytes, |left| async move {
        let n = left.min(ZEROS.len() as u64);
        let piece = Bytes::from_static(&ZEROS[..n as usize]);
        (n > 0).then_some((Ok(Frame::data(piece)), left - n))
    });
    StreamBody::new(stream).boxed_unsync()
}

pub struct Running {
    pub peer: Peer,
    pub echo: Arc<Echo>,
    pub tls: Arc<Tls>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    pub async fn start(tls: Arc<Tls>) -> Self {
        Self::with(tls, Echo::default(), Limits::default()).await
    }
    pub async fn with(tls: Arc<Tls>, echo: Echo, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let echo = Arc::new(echo);
        let (stop, stopped) = oneshot::channel();
        let handler: Arc<dyn Handler> = echo.clone();
        let serving = peer::serve_within(limits, listener, Arc::clone(&tls), handler, async {
            let _ = stopped.await;
        });
        Self {
            peer: Peer {
                region: tls.region(),
                address,
            },
            echo,
            tls,
            stop: Some(stop),
            task: tokio::spawn(serving),
        }
    }
    /// Asks the server to stop, and waits until it has.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        (&mut self.task).await.unwrap();
    }
    pub fn begin_stop(&mut self) {
        drop(self.stop.take());
    }
    pub async fn ended(mut self) {
        (&mut self.task).await.unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn get(path: &str) -> Request<BoxBody> {
    Request::get(path).body(peer::empty()).unwrap()
}

pub fn post(path: &str, body: BoxBody) -> Request<BoxBody> {
    Request::post(path).body(body).unwrap()
}

/// Status and body of a response to `request`.
pub async fn ask(
    client: &Client,
    to: &Peer,
    request: Request<BoxBody>,
) -> Result<(StatusCode, Bytes), PeerError> {
    let response = client.request_within(WAIT, to, request).await?;
    let status = response.status();
    let body = peer::collect(response.into_body(), 64 << 20, WAIT).await?;
    Ok((status, body))
}
