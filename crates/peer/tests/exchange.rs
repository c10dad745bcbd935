//! Requests and bodies between regions that trust each other.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use common::{Cloud, Echo, Running, WAIT, ask, channel_body, get, post, region};
use http::StatusCode;
use peer::{Client, Limits, PeerError};
use tokio::{sync::mpsc, time::Instant};

#[tokio::test]
async fn the_server_knows_who_asks() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("me-east-1")).await;
    let client = cloud.client("eu-west-1");
    let (status, body) = ask(&client, &server.peer, get("/who")).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body, "Region(\"eu-west-1\")");
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let client = cloud.client("b");
    let (send, receive) = mpsc::channel(1);
    let request = post("/echo", channel_body(receive));
    send.send(Bytes::from_static(b"one")).await.unwrap();
    let response = client.request(&server.peer, request).await.unwrap();
    let mut body = response.into_body();
    // Each piece comes back before the next is sent: neither side waits for an end.
    for piece in ["one", "two", "three"] {
        if piece != "one" {
            send.send(Bytes::from(piece)).await.unwrap();
        }
        let back = peer::next_data(&mut body, WAIT).await.unwrap();
        assert_eq!(back.as_deref(), Some(piece.as_bytes()));
    }
    drop(send);
    assert_eq!(peer::next_data(&mut body, WAIT).await.unwrap(), None);
}

#[tokio::test]
async fn a_peer_that_does_not_answer_hits_the_deadline() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let client = cloud.client("b");
    let begun = Instant::now();
    let short = Duration::from_millis(200);
    let error = client
        .request_within(short, &server.peer, get("/silent"))
        .await
        .unwrap_err();
    assert_eq!(error, PeerError::Deadline("a response"));
    assert!(error.is_transient());
    assert!(begun.elapsed() < Duration::from_secs(5));

    let response = client.request(&server.peer, get("/stall")).await.unwrap();
    let mut body = response.into_body();
    let first = peer::next_data(&mut body, WAIT).await.unwrap();
    assert_eq!(first.as_deref(), Some(&b"x"[..]));
    let error = peer::next_data(&mut body, short).await.unwrap_err();
    assert_eq!(error, PeerError::Deadline("a piece of a body"));
    // The connection is none the worse for it.
    ask(&client, &server.peer, get("/who")).await.unwrap();
}

#[tokio::test]
async fn a_body_over_its_limit_is_not_collected() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let client = cloud.client("b");
    let response = client
        .request(&server.peer, get("/zeros/100000"))
        .await
        .unwrap();
    let error = peer::collect(response.into_body(), 99_999, WAIT).await;
    assert!(
        matches!(error, Err(PeerError::Protocol { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn requests_at_once_share_a_few_connections() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let client = cloud.client("b");
    let held: Vec<_> = (0..100)
        .map(|_| {
            let (client, to) = (client.clone(), server.peer.clone());
            tokio::spawn(async move { ask(&client, &to, get("/hold")).await })
        })
        .collect();
    while server.echo.asked.load(Ordering::SeqCst) < 100 {
        tokio::task::yield_now().await;
    }
    assert!((1..=4).contains(&client.connections(&region("a"))));
    // `notify_waiters` reaches only who waits already.
    while held.iter().any(|h| !h.is_finished()) {
        server.echo.hold.notify_waiters();
        tokio::task::yield_now().await;
    }
    for answer in held {
        answer.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn rotation_under_load_fails_no_request() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let tls = cloud.tls("b");
    let client = Client::new(Arc::clone(&tls));
    let asking: Vec<_> = (0..200)
        .map(|n| {
            let (client, to) = (client.clone(), server.peer.clone());
            tokio::spawn(async move {
                for round in 0..5 {
                    let body = format!("{n}/{round}");
                    let echo = post("/echo", peer::full(body.clone()));
                    let (_, back) = ask(&client, &to, echo).await.unwrap();
                    assert_eq!(back, body);
                }
            })
        })
        .collect();
    // Both sides rotate while requests are under way, again and again until they are done.
    let mut rotations = 0;
    while asking.iter().any(|a| !a.is_finished()) || rotations == 0 {
        let seen = server.echo.asked.load(Ordering::SeqCst);
        tls.replace(cloud.credentials("b")).unwrap();
        server.tls.replace(cloud.credentials("a")).unwrap();
        rotations += 1;
        while asking.iter().any(|a| !a.is_finished())
            && server.echo.asked.load(Ordering::SeqCst) < seen + 100
        {
            tokio::task::yield_now().await;
        }
    }
    for asker in asking {
        asker.await.unwrap();
    }
    assert!(rotations > 1, "no rotation met a request");
    assert_eq!(server.echo.asked.load(Ordering::SeqCst), 1000);
}

#[tokio::test]
async fn a_stopping_server_finishes_what_is_under_way() {
    let cloud = Cloud::new();
    let mut server = Running::start(cloud.tls("a")).await;
    let client = cloud.client("b");
    let held = {
        let (client, to) = (client.clone(), server.peer.clone());
        tokio::spawn(async move { ask(&client, &to, get("/hold")).await })
    };
    while server.echo.asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    server.begin_stop();
    server.echo.hold.notify_one();
    let (status, _) = held.await.unwrap().unwrap();
    assert_eq!(status, StatusCode::OK);
    let to = server.peer.clone();
    server.ended().await;
    let error = ask(&client, &to, get("/who")).await.unwrap_err();
    assert!(matches!(error, PeerError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_server_does_not_wait_for_ever_to_stop() {
    let cloud = Cloud::new();
    let limits = Limits {
        drain: Duration::from_millis(100),
        ..Limits::default()
    };
    let server = Running::with(cloud.tls("a"), Echo::default(), limits).await;
    let client = cloud.client("b");
    let (to, echo) = (server.peer.clone(), Arc::clone(&server.echo));
    let held = tokio::spawn(async move { ask(&client, &to, get("/silent")).await });
    while echo.asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::timeout(WAIT, server.stop()).await.unwrap();
    let error = held.await.unwrap().unwrap_err();
    assert!(error.is_transient(), "{error}");
}
