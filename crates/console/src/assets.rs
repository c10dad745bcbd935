//! Style sheet, scripts and icon. Their names have the digest of their bytes, so browsers keep them
//! for good.

use bytes::Bytes;
use flate2::Compression;
use http::{HeaderValue, Response, header};

use crate::reply::gzip;

/// Below this path.
pub const PREFIX: &str = "/-/a/";

struct Asset {
    name: &'static str,
    path: String,
    kind: &'static str,
    bytes: &'static [u8],
    packed: Bytes,
}

/// All of them.
pub struct Assets(Vec<Asset>);

macro_rules! files {
    ($($name:literal $kind:literal;)*) => {
        [$(($name, $kind, include_bytes!(concat!("../assets/", $name)).as_slice())),*]
    };
}

impl Assets {
    /// Names and compresses them.
    pub fn new() -> Self {
        let files = files! {
            "console.css" "text/css; charset=utf-8";
            "app.js" "text/javascript; charset=utf-8";
            "again.js" "text/javascript; charset=utf-8";
            "jobs.js" "text/javascript; charset=utf-8";
            "live.js" "text/javascript; charset=utf-8";
            "signin.js" "text/javascript; charset=utf-8";
            "upload.js" "text/javascript; charset=utf-8";
            "icon.svg" "image/svg+xml";
        };
        let all = files.into_iter().map(|(name, kind, bytes)| {
            let digest = access::sign::payload_sha256(bytes);
            let digest = digest.get(..16).unwrap_or_default();
            Asset {
                name,
                path: format!("{PREFIX}{digest}/{name}"),
                kind,
                bytes,
                packed: gzip(bytes, Compression::best()).unwrap_or_default().into(),
            }
        });
        Self(all.collect())
    }

    /// The path of one.
    pub fn path(&self, name: &str) -> &str {
        let found = self.0.iter().find(|asset| asset.name == name);
        found.map_or("", |asset| &asset.path)
    }

    /// The answer for a path.
    pub fn answer(&self, path: &str, gzips: bool) -> Option<Response<Bytes>> {
        let asset = self.0.iter().find(|asset| asset.path == path)?;
        let packed = gzips && !asset.packed.is_empty();
        let mut answer = Response::new(match packed {
            true => asset.packed.clone(),
            false => Bytes::from_static(asset.bytes),
        });
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
        let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
        headers.insert(header::CACHE_CONTROL, forever);
        if packed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_and_styles_together_are_small() {
        let all: usize = Assets::new().0.iter().map(|asset| asset.packed.len()).sum();
        assert!(all < 60 << 10, "{all} bytes");
    }

    #[test]
    fn a_path_with_another_digest_is_none() {
        let assets = Assets::new();
        let path = assets.path("app.js");
        assert!(assets.answer(path, true).is_some());
        assert!(
            assets
                .answer("/-/a/0000000000000000/app.js", true)
                .is_none()
        );
        assert!(assets.answer(&format!("{path}/"), true).is_none());
    }
}
