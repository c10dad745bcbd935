//! What `x-amz-content-sha256` says about the body.

use super::SignatureError;

/// How the body is to be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadMode {
    /// The body has this SHA-256.
    Sha256([u8; 32]),
    /// `UNSIGNED-PAYLOAD`, or a presigned request that says nothing.
    Unsigned,
    /// `STREAMING-AWS4-HMAC-SHA256-PAYLOAD`, with `-TRAILER` or without.
    StreamingSigned {
        /// Whether a signed trailer follows.
        trailer: bool,
    },
    /// `STREAMING-UNSIGNED-PAYLOAD-TRAILER`.
    StreamingUnsigned,
}

impl PayloadMode {
    /// Reads the value of `x-amz-content-sha256`.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let unknown = || SignatureError::PayloadMode(text.to_owned());
        Ok(match text {
            "UNSIGNED-PAYLOAD" => Self::Unsigned,
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Self::StreamingSigned { trailer: false },
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Self::StreamingSigned { trailer: true },
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Self::StreamingUnsigned,
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"
            | "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER" => {
                return Err(SignatureError::NotImplemented(
                    "AWS4-ECDSA-P256-SHA256 signing of payloads",
                ));
            }
            _ if text.len() == 64 => {
                let mut digest = [0; 32];
                hex::decode_to_slice(text, &mut digest).map_err(|_| unknown())?;
                Self::Sha256(digest)
            }
            _ => return Err(unknown()),
        })
    }

    /// Whether a trailer may follow.
    pub const fn has_trailer(self) -> bool {
        matches!(
            self,
            Self::StreamingSigned { trailer: true } | Self::StreamingUnsigned
        )
    }

    /// Whether the body is framed as aws-chunked.
    pub const fn is_chunked(self) -> bool {
        matches!(self, Self::StreamingSigned { .. } | Self::StreamingUnsigned)
    }
}
