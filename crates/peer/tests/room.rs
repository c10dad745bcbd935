//! What a region asks for and does not read fills its own room, and nobody else's.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use common::{Cloud, WAIT, ask, get, region};
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use peer::{
    BoxBody, Caller, Handler, Kind, Limits, NoRoom, Peer, Room, RoomLimits, full, serve_within,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

const PAGE: usize = 1 << 20;
/// What a page takes while it is made.
const MAKING: usize = 2 * PAGE;

/// Bytes of pages that exist.
#[derive(Default)]
struct Alive {
    now: AtomicUsize,
    most: AtomicUsize,
}

struct Page(Vec<u8>, Arc<Alive>);

impl Page {
    fn new(alive: &Arc<Alive>) -> Self {
        let now = alive.now.fetch_add(PAGE, Ordering::SeqCst) + PAGE;
        alive.most.fetch_max(now, Ordering::SeqCst);
        Self(vec![7; PAGE], Arc::clone(alive))
    }
}

impl AsRef<[u8]> for Page {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.1.now.fetch_sub(PAGE, Ordering::SeqCst);
    }
}

/// `/page` is a page for which room is taken before it is made, `/small` a few bytes.
struct Pages(Arc<Alive>);

#[async_trait]
impl Handler for Pages {
    async fn handle(&self, _: Caller, room: Room, request: Request<Incoming>) -> Response<BoxBody> {
        if request.uri().path() != "/page" {
            return Response::new(full("small"));
        }
        match room.take(Kind::Answer, MAKING).await {
            Ok(held) => held.full(Bytes::from_owner(Page::new(&self.0))),
            Err(no_room) => NoRoom::answer(no_room),
        }
    }
}

struct Home {
    peer: Peer,
    alive: Arc<Alive>,
    room: RoomLimits,
    task: tokio::task::JoinHandle<()>,
}

impl Home {
    async fn start(cloud: &Cloud, wait: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let room = RoomLimits {
            answers: 16 * PAGE,
            wait,
            ..RoomLimits::default()
        };
        let limits = Limits {
            room: room.clone(),
            ..Limits::default()
        };
        let alive = Arc::new(Alive::default());
        let handler = Arc::new(Pages(Arc::clone(&alive)));
        let never = std::future::pending();
        let serving = serve_within(limits, listener, cloud.tls("a"), handler, never);
        Self {
            peer: Peer {
                region: region("a"),
                address,
            },
            alive,
            room,
            task: tokio::spawn(serving),
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection of region b that has as good as no room for what is sent to it.
async fn narrow(cloud: &Cloud, to: &Peer) -> SendRequest<Empty<Bytes>> {
    let credentials = cloud.credentials("b");
    let pem = |text: &str| CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(pem(&credentials.authority)).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = credentials.identity.to_pem();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![pem(&credentials.certificate)], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("a.region.dhow.internal").unwrap();
    let socket = TcpStream::connect(&to.address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, socket).await.unwrap();
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(65_535)
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

/// Asks for `count` pages and reads none of them.
async fn leave_unread(to: &SendRequest<Empty<Bytes>>, count: usize) -> Vec<Response<Incoming>> {
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..count {
        let mut to = to.clone();
        let request = Request::get("https://a/page").body(Empty::new()).unwrap();
        asked.spawn(async move { to.send_request(request).await });
    }
    let mut answers = Vec::new();
    while let Some(answer) = asked.join_next().await {
        answers.push(answer.unwrap().unwrap());
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p11_unread_answers_of_a_region_stay_within_its_room() {
    let cloud = Cloud::new();
    let home = Home::start(&cloud, Duration::from_millis(200)).await;
    let evil = [
        narrow(&cloud, &home.peer).await,
        narrow(&cloud, &home.peer).await,
        narrow(&cloud, &home.peer).await,
    ];
    let mut answers = Vec::new();
    for connection in &evil {
        answers.extend(leave_unread(connection, 160).await);
    }
    let refused = |a: &&Response<Incoming>| a.status() == StatusCode::SERVICE_UNAVAILABLE;
    let refused = answers.iter().filter(refused).count();
    assert_eq!((answers.len(), refused > 400), (480, true), "{refused}");
    let most = home.alive.most.load(Ordering::SeqCst);
    assert!(most <= home.room.answers, "{most} bytes of pages at once");
    // Neither another region nor a short answer waits for that.
    let other = cloud.client("c");
    let (status, page) = ask(&other, &home.peer, get("/page")).await.unwrap();
    assert_eq!((status, page.len()), (StatusCode::OK, PAGE));
    let same = cloud.client("b");
    let (status, _) = ask(&same, &home.peer, get("/small")).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    // Who goes away leaves its room.
    drop((answers, evil));
    let free = async {
        while home.alive.now.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WAIT, free).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p11_who_reads_gets_every_page_however_many_it_asks_for() {
    let cloud = Cloud::new();
    let home = Home::start(&cloud, WAIT).await;
    let client = cloud.client("b");
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (client, to) = (client.clone(), home.peer.clone());
        asked.spawn(async move { ask(&client, &to, get("/page")).await });
    }
    while let Some(answer) = asked.join_next().await {
        let (status, page) = answer.unwrap().unwrap();
        assert_eq!((status, page.len()), (StatusCode::OK, PAGE));
    }
    let most = home.alive.most.load(Ordering::SeqCst);
    assert!(most <= home.room.answers, "{most} bytes of pages at once");
}
