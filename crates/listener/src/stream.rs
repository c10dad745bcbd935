//! Connections of customers, with TLS or without.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsStream, rustls::ProtocolVersion};
use types::TlsVersion;

use crate::{Certificates, Proxies, certificates::HTTP2, challenges::ACME_TLS};

/// The first byte of a TLS connection: a handshake record (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 0x16;

/// What is said to a client that speaks HTTP where TLS is spoken.
const CLEAR: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
    content-type: text/plain\r\ncontent-length: 63\r\n\r\n\
    This endpoint speaks HTTPS: use an address that begins https://";

/// What is said to a client that is to come by way of a proxy.
const DIRECT: &[u8] = b"HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\
    content-type: text/plain\r\ncontent-length: 68\r\n\r\n\
    This endpoint speaks to its proxies alone: use the address of theirs";

/// How long, and for how many bytes, such a client is read: a connection that is closed with bytes
/// unread is reset, and the client may lose the answer.
const REST_WITHIN: Duration = Duration::from_secs(2);
const REST_BYTES_MAX: u64 = 1 << 20;

/// Why the TLS handshake of a connection failed.
#[derive(Debug, Error)]
pub enum Handshake {
    /// The client did not begin with TLS; an HTTP answer says what to do.
    #[error("the client does not speak TLS")]
    Clear,
    /// It was an ACME server's, which has its proof with that.
    #[error("an ACME server asked for a proof")]
    Challenge,
    /// It took too long.
    #[error("the client did not finish the TLS handshake in time")]
    Late,
    /// It broke off, or nothing was agreed on.
    #[error("{0}")]
    Broken(#[from] io::Error),
}

/// Where connections come in, and the certificates to show there; none for clear text.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub tcp: TcpListener,
    /// What is shown; `None` where nothing is encrypted.
    pub tls: Option<Arc<Certificates>>,
    /// Who may say for whom they speak.
    pub proxies: Arc<Proxies>,
    /// Whether HTTP/2 is offered beside HTTP/1.1, with TLS.
    pub http2: bool,
}

impl From<TcpListener> for Listener {
    /// In clear.
    fn from(tcp: TcpListener) -> Self {
        Self {
            tcp,
            tls: None,
            proxies: Arc::default(),
            http2: true,
        }
    }
}

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// In clear.
    Clear(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The version of TLS, where it has TLS.
    pub fn tls_version(&self) -> Option<TlsVersion> {
        match self {
            Self::Clear(_) => None,
            Self::Tls(stream) => match stream.get_ref().1.protocol_version()? {
                ProtocolVersion::TLSv1_2 => Some(TlsVersion::V1_2),
                ProtocolVersion::TLSv1_3 => Some(TlsVersion::V1_3),
                _ => None,
            },
        }
    }

    /// Whether client and server agreed on HTTP/2.
    pub fn is_http2(&self) -> bool {
        match self {
            Self::Clear(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(HTTP2),
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Clear(stream)
    }
}

impl Certificates {
    /// The handshake of a connection that a client has just opened, `within` some time; a client
    /// that speaks HTTP/2 gets it where that is offered.
    ///
    /// # Errors
    /// It does not come about; see [`Handshake`].
    pub async fn accept(
        &self,
        stream: TcpStream,
        within: Duration,
        http2: bool,
    ) -> Result<Stream, Handshake> {
        let accepting = async {
            let mut first = [0];
            let read = stream.peek(&mut first).await?;
            if read > 0 && first != [HANDSHAKE] {
                refuse(stream, CLEAR, REST_WITHIN.min(within / 2)).await;
                return Err(Handshake::Clear);
            }
            let config = if http2 {
                &self.with_http2
            } else {
                &self.config
            };
            let acceptor = TlsAcceptor::from(Arc::clone(config));
            let mut accepted = acceptor.accept(stream).await?;
            let proved = accepted.get_ref().1.alpn_protocol() == Some(ACME_TLS);
            if proved && !types::planted("requests-after-a-proof") {
                accepted.shutdown().await?;
                return Err(Handshake::Challenge);
            }
            Ok(Stream::Tls(Box::new(accepted.into())))
        };
        tokio::time::timeout(within, accepting)
            .await
            .unwrap_or(Err(Handshake::Late))
    }
}

/// Refuses a connection in clear that came by no trusted proxy.
pub async fn refuse_direct(stream: TcpStream) {
    refuse(stream, DIRECT, REST_WITHIN).await;
}

/// Says to a client what to do, and lets it end what it is sending.
async fn refuse(mut stream: TcpStream, answer: &[u8], within: Duration) {
    let said = async {
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        let rest = &mut (&mut stream).take(REST_BYTES_MAX);
        tokio::io::copy(rest, &mut tokio::io::sink()).await
    };
    // Whether it reads the answer is its own affair.
    let _ = tokio::time::timeout(within, said).await;
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Clear(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Authority, Files};
    use types::Timestamp;

    #[tokio::test]
    async fn a_client_without_tls_reads_what_to_do_after_it_has_sent_all() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_s(1_700_000_000);
        let authority = Authority::open(dir.path(), now).unwrap();
        let names = ["localhost".to_owned()];
        let files: Files = authority.keep(dir.path(), &names, now).unwrap();
        let certificates = Certificates::read(vec![files]).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, answered) = tokio::sync::oneshot::channel();
        let client = tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(b"PUT /bucket/key HTTP/1.1\r\n").await?;
            // The rest comes once the answer is on its way.
            answered.await.unwrap();
            for _ in 0..20 {
                stream.write_all(&[b'x'; 10_000]).await?;
            }
            stream.shutdown().await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            io::Result::Ok(answer)
        });
        let (stream, _) = listener.accept().await.unwrap();
        let accepting = certificates.accept(stream, Duration::from_secs(60), true);
        let (accepted, ()) = tokio::join!(accepting, async {
            // It is polled after the other, which has answered by then or does so at once.
            tokio::task::yield_now().await;
            tell.send(()).unwrap();
        });
        assert!(matches!(accepted, Err(Handshake::Clear)), "{accepted:?}");
        let answer = client.await.unwrap().unwrap();
        assert!(
            answer.ends_with("an address that begins https://"),
            "{answer}"
        );
    }
}
