//! Where to and as whom: from the arguments, or from the data folder of a running Dhow.

use std::{net::ToSocketAddrs, path::Path};

use listener::{Connector, Trust};
use serde_json::Value;

use crate::{BenchArgs, BenchError, Target};

/// The files in a data folder that may name the endpoint and the keys.
const FILES: [&str; 2] = ["running.json", "credentials.json"];

pub(crate) fn find(args: &BenchArgs) -> Result<Target, BenchError> {
    let wrong = |text: String| BenchError::Target(text);
    let found = args.data.as_deref().map(read).unwrap_or_default();
    let field = |given: &Option<String>, name: &str| {
        let from_file = || {
            found
                .iter()
                .find_map(|v| v.get(name)?.as_str().map(str::to_owned))
        };
        given.clone().or_else(from_file)
    };
    let endpoint = field(&args.endpoint, "endpoint")
        .ok_or_else(|| wrong("say where to: --endpoint URL, or --data DIR of a Dhow".into()))?;
    let (scheme, host) = endpoint
        .split_once("://")
        .filter(|(scheme, _)| ["http", "https"].contains(scheme))
        .ok_or_else(|| {
            wrong(format!(
                "{endpoint:?} does not start with http:// or https://"
            ))
        })?;
    let host = host.trim_end_matches('/').to_owned();
    let has_port = host.rfind(':') > host.rfind(']');
    let port = if scheme == "https" { 443 } else { 80 };
    let with_port = match has_port {
        true => host.clone(),
        false => format!("{host}:{port}"),
    };
    let tls = match scheme == "https" {
        true => {
            let (name, _) = with_port.rsplit_once(':').unwrap_or((&host, ""));
            let known = found.iter().find_map(|v| v.get("certificate")?.as_str());
            // Only of the endpoint that the same file names.
            let known = known.filter(|_| args.endpoint.is_none());
            let trust = known.map(|path| Trust::Certificate(path.into()));
            let trust = trust.unwrap_or_else(Trust::configured);
            let tls = Connector::new(name.trim_matches(['[', ']']), &trust);
            Some(tls.map_err(|error| wrong(error.to_string()))?)
        }
        false => None,
    };
    let address = with_port
        .to_socket_addrs()
        .map_err(|e| wrong(format!("cannot find {host}: {e}")))?
        .next()
        .ok_or_else(|| wrong(format!("{host} has no address")))?;
    let keys = if args.anonymous {
        None
    } else {
        let need = |name: &str| wrong(format!("say as whom: --{name}, or --data DIR of a Dhow"));
        Some((
            field(&args.access_key, "access_key").ok_or_else(|| need("access-key"))?,
            field(&args.secret_key, "secret_key").ok_or_else(|| need("secret-key"))?,
            field(&args.region, "region").unwrap_or_else(|| "us-east-1".to_owned()),
        ))
    };
    Ok(Target {
        address,
        host,
        tls,
        keys,
    })
}

/// What the files of a data folder say; files that are not there say nothing.
fn read(folder: &Path) -> Vec<Value> {
    FILES
        .iter()
        .filter_map(|name| std::fs::read(folder.join(name)).ok())
        .filter_map(|bytes| serde_json::from_slice(&bytes).ok())
        .collect()
}
