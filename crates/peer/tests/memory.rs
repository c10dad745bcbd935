//! Bodies pass in bounded memory. Alone in its file, for the peak is the whole process's.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Cloud, Running, WAIT, ask, get, post, zeros};

/// Peak resident memory of this process, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

#[tokio::test]
async fn a_reader_that_stops_stops_the_writer() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let client = cloud.client("b");
    let before = peak();
    // More than memory would hold, if the windows did not hold it back.
    let request = get("/zeros/4000000000");
    let response = client.request(&server.peer, request).await.unwrap();
    let mut body = response.into_body();
    peer::next_data(&mut body, WAIT).await.unwrap();
    // Other streams of the connections go on meanwhile, 64 MiB each way.
    let (_, counted) = ask(&client, &server.peer, post("/count", zeros(64 << 20)))
        .await
        .unwrap();
    assert_eq!(counted, (64u64 << 20).to_string());
    let response = client.request(&server.peer, get("/zeros/67108864")).await;
    let mut whole = response.unwrap().into_body();
    let mut bytes = 0;
    while let Some(data) = peer::next_data(&mut whole, WAIT).await.unwrap() {
        bytes += data.len();
    }
    assert_eq!(bytes, 64 << 20);
    let grown = peak() - before;
    assert!(grown < 56 << 20, "{} MiB", grown >> 20);
}
