//! What every listing shares: a forward cursor over rows that can skip, the rule of common
//! prefixes, and the token that continues a page.
//!
//! A page costs what it shows: whatever is behind a common prefix is skipped by seeking, never
//! read. Only delete markers are read without being shown.

use access::{Action, Permit};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use store::{Index, PartitionId, Row, ScanRange, StoreResult, prefix_end};
use types::{BucketId, limits::PAGE_KEYS_MAX};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    Error, Result,
    bucket::{check_key, deed, partition_of},
};

/// Rows that are read at first after a seek; it grows while they are used up.
const ROWS_AFTER_SEEK: usize = 8;
/// Most rows of one read: a full page and the row that shows whether there are more.
const ROWS_MAX: usize = PAGE_KEYS_MAX + 1;

/// The partition of the permit's bucket, if the permit is for `action` on the keys under `prefix`.
pub(crate) fn partition(permit: &Permit, action: Action, prefix: &str) -> Result<PartitionId> {
    let deed = deed(permit, &[action])?;
    check_key(permit, permit.covers_under(prefix))?;
    Ok(partition_of(deed))
}

/// Which keys a listing shows, and where it begins.
#[derive(Debug, Clone, Copy, Default)]
pub struct ListRequest<'a> {
    /// Only keys that begin with it.
    pub prefix: &'a str,
    /// Keys that have it behind the prefix are shown as one common prefix, which ends with it;
    /// empty for none. Any string, of any length.
    pub delimiter: &'a str,
    /// Only keys and common prefixes behind it.
    pub after: Option<&'a str>,
    /// Most keys and common prefixes together; at most 1000 are shown whatever it says.
    pub limit: usize,
}

impl ListRequest<'_> {
    /// How many items the page may have.
    pub(crate) fn page(&self) -> usize {
        self.limit.min(PAGE_KEYS_MAX)
    }

    pub(crate) fn grouping(&self) -> Grouping<'_> {
        Grouping {
            prefix: self.prefix.as_bytes(),
            delimiter: self.delimiter.as_bytes(),
        }
    }
}

/// The rule of common prefixes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grouping<'a> {
    prefix: &'a [u8],
    delimiter: &'a [u8],
}

impl Grouping<'_> {
    /// The length of the common prefix that is shown in place of `key`, which begins with the
    /// prefix; `None` when the key is shown itself.
    pub(crate) fn common_prefix(&self, key: &[u8]) -> Option<usize> {
        let rest = key.get(self.prefix.len()..)?;
        let at = match self.delimiter {
            [] => return None,
            [one] => rest.iter().position(|b| b == one)?,
            many => rest.windows(many.len()).position(|w| w == many)?,
        };
        Some(self.prefix.len() + at + self.delimiter.len())
    }

    /// Whether `after`, the last item of a page, was a common prefix: then all keys below it have
    /// been shown.
    pub(crate) fn is_common_prefix(&self, after: &[u8]) -> bool {
        after.starts_with(self.prefix) && self.common_prefix(after) == Some(after.len())
    }

    /// The first key that may be shown after `after`; `None` when there can be none.
    pub(crate) fn start(&self, after: Option<&[u8]>) -> Option<Bytes> {
        let Some(after) = after.filter(|a| *a >= self.prefix) else {
            return Some(Bytes::copy_from_slice(self.prefix));
        };
        if self.is_common_prefix(after) {
            return prefix_end(after);
        }
        Some([after, &[0]].concat().into())
    }
}

/// Walks rows in order of their keys, reading them in batches, and skips forward.
pub(crate) struct Cursor<'a> {
    index: &'a dyn Index,
    partition: PartitionId,
    end: Option<Bytes>,
    /// Where the next read begins; `None` when all has been read.
    next: Option<Bytes>,
    rows: std::vec::IntoIter<(Bytes, Row)>,
    batch: usize,
}

impl<'a> Cursor<'a> {
    /// Over `range`; reads `batch` rows at first.
    pub(crate) fn new(
        index: &'a dyn Index,
        partition: PartitionId,
        range: ScanRange,
        batch: usize,
    ) -> Self {
        let ScanRange { start, end } = range;
        let empty = end.as_ref().is_some_and(|end| start >= *end);
        Self {
            index,
            partition,
            end,
            next: Some(start).filter(|_| !empty),
            rows: Vec::new().into_iter(),
            batch: batch.clamp(1, ROWS_MAX),
        }
    }

    /// The row at the cursor.
    pub(crate) async fn peek(&mut self) -> StoreResult<Option<&(Bytes, Row)>> {
        if self.rows.as_slice().is_empty() {
            self.fill().await?;
        }
        Ok(self.rows.as_slice().first())
    }

    /// Takes the row at the cursor and moves the cursor behind it.
    pub(crate) async fn next(&mut self) -> StoreResult<Option<(Bytes, Row)>> {
        if self.rows.as_slice().is_empty() {
            self.fill().await?;
        }
        Ok(self.rows.next())
    }

    /// Whether the next step has to read.
    pub(crate) fn is_drained(&self) -> bool {
        self.rows.as_slice().is_empty() && self.next.is_some()
    }

    /// Drops what has been read ahead, so that it is read again.
    pub(crate) fn refresh(&mut self) {
        if let Some((key, _)) = self.rows.as_slice().first() {
            self.next = Some(key.clone());
            self.rows = Vec::new().into_iter();
        }
    }

    /// Steps to the first row that is not before `to`; never backwards. `None` is the end.
    pub(crate) fn seek(&mut self, to: Option<Bytes>) {
        let Some(to) = to else {
            self.rows = Vec::new().into_iter();
            self.next = None;
            return;
        };
        let rows = self.rows.as_slice();
        let skip = rows.partition_point(|(key, _)| *key < to);
        let all = skip == rows.len();
        if skip > 0 {
            self.rows.nth(skip - 1);
        }
        if all && self.next.as_ref().is_some_and(|next| *next < to) {
            let ended = self.end.as_ref().is_some_and(|end| to >= *end);
            self.next = Some(to).filter(|_| !ended);
            self.batch = ROWS_AFTER_SEEK;
        }
    }

    async fn fill(&mut self) -> StoreResult<()> {
        let Some(start) = self.next.take() else {
            return Ok(());
        };
        let range = ScanRange::new(start, self.end.clone());
        let rows = self.index.scan(self.partition, range, self.batch).await?;
        if rows.len() == self.batch {
            self.next = rows.last().map(|(key, _)| after(key));
        }
        self.batch = (self.batch * 4).min(ROWS_MAX);
        self.rows = rows.into_iter();
        Ok(())
    }
}

/// The first key behind `key`.
pub(crate) fn after(key: &[u8]) -> Bytes {
    [key, &[0]].concat().into()
}

/// Collects the items of a page and knows when it is full.
pub(crate) struct Page<T> {
    /// What is shown one by one.
    pub items: Vec<T>,
    /// The common prefixes: each is shown in place of many keys.
    pub prefixes: Vec<Bytes>,
    limit: usize,
}

impl<T> Page<T> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            items: Vec::with_capacity(limit.min(PAGE_KEYS_MAX)),
            prefixes: Vec::new(),
            limit,
        }
    }

    /// Whether one more item makes the page overflow.
    pub(crate) fn is_full(&self) -> bool {
        self.items.len() + self.prefixes.len() >= self.limit
    }
}

/// Version of the token's layout.
const TOKEN_VERSION: u8 = 1;

/// The opaque text that continues a listing of `bucket` behind `after`: base64url of a version
/// byte, a hash over bucket, request and position, and the position.
pub fn continuation_token(bucket: BucketId, request: &ListRequest<'_>, after: &str) -> String {
    let hash = token_hash(bucket, request, after.as_bytes()).to_be_bytes();
    URL_SAFE_NO_PAD.encode([&[TOKEN_VERSION], &hash[..], after.as_bytes()].concat())
}

/// Reads what [`continuation_token`] wrote for a listing of the same bucket with the same prefix
/// and delimiter; anything else is `InvalidArgument`.
pub fn read_continuation_token(
    bucket: BucketId,
    request: &ListRequest<'_>,
    token: &str,
) -> Result<String> {
    read_token(bucket, request, token).ok_or_else(|| {
        Error::InvalidArgument("The continuation token provided is incorrect".to_owned())
    })
}

fn read_token(bucket: BucketId, request: &ListRequest<'_>, token: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (version, rest) = bytes.split_first()?;
    let (hash, after) = rest.split_first_chunk::<8>()?;
    let good = *version == TOKEN_VERSION
        && u64::from_be_bytes(*hash) == token_hash(bucket, request, after);
    good.then(|| String::from_utf8(after.to_vec()).ok())?
}

// Against mix-ups, not against forgery: whoever can list a bucket may start wherever they like.
fn token_hash(bucket: BucketId, request: &ListRequest<'_>, after: &[u8]) -> u64 {
    let len = |text: &str| (text.len() as u64).to_be_bytes();
    xxh3_64(
        &[
            &bucket.0.to_be_bytes()[..],
            &len(request.prefix),
            request.prefix.as_bytes(),
            &len(request.delimiter),
            request.delimiter.as_bytes(),
            after,
        ]
        .concat(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{Batch, memory::Memory};

    fn request<'a>(prefix: &'a str, delimiter: &'a str) -> ListRequest<'a> {
        ListRequest {
            prefix,
            delimiter,
            after: None,
            limit: 1000,
        }
    }

    #[test]
    fn common_prefixes_end_with_the_delimiter() {
        for (prefix, delimiter, key, expect) in [
            ("", "/", "a/b", Some("a/")),
            ("", "/", "a", None),
            ("a/", "/", "a/", None),
            ("a/", "/", "a/b", None),
            ("a/", "/", "a/b/c", Some("a/b/")),
            ("a", "/", "a/b", Some("a/")),
            ("", "", "a/b", None),
            ("", "--", "a-b--c", Some("a-b--")),
            ("", "--", "a-", None),
            ("", "ü", "xüy", Some("xü")),
            ("a/", "a/", "a/a/", Some("a/a/")),
        ] {
            let got = request(prefix, delimiter)
                .grouping()
                .common_prefix(key.as_bytes())
                .map(|n| &key[..n]);
            assert_eq!(got, expect, "{prefix:?} {delimiter:?} {key:?}");
        }
    }

    #[test]
    fn a_page_goes_on_behind_a_key_or_a_whole_common_prefix() {
        let start = |prefix, delimiter, after: Option<&str>| {
            request(prefix, delimiter)
                .grouping()
                .start(after.map(str::as_bytes))
        };
        assert_eq!(start("p", "/", None).unwrap(), "p");
        assert_eq!(start("p", "/", Some("a")).unwrap(), "p");
        assert_eq!(start("p", "/", Some("pa")).unwrap(), "pa\0");
        assert_eq!(start("p", "/", Some("pa/")).unwrap(), "pa0");
        assert_eq!(start("pa/", "/", Some("pa/")).unwrap(), "pa/\0");
        assert_eq!(start("p", "/", Some("pa/b")).unwrap(), "pa/b\0");
    }

    #[test]
    fn tokens_fit_only_the_listing_that_gave_them() {
        let asked = request("p", "/");
        let token = continuation_token(BucketId(1), &asked, "pä/");
        let read =
            |bucket, request: &ListRequest<'_>, token: &str| read_token(bucket, request, token);
        assert_eq!(read(BucketId(1), &asked, &token).unwrap(), "pä/");
        assert_eq!(read(BucketId(2), &asked, &token), None);
        assert_eq!(read(BucketId(1), &request("", "/"), &token), None);
        assert_eq!(read(BucketId(1), &request("p", ""), &token), None);
        for at in 0..token.len() {
            let mut bad = token.clone().into_bytes();
            bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
            let bad = String::from_utf8(bad).unwrap();
            assert_eq!(read(BucketId(1), &asked, &bad), None, "{at}");
        }
        for bad in ["", "AQ", "!!!!", "bWFyaw=="] {
            assert!(read_continuation_token(BucketId(1), &asked, bad).is_err());
        }
    }

    #[tokio::test]
    async fn a_cursor_sees_each_row_once_and_skips_forward() {
        let engine = Memory::engine();
        let partition = PartitionId(1);
        let mut batch = Batch::new();
        for n in 0..500u32 {
            batch = batch.put(format!("k{n:04}"), "v");
        }
        engine.index.commit(partition, batch).await.unwrap();
        let range = ScanRange::prefix(b"k");
        let mut cursor = Cursor::new(&*engine.index, partition, range, 3);
        let mut seen = Vec::new();
        while let Some((key, _)) = cursor.next().await.unwrap() {
            let n: u32 = std::str::from_utf8(&key[1..]).unwrap().parse().unwrap();
            seen.push(n);
            if n % 10 == 5 {
                cursor.seek(Some(format!("k{:04}", n / 10 * 10 + 10).into()));
                cursor.seek(Some("k0000".into()));
            }
        }
        let expect: Vec<u32> = (0..500).filter(|n| n % 10 <= 5).collect();
        assert_eq!(seen, expect);
        assert!(cursor.peek().await.unwrap().is_none());
    }
}
