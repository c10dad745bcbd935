//! Buckets: where they are stored, and where they are to be.

use std::{sync::Arc, time::Duration};

use admin::bodies::{NewBucket, Place};
use cloud::{Departure, PlacementChange};
use replication::{ReplicaStatus, Uploads};
use serde_json::{Value, json};
use types::{
    Actor, BucketDeed, BucketName, Deeds, Forwarder, NewDeed, Placement, RegionId, Replica, Trust,
    Unrenewed, Writes,
};

use super::{
    Admin, Answer, Call, Refused,
    accounts::jurisdictions,
    answers::{bad, conflict, parse, refused},
};

/// How long whoever wants to see a bucket waits for what its home knows.
const HOME_WAIT: Duration = Duration::from_secs(5);

/// Whether a change of a placement takes replicas or trust away and gives nothing.
pub(super) fn only_removes(body: &[u8]) -> bool {
    let is_empty = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
    let Ok(place) = parse::<Place>(body) else {
        return false;
    };
    let Place {
        add,
        seal,
        remove: _,
        jurisdictions: None,
        proxy: None | Some(false),
        writes: None,
        successors: None,
        accepts,
        trust_reads,
        trust_writes,
        unrenewed: None,
        force: _,
        dry_run: _,
    } = &place
    else {
        return false;
    };
    let lists = [accepts, trust_reads, trust_writes];
    add.is_empty() && seal.is_empty() && lists.into_iter().all(is_empty)
}

fn writes(text: Option<&str>) -> Result<Option<Writes>, Refused> {
    match text {
        None => Ok(None),
        Some("home") => Ok(Some(Writes::Home)),
        Some("any") => Ok(Some(Writes::Any)),
        Some(_) => Err(bad("writes are `home` or `any`")),
    }
}

fn unrenewed(text: Option<&str>) -> Result<Option<Unrenewed>, Refused> {
    let known = |text| Unrenewed::parse(text).ok_or_else(|| bad(UNRENEWED_ARE));
    text.map(known).transpose()
}

const UNRENEWED_ARE: &str = "unrenewed is `plain`, `none` or `all`";

fn regions(names: &[String]) -> Vec<RegionId> {
    names.iter().map(|name| RegionId::new(name)).collect()
}

fn names(names: &[String]) -> Result<Vec<BucketName>, Refused> {
    let name = |name: &String| BucketName::new(name).map_err(|e| bad(&e.to_string()));
    names.iter().map(name).collect()
}

impl Admin {
    pub(super) fn list_buckets(&self, call: &Call) -> Answer {
        let of = call.within_account(None)?;
        let mut deeds = self.region.registry.all();
        deeds.retain(|d| of.as_ref().is_none_or(|of| access::is_owner(of, d)));
        Ok(deeds.iter().map(|d| deed(d)).collect())
    }

    /// A bucket that the caller may do the call's action to. One that is not there is refused like
    /// one of another account, so that whoever may not learns not which it is.
    pub(super) fn bucket(&self, call: &Call, name: &str) -> Result<Arc<BucketDeed>, Refused> {
        call.may_at_all()?;
        let name = BucketName::new(name).map_err(|e| bad(&e.to_string()))?;
        match Deeds::get(&*self.region.registry, &name) {
            Some(deed) => call.of_account(&deed.owner).map(|()| deed),
            None => call
                .may()
                .and(Err(refused(cloud::CloudError::NoBucket(name)))),
        }
    }

    pub(super) async fn create_bucket(&self, call: &Call) -> Answer {
        let new: NewBucket = parse(&call.body)?;
        let registry = &self.region.registry;
        let owner = new
            .owner
            .as_deref()
            .map_or(call.account.clone(), |text| registry.account_meant(text));
        call.of_account(&owner)?;
        if registry.account(&owner).is_none() {
            return Err(refused(cloud::CloudError::NoAccount(owner)));
        }
        let name = BucketName::new(&new.name).map_err(|e| bad(&e.to_string()))?;
        let home = new
            .home
            .as_deref()
            .map_or(self.region.id.clone(), RegionId::new);
        let replicas = new.replicas.iter().map(|r| (r, false));
        let sealed = new.sealed.iter().map(|r| (r, true));
        let mut replicas: Vec<Replica> = replicas
            .chain(sealed)
            .map(|(region, sealed)| Replica {
                region: RegionId::new(region),
                sealed_by: sealed.then(|| home.clone()),
            })
            .collect();
        replicas.sort();
        let placement = Placement {
            replicas,
            jurisdictions: jurisdictions(&new.jurisdictions)?,
            writes: writes(new.writes.as_deref())?.unwrap_or_default(),
            proxy: new.proxy,
            successors: regions(&new.successors),
            accepts: names(&new.accepts)?,
            trust: Trust {
                reads: Forwarder::list(&new.trust_reads),
                writes: Forwarder::list(&new.trust_writes),
            },
            unrenewed: unrenewed(new.unrenewed.as_deref())?.unwrap_or_default(),
            ..Placement::default()
        };
        let made = registry
            .create(
                call.actor.clone(),
                NewDeed {
                    name,
                    owner,
                    home,
                    placement,
                },
            )
            .await;
        let made = made.map_err(|e| conflict(&e.to_string()))?;
        // So that a client can use the bucket at once after the answer. A home that is unreachable
        // receives it later.
        let holders: Vec<RegionId> = made.holders().cloned().collect();
        if let Err(error) = registry.wait_until_applied(&holders).await {
            tracing::warn!(bucket = %made.name, %error, "a new bucket");
        }
        Ok(deed(&made))
    }

    pub(super) async fn place(&self, call: &Call, found: &Arc<BucketDeed>) -> Answer {
        self.place_as(&call.actor, found, parse(&call.body)?).await
    }

    /// Changes a placement, or says what the change would be.
    pub(super) async fn place_as(
        &self,
        actor: &Actor,
        found: &Arc<BucketDeed>,
        place: Place,
    ) -> Answer {
        let name = &found.name;
        let replica = |region: &String, sealed_by: Option<&RegionId>| Replica {
            region: RegionId::new(region),
            sealed_by: sealed_by.cloned(),
        };
        let readable = place.add.iter().map(|r| replica(r, None));
        let sealed = place.seal.iter().map(|r| replica(r, Some(&found.home)));
        let change = PlacementChange {
            add: readable.chain(sealed).collect(),
            remove: regions(&place.remove),
            jurisdictions: match &place.jurisdictions {
                Some(names) => Some(jurisdictions(names)?),
                None => None,
            },
            proxy: place.proxy,
            writes: writes(place.writes.as_deref())?,
            successors: place.successors.as_deref().map(regions),
            accepts: place.accepts.as_deref().map(names).transpose()?,
            trust_reads: place.trust_reads.as_deref().map(Forwarder::list),
            trust_writes: place.trust_writes.as_deref().map(Forwarder::list),
            unrenewed: unrenewed(place.unrenewed.as_deref())?,
        };
        let registry = &self.region.registry;
        if !place.force {
            self.have_handed_over(found, &change.remove).await?;
        }
        if place.dry_run {
            let would = registry.placed(name, &change).map_err(refused)?;
            let usage = self.region.usage(found).await;
            let moves = usage.map_or_else(|e| json!({ "error": e }), |usage| json!(usage));
            return Ok(json!({ "dry_run": true, "bucket": deed(&would), "moves": moves }));
        }
        let placed = registry.place_bucket(actor, name, &change).await;
        Ok(deed(&*placed.map_err(refused)?))
    }

    /// Whether regions that are to lose their replica have handed over what they alone may have:
    /// under an epoch that is new to them they follow only after that.
    async fn have_handed_over(
        &self,
        found: &Arc<BucketDeed>,
        remove: &[RegionId],
    ) -> Result<(), Refused> {
        if found.epoch == 1 || remove.is_empty() {
            return Ok(());
        }
        let copies = self.region.replicas(found).await.map_err(|e| {
            conflict(&format!(
                "{e} What the replicas that are to go alone have is not known; with --force they \
                 go, and that is lost"
            ))
        })?;
        for region in remove {
            let copy = copies.iter().find(|copy| *copy.region == **region);
            if copy.is_some_and(|copy| copy.applied.is_none()) {
                return Err(conflict(&format!(
                    "region {region} has not handed over yet what it alone may have of {}: wait \
                     until `dhow bucket show {}` says that it follows, or use --force",
                    found.name, found.name
                )));
            }
        }
        Ok(())
    }

    pub(super) async fn show(&self, found: &Arc<BucketDeed>) -> Value {
        let mut shown = deed(found);
        let Value::Object(fields) = &mut shown else {
            return shown;
        };
        // The others have no chains by bucket.
        if self.region.registry.keeps()
            && let Ok(removals) = self.region.registry.departures(found).await
        {
            let removals: Vec<Value> = removals.iter().map(removal).collect();
            fields.insert("removals".into(), json!(removals));
        }
        let replicas = tokio::time::timeout(HOME_WAIT, self.region.replicas(found)).await;
        let replicas = replicas.unwrap_or_else(|_| {
            Err(format!(
                "{} does not answer within {} s",
                found.home,
                HOME_WAIT.as_secs()
            ))
        });
        match replicas {
            Ok(replicas) => {
                let status: Vec<Value> = replicas.iter().map(replica_status).collect();
                // The name that it had until 0.1, for one more release.
                fields.insert("copies".into(), json!(status));
                fields.insert("replica_status".into(), json!(status));
            }
            Err(error) => {
                fields.insert("error".into(), json!(error));
                return shown;
            }
        }
        let renewal = tokio::time::timeout(HOME_WAIT, self.region.renewal(found)).await;
        if let Ok(Ok(renewal)) = renewal {
            fields.insert("renewal".into(), json!(renewal));
        }
        let rules = tokio::time::timeout(HOME_WAIT, self.region.rules(found)).await;
        if let Ok(Ok(rules)) = rules {
            fields.insert("rules".into(), json!(rules));
        }
        if let Ok(uploads) = self.uploads(found).await {
            fields.insert("uploads".into(), json!(uploads));
        }
        shown
    }
}

/// A region that the bucket has left.
fn removal(left: &Departure) -> Value {
    let receipt = left.receipt.as_ref();
    json!({
        "region": &*left.region,
        "entry": left.entry,
        "at_ms": left.at_ms,
        "receipt": receipt.map(|receipt| json!({
            "entry": receipt.entry,
            "at_ms": receipt.at_ms,
            "rows": receipt.rows,
        })),
    })
}

/// How a replica is doing. Between regions `connected` has another name.
fn replica_status(replica: &ReplicaStatus) -> Value {
    let mut shown = json!(replica);
    if let Value::Object(fields) = &mut shown {
        fields.insert("connected".into(), json!(replica.in_touch));
    }
    shown
}

/// A bucket that has got another home, with the uploads that are lost by that.
pub(super) fn with_uploads(mut shown: Value, lost: Option<Uploads>) -> Value {
    if let Value::Object(fields) = &mut shown {
        fields.insert("uploads".into(), json!(lost));
    }
    shown
}

/// A deed for people and scripts.
pub(super) fn deed(deed: &BucketDeed) -> Value {
    let placement = &deed.placement;
    let replica = |r: &Replica| {
        json!({
            "region": &*r.region,
            "sealed_by": r.sealed_by.as_ref().map(|s| s.to_string()),
        })
    };
    json!({
        "name": &*deed.name,
        "id": deed.id.0,
        // As a number above 2^53 it is another one in JavaScript.
        "id_text": deed.id.0.to_string(),
        "owner": &*deed.owner,
        "home": &*deed.home,
        "replicas": placement.replicas.iter().map(replica).collect::<Vec<_>>(),
        "jurisdictions": placement.jurisdictions.iter().map(|j| &**j).collect::<Vec<_>>(),
        "writes": match placement.writes { Writes::Home => "home", Writes::Any => "any" },
        "proxy": placement.proxy,
        "successors": placement.successors.iter().map(|r| &**r).collect::<Vec<_>>(),
        "accepts": placement.accepts.iter().map(|b| &**b).collect::<Vec<_>>(),
        "trust_reads": Forwarder::texts(&placement.trust.reads),
        "trust_writes": Forwarder::texts(&placement.trust.writes),
        "unrenewed": placement.unrenewed.name(),
        "epoch": deed.epoch,
        "created": deed.created.iso8601(),
    })
}
