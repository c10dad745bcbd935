//! Regions and the operators that run them: planned, joined by a token that opens once, opened,
//! closed.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use types::{Actor, CertificateSerial, Deeds, RegionId, is_plain_text};

use crate::{
    CloudError, DrainState, IssuedRecord, Operator, RegionPlan, RegionRecord, RegionStatus,
    Registry,
    change::{Draft, RowChange},
    kinds::{FORMAT, Record, operator::is_id, token::TokenRecord},
    past_tokens::Ended,
};

/// What a region says of itself when it joins or comes back.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    /// Where customers reach it.
    pub endpoint: String,
    /// Where other regions reach it (host:port).
    pub peer: String,
    /// Its Ed25519 public key in hex.
    pub public_key: String,
}

impl Announcement {
    /// `alone`: a region that keeps the registry need not be reached by others.
    fn check(&self, alone: bool) -> Result<(), CloudError> {
        let good = |text: &str| !text.is_empty() && is_plain_text(text, 255);
        let key = self.public_key.len() == 64 && hex::decode(&self.public_key).is_ok();
        let peer = good(&self.peer) || (alone && self.peer.is_empty());
        match good(&self.endpoint) && peer && key {
            true => Ok(()),
            false => Err(CloudError::Invalid(
                "a region announces an endpoint, a peer address and a public key".into(),
            )),
        }
    }
}

/// Certificates of a region that are good at one time. Each renewal writes all of them into the
/// audit log; an honest region has two.
const ISSUED_MAX: usize = 100;

impl Registry {
    /// Records an operator.
    pub async fn add_operator(
        &self,
        actor: &Actor,
        id: &str,
        name: &str,
    ) -> Result<Operator, CloudError> {
        if !is_id(id) || !is_plain_text(name, 128) {
            return Err(CloudError::Invalid(
                "an operator has an id of lower-case letters, digits and hyphens, and a name"
                    .into(),
            ));
        }
        let turn = self.turn().await;
        if self.state.read().operators.contains_key(id) {
            return Err(CloudError::Exists(format!("operator {id}")));
        }
        let operator = Operator {
            format: FORMAT,
            id: id.to_owned(),
            name: name.to_owned(),
            created_ms: self.clock.now().ms(),
        };
        let draft = Draft {
            actor: actor.clone(),
            action: "operator.add",
            subject: id.to_owned(),
            detail: json!({ "name": name }),
            rows: vec![RowChange::put(id, &operator)?],
        };
        self.change(turn, draft).await?;
        Ok(operator)
    }

    /// The region that keeps the registry puts itself on record, open from the start; a record
    /// that is there already is brought up to date.
    pub async fn open_own_region(
        &self,
        plan: &RegionPlan,
        announced: &Announcement,
    ) -> Result<(), CloudError> {
        if !self.operators().iter().any(|o| o.id == plan.operator) {
            self.add_operator(&Actor::System, &plan.operator, &plan.operator)
                .await?;
        }
        if self.region(&plan.id).is_none() {
            plan.check()?;
            self.check_name(&plan.id)?;
            announced.check(true)?;
            let turn = self.turn().await;
            let mut record = self.planned(plan);
            record.status = RegionStatus::Open;
            announce(&mut record, announced);
            record.know(&self.features.read());
            return self
                .put_region(turn, &Actor::System, "region.open", record, Vec::new())
                .await;
        }
        self.announce(&plan.id, announced).await
    }

    fn planned(&self, plan: &RegionPlan) -> RegionRecord {
        RegionRecord {
            format: FORMAT,
            id: plan.id.clone(),
            city: plan.city.clone(),
            latitude: plan.latitude,
            longitude: plan.longitude,
            jurisdiction: plan.jurisdiction.to_ascii_uppercase(),
            operator: plan.operator.clone(),
            status: RegionStatus::Planned,
            endpoint: String::new(),
            peer: String::new(),
            public_key: String::new(),
            issued: Vec::new(),
            revoked_serials: Vec::new(),
            addresses: plan.addresses.clone(),
            created_ms: self.clock.now().ms(),
            features: None,
            drain: None,
        }
    }

    /// Plans a region. `token_hash` ([`token_hash`] of the join token's secret) lets it join once,
    /// within `valid`. A region that was planned before and is not open yet gets the new token in
    /// place of the old one; if it has joined already, the token is good for the key that it joined
    /// with, and what it was planned as stays.
    pub async fn plan_region(
        &self,
        actor: &Actor,
        plan: &RegionPlan,
        token_hash: &str,
        valid: Duration,
    ) -> Result<Arc<RegionRecord>, CloudError> {
        self.may_plan(plan)?;
        let turn = self.turn().await;
        self.may_plan(plan)?;
        let token = TokenRecord {
            format: FORMAT,
            region: plan.id.clone(),
            expires_ms: self.clock.now().ms() + valid.as_millis() as u64,
            rekeys: false,
            key: None,
        };
        let mut rows = self.drop_tokens(&plan.id, Ended::Replaced);
        rows.push(RowChange::put(token_hash, &token)?);
        let joined = self.region(&plan.id);
        let record = match joined.filter(|known| known.status == RegionStatus::Joining) {
            Some(known) => (*known).clone(),
            None => self.planned(plan),
        };
        self.put_region(turn, actor, "region.plan", record, rows)
            .await?;
        self.known(&plan.id)
    }

    /// Whether a region may be planned so; the dry run of [`Registry::plan_region`].
    pub fn may_plan(&self, plan: &RegionPlan) -> Result<(), CloudError> {
        plan.check()?;
        self.check_name(&plan.id)?;
        let state = self.state.read();
        if !state.operators.contains_key(&plan.operator) {
            return Err(CloudError::NoOperator(plan.operator.clone()));
        }
        match state.regions.get(&plan.id).map(|r| r.status) {
            None | Some(RegionStatus::Planned | RegionStatus::Joining) => Ok(()),
            Some(RegionStatus::Closed) => Err(CloudError::Refused(
                RegionStatus::Closed.keeps_from(&plan.id, RegionStatus::Planned),
            )),
            Some(_) => Err(CloudError::Exists(format!("region {}", plan.id))),
        }
    }

    /// Takes the tokens of a region away. From now on whoever shows one learns why.
    pub(crate) fn drop_tokens(&self, region: &str, why: Ended) -> Vec<RowChange> {
        self.note_past_tokens(region, why);
        let state = self.state.read();
        let of_region = state.tokens.iter().filter(|(_, t)| t.region == region);
        of_region
            .map(|(hash, _)| RowChange::remove::<TokenRecord>(hash))
            .collect()
    }

    /// Lets the region in that a token was made for, and puts on record what it announced. The hash
    /// of `secret` is looked up; the secret itself is nowhere to compare.
    ///
    /// The first key that a token is shown with is the only one from then on: a region that was cut
    /// off before it wrote down what it got joins again. When it opens the token is gone.
    pub async fn join(
        &self,
        secret: &[u8],
        region: &str,
        announced: &Announcement,
        issued: &IssuedRecord,
    ) -> Result<Arc<RegionRecord>, CloudError> {
        announced.check(false)?;
        // It may have been planned before the name was taken.
        self.check_name(region)?;
        let turn = self.turn().await;
        let now = self.clock.now().ms();
        let hash = token_hash(secret);
        let token = self.state.read().tokens.get(&hash).cloned();
        let refused = || self.token_refused(&hash, region, token.as_ref());
        let valid = token.clone();
        let valid = valid.filter(|t| t.region == region && now < t.expires_ms);
        let (valid, known) = valid.zip(self.region(region)).ok_or_else(refused)?;
        if valid.rekeys {
            let token = (hash, valid);
            return self
                .take_new_key(turn, token, &known, announced, issued)
                .await;
        }
        self.may_be_reached(&known, announced)?;
        match known.status {
            RegionStatus::Planned => {}
            RegionStatus::Joining if known.public_key == announced.public_key => {}
            _ => return Err(refused()),
        }
        let mut record = (*known).clone();
        record.status = RegionStatus::Joining;
        announce(&mut record, announced);
        record.note_issued(issued, now);
        let actor = Actor::Region(RegionId::new(region));
        self.put_region(turn, &actor, "region.join", record, Vec::new())
            .await?;
        self.known(region)
    }

    /// A region says where it can be reached. Its public key is the one that it joined with.
    pub async fn announce(&self, region: &str, announced: &Announcement) -> Result<(), CloudError> {
        announced.check(region == self.own())?;
        let turn = self.turn().await;
        let known = self.known(region)?;
        if known.public_key != announced.public_key {
            return Err(CloudError::Refused(format!(
                "region {region} joined with another key"
            )));
        }
        let mut record = (*known).clone();
        announce(&mut record, announced);
        if region == self.own() {
            record.know(&self.features.read());
        }
        if record == *known {
            self.unreached.lock().remove(region);
            return Ok(());
        }
        // What it said before stays.
        if let Err(refused) = self.may_be_reached(&known, announced) {
            self.note_unreached(region, announced, &refused);
            return Err(refused);
        }
        self.unreached.lock().remove(region);
        let actor = Actor::Region(RegionId::new(region));
        self.put_region(turn, &actor, "region.announce", record, Vec::new())
            .await
    }

    /// Moves a region on. Closing one that still is in a bucket's placement is refused.
    pub async fn set_region_status(
        &self,
        actor: &Actor,
        region: &str,
        status: RegionStatus,
    ) -> Result<Arc<RegionRecord>, CloudError> {
        use RegionStatus::{Closed, Draining, Joining, Open, Planned};
        let turn = self.turn().await;
        let mut record = (*self.known(region)?).clone();
        let action = match (record.status, status) {
            (Joining | Draining, Open) => "region.open",
            (Open, Draining) => "region.drain",
            // One that could not be written is closed in memory already, and is written now.
            (Draining | Planned | Joining | Closed, Closed) => "region.close",
            (from, to) => {
                return Err(CloudError::Refused(from.keeps_from(region, to)));
            }
        };
        if status == Closed {
            let holds = self.held_by(region);
            if holds > 0 {
                return Err(CloudError::Refused(format!(
                    "region {region} is in the placement of {holds} buckets; move them first \
                     (`dhow region drain {region} --move`)"
                )));
            }
        }
        record.status = status;
        match (status, &mut record.drain) {
            // It takes buckets again.
            (Open, drain) => *drain = None,
            (Closed, Some(drain)) => drain.end(DrainState::Done, self.clock.now().ms()),
            _ => {}
        }
        let why = match status {
            Closed => Ended::Closed,
            _ => Ended::Used,
        };
        let rows = self.drop_tokens(region, why);
        if action == "region.close" && rows.is_empty() && self.is_on_disk(region, &record).await? {
            return Ok(Arc::new(record));
        }
        self.put_region(turn, actor, action, record, rows).await?;
        self.known(region)
    }

    /// Whether a region's row is on the disk as this.
    async fn is_on_disk(&self, region: &str, record: &RegionRecord) -> Result<bool, CloudError> {
        let key = RegionRecord::key(region);
        let found = self.rows.page(&key, "", 1).await?;
        match found.first().filter(|(found, _)| *found == key) {
            Some((_, value)) => Ok(RegionRecord::read(value)? == *record),
            None => Ok(false),
        }
    }

    /// Says where a region may be reached: a list of hosts and networks, or none, and then where it
    /// is now.
    pub async fn allow_addresses(
        &self,
        actor: &Actor,
        region: &str,
        addresses: &[String],
    ) -> Result<Arc<RegionRecord>, CloudError> {
        crate::reach::check_list(addresses)?;
        let turn = self.turn().await;
        let mut record = (*self.known(region)?).clone();
        record.addresses = addresses.to_vec();
        self.put_region(turn, actor, "region.allow", record, Vec::new())
            .await?;
        self.known(region)
    }

    /// What a region last announced that was refused: where, and why.
    pub fn unreached(&self, region: &str) -> Option<(Announcement, String)> {
        self.unreached.lock().get(region).cloned()
    }

    fn note_unreached(&self, region: &str, announced: &Announcement, why: &CloudError) {
        let new = (announced.clone(), why.to_string());
        let before = self.unreached.lock().insert(region.to_owned(), new.clone());
        if before.as_ref() != Some(&new) {
            tracing::warn!(region, %why, "an announced address was refused");
        }
    }

    /// How many buckets have their home or a replica in a region.
    pub fn held_by(&self, region: &str) -> usize {
        let region = RegionId::new(region);
        let holds = |deed: &Arc<types::BucketDeed>| deed.holders().any(|r| *r == region);
        self.all().iter().filter(|deed| holds(deed)).count()
    }

    /// Puts on record that a region is given a certificate for the one that will expire, whose
    /// serial is `shown`. To be called before it is handed out: what is not on record cannot be
    /// taken back. A certificate that was taken back brings no other, and neither does a key that
    /// is the region's no longer, however long ago it was asked for.
    pub async fn record_issued(
        &self,
        region: &RegionId,
        issued: &IssuedRecord,
        public_key: &str,
        shown: &str,
    ) -> Result<(), CloudError> {
        let turn = self.turn().await;
        let mut record = (*self.known(region)?).clone();
        if record.public_key != public_key {
            return Err(CloudError::Refused(format!(
                "region {region} has another key"
            )));
        }
        let gone = record.revoked_serials.iter().any(|serial| serial == shown);
        if gone || record.status == RegionStatus::Closed {
            return Err(CloudError::Refused(format!(
                "the certificate of region {region} was taken back"
            )));
        }
        record.note_issued(issued, self.clock.now().ms());
        let good = |one: &&IssuedRecord| !record.revoked_serials.contains(&one.serial);
        if record.issued.iter().filter(good).count() > ISSUED_MAX {
            return Err(CloudError::SlowDown(format!(
                "region {region} has {ISSUED_MAX} certificates that are good: wait until one \
                 expires, or take them back (dhow region revoke)"
            )));
        }
        let actor = Actor::Region(region.clone());
        self.put_region(turn, &actor, "region.renew", record, Vec::new())
            .await
    }

    /// Takes back certificates of a region: the one with this serial number, or without one all
    /// that it has. Answers which.
    ///
    /// # Errors
    /// `Refused` for a number that was not issued to the region, and for the region that keeps the
    /// registry, which makes its certificate anew at each start.
    pub async fn revoke_certificates(
        &self,
        actor: &Actor,
        region: &str,
        serial: Option<&CertificateSerial>,
    ) -> Result<Vec<String>, CloudError> {
        let turn = self.turn().await;
        let mut record = (*self.known(region)?).clone();
        if region == self.own() {
            return Err(CloudError::Refused(
                "the registry's region makes its certificate anew at each start".into(),
            ));
        }
        if record.public_key.is_empty() {
            return Err(CloudError::Refused(format!(
                "region {region} has not joined: no certificate was issued to it"
            )));
        }
        let known = record.issued.iter().map(|one| one.serial.clone());
        let gone: Vec<String> = match serial {
            None => known.collect(),
            Some(one) => {
                let was_issued = known.chain(record.revoked_serials.iter().cloned());
                // A region that joined before certificates were recorded has one that is not there.
                if !record.issued.is_empty() && !was_issued.into_iter().any(|s| s == one.as_str()) {
                    let has: Vec<&str> = record.issued.iter().map(|i| &*i.serial).collect();
                    return Err(CloudError::Refused(format!(
                        "no certificate {one} was issued to region {region}; it has {}",
                        has.join(", ")
                    )));
                }
                vec![one.to_string()]
            }
        };
        if gone.is_empty() {
            return Err(CloudError::Refused(format!(
                "no certificate of region {region} is on record: name its serial number"
            )));
        }
        let new = gone.iter().filter(|s| !record.revoked_serials.contains(s));
        let new: Vec<String> = new.cloned().collect();
        record.revoked_serials.extend(new);
        self.put_region(turn, actor, "region.revoke", record, Vec::new())
            .await?;
        Ok(gone)
    }

    pub(crate) fn known(&self, region: &str) -> Result<Arc<RegionRecord>, CloudError> {
        self.region(region)
            .ok_or_else(|| CloudError::NoRegion(region.to_owned()))
    }

    pub(crate) async fn put_region(
        &self,
        turn: crate::registry::Turn,
        actor: &Actor,
        action: &'static str,
        record: RegionRecord,
        mut rows: Vec<RowChange>,
    ) -> Result<(), CloudError> {
        let row = RowChange::put(&record.id, &record)?;
        rows.insert(0, row);
        let draft = Draft {
            actor: actor.clone(),
            action,
            subject: record.id.clone(),
            detail: detail(&record),
            rows,
        };
        self.change(turn, draft).await
    }
}

/// What the registry keeps of a join token's secret: its SHA-256 in hex.
pub fn token_hash(secret: &[u8]) -> String {
    hex::encode(Sha256::digest(secret))
}

fn announce(record: &mut RegionRecord, announced: &Announcement) {
    record.endpoint.clone_from(&announced.endpoint);
    record.peer.clone_from(&announced.peer);
    record.public_key.clone_from(&announced.public_key);
}

/// A region as the audit log shows it.
fn detail(record: &RegionRecord) -> Value {
    let mut detail = json!({
        "jurisdiction": record.jurisdiction,
        "operator": record.operator,
        "public_key": record.public_key,
        "status": record.status.name(),
        "endpoint": record.endpoint,
        "peer": record.peer,
        "revoked_serials": record.revoked_serials,
        "addresses": record.addresses,
    });
    if let Some(features) = &record.features {
        detail["features"] = json!(features);
    }
    if let Some(drain) = &record.drain {
        detail["drain"] = json!(drain);
    }
    detail
}
