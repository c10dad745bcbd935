//! The web console of a region: pages for people, made here and sent as HTML.
//!
//! It has no right of its own. A session holds an access key's id, and the token of a session of
//! STS where somebody came by single sign-on; each page asks the S3 and admin APIs of its own
//! region, in this process, with requests that are signed with the region's signing key of that
//! access key. So whatever these APIs refuse, a page refuses, and a key that was disabled or an
//! account that was suspended ends the session with the next request.
//!
//! **To add a page:** write `pages/NAME.rs` with `async fn show(call: &Call<'_>) -> Answer`, name
//! it in `pages/mod.rs`, and add one row to the table in `routes.rs` (path, who may, a name in the
//! menu). Menu, refusals and the tests of every route and role follow from the row. A page asks for
//! data with [`call::Call::s3`] and [`call::Call::admin`], writes every text of ours with `call.t`,
//! every text of a user with `ui::text::name`, and every link with [`ui::href::Href`].
//!
//! Invariants: knows no secret; depends on nothing of the gateway; each text of a user is escaped
//! and shown with its control characters visible; no page refers to another host than the console
//! and the data endpoint of its region.

mod assets;
mod audit_check;
mod backend;
mod base;
mod brakes;
mod call;
mod fault;
mod fields;
mod jobs;
mod links;
mod pages;
mod reply;
mod routes;
mod s3;
mod serve;
mod session;
mod shares;
mod sign_ins;
mod signin;
mod sso;
mod turns;
mod ui;
mod words;
mod zip;

use std::sync::{Arc, Weak};

use types::{Clock, Random, RegionId};

use self::{
    assets::Assets, brakes::Brakes, jobs::Jobs, links::Links, session::Sessions, signin::Challenges,
};
pub use self::{
    backend::{Api, Backend, Discovered, Unanswered},
    reply::{Body, whole},
    serve::SESSION_PATH,
    sso::{Provider, RoleOf},
};

/// Zip files that are on their way at once, and of one account.
const ZIPS: usize = 8;
const ZIPS_OF_ACCOUNT: usize = 2;

/// How a console is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where browsers reach it: `https://console.example.net`, without a slash at the end.
    pub origin: String,
    /// The path at `origin` that it is below: empty, or `/ops`, without a slash at the end.
    pub base: String,
    /// Where browsers reach the S3 endpoint of this region, in the same form.
    pub data_origin: String,
    /// The region.
    pub region: RegionId,
    /// Seconds without a request after which a session ends.
    pub idle_s: u64,
    /// Seconds after which a session ends in any case.
    pub absolute_s: u64,
    /// Seconds after which the key signs again before what is dangerous.
    pub proof_s: u64,
    /// Where people sign in beside access keys.
    pub providers: Vec<Provider>,
}

/// The console of one region.
pub struct Console {
    pub(crate) settings: Settings,
    /// `origin` without its scheme: what `Host` must say.
    pub(crate) host: String,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) sessions: Sessions,
    pub(crate) challenges: Challenges,
    pub(crate) links: Links,
    /// Links to share that were made here.
    pub(crate) shares: shares::Shares,
    /// For what a single sign-on sends by the browser.
    pub(crate) flows: sso::Flows,
    pub(crate) jobs: Jobs,
    /// For jobs, which go on when their request has ended.
    pub(crate) own: Weak<Self>,
    pub(crate) brakes: Brakes,
    /// Verifications of the audit log.
    pub(crate) audit_checks: audit_check::Checks,
    /// Sign-ins for the audit log.
    pub(crate) sign_ins: sign_ins::SignIns,
    pub(crate) turns: turns::Turns,
    /// For zip files, which take long.
    pub(crate) zips: turns::Turns,
    pub(crate) assets: Assets,
}

impl Console {
    /// Puts it together.
    pub fn new(
        settings: Settings,
        backend: Arc<dyn Backend>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Arc<Self> {
        let host = settings.origin.split_once("://");
        let host = host.map_or("", |(_, host)| host).to_owned();
        Arc::new_cyclic(|own| Self {
            host,
            sessions: Sessions::new(settings.idle_s, settings.absolute_s),
            challenges: Challenges::default(),
            links: Links::default(),
            shares: shares::Shares::default(),
            flows: sso::Flows::new(&*random),
            jobs: Jobs::default(),
            own: own.clone(),
            brakes: Brakes::default(),
            audit_checks: audit_check::Checks::default(),
            sign_ins: sign_ins::SignIns::default(),
            turns: turns::Turns::new(),
            zips: turns::Turns::of(ZIPS, ZIPS_OF_ACCOUNT),
            assets: Assets::new(),
            settings,
            backend,
            clock,
            random,
        })
    }

    /// Where browsers reach a page: for whoever is elsewhere.
    pub(crate) fn address(&self, path: &str) -> String {
        [&self.settings.origin, &*self.settings.base, path].concat()
    }

    /// So many random bytes, in hex digits.
    pub(crate) fn random_hex<const N: usize>(&self) -> String {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes);
        hex::encode(bytes)
    }
}
