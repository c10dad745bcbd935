//! Who is trusted, and who is not.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use common::{Cloud, Echo, HOUR, Running, ask, get, region};
use http::StatusCode;
use peer::{Authority, Client, Credentials, Identity, Limits, Peer, PeerError, Revoked, Tls};
use rcgen::{CertificateParams, Issuer, KeyPair, PKCS_ED25519};
use types::{Clock, SystemClock, TestClock};

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(answer: Result<T, PeerError>) {
    let error = answer.expect_err("answered");
    assert!(matches!(error, PeerError::Refused { .. }), "{error:?}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn another_clouds_region_is_refused_by_either_side() {
    let (ours, theirs) = (Cloud::new(), Cloud::new());
    let server = Running::start(ours.tls("a")).await;
    let foreign = theirs.client("b");
    // The client does not trust the server.
    assert_refused(ask(&foreign, &server.peer, get("/who")).await);
    // The server does not trust a client that trusts the server.
    let refused = Shown::of(&theirs.credentials("b")).to(&server, &ours).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(server.echo.asked.load(Ordering::SeqCst), 0);
}

/// What a client may show: a chain (leaf first) and its key.
struct Shown {
    chain: Vec<Vec<u8>>,
    key_pem: String,
}

mod raw {
    //! A client that shows whatever the test wants, to see what the server makes of it.

    use std::sync::Arc;

    use http::Request;
    use http_body_util::{BodyExt, Empty};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use peer::Peer;
    use rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    };
    use tokio::net::TcpStream;

    /// The text of the answer to `/who`, or of the failure.
    pub async fn who(
        to: &Peer,
        believes: &str,
        chain: Vec<Vec<u8>>,
        key_pem: &str,
        alpn: &[&[u8]],
    ) -> Result<String, String> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(believes.as_bytes()).unwrap();
        roots.add(root).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = if chain.is_empty() {
            builder.with_no_client_auth()
        } else {
            let chain = chain.into_iter().map(CertificateDer::from).collect();
            let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        };
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        let name = format!("{}.region.dhow.internal", to.region);
        let name = ServerName::try_from(name).unwrap();
        let socket = TcpStream::connect(&to.address).await.unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(name, socket)
            .await
            .map_err(|e| e.to_string())?;
        let (mut sender, connection) =
            hyper::client::conn::http2::Builder::new(TokioExecutor::new())
                .handshake(TokioIo::new(stream))
                .await
                .map_err(|e| e.to_string())?;
        let connection = tokio::spawn(connection);
        let request = Request::get("https://x/who").body(Empty::<bytes::Bytes>::new());
        match sender.send_request(request.unwrap()).await {
            Ok(response) => {
                let body = response.into_body().collect().await.unwrap().to_bytes();
                Ok(String::from_utf8(body.to_vec()).unwrap())
            }
            Err(error) => {
                drop(sender);
                let ended = connection.await.unwrap();
                Err(format!("{error:?} {:?}", ended.err()))
            }
        }
    }
}

const H2: &[&[u8]] = &[b"h2"];

fn der(pem: &str) -> Vec<u8> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    CertificateDer::from_pem_slice(pem.as_bytes())
        .unwrap()
        .to_vec()
}

impl Shown {
    fn of(credentials: &Credentials) -> Self {
        Self {
            chain: vec![der(&credentials.certificate)],
            key_pem: credentials.identity.to_pem(),
        }
    }
    /// What the server of `cloud` answers whoever shows this.
    async fn to(self, server: &Running, cloud: &Cloud) -> Result<String, String> {
        let believes = cloud.authority.certificate_pem();
        raw::who(&server.peer, &believes, self.chain, &self.key_pem, H2).await
    }
}

#[tokio::test]
async fn a_good_certificate_shown_by_hand_is_accepted() {
    // Without this, the refusals below would prove nothing.
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let who = Shown::of(&cloud.credentials("b")).to(&server, &cloud).await;
    assert_eq!(who.as_deref(), Ok("Region(\"b\")"));
}

#[tokio::test]
async fn a_region_does_not_pass_for_another() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let client = cloud.client("b");
    let wrong = Peer {
        region: region("c"),
        address: server.peer.address.clone(),
    };
    assert_refused(ask(&client, &wrong, get("/who")).await);
}

#[tokio::test]
async fn an_expired_certificate_is_refused_at_the_handshake_and_later() {
    let clock = Arc::new(TestClock::at_ms(SystemClock.now().ms()));
    let cloud = Cloud::on(clock.clone());
    let server = Running::start(cloud.tls("a")).await;
    let (short, _) = cloud.credentials_for("b", Duration::from_secs(60));
    let tls = Tls::with_clock(short, clock.clone()).unwrap();
    let client = Client::new(Arc::clone(&tls));
    ask(&client, &server.peer, get("/who")).await.unwrap();
    clock.advance_ms(62_000);
    // On the connection that was opened in time, and on a new one.
    assert_refused(ask(&client, &server.peer, get("/who")).await);
    assert_refused(ask(&client, &server.peer, get("/who")).await);
    assert_eq!(server.echo.asked.load(Ordering::SeqCst), 1);
    // A renewed certificate brings the region back.
    tls.replace(cloud.credentials("b")).unwrap();
    ask(&client, &server.peer, get("/who")).await.unwrap();
}

#[tokio::test]
async fn a_server_with_an_expired_certificate_is_refused() {
    let clock = Arc::new(TestClock::at_ms(SystemClock.now().ms()));
    let cloud = Cloud::on(clock.clone());
    let (short, _) = cloud.credentials_for("a", Duration::from_secs(60));
    let server = Running::start(Tls::with_clock(short, clock.clone()).unwrap()).await;
    let client = cloud.client("b");
    ask(&client, &server.peer, get("/who")).await.unwrap();
    clock.advance_ms(62_000);
    assert_refused(ask(&client, &server.peer, get("/who")).await);
}

#[test]
fn a_request_for_another_regions_name_gets_its_own() {
    let cloud = Cloud::new();
    let identity = Identity::create().unwrap();
    // Asks for the registry's name; the registry knows that it talks to "b".
    let csr = identity.csr(&region("registry")).unwrap();
    let now = cloud.clock.now();
    let issued = cloud
        .authority
        .issue(&csr, &region("b"), now, HOUR)
        .unwrap();
    let credentials = |id: &str| Credentials {
        identity: identity.clone(),
        certificate: issued.pem.clone(),
        authority: cloud.authority.certificate_pem(),
        region: region(id),
    };
    assert!(Tls::new(credentials("b")).is_ok());
    assert!(Tls::new(credentials("registry")).is_err());
    // Greedy in every field: many names, an authority's rights.
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let mut greedy =
        CertificateParams::new(["registry.region.dhow.internal", "x.example"].map(String::from))
            .unwrap();
    greedy.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    greedy.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    let csr = greedy.serialize_request(&key).unwrap();
    let issued = cloud
        .authority
        .issue(csr.der(), &region("b"), now, HOUR)
        .unwrap();
    let (_, parsed) = x509_parser::parse_x509_certificate(&issued.der).unwrap();
    assert!(!parsed.is_ca());
    let names = parsed.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names.len(), 1);
    assert!(format!("{:?}", names.value).contains("b.region.dhow.internal"));
    assert!(!parsed.key_usage().unwrap().unwrap().value.key_cert_sign());
}

#[test]
fn what_is_no_request_for_an_ed25519_key_is_not_signed() {
    let cloud = Cloud::new();
    let now = cloud.clock.now();
    let issue = |csr: &[u8], id: &str| cloud.authority.issue(csr, &region(id), now, HOUR);
    let good = Identity::create().unwrap().csr(&region("b")).unwrap();
    assert!(issue(&good, "b").is_ok());
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1; // the signature
    let p256 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let p256 = CertificateParams::default()
        .serialize_request(&p256)
        .unwrap();
    for bad in [
        &[][..],
        b"x",
        &good[..20],
        &forged,
        p256.der(),
        &[0x30; 5000],
    ] {
        let error = issue(bad, "b").unwrap_err();
        assert!(matches!(error, PeerError::Credentials(_)), "{error}");
    }
    for id in ["", "A", "a.b", "*", "-a"] {
        assert!(issue(&good, id).is_err(), "{id:?}");
    }
}

#[test]
fn an_authority_survives_its_text_form() {
    let cloud = Cloud::new();
    let (certificate, key) = cloud.authority.to_pem();
    let again = Authority::from_pem(&certificate, &key).unwrap();
    assert_eq!(again.fingerprint(), cloud.authority.fingerprint());
    assert_eq!(again.certificate_pem(), certificate);
    assert!(!format!("{again:?}").contains("KEY"));
    let identity = Identity::create().unwrap();
    let csr = identity.csr(&region("b")).unwrap();
    let issued = again
        .issue(&csr, &region("b"), cloud.clock.now(), HOUR)
        .unwrap();
    let credentials = Credentials {
        identity,
        certificate: issued.pem,
        authority: certificate.clone(),
        region: region("b"),
    };
    assert!(Tls::new(credentials).is_ok());
    // Another cloud's key, and a leaf in place of an authority.
    let (_, other) = Cloud::new().authority.to_pem();
    assert!(Authority::from_pem(&certificate, &other).is_err());
    let leaf = cloud.credentials("b");
    assert!(Authority::from_pem(&leaf.certificate, &leaf.identity.to_pem()).is_err());
}

#[test]
fn renewal_gives_a_new_serial_to_the_same_key() {
    let cloud = Cloud::new();
    let csr = Identity::create().unwrap().csr(&region("b")).unwrap();
    let now = cloud.clock.now();
    let issue = || {
        cloud
            .authority
            .issue(&csr, &region("b"), now, HOUR)
            .unwrap()
    };
    let (first, second) = (issue(), issue());
    assert_ne!(first.serial, second.serial);
    assert_eq!(first.serial.len(), 32);
    assert_eq!(first.not_after.s(), now.s() + 3600);
}

/// A certificate of `names` for a new key, signed with the key of `by`.
fn signed(names: &[&str], by: &Credentials) -> (Vec<u8>, String) {
    let signer = KeyPair::from_pem(&by.identity.to_pem()).unwrap();
    let parent = der(&by.certificate).into();
    let issuer = Issuer::from_ca_cert_der(&parent, signer).unwrap();
    by_issuer(names, &issuer)
}

fn by_issuer(names: &[&str], issuer: &Issuer<'_, KeyPair>) -> (Vec<u8>, String) {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.use_authority_key_identifier_extension = true;
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, issuer).unwrap();
    (certificate.der().to_vec(), key.serialize_pem())
}

#[tokio::test]
async fn a_region_cannot_act_as_an_authority() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let rogue = cloud.credentials("b");
    let (fake, key_pem) = signed(&["c.region.dhow.internal"], &rogue);
    let chain = vec![fake, der(&rogue.certificate), der(&rogue.authority)];
    let answer = Shown { chain, key_pem }.to(&server, &cloud).await;
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(server.echo.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_certificate_has_exactly_one_name_of_a_region() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let (certificate, key) = cloud.authority.to_pem();
    let key = KeyPair::from_pem(&key).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&certificate, key).unwrap();
    let show = async |names: &[&str]| {
        let (leaf, key_pem) = by_issuer(names, &issuer);
        let chain = vec![leaf];
        Shown { chain, key_pem }.to(&server, &cloud).await
    };
    let one = show(&["b.region.dhow.internal"]).await;
    assert_eq!(one.as_deref(), Ok("Region(\"b\")"));
    for names in [
        &["b.region.dhow.internal", "c.region.dhow.internal"][..],
        &["b.region.dhow.internal", "b.region.dhow.internal"],
        &["b.example.com"],
        &["*.region.dhow.internal"],
        &["b.region.dhow.internal", "127.0.0.1"],
        &["127.0.0.1"],
        &[],
    ] {
        let answer = show(names).await;
        assert!(answer.is_err(), "{names:?}: {answer:?}");
    }
    assert_eq!(server.echo.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn only_http2_is_spoken() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let shown = cloud.credentials("b");
    for alpn in [&[][..], &[&b"http/1.1"[..]]] {
        let chain = vec![der(&shown.certificate)];
        let key = shown.identity.to_pem();
        let answer = raw::who(&server.peer, &shown.authority, chain, &key, alpn).await;
        assert!(answer.is_err(), "{answer:?}");
    }
}

fn regions(id: &str) -> Revoked {
    Revoked {
        regions: BTreeSet::from([region(id)]),
        ..Revoked::default()
    }
}

#[tokio::test]
async fn revoking_reaches_open_connections() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let (credentials, serial) = cloud.credentials_for("b", HOUR);
    let client = Client::new(Tls::new(credentials).unwrap());
    let other = cloud.client("c");
    ask(&client, &server.peer, get("/who")).await.unwrap();
    ask(&other, &server.peer, get("/who")).await.unwrap();
    // A request that is under way breaks, too.
    let held = {
        let (client, to) = (client.clone(), server.peer.clone());
        tokio::spawn(async move { ask(&client, &to, get("/silent")).await })
    };
    while server.echo.asked.load(Ordering::SeqCst) < 3 {
        tokio::task::yield_now().await;
    }
    server.tls.revoke(Revoked {
        serials: BTreeSet::from([serial]),
        ..Revoked::default()
    });
    let error = held.await.unwrap().unwrap_err();
    assert!(matches!(error, PeerError::Unreachable { .. }), "{error:?}");
    // The next request meets either the closing of the old connection or a new handshake.
    let mut error = ask(&client, &server.peer, get("/who")).await.unwrap_err();
    for _ in 0..3 {
        if matches!(error, PeerError::Refused { .. }) {
            break;
        }
        assert!(error.is_transient(), "{error}");
        error = ask(&client, &server.peer, get("/who")).await.unwrap_err();
    }
    assert_refused::<()>(Err(error));
    assert_eq!(server.echo.asked.load(Ordering::SeqCst), 3);
    // Nobody else notices, and a new certificate of the region is good.
    ask(&other, &server.peer, get("/who")).await.unwrap();
    let renewed = cloud.client("b");
    ask(&renewed, &server.peer, get("/who")).await.unwrap();
    // Unless the region as a whole is gone.
    server.tls.revoke(regions("b"));
    assert!(ask(&renewed, &server.peer, get("/who")).await.is_err());
    assert_refused(ask(&cloud.client("b"), &server.peer, get("/who")).await);
}

#[tokio::test]
async fn a_region_is_believed_for_the_key_that_it_has_on_record_alone() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let (old, new) = (cloud.credentials("b"), cloud.credentials("b"));
    let key = new.identity.public_key().to_vec();
    let client = |credentials| Client::new(Tls::new(credentials).unwrap());
    let (thief, honest, other) = (client(old.clone()), client(new), cloud.client("c"));
    ask(&thief, &server.peer, get("/who")).await.unwrap();
    server.tls.revoke(Revoked {
        keys: BTreeMap::from([(region("b"), key)]),
        ..Revoked::default()
    });
    // On its open connection and on a new one, whatever the serial of its certificate.
    assert!(ask(&thief, &server.peer, get("/who")).await.is_err());
    assert_refused(ask(&client(old), &server.peer, get("/who")).await);
    ask(&honest, &server.peer, get("/who")).await.unwrap();
    // A region of which no key is on record yet is one that is new.
    ask(&other, &server.peer, get("/who")).await.unwrap();
    // A server is asked the same.
    let tls = cloud.tls("c");
    tls.revoke(Revoked {
        keys: BTreeMap::from([(region("a"), vec![0; 32])]),
        ..Revoked::default()
    });
    assert_refused(ask(&Client::new(tls), &server.peer, get("/who")).await);
}

#[tokio::test]
async fn a_client_refuses_a_revoked_server() {
    let cloud = Cloud::new();
    let server = Running::start(cloud.tls("a")).await;
    let tls = cloud.tls("b");
    let client = Client::new(Arc::clone(&tls));
    ask(&client, &server.peer, get("/who")).await.unwrap();
    tls.revoke(regions("a"));
    assert_refused(ask(&client, &server.peer, get("/who")).await);
    assert_refused(ask(&client, &server.peer, get("/who")).await);
    tls.revoke(Revoked::default());
    ask(&client, &server.peer, get("/who")).await.unwrap();
}

fn open_to_strangers() -> Echo {
    Echo {
        strangers: true,
        ..Echo::default()
    }
}

#[tokio::test]
async fn a_stranger_reaches_only_what_the_handler_grants() {
    let cloud = Cloud::new();
    let server = Running::with(cloud.tls("a"), open_to_strangers(), Limits::default()).await;
    let fingerprint = cloud.authority.fingerprint();
    let stranger = Client::stranger(fingerprint, Arc::new(SystemClock)).unwrap();
    let (status, body) = ask(&stranger, &server.peer, get("/join")).await.unwrap();
    assert_eq!((status, &body[..]), (StatusCode::OK, &b"Stranger"[..]));
    let (status, _) = ask(&stranger, &server.peer, get("/who")).await.unwrap();
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_stranger_believes_one_fingerprint_and_one_region() {
    let cloud = Cloud::new();
    let server = Running::with(cloud.tls("a"), open_to_strangers(), Limits::default()).await;
    let believes = |fingerprint| Client::stranger(fingerprint, Arc::new(SystemClock)).unwrap();
    let elsewhere = believes(Cloud::new().authority.fingerprint());
    assert_refused(ask(&elsewhere, &server.peer, get("/join")).await);
    let wrong = Peer {
        region: region("b"),
        address: server.peer.address.clone(),
    };
    let stranger = believes(cloud.authority.fingerprint());
    assert_refused(ask(&stranger, &wrong, get("/join")).await);
    assert_eq!(server.echo.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn strangers_do_not_use_up_the_places_of_regions() {
    let cloud = Cloud::new();
    let limits = Limits {
        strangers: 1,
        connections: 1,
        ..Limits::default()
    };
    let server = Running::with(cloud.tls("a"), open_to_strangers(), limits).await;
    let fingerprint = cloud.authority.fingerprint();
    let stranger = || Client::stranger(fingerprint, Arc::new(SystemClock)).unwrap();
    let (first, second) = (stranger(), stranger());
    ask(&first, &server.peer, get("/join")).await.unwrap();
    // Nor do they keep each other out.
    ask(&second, &server.peer, get("/join")).await.unwrap();
    until(|| first.connections(&region("a")) == 0).await;
    ask(&cloud.client("b"), &server.peer, get("/who"))
        .await
        .unwrap();
}

#[tokio::test]
async fn p9_a_region_does_not_use_up_the_places_of_others() {
    let cloud = Cloud::new();
    let limits = Limits {
        region_connections: 1,
        ..Limits::default()
    };
    let server = Running::with(cloud.tls("a"), Echo::default(), limits).await;
    let other = cloud.client("c");
    ask(&other, &server.peer, get("/who")).await.unwrap();
    // One connection more: the oldest of this region is cut, and no other's.
    let (first, second) = (cloud.client("b"), cloud.client("b"));
    ask(&first, &server.peer, get("/who")).await.unwrap();
    ask(&second, &server.peer, get("/who")).await.unwrap();
    until(|| first.connections(&region("a")) == 0).await;
    ask(&second, &server.peer, get("/who")).await.unwrap();
    assert_eq!(second.connections(&region("a")), 1);
    assert_eq!(other.connections(&region("a")), 1);
    ask(&other, &server.peer, get("/who")).await.unwrap();
}

/// Waits for what comes in a moment.
async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(common::WAIT, waiting).await.unwrap();
}

#[test]
fn credentials_that_do_not_belong_together_are_refused() {
    let (cloud, other) = (Cloud::new(), Cloud::new());
    let good = cloud.credentials("b");
    let tls = Tls::new(good.clone()).unwrap();
    let with = |change: &dyn Fn(&mut Credentials)| {
        let mut bad = good.clone();
        change(&mut bad);
        bad
    };
    for bad in [
        with(&|c| c.region = region("c")),
        with(&|c| c.identity = Identity::create().unwrap()),
        with(&|c| c.authority = other.authority.certificate_pem()),
        with(&|c| c.authority = c.certificate.clone()),
        with(&|c| c.certificate = c.authority.clone()),
        with(&|c| c.certificate = "x".to_owned()),
    ] {
        let error = tls.replace(bad.clone()).unwrap_err();
        assert!(matches!(error, PeerError::Credentials(_)), "{error}");
        let shown = format!("{error:?} {bad:?} {tls:?}");
        assert!(!shown.contains("PRIVATE"), "{shown}");
    }
    assert!(tls.replace(cloud.credentials("c")).is_err());
    tls.replace(cloud.credentials("b")).unwrap();
}
