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
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::Certificates;

/// The first byte of a TLS connection: a handshake record (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 0x16;

/// What is said to a client that speaks HTTP where TLS is spoken.
const CLEAR: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
    content-type: text/plain\r\ncontent-length: 63\r\n\r\n\
    This endpoint speaks HTTPS: use an address that begins https://";

/// Why a connection did not come to TLS.
#[derive(Debug, Error)]
pub enum Handshake {
    /// The client did not begin with TLS; an HTTP answer says what to do.
    #[error("the client does not speak TLS")]
    Clear,
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
}

impl From<TcpListener> for Listener {
    /// In clear.
    fn from(tcp: TcpListener) -> Self {
        Self { tcp, tls: None }
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

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Clear(stream)
    }
}

impl Certificates {
    /// The handshake of a connection that a client has just opened, `within` some time.
    ///
    /// # Errors
    /// It does not come about; see [`Handshake`].
    pub async fn accept(&self, stream: TcpStream, within: Duration) -> Result<Stream, Handshake> {
        let accepting = async {
            let mut stream = stream;
            let mut first = [0];
            let read = stream.peek(&mut first).await?;
            if read > 0 && first != [HANDSHAKE] {
                // Whether it reads the answer is its own affair.
                let _ = stream.write_all(CLEAR).await;
                let _ = stream.shutdown().await;
                return Err(Handshake::Clear);
            }
            let acceptor = TlsAcceptor::from(Arc::clone(&self.config));
            let accepted = acceptor.accept(stream).await?;
            Ok(Stream::Tls(Box::new(accepted.into())))
        };
        tokio::time::timeout(within, accepting)
            .await
            .unwrap_or(Err(Handshake::Late))
    }
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
