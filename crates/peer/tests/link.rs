//! Links that are slow, silent or broken.
#![allow(clippy::unwrap_used)]

mod common;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use common::{Cloud, Running, WAIT, ask, get, post, zeros};
use peer::{
    Client, Peer, PeerError, Revoked, Timing,
    testing::{FaultProxy, Link},
};
use tokio::{net::TcpListener, time::Instant};

async fn through(server: &Running, link: Link) -> (FaultProxy, Peer) {
    let proxy = FaultProxy::start(&server.peer.address, link).await.unwrap();
    let to = Peer {
        region: server.peer.region.clone(),
        address: proxy.address(),
    };
    (proxy, to)
}

fn brisk() -> Timing {
    Timing {
        connect: Duration::from_secs(2),
        ping: Duration::from_millis(50),
        ping_timeout: Duration::from_millis(300),
        ..Timing::default()
    }
}

#[tokio::test]
async fn a_delay_is_seen_each_way() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let delay = Duration::from_millis(50);
    let link = Link {
        delay,
        ..Link::default()
    };
    let (_proxy, to) = through(&server, link).await;
    let client = cloud.client("b");
    ask(&client, &to, get("/who")).await.unwrap();
    let begun = Instant::now();
    ask(&client, &to, get("/who")).await.unwrap();
    assert!(begun.elapsed() >= 2 * delay, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_narrow_link_is_no_faster_than_it_says() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let link = Link {
        bandwidth: Some(2 << 20),
        ..Link::default()
    };
    let (_proxy, to) = through(&server, link).await;
    let begun = Instant::now();
    let (_, counted) = ask(&cloud.client("b"), &to, post("/count", zeros(1 << 20)))
        .await
        .unwrap();
    assert_eq!(counted, (1 << 20).to_string());
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(480), "{took:?}");
}

#[tokio::test]
async fn a_cut_breaks_what_is_under_way_and_the_next_request_reconnects() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let (proxy, to) = through(&server, Link::default()).await;
    let client = cloud.client("b");
    let response = client.request(&to, get("/stall")).await.unwrap();
    let mut body = response.into_body();
    peer::next_data(&mut body, WAIT).await.unwrap();
    proxy.cut();
    let error = peer::next_data(&mut body, WAIT).await.unwrap_err();
    assert!(matches!(error, PeerError::Unreachable { .. }), "{error:?}");
    ask(&client, &to, get("/who")).await.unwrap();
}

#[tokio::test]
async fn a_silent_link_is_noticed_by_the_ping() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let (proxy, to) = through(&server, Link::default()).await;
    let client = Client::with_timing(cloud.tls("b"), brisk());
    let response = client.request(&to, get("/stall")).await.unwrap();
    let mut body = response.into_body();
    peer::next_data(&mut body, WAIT).await.unwrap();
    proxy.stall();
    // No deadline of the reader's own is needed to learn that the link is dead.
    let error = peer::next_data(&mut body, WAIT).await.unwrap_err();
    assert!(matches!(error, PeerError::Unreachable { .. }), "{error:?}");
    // Connecting into the silence has its deadline, too.
    let error = ask(&client, &to, get("/who")).await.unwrap_err();
    assert_eq!(error, PeerError::Deadline("a connection"));
    proxy.flow();
    ask(&client, &to, get("/who")).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_is_away_is_not_stormed() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let (proxy, to) = through(&server, Link::default()).await;
    let client = Client::with_timing(cloud.tls("b"), brisk());
    proxy.down();
    // Fifty callers that ask again at once, for as long as it takes ten of them to fail.
    let until = Instant::now() + Duration::from_millis(600);
    let askers: Vec<_> = (0..50)
        .map(|_| {
            let (client, to) = (client.clone(), to.clone());
            tokio::spawn(async move {
                while Instant::now() < until {
                    let error = ask(&client, &to, get("/who")).await.unwrap_err();
                    assert!(error.is_transient(), "{error}");
                }
            })
        })
        .collect();
    for asker in askers {
        asker.await.unwrap();
    }
    // Pauses of at least 25, 50, 100, 200, 400 ms: few attempts fit, however many callers.
    let attempts = proxy.accepted();
    assert!((2..=8).contains(&attempts), "{attempts}");
    proxy.up();
    ask(&client, &to, get("/who")).await.unwrap();
}

#[tokio::test]
async fn nobody_at_the_address_is_unreachable() {
    let cloud = Cloud::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = Peer {
        region: common::region("a"),
        address: listener.local_addr().unwrap().to_string(),
    };
    drop(listener);
    let error = ask(&cloud.client("b"), &to, get("/who")).await.unwrap_err();
    assert!(matches!(error, PeerError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn whoever_connects_and_says_nothing_is_sent_away() {
    let cloud = Cloud::new();
    let limits = peer::Limits {
        handshake: Duration::from_millis(100),
        handshakes: 1,
        ..peer::Limits::default()
    };
    let server = Running::with(cloud.tls("a"), common::Echo::default(), limits).await;
    let mut silent = tokio::net::TcpStream::connect(&server.peer.address)
        .await
        .unwrap();
    // The only place for a handshake is taken; it comes free.
    ask(&cloud.client("b"), &server.peer, get("/who"))
        .await
        .unwrap();
    let mut byte = [0];
    let read = tokio::io::AsyncReadExt::read(&mut silent, &mut byte);
    let closed = tokio::time::timeout(WAIT, read).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
}

#[tokio::test]
async fn p13_connections_that_say_nothing_do_not_close_the_listener() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let connect = || tokio::net::TcpStream::connect(&server.peer.address);
    let mut silent = Vec::new();
    for n in 0..600 {
        let mut socket = connect().await.unwrap();
        if n % 2 == 0 {
            // The beginning of a handshake.
            let begin = b"\x16\x03\x01\x02\x00\x01";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut socket, begin).await;
        }
        silent.push(socket);
    }
    // All are open as far as their owner knows: none of them has had its ten seconds.
    for id in ["b", "c", "d"] {
        let client = cloud.client(id);
        let asked = ask(&client, &server.peer, get("/who"));
        let soon = tokio::time::timeout(Duration::from_secs(8), asked).await;
        soon.unwrap().unwrap();
    }
    drop(silent);
}

#[tokio::test]
async fn a_long_fat_link_is_filled() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let link = Link {
        delay: Duration::from_millis(150),
        bandwidth: None,
        buffer: 64 << 20,
    };
    let (_proxy, to) = through(&server, link).await;
    let client = Arc::new(cloud.client("b"));
    ask(&client, &to, get("/who")).await.unwrap();
    let begun = Instant::now();
    let response = client.request(&to, get("/zeros/33554432")).await.unwrap();
    let mut body = response.into_body();
    let mut bytes = 0;
    while let Some(data) = peer::next_data(&mut body, WAIT).await.unwrap() {
        bytes += data.len();
    }
    assert_eq!(bytes, 32 << 20);
    let took = begun.elapsed();
    println!("32 MiB at 300 ms: {took:?}");
    // With a window of 2 MiB, hyper's own, it would take sixteen round trips, 4.8 s.
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test]
async fn a_refusal_is_heard_over_a_slow_link() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let delay = Duration::from_millis(20);
    let link = Link {
        delay,
        ..Link::default()
    };
    let (_proxy, to) = through(&server, link).await;
    server.tls.revoke(Revoked {
        regions: BTreeSet::from([common::region("b")]),
        ..Revoked::default()
    });
    // The upload is on its way when the server says no: closing at once would reset it all.
    let upload = post("/count", zeros(8 << 20));
    let error = ask(&cloud.client("b"), &to, upload).await.unwrap_err();
    assert!(matches!(error, PeerError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn a_new_certificate_is_shown_on_a_new_connection() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let (proxy, to) = through(&server, Link::default()).await;
    let tls = cloud.tls("b");
    let client = Client::new(Arc::clone(&tls));
    ask(&client, &to, get("/who")).await.unwrap();
    ask(&client, &to, get("/who")).await.unwrap();
    assert_eq!(proxy.accepted(), 1);
    tls.replace(cloud.credentials("b")).unwrap();
    ask(&client, &to, get("/who")).await.unwrap();
    assert_eq!(proxy.accepted(), 2);
    // A response that is being read goes on over the old connection.
    let response = client.request(&to, get("/zeros/8000000")).await.unwrap();
    tls.replace(cloud.credentials("b")).unwrap();
    ask(&client, &to, get("/who")).await.unwrap();
    assert_eq!(proxy.accepted(), 3);
    let whole = peer::collect(response.into_body(), 8_000_000, WAIT).await;
    assert_eq!(whole.unwrap().len(), 8_000_000);
}

#[tokio::test]
async fn callers_in_a_hurry_get_a_connection_in_the_end() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let link = Link {
        delay: Duration::from_millis(100),
        ..Link::default()
    };
    let (_proxy, to) = through(&server, link).await;
    let client = cloud.client("b");
    // One round trip for TLS and one for the answer are too much; one alone is not.
    let hurry = Duration::from_millis(350);
    let begun = Instant::now();
    let mut failures = 0;
    while let Err(error) = client.request_within(hurry, &to, get("/who")).await {
        assert_eq!(error, PeerError::Deadline("a response"));
        failures += 1;
        assert!(begun.elapsed() < WAIT, "{failures} failures");
    }
    assert!(failures > 0, "the link is too fast for this test");
}

#[tokio::test]
async fn an_upload_over_a_narrow_link_does_not_lose_its_pings() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let link = Link {
        bandwidth: Some(4 << 20),
        buffer: 64 << 20,
        ..Link::default()
    };
    let (_proxy, to) = through(&server, link).await;
    let timing = Timing {
        ping: Duration::from_millis(200),
        // The kernel's own queue, of up to 4 MiB, and the link's second pass before a ping does.
        ping_timeout: Duration::from_millis(3500),
        ..Timing::default()
    };
    let client = Client::with_timing(cloud.tls("b"), timing);
    // Five seconds of sending, in which the peer has nothing to say.
    let (_, counted) = ask(&client, &to, post("/count", zeros(20 << 20)))
        .await
        .unwrap();
    assert_eq!(counted, (20 << 20).to_string());
}
