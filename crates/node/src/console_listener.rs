//! The console's listener, and what the console asks of this process: its own S3 and admin APIs, by
//! signed requests over a connection in memory.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use access::{RequestFacts, Transport};
use admin::{data_dir::Running, failure::Failure};
use bytes::Bytes;
use cloud::Registry;
use console::{Api, Backend, Console, Discovered, Settings, Unanswered};
use gateway::{Gateway, SmallLimits, serve_small};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, client, server, service::service_fn};
use hyper_util::rt::TokioIo;
use listener::Listener;
use tokio::task::JoinHandle;
use types::{RegionId, deed::BoxFuture};

use crate::{
    admin_api::Admin,
    config::Config,
    issuers::Fetched,
    region::Region,
    sso::{Clients, ProviderConfig},
};

/// What a connection in memory holds.
const PIPE_BYTES: usize = 64 << 10;
/// How long an API may take.
const ANSWER_WAIT: Duration = Duration::from_secs(40);
/// Connections of browsers at once; each opens up to six.
const CONNECTIONS: usize = 512;

/// The APIs of this process.
pub struct Within {
    region: Arc<Region>,
    gateway: Arc<Gateway>,
    admin: Arc<Admin>,
    issuers: Arc<Fetched>,
    clients: Clients,
}

impl Within {
    /// Of this region.
    pub fn new(
        region: &Arc<Region>,
        gateway: &Arc<Gateway>,
        admin: &Arc<Admin>,
        (issuers, clients): (Arc<Fetched>, Clients),
    ) -> Self {
        Self {
            region: Arc::clone(region),
            gateway: Arc::clone(gateway),
            admin: Arc::clone(admin),
            issuers,
            clients,
        }
    }
}

fn no_provider() -> Unanswered {
    Unanswered("there is no such provider".into())
}

/// What the console is to know of this region; it is reached at `address`.
fn settings(
    (config, running): (&Config, &Running),
    address: &str,
    region: &RegionId,
) -> Result<Settings, Failure> {
    let console = &config.console;
    let base = &*console.base_path;
    let endpoint = config.cloud.endpoint.as_ref().unwrap_or(&running.endpoint);
    let endpoint = endpoint.trim_end_matches('/');
    let data = console.data_origin.as_deref();
    let providers = console.oidc.iter().map(ProviderConfig::provider);
    Ok(Settings {
        origin: address.strip_suffix(base).unwrap_or(address).to_owned(),
        base: base.to_owned(),
        data_origin: data.unwrap_or(endpoint).to_owned(),
        region: region.clone(),
        idle_s: console.idle_s,
        absolute_s: console.absolute_s,
        proof_s: console.proof_s,
        providers: providers.collect::<Result<_, _>>()?,
    })
}

/// Makes the console and serves it until `shutdown` resolves, if there is to be one. The task has a
/// name for the log.
pub fn start(
    (config, running): (&Config, &Running),
    within: Within,
    listener: Option<Listener>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<Option<(&'static str, JoinHandle<()>)>, Failure> {
    let Some((listener, address)) = listener.zip(running.console.as_deref()) else {
        return Ok(None);
    };
    let base = config.console.base_path.clone();
    let settings = settings((config, running), address, &within.region.id)?;
    let transport = match listener.tls.is_some() {
        true => Transport::Tls,
        false => Transport::Clear,
    };
    let proxies = config.proxies.proxies();
    let region = &within.region;
    let (clock, random) = (Arc::clone(&region.clock), Arc::clone(&region.random));
    let console = Console::new(settings, Arc::new(within), clock, random);
    let limits = SmallLimits {
        connections: CONNECTIONS,
        ..SmallLimits::default()
    };
    let at_end = Arc::clone(&console);
    let answer = move |from: SocketAddr, request: Request<Incoming>| {
        let console = Arc::clone(&console);
        let direct = RequestFacts::of_connection(Some(from.ip()), transport)
            .with_tls(request.extensions().get().copied());
        // As at the S3 listener: only a proxy that is named says for whom it speaks.
        let facts = match proxies.trusts(from.ip()) {
            true => gateway::forwarded_facts(request.headers(), direct, &proxies),
            false => direct,
        };
        // Browsers and the command line sign in with a signature for S3, at paths that no bucket
        // has.
        let path = request.uri().path();
        let path = path.strip_prefix(&*base).unwrap_or(path);
        let signs_in = path.starts_with("/-/");
        let is_s3 = || gateway::not_s3(request.headers(), "the console, for browsers");
        let strayed = if signs_in { None } else { is_s3() };
        async move {
            match strayed {
                Some(body) => {
                    let mut answer = Response::new(console::whole(body));
                    *answer.status_mut() = http::StatusCode::BAD_REQUEST;
                    answer
                }
                None => console.answer(from, request, facts).await,
            }
        }
    };
    let serving = async move {
        serve_small(limits, listener, answer, shutdown).await;
        at_end.put_rest_on_record().await;
    };
    Ok(Some(("the console", tokio::spawn(serving))))
}

impl Backend for Within {
    fn registry(&self) -> &Registry {
        &self.region.registry
    }

    fn keeper(&self) -> String {
        match self.region.registry.keeps() {
            true => self.region.id.to_string(),
            false => self.region.link.membership.keeper.clone(),
        }
    }

    fn discover(&self, nth: usize) -> BoxFuture<'_, Result<Discovered, Unanswered>> {
        Box::pin(async move {
            let (issuer, _) = self.clients.nth(nth).ok_or_else(no_provider)?;
            let failed = |why: iam::NoKeys| Unanswered(why.to_string());
            let found = self.issuers.discovered(issuer).await.map_err(failed)?;
            Ok(Discovered {
                authorization_endpoint: found.signs_in_at().map_err(failed)?.to_owned(),
                names_itself: found.authorization_response_iss_parameter_supported,
            })
        })
    }

    fn redeem<'a>(
        &'a self,
        nth: usize,
        form: &'a [(&'a str, &'a str)],
    ) -> BoxFuture<'a, Result<String, Unanswered>> {
        Box::pin(async move {
            let (issuer, client) = self.clients.nth(nth).ok_or_else(no_provider)?;
            let redeemed = self.issuers.redeem(issuer, &client, form).await;
            redeemed.map_err(|why| Unanswered(why.to_string()))
        })
    }

    fn ask<'a>(
        &'a self,
        api: Api,
        request: Request<Bytes>,
        facts: RequestFacts,
        most: usize,
    ) -> BoxFuture<'a, Result<Response<Bytes>, Unanswered>> {
        let (gateway, admin) = (Arc::clone(&self.gateway), Arc::clone(&self.admin));
        Box::pin(async move {
            let asking = async move {
                match api {
                    Api::S3 => {
                        let answer = move |request| {
                            let gateway = Arc::clone(&gateway);
                            async move {
                                Ok::<_, Infallible>(gateway.respond_within(request, facts).await)
                            }
                        };
                        exchange(request, answer, most).await
                    }
                    Api::Admin => {
                        let from = facts.source;
                        let answer = move |request| {
                            let admin = Arc::clone(&admin);
                            async move { Ok::<_, Infallible>(admin.answer(request, from).await) }
                        };
                        exchange(request, answer, most).await
                    }
                }
            };
            // A browser that leaves does not end a change half way.
            let asked = tokio::spawn(tokio::time::timeout(ANSWER_WAIT, asking));
            match asked.await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(Unanswered("the API does not answer in time".into())),
                Err(error) => Err(Unanswered(error.to_string())),
            }
        })
    }
}

/// One request and its answer, over a connection of its own: the APIs read bodies as they come from
/// a connection, and nothing else.
async fn exchange<F, A, B>(
    request: Request<Bytes>,
    answer: F,
    most: usize,
) -> Result<Response<Bytes>, Unanswered>
where
    F: Fn(Request<Incoming>) -> A + Send + 'static,
    A: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let broken = |error: hyper::Error| Unanswered(error.to_string());
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let serving = server::conn::http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(far), service_fn(answer));
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(near))
        .await
        .map_err(broken)?;
    let reading = async {
        let (parts, body) = sender
            .send_request(request.map(Full::new))
            .await
            .map_err(broken)?
            .into_parts();
        let body = Limited::new(body, most).collect().await;
        let body = body.map_err(|error| Unanswered(error.to_string()))?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    };
    let ends = async {
        let _ = tokio::join!(serving, connection);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = reading => answer,
        () = ends => Err(Unanswered("the connection ended".into())),
    }
}
