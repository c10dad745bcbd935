//! The listener for probes and scrapers.

#![allow(clippy::unwrap_used)] // a helper of tests may panic as they do

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use gateway::health::{Health, Readiness, serve};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    get_as(address, path, "*/*").await
}

async fn get_as(address: std::net::SocketAddr, path: &str, kind: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!("Host: h\r\nAccept: {kind}\r\nConnection: close");
    let request = format!("GET {path} HTTP/1.1\r\n{head}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn probes_and_metrics_are_answered_and_nothing_else() {
    let ready = Arc::new(AtomicBool::new(true));
    let mut registry = Registry::default();
    gateway::metrics::Metrics::new(&mut registry);
    let full = Arc::new(AtomicBool::new(false));
    let (asked, has_no_room) = (ready.clone(), full.clone());
    let health = Arc::new(Health {
        registry: Mutex::new(registry),
        ready: Box::new(move || {
            let fenced = !asked.load(Ordering::SeqCst);
            Readiness {
                why_not: fenced.then(|| "fenced".to_owned()),
                certificate: Some(has_no_room.load(Ordering::SeqCst)),
                is_full: has_no_room.load(Ordering::SeqCst),
            }
        }),
    });
    let listener = gateway::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(serve(health, listener, async {
        let _ = stopped.await;
    }));
    assert!(
        get(address, "/-/health/live")
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        get(address, "/-/health/ready")
            .await
            .starts_with("HTTP/1.1 200")
    );
    // Where there is no room the region is ready, since it can be read.
    full.store(true, Ordering::SeqCst);
    let answer = get(address, "/-/health/ready").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("the disk has no room"), "{answer}");
    full.store(false, Ordering::SeqCst);
    // Who proves names to an ACME server may have to be ready before.
    let answer = get(address, "/-/health/ready").await;
    assert!(answer.contains("no TLS certificate yet"), "{answer}");
    let answer = get_as(address, "/-/health/ready", "application/json").await;
    let said = r#"{"certificate":"missing","disk":"ok","ready":true,"why_not":null}"#;
    assert!(answer.contains(said), "{answer}");
    ready.store(false, Ordering::SeqCst);
    let answer = get(address, "/-/health/ready").await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("fenced"),
        "{answer}"
    );
    let answer = get(address, "/metrics").await;
    assert!(answer.contains("dhow_s3_connections 0"), "{answer}");
    for path in ["/", "/debug/pprof", "/metrics/x", "/bucket/key"] {
        assert!(
            get(address, path).await.starts_with("HTTP/1.1 404"),
            "{path}"
        );
    }
    drop(stop);
    serving.await.unwrap();
}

/// As `get`, for as long as it takes: whoever is closed before it is answered tries again.
async fn answered(address: std::net::SocketAddr, path: &str) -> bool {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    let asked = async {
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_string(&mut answer).await
    };
    asked.await.is_ok() && answer.starts_with("HTTP/1.1 200")
}

#[tokio::test]
async fn p13_idle_connections_do_not_close_the_listener() {
    let health = Arc::new(Health {
        registry: Mutex::new(Registry::default()),
        ready: Box::new(Readiness::default),
    });
    let listener = gateway::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(serve(health, listener, std::future::pending()));
    let (mut idle, within) = (Vec::new(), std::time::Duration::from_secs(30));
    for n in 0..300 {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        match n % 3 {
            // Nothing; half a head; a request that was answered, on a connection that is kept.
            0 => {}
            1 => stream.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap(),
            _ => {
                let request = b"GET /-/health/live HTTP/1.1\r\nHost: h\r\n\r\n";
                stream.write_all(request).await.unwrap();
                let mut first = [0; 12];
                let reading = stream.read_exact(&mut first);
                tokio::time::timeout(within, reading)
                    .await
                    .unwrap()
                    .unwrap();
                assert_eq!(&first, b"HTTP/1.1 200");
            }
        }
        idle.push(stream);
    }
    for _ in 0..20 {
        let asked = answered(address, "/-/health/live");
        assert!(tokio::time::timeout(within, asked).await.unwrap());
    }
    drop(idle);
    serving.abort();
}
