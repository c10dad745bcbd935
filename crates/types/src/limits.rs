//! Numbers that S3 fixes, with their source in the S3 user guide ("Amazon S3 multipart upload
//! limits", "Object metadata", "General purpose bucket naming rules"). Units are in the names.

/// Longest object key, in bytes of UTF-8.
pub const KEY_BYTES_MAX: usize = 1024;
/// Largest body of one PUT, of one part, and of one CopyObject source: 5 GiB.
pub const PUT_BYTES_MAX: u64 = 5 << 30;
/// Largest object put together from parts: 5 TiB.
pub const OBJECT_BYTES_MAX: u64 = 5 << 40;
/// Smallest part, but for the last: 5 MiB.
pub const PART_BYTES_MIN: u64 = 5 << 20;
/// Highest part number.
pub const PART_NUMBER_MAX: u16 = 10_000;
/// Largest page of any listing, and most keys in one DeleteObjects.
pub const PAGE_KEYS_MAX: usize = 1000;
/// User metadata: sum of the bytes of names (without `x-amz-meta-`) and values.
pub const USER_METADATA_BYTES_MAX: usize = 2048;
/// Tags of one object.
pub const OBJECT_TAGS_MAX: usize = 10;
/// Tags of one bucket.
pub const BUCKET_TAGS_MAX: usize = 50;
/// Longest tag key, in characters.
pub const TAG_KEY_CHARS_MAX: usize = 128;
/// Longest tag value, in characters.
pub const TAG_VALUE_CHARS_MAX: usize = 256;
/// Largest XML request body that is read into memory, for most operations.
pub const XML_BYTES_MAX: usize = 1 << 20;
/// Largest XML request body of operations whose legal requests are larger: a DeleteObjects of 1000
/// keys of 1024 bytes that are all escaped as `&quot;` has 6.4 MB, a CompleteMultipartUpload of
/// 10,000 parts with ten checksums each and indented 7.6 MB.
pub const LARGE_XML_BYTES_MAX: usize = 8 << 20;
/// Buckets of one account in the regions of one operator; S3's default quota of an account.
pub const BUCKETS_PER_ACCOUNT_MAX: usize = 10_000;
/// How far a request's time may differ from ours, in seconds.
pub const CLOCK_SKEW_S_MAX: u64 = 15 * 60;
/// Longest life of a presigned URL, in seconds (7 days).
pub const PRESIGN_S_MAX: u64 = 604_800;
