//! Proofs for ACME servers that a name leads to this listener, given within the TLS handshake
//! (TLS-ALPN-01, RFC 8737). Such a connection ends with its handshake: no request is read on it.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256,
};
use rustls::{
    crypto::CryptoProvider, pki_types::PrivateKeyDer, server::ClientHello, sign::CertifiedKey,
};

use crate::TlsError;

/// The only protocol that a client offers who asks for a proof (RFC 8737 section 3).
pub(crate) const ACME_TLS: &[u8] = b"acme-tls/1";

/// What is shown for each name while an ACME server may ask for it.
#[derive(Debug, Default)]
pub(crate) struct Challenges(ArcSwap<HashMap<String, Arc<CertifiedKey>>>);

impl Challenges {
    /// Answers for a name from now on. `digest` is the SHA-256 of the key authorization.
    pub(crate) fn open(
        &self,
        name: &str,
        digest: &[u8],
        provider: &CryptoProvider,
    ) -> Result<(), TlsError> {
        let shown = Arc::new(proof(name, digest, provider)?);
        let name = name.to_ascii_lowercase();
        self.0.rcu(|open| {
            let mut open = HashMap::clone(open);
            open.insert(name.clone(), Arc::clone(&shown));
            open
        });
        Ok(())
    }

    /// Answers for no name any more.
    pub(crate) fn end(&self) {
        self.0.store(Arc::default());
    }

    /// The proof for the name that a client asks for.
    pub(crate) fn of(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let name = name?.to_ascii_lowercase();
        self.0.load().get(&name).map(Arc::clone)
    }
}

/// Whether a client asks for a proof: it offers that protocol and no other.
pub(crate) fn asks(hello: &ClientHello<'_>) -> bool {
    let Some(mut offered) = hello.alpn() else {
        return false;
    };
    offered.next() == Some(ACME_TLS) && offered.next().is_none()
}

/// A certificate that signs itself, for one name, with the digest that proves who holds the key of
/// the ACME account.
fn proof(name: &str, digest: &[u8], provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    // The library takes no other length.
    let digest: &[u8; 32] = digest
        .try_into()
        .map_err(|_| rustls::Error::General("a digest of SHA-256 has 32 bytes".to_owned()))?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let made = params.self_signed(&key)?;
    let key = PrivateKeyDer::try_from(key.serialize_der())
        .map_err(|why| rustls::Error::General(why.to_owned()))?;
    // Nobody but the ACME server knows the extension: what would compare key and certificate here
    // refuses it.
    let key = provider.key_provider.load_private_key(key)?;
    Ok(CertifiedKey::new(vec![made.into()], key))
}

#[cfg(test)]
mod tests {
    use std::{io, time::Duration};

    use rustls::pki_types::ServerName;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };
    use tokio_rustls::TlsConnector;
    use types::Timestamp;

    use crate::{Authority, Certificates, Handshake, Trust, client};

    const NAME: &str = "a.example";
    const WITHIN: Duration = Duration::from_secs(60);

    /// A client of `shown` that offers these protocols: what both ends have of it.
    async fn meet(
        shown: &Certificates,
        trust: &Trust,
        offered: &[&str],
    ) -> (Result<(), Handshake>, io::Result<usize>) {
        let mut config = rustls::ClientConfig::clone(&client::config(trust).unwrap());
        config.alpn_protocols = offered.iter().map(|p| p.as_bytes().to_vec()).collect();
        let connector = TlsConnector::from(std::sync::Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            shown.accept(stream, WITHIN, true).await.map(drop)
        };
        let client = async {
            let stream = TcpStream::connect(address).await?;
            let name = ServerName::try_from(NAME).unwrap();
            let mut stream = connector.connect(name, stream).await?;
            // It may have ended by now.
            let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
            stream.read(&mut [0]).await
        };
        tokio::join!(server, client)
    }

    #[tokio::test]
    async fn a_proof_is_shown_while_it_is_open_and_no_request_follows_one() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_s(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs());
        let authority = Authority::open(dir.path(), now).unwrap();
        let files = authority.keep(dir.path(), &[NAME.to_owned()], now).unwrap();
        let trust = Trust::Authorities(authority.certificate().to_owned());
        let issued = dir.path().join("issued.pem");
        let shown = Certificates::read_with_issued(vec![files.clone()], issued).unwrap();
        let said = |end: io::Result<usize>| end.unwrap_err().to_string();

        // Not open: nothing is shown.
        let (server, client) = meet(&shown, &trust, &["acme-tls/1"]).await;
        assert!(matches!(server, Err(Handshake::Broken(_))), "{server:?}");
        assert!(said(client).contains("received fatal alert"));
        // Open: what no other client accepts, since it does not know the extension.
        shown.open_challenge(NAME, &[7; 32]).unwrap();
        let (_, client) = meet(&shown, &trust, &["acme-tls/1"]).await;
        let why = said(client);
        assert!(why.contains("invalid peer certificate"), "{why}");
        shown.end_challenges();
        let (_, client) = meet(&shown, &trust, &["acme-tls/1"]).await;
        assert!(said(client).contains("received fatal alert"));
        assert!(shown.open_challenge(NAME, &[7; 31]).is_err());

        let (server, _) = meet(&shown, &trust, &["acme-tls/1", "http/1.1"]).await;
        assert!(server.is_ok(), "{server:?}");
        // It gets the usual certificate, and is not served by that protocol.
        let (server, client) = meet(&shown, &trust, &["acme-tls/1", "other"]).await;
        assert!(matches!(server, Err(Handshake::Challenge)), "{server:?}");
        assert!(client.is_ok_and(|read| read == 0));
        // Where no server issues anything, nobody speaks it.
        let plain = Certificates::read(vec![files]).unwrap();
        let (server, _) = meet(&plain, &trust, &["acme-tls/1", "other"]).await;
        assert!(matches!(server, Err(Handshake::Broken(_))), "{server:?}");
    }

    #[test]
    fn what_is_issued_is_kept_only_if_key_and_names_are_right() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_s(1_700_000_000);
        let authority = Authority::open(dir.path(), now).unwrap();
        let made = |name: &str| {
            let folder = dir.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            let files = authority.keep(&folder, &[name.to_owned()], now).unwrap();
            let read = |path| std::fs::read_to_string(path).unwrap();
            (read(files.key), read(files.certificate))
        };
        let (one, other) = (made("a.example"), made("b.example"));
        let issued = dir.path().join("issued.pem");
        let shown = Certificates::read_with_issued(Vec::new(), issued.clone()).unwrap();
        assert!(shown.is_empty() && shown.not_after().ms() == 0);
        let wanted = ["a.example".to_owned()];
        let keep = |(key, _): &(String, String), (_, chain): &(String, String)| {
            shown.keep(&format!("{key}{chain}"), &wanted)
        };
        assert!(keep(&one, &other).is_err(), "another's key");
        assert!(keep(&other, &other).is_err(), "another name");
        assert!(shown.is_empty() && !issued.exists());
        let good = keep(&one, &one).unwrap();
        assert_eq!(good.names, wanted);
        assert!(keep(&other, &other).is_err());
        assert_eq!(shown.issued(), Some(good.clone()));
        // The next process has it, and damage costs no start.
        let again = Certificates::read_with_issued(Vec::new(), issued.clone()).unwrap();
        assert_eq!(again.issued(), Some(good));
        std::fs::write(&issued, "-----BEGIN").unwrap();
        let damaged = Certificates::read_with_issued(Vec::new(), issued).unwrap();
        assert!(damaged.is_empty());
    }
}
