//! An HTTP/1.1 client that costs next to nothing: one connection, one request at a time, buffers
//! that are used again. It reads what S3 servers send: a length or chunks. It shares the machine
//! with the server that it measures, so what it saves is measured too.

use std::{io, net::SocketAddr};

use listener::{Connector, Stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// One read of a body.
const READ: usize = 256 * 1024;
/// One read where answers have no bodies to speak of: thousands of connections have a buffer each.
const READ_SMALL: usize = 16 * 1024;
/// The longest head.
const HEAD_MAX: usize = 64 * 1024;
/// As much of an answer is kept as text: a page of a listing, an error.
const KEPT_MAX: usize = 4 * 1024 * 1024;

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Bytes of the body.
    pub len: u64,
    /// Whether the body was the expected one; true when it was not checked.
    pub right: bool,
}

/// What to do with a body.
#[derive(Debug, Clone, Copy)]
pub enum Want<'a> {
    /// There is none: HEAD.
    None,
    /// Count it.
    Count,
    /// Keep it, see [`Connection::text`].
    Keep,
    /// Compare it: these bytes first, then the rest of the other after as many.
    Compare(&'a [u8], &'a [u8]),
}

/// One connection, opened at the first request and again after a failure.
pub struct Connection {
    to: SocketAddr,
    /// Where TLS is spoken.
    tls: Option<Connector>,
    stream: Option<Stream>,
    buffer: Vec<u8>,
    /// The bytes in `buffer` that were read and not used.
    from: usize,
    end: usize,
    kept: Vec<u8>,
}

struct Head {
    status: u16,
    length: Option<u64>,
    chunked: bool,
    close: bool,
}

impl Connection {
    /// To an address; nothing happens yet.
    pub fn new(to: SocketAddr) -> Self {
        Self {
            buffer: vec![0; READ],
            ..Self::new_without_buffer(to)
        }
    }

    fn new_without_buffer(to: SocketAddr) -> Self {
        Self {
            to,
            tls: None,
            stream: None,
            buffer: Vec::new(),
            from: 0,
            end: 0,
            kept: Vec::new(),
        }
    }

    /// The same, for answers that are short.
    pub fn for_short_answers(to: SocketAddr) -> Self {
        Self {
            buffer: vec![0; READ_SMALL],
            ..Self::new_without_buffer(to)
        }
    }

    /// The same with TLS, where that is spoken.
    pub fn over(mut self, tls: Option<&Connector>) -> Self {
        self.tls = tls.cloned();
        self
    }

    /// What [`Want::Keep`] and refusals kept.
    pub fn text(&self) -> &[u8] {
        &self.kept
    }

    /// Sends a request (its head with the first bytes of the body, and the rest) and reads the
    /// answer to its end. After an error the next exchange opens a new connection.
    pub async fn exchange(
        &mut self,
        head: &[u8],
        rest: &[u8],
        want: Want<'_>,
    ) -> io::Result<Answer> {
        self.kept.clear();
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.to).await?;
                stream.set_nodelay(true)?;
                (self.from, self.end) = (0, 0);
                match &self.tls {
                    None => stream.into(),
                    Some(tls) => tls.handshake(stream).await?,
                }
            }
        };
        stream.write_all(head).await?;
        // A server may refuse early and stop reading: what it said is then still to be read.
        let sent = if rest.is_empty() {
            Ok(())
        } else {
            stream.write_all(rest).await
        };
        // With TLS the last bytes may still be here.
        let sent = sent.and(stream.flush().await);
        let head = loop {
            let head = self.head(&mut stream).await?;
            if head.status >= 200 {
                break head;
            }
        };
        let want = match want {
            Want::None => Want::None,
            _ if head.status >= 300 => Want::Keep,
            other => other,
        };
        let mut taken = Taken {
            len: 0,
            right: true,
            want,
            kept: &mut self.kept,
        };
        if !matches!(want, Want::None) && head.status != 204 && head.status != 304 {
            let mut reader = Reader {
                stream: &mut stream,
                buffer: &mut self.buffer,
                from: &mut self.from,
                end: &mut self.end,
            };
            match (head.chunked, head.length) {
                (true, _) => reader.chunks(&mut taken).await?,
                (false, Some(length)) => reader.bytes(length, &mut taken).await?,
                (false, None) => return Err(io::Error::other("an answer without a length")),
            }
        }
        let answer = Answer {
            status: head.status,
            len: taken.len,
            right: taken.right && taken.complete(),
        };
        if sent.is_ok() && !head.close {
            self.stream = Some(stream);
        }
        Ok(answer)
    }

    async fn head(&mut self, stream: &mut Stream) -> io::Result<Head> {
        let mut seen = self.from;
        loop {
            if let Some(at) = find(&self.buffer[seen..self.end], b"\r\n\r\n") {
                let head = parse(&self.buffer[self.from..seen + at + 2])
                    .ok_or_else(|| io::Error::other("an answer that is not HTTP"))?;
                self.from = seen + at + 4;
                return Ok(head);
            }
            // The end may have come in part.
            seen = self.from.max(self.end.saturating_sub(3));
            if self.from == self.end {
                (self.from, self.end, seen) = (0, 0, 0);
            } else if self.end == self.buffer.len() || self.end - self.from > HEAD_MAX {
                self.buffer.copy_within(self.from..self.end, 0);
                (seen, self.end) = (seen - self.from, self.end - self.from);
                self.from = 0;
                if self.end > HEAD_MAX {
                    return Err(io::Error::other("the head of an answer is too long"));
                }
            }
            match stream.read(&mut self.buffer[self.end..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => self.end += n,
            }
        }
    }
}

/// Where a body goes.
struct Taken<'a> {
    len: u64,
    right: bool,
    want: Want<'a>,
    kept: &'a mut Vec<u8>,
}

impl Taken<'_> {
    fn take(&mut self, bytes: &[u8]) {
        match self.want {
            Want::Keep if self.kept.len() + bytes.len() <= KEPT_MAX => {
                self.kept.extend_from_slice(bytes);
            }
            Want::Compare(first, all) if self.right => {
                let at = self.len as usize;
                let (own, common) = bytes.split_at(first.len().saturating_sub(at).min(bytes.len()));
                let after = at + own.len();
                self.right = first.get(at..after).is_none_or(|b| b == own)
                    && all.get(after..after + common.len()) == Some(common);
            }
            _ => {}
        }
        self.len += bytes.len() as u64;
    }
    fn complete(&self) -> bool {
        match self.want {
            Want::Compare(_, all) => self.len == all.len() as u64,
            _ => true,
        }
    }
}

struct Reader<'a> {
    stream: &'a mut Stream,
    buffer: &'a mut [u8],
    from: &'a mut usize,
    end: &'a mut usize,
}

impl Reader<'_> {
    async fn fill(&mut self) -> io::Result<()> {
        if *self.from == *self.end {
            (*self.from, *self.end) = (0, self.stream.read(self.buffer).await?);
            if *self.end == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
    async fn bytes(&mut self, mut length: u64, taken: &mut Taken<'_>) -> io::Result<()> {
        while length > 0 {
            self.fill().await?;
            let n = (*self.end - *self.from).min(length.try_into().unwrap_or(usize::MAX));
            taken.take(&self.buffer[*self.from..*self.from + n]);
            *self.from += n;
            length -= n as u64;
        }
        Ok(())
    }
    async fn byte(&mut self) -> io::Result<u8> {
        self.fill().await?;
        *self.from += 1;
        Ok(self.buffer[*self.from - 1])
    }
    /// A line without its end.
    async fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        loop {
            match self.byte().await? {
                b'\n' => return Ok(line),
                b'\r' => {}
                _ if line.len() > 256 => {
                    return Err(io::Error::other("a chunk's line is too long"));
                }
                byte => line.push(byte),
            }
        }
    }
    async fn chunks(&mut self, taken: &mut Taken<'_>) -> io::Result<()> {
        loop {
            let line = self.line().await?;
            let size = std::str::from_utf8(&line).unwrap_or_default();
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16)
                .map_err(|_| io::Error::other("a chunk without a size"))?;
            self.bytes(size, taken).await?;
            if size == 0 {
                while !self.line().await?.is_empty() {}
                return Ok(());
            }
            self.line().await?;
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}

fn parse(head: &[u8]) -> Option<Head> {
    let mut lines = head.split(|b| *b == b'\n');
    let status = lines.next()?.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    let mut parsed = Head {
        status: std::str::from_utf8(status).ok()?.parse().ok()?,
        length: None,
        chunked: false,
        close: false,
    };
    for line in lines {
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            parsed.length = Some(std::str::from_utf8(value).ok()?.parse().ok()?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            parsed.chunked = value.eq_ignore_ascii_case(b"chunked");
        } else if name.eq_ignore_ascii_case(b"connection") {
            parsed.close = value.eq_ignore_ascii_case(b"close");
        }
    }
    Some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each connection with these bytes, in writes cut at every place in turn.
    async fn exchange(answer: &'static [u8], want: Want<'_>) -> Vec<(Answer, Vec<u8>)> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            for cut in 0..answer.len() {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut request = [0; 4];
                stream.read_exact(&mut request).await.unwrap();
                stream.write_all(&answer[..cut]).await.unwrap();
                tokio::task::yield_now().await;
                stream.write_all(&answer[cut..]).await.unwrap();
            }
        });
        let mut answers = Vec::new();
        for _ in 0..answer.len() {
            let mut connection = Connection::new(to);
            let answer = connection.exchange(b"GET ", &[], want).await.unwrap();
            answers.push((answer, connection.text().to_vec()));
        }
        server.await.unwrap();
        answers
    }

    #[tokio::test]
    async fn reads_lengths_chunks_and_refusals_however_they_are_cut() {
        let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        for (answer, text) in exchange(plain, Want::Keep).await {
            assert_eq!(
                (answer.status, answer.len, text),
                (200, 5, b"hello".to_vec())
            );
        }
        let chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n\
                       3;x=y\r\nllo\r\n0\r\nx: y\r\n\r\n";
        for (answer, text) in exchange(chunks, Want::Keep).await {
            assert_eq!((answer.len, text), (5, b"hello".to_vec()));
        }
        let refusal =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno";
        for (answer, text) in exchange(refusal, Want::Count).await {
            assert_eq!((answer.status, text), (403, b"no".to_vec()));
        }
    }

    #[tokio::test]
    async fn wrong_bytes_are_seen() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        for (first, all, right) in [
            ("he", "__llo", true),
            ("hx", "__llo", false),
            ("he", "__llx", false),
            ("he", "__llo!", false),
        ] {
            let want = Want::Compare(first.as_bytes(), all.as_bytes());
            for (answer, _) in exchange(answer, want).await {
                assert_eq!(answer.right, right, "{first} {all}");
            }
        }
    }
}
