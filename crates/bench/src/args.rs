//! What can be asked for on the command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};
use listener::Connector;
use serde::Serialize;

/// What to do again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// Store new objects.
    Put,
    /// Read preloaded objects at random.
    Get,
    /// Ask for the headers of preloaded objects at random.
    Head,
    /// List pages of 1000 keys, each from a random key on.
    List,
    /// Delete preloaded objects, each once.
    Delete,
    /// 85 % reads, 15 % writes.
    Mixed,
}

/// Measures an S3 endpoint: sends requests over some connections, each as soon as the last is
/// answered, and reports rates and latencies.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// What to do
    #[arg(value_enum, default_value = "mixed")]
    pub op: Op,
    /// Size of an object, such as 4KiB or 64MiB
    #[arg(long, default_value = "4KiB", value_parser = parse_size)]
    pub size: u64,
    /// Connections, each with one request at a time
    #[arg(long, short = 'c', default_value_t = 32,
        value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub connections: u32,
    /// How long, such as 10s, 500ms or 2m
    #[arg(long, default_value = "10s", value_parser = parse_time)]
    pub time: std::time::Duration,
    /// Requests a second over all connections, at most; without it each connection sends its next
    /// request as soon as the last is answered
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: Option<u32>,
    /// Stop after so many requests, instead of a time
    #[arg(long, conflicts_with = "time")]
    pub requests: Option<u64>,
    /// Objects to store beforehand for get, head, list, delete and mixed; 0 uses what an earlier
    /// run with --keep left there
    #[arg(long, default_value_t = 1000)]
    pub objects: u64,
    /// How many objects an earlier run left, with --objects 0
    #[arg(long, default_value_t = 1000)]
    pub existing: u64,
    /// The bucket; created if it is not there
    #[arg(long, default_value = "dhow-bench")]
    pub bucket: String,
    /// Start of every key
    #[arg(long, default_value = "bench/")]
    pub prefix: String,
    /// Leave the objects where they are; otherwise they are deleted at the end
    #[arg(long)]
    pub keep: bool,
    /// The endpoint, such as http://127.0.0.1:9000 or https://localhost:9000. Authorities are trusted
    /// as AWS_CA_BUNDLE or SSL_CERT_FILE say, or the system's
    #[arg(long)]
    pub endpoint: Option<String>,
    /// The access key
    #[arg(long, env = "AWS_ACCESS_KEY_ID")]
    pub access_key: Option<String>,
    /// The secret key
    #[arg(
        long,
        env = "AWS_SECRET_ACCESS_KEY",
        hide_env_values = true,
        allow_hyphen_values = true
    )]
    pub secret_key: Option<String>,
    /// The token of a session, which goes with its keys
    #[arg(long, env = "AWS_SESSION_TOKEN", hide_env_values = true)]
    pub session_token: Option<String>,
    /// The region to sign for
    #[arg(long, env = "AWS_REGION")]
    pub region: Option<String>,
    /// The data folder of a running Dhow, for its endpoint and keys
    #[arg(long, env = "DHOW_DATA")]
    pub data: Option<PathBuf>,
    /// Do not sign, for a plain web server
    #[arg(long)]
    pub anonymous: bool,
    /// Check that every byte read is the byte stored
    #[arg(long)]
    pub verify: bool,
    /// Threads of the client; one serves a hundred thousand small requests a second
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Where to and as whom.
#[derive(Debug, Clone)]
pub struct Target {
    /// The address to connect to.
    pub address: SocketAddr,
    /// The `Host` header.
    pub host: String,
    /// Where the endpoint speaks TLS.
    pub tls: Option<Connector>,
    /// Access key, secret key and region; `None` does not sign.
    pub keys: Option<(String, String, String)>,
}

/// Reads `4096`, `4KiB`, `64MiB`, `1GiB` (powers of 1024; `K`, `KB` mean the same).
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number
        .parse()
        .map_err(|_| format!("{text:?} is not a size, try 4KiB"))?;
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err(format!("{unit:?} is not a unit, try KiB, MiB or GiB")),
    };
    let size = number.checked_mul(1 << shift).filter(|s| *s <= 5 << 30);
    size.ok_or_else(|| "an object has at most 5 GiB".to_owned())
}

/// Reads `10s`, `500ms`, `2m`; seconds without a unit.
pub fn parse_time(text: &str) -> Result<std::time::Duration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number
        .parse()
        .map_err(|_| format!("{text:?} is not a time, try 10s"))?;
    let ms = match unit {
        "ms" => number,
        "" | "s" => number.saturating_mul(1000),
        "m" => number.saturating_mul(60_000),
        _ => return Err(format!("{unit:?} is not a unit, try ms, s or m")),
    };
    Ok(std::time::Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read() {
        assert_eq!(parse_size("4KiB"), Ok(4096));
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size("17"), Ok(17));
        assert!(parse_size("6GiB").is_err() && parse_size("x").is_err());
        assert_eq!(parse_time("500ms").map(|t| t.as_millis()), Ok(500));
        assert_eq!(parse_time("2m").map(|t| t.as_secs()), Ok(120));
        assert!(parse_time("2h").is_err());
    }
}
