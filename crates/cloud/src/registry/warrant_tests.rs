//! No region makes or removes a bucket unless its customer signed that.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use access::{
    SessionToken,
    signature::{ChunkLink, HmacKey, Statement},
};
use serde_json::{Value, json};
use types::{
    AccountId, Actor, BucketName, Clock, DeedError, Deeds, Placement, RegionId, SignedRequest,
    SystemClock, Timestamp, limits::BUCKETS_PER_ACCOUNT_MAX,
};

use super::follow_tests::{Cloud, ROOT, bucket};
use crate::{
    Ask, KeyStatus, NewDeedRecord, NewKey, ReadsRequests, RegionStatus, RegistryAnswer, Wanted,
    WantedChange,
    keys::{region_key, service_key},
};

/// Reads requests that are written in JSON: how heads are read is the gateway's.
pub(super) struct InJson;

impl ReadsRequests for InJson {
    fn read(&self, _: &RegionId, request: &SignedRequest) -> Result<Wanted, String> {
        let read: Value = serde_json::from_slice(&request.head).map_err(|e| e.to_string())?;
        let text = |name: &str| read[name].as_str().unwrap_or_default().to_owned();
        let mut canonical = [0; 32];
        hex::decode_to_slice(text("canonical"), &mut canonical).map_err(|e| e.to_string())?;
        let stamp = text("stamp");
        Ok(Wanted {
            at: Timestamp::parse_iso_basic(&stamp).ok_or("no date")?,
            statement: Statement {
                token: read["token"].as_str().map(SessionToken::new),
                old: None,
                access_key: text("access_key"),
                day: stamp[..8].to_owned(),
                region: text("region"),
                region_set: None,
                stamp,
                canonical,
                signature: text("signature"),
            },
            bucket: BucketName::new(&text("bucket")).map_err(|e| e.to_string())?,
            host: read["host"].as_str().map(str::to_owned),
            expected_owner: read["owner"].as_str().map(str::to_owned),
            change: match read["homes"].as_array() {
                Some(homes) => WantedChange::Create {
                    homes: homes
                        .iter()
                        .map(|h| h.as_str().unwrap().to_owned())
                        .collect(),
                    placement: Box::new(Placement::default()),
                },
                None => WantedChange::Delete,
            },
        })
    }
}

/// The head of a request that the holder of `key` signs for `region`; each is another.
pub(super) fn signed(key: &NewKey, region: &str, mut request: Value) -> SignedRequest {
    static SIGNED: AtomicU64 = AtomicU64::new(0);
    let mut canonical = [0; 32];
    canonical[..8].copy_from_slice(&SIGNED.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    let later_ms = request["later_s"].as_i64().unwrap_or(1) * 1000;
    let at = SystemClock.now().ms().saturating_add_signed(later_ms);
    let stamp = Timestamp::from_ms(at).iso_basic();
    let day = &stamp[..8];
    let secret = service_key(&region_key(&key.secret_key, day, region), "s3");
    let text = format!(
        "AWS4-HMAC-SHA256\n{stamp}\n{day}/{region}/s3/aws4_request\n{}",
        hex::encode(canonical)
    );
    let signature = hex::encode(HmacKey::from(secret).sign(text.as_bytes()));
    for (name, value) in [
        ("access_key", &key.access_key),
        ("region", &region.to_owned()),
        ("canonical", &hex::encode(canonical)),
        ("signature", &signature),
        ("stamp", &stamp),
    ] {
        request[name] = json!(value);
    }
    SignedRequest {
        head: request.to_string().into_bytes().into(),
        body: Arc::from(&b""[..]),
    }
}

/// A request to make a bucket at `region`.
pub(super) fn creates(key: &NewKey, region: &str, name: &str) -> SignedRequest {
    signed(key, region, json!({ "bucket": name, "homes": [] }))
}

pub(super) fn deletes(key: &NewKey, region: &str, name: &str) -> SignedRequest {
    signed(key, region, json!({ "bucket": name }))
}

impl Cloud {
    pub(super) async fn key_of(&self, account: &AccountId) -> NewKey {
        let made = self.keeper.create_key(ROOT, account, None, "", false).await;
        made.unwrap()
    }

    /// What the keeper answers `second` that wants a bucket for `owner`.
    async fn asks(
        &self,
        name: &str,
        owner: &str,
        request: Option<&SignedRequest>,
    ) -> RegistryAnswer {
        let mut record = NewDeedRecord::from(bucket(name, owner, "second"));
        record.request = request.map(Into::into);
        let ask = Ask::CreateDeed(record);
        self.keeper.answer(&RegionId::new("second"), ask).await
    }

    fn has(&self, name: &str) -> bool {
        Deeds::get(&*self.keeper, &BucketName::new(name).unwrap()).is_some()
    }
}

fn is_refused(told: &RegistryAnswer) -> bool {
    matches!(
        told,
        RegistryAnswer::Refused(_) | RegistryAnswer::Placement(_) | RegistryAnswer::SlowDown(_)
    )
}

#[tokio::test]
async fn p5_a_region_makes_buckets_only_as_their_owners_signed() {
    let cloud = Cloud::new().await;
    let (one, two) = (cloud.tenant("one").await, cloud.tenant("two").await);
    let (key, other) = (cloud.key_of(&one).await, cloud.key_of(&two).await);
    let invented = NewKey {
        access_key: "DHOWAAAAAAAAAAAAAAAA".into(),
        ..key.clone()
    };
    let wrong = NewKey {
        secret_key: other.secret_key.clone(),
        ..key.clone()
    };
    let elsewhere = |home: &str| {
        let request = json!({ "bucket": "planted", "homes": [home] });
        signed(&key, "second", request)
    };
    let placed = signed(&key, "second", json!({ "bucket": "other", "homes": [] }));
    let at = |later_s: i64| {
        let request = json!({ "bucket": "planted", "homes": [], "later_s": later_s });
        signed(&key, "second", request)
    };
    let owner = json!({ "bucket": "planted", "homes": [], "owner": &*two });
    let unreadable = SignedRequest {
        head: Arc::from(&b"no JSON"[..]),
        body: Arc::from(&b""[..]),
    };
    for (what, request) in [
        ("nothing", None),
        ("what cannot be read", Some(unreadable)),
        (
            "an invented key",
            Some(creates(&invented, "second", "planted")),
        ),
        ("a wrong secret", Some(creates(&wrong, "second", "planted"))),
        (
            "another account's key",
            Some(creates(&other, "second", "planted")),
        ),
        (
            "for another region",
            Some(creates(&key, "third", "planted")),
        ),
        (
            "for the registry's region",
            Some(creates(&key, "first", "planted")),
        ),
        ("for its alias", Some(creates(&key, "us-east-1", "planted"))),
        ("another bucket", Some(placed)),
        ("another region as home", Some(elsewhere("third"))),
        ("the registry's region as home", Some(elsewhere("first"))),
        (
            "the end of a bucket",
            Some(deletes(&key, "second", "planted")),
        ),
        ("too old", Some(at(-901))),
        ("of the future", Some(at(903))),
        ("for another owner", Some(signed(&key, "second", owner))),
    ] {
        let told = cloud.asks("planted", &one, request.as_ref()).await;
        assert!(is_refused(&told), "{what}");
        assert!(!cloud.has("planted"), "{what}");
    }
    // Its placement is the customer's too.
    let mut wider = bucket("planted", &one, "second");
    wider.placement.proxy = true;
    let mut record = NewDeedRecord::from(wider);
    record.request = Some((&creates(&key, "second", "planted")).into());
    let told = cloud
        .keeper
        .answer(&RegionId::new("second"), Ask::CreateDeed(record))
        .await;
    assert!(is_refused(&told));
    // What nobody knows as a region is a name of the one that was asked.
    let told = cloud.asks("planted", &one, Some(&elsewhere("auto"))).await;
    assert!(matches!(told, RegistryAnswer::Deed(_)));
    // Once: not again when it is gone.
    let request = creates(&key, "second", "once");
    let RegistryAnswer::Deed(deed) = cloud.asks("once", &one, Some(&request)).await else {
        panic!("refused");
    };
    let deed = deed.into_deed().unwrap();
    cloud
        .keeper
        .remove(Actor::System, deed.name, deed.id)
        .await
        .unwrap();
    assert!(is_refused(&cloud.asks("once", &one, Some(&request)).await));
    assert!(!cloud.has("once"));
    // Nor with a key that is disabled, nor for an account that is suspended.
    let id = types::AccessKeyId::new(&key.access_key);
    for disabled in [true, false] {
        let status = if disabled {
            KeyStatus::Disabled
        } else {
            KeyStatus::Active
        };
        cloud
            .keeper
            .set_key_status(ROOT, &id, status)
            .await
            .unwrap();
        let suspended = cloud.keeper.suspend_account(ROOT, &one, !disabled).await;
        suspended.unwrap();
        let told = cloud
            .asks("late", &one, Some(&creates(&key, "second", "late")))
            .await;
        assert!(is_refused(&told) && !cloud.has("late"), "{disabled}");
    }
}

#[tokio::test]
async fn p5_a_region_makes_no_bucket_whose_rules_another_operators_bucket_accepts() {
    let cloud = Cloud::new().await;
    let keeper = &cloud.keeper;
    let owner = cloud.tenant("acme").await;
    let key = cloud.key_of(&owner).await;
    keeper
        .add_operator(ROOT, "partner", "Partner")
        .await
        .unwrap();
    let plan = crate::RegionPlan {
        operator: "partner".into(),
        ..super::follow_tests::plan("fourth", "AE")
    };
    let valid = std::time::Duration::from_secs(60);
    let hash = crate::token_hash(b"fourth");
    keeper.plan_region(ROOT, &plan, &hash, valid).await.unwrap();
    let announced = super::follow_tests::announcement(4);
    let issued = super::follow_tests::issued(4);
    let joined = keeper.join(b"fourth", "fourth", &announced, &issued).await;
    joined.unwrap();
    let opened = keeper.set_region_status(ROOT, "fourth", RegionStatus::Open);
    opened.await.unwrap();
    let mut taking = bucket("taking", &owner, "first");
    taking.placement.accepts = vec![BucketName::new("sending").unwrap()];
    keeper.create(Actor::System, taking).await.unwrap();
    let create = async |region: &str, name: &str| {
        let new = bucket(name, &owner, region);
        let mut record = NewDeedRecord::from(new);
        record.request = Some((&creates(&key, region, name)).into());
        let ask = Ask::CreateDeed(record);
        keeper.answer(&RegionId::new(region), ask).await
    };
    let refused = create("fourth", "sending").await;
    assert!(matches!(refused, RegistryAnswer::Placement(why) if why.contains("taking accepts")));
    assert!(matches!(
        create("fourth", "another").await,
        RegistryAnswer::Deed(_)
    ));
    // One operator's own regions need no word, and get none by this.
    assert!(matches!(
        create("second", "sending").await,
        RegistryAnswer::Deed(_)
    ));
}

#[tokio::test]
async fn p5_a_region_removes_buckets_only_as_their_owners_signed() {
    let cloud = Cloud::new().await;
    let (one, two) = (cloud.tenant("one").await, cloud.tenant("two").await);
    let (key, other) = (cloud.key_of(&one).await, cloud.key_of(&two).await);
    let made = cloud
        .keeper
        .create(Actor::System, bucket("own", &one, "second"));
    let made = made.await.unwrap();
    cloud
        .keeper
        .create(Actor::System, bucket("site", &one, "first"))
        .await
        .unwrap();
    let ask = async |request: Option<&SignedRequest>| {
        let ask = Ask::RemoveDeed {
            epoch: 0,
            name: "own".into(),
            id: made.id.0,
            request: request.map(Into::into),
        };
        cloud.keeper.answer(&RegionId::new("second"), ask).await
    };
    // At a host that nobody here knows, `site` may be the bucket and `own` one of its objects.
    let at = |host: &str| signed(&key, "second", json!({ "bucket": "own", "host": host }));
    for (what, request) in [
        ("nothing", None),
        ("another account", Some(deletes(&other, "second", "own"))),
        ("another bucket", Some(deletes(&key, "second", "site"))),
        ("a new bucket", Some(creates(&key, "second", "own"))),
        (
            "a region that is none",
            Some(deletes(&key, "nowhere", "own")),
        ),
        ("a host that may be a bucket", Some(at("site.example.net"))),
    ] {
        assert!(is_refused(&ask(request.as_ref()).await), "{what}");
        assert!(cloud.has("own"), "{what}");
    }
    // A region that follows has changed nothing, and knows that nothing has changed.
    cloud.catch_up().await;
    let removed = cloud
        .second
        .remove(Actor::System, made.name.clone(), made.id);
    assert!(matches!(removed.await, Err(DeedError::Unproven(_))));
    // The customer may have asked another region, which relayed it to the home.
    for region in ["second", "third", "us-east-1"] {
        let request = deletes(&key, region, "own");
        assert!(
            matches!(ask(Some(&request)).await, RegistryAnswer::Done),
            "{region}"
        );
        assert!(matches!(
            ask(Some(&request)).await,
            RegistryAnswer::NoBucket
        ));
        let again = cloud
            .keeper
            .create(Actor::System, bucket("own", &one, "second"));
        let again = again.await.unwrap();
        let ask = Ask::RemoveDeed {
            epoch: 0,
            name: "own".into(),
            id: again.id.0,
            request: Some((&request).into()),
        };
        let told = cloud.keeper.answer(&RegionId::new("second"), ask).await;
        assert!(is_refused(&told) && cloud.has("own"), "a replay");
        cloud
            .keeper
            .remove(Actor::System, again.name.clone(), again.id)
            .await
            .unwrap();
        let back = cloud
            .keeper
            .create(Actor::System, bucket("own", &one, "second"));
        let back = back.await.unwrap();
        cloud
            .keeper
            .remove(Actor::System, back.name.clone(), back.id)
            .await
            .unwrap();
        if region != "us-east-1" {
            break;
        }
    }
}

#[tokio::test]
async fn p5_a_signature_is_told_only_to_who_holds_the_bucket_and_only_of_its_owner() {
    let cloud = Cloud::new().await;
    let (one, two) = (cloud.tenant("one").await, cloud.tenant("two").await);
    let (key, other) = (cloud.key_of(&one).await, cloud.key_of(&two).await);
    cloud
        .keeper
        .create(Actor::System, bucket("own", &one, "second"))
        .await
        .unwrap();
    let statement = |key: &NewKey, region: &str| {
        InJson
            .read(&RegionId::new(region), &deletes(key, region, "own"))
            .unwrap()
            .statement
    };
    let own = BucketName::new("own").unwrap();
    let third = RegionId::new("third");
    // Through the keeper, as `second` asks it.
    let ask = async |name: &BucketName, statement: &Statement| {
        cloud.second.prove(&third, name, statement).await.unwrap()
    };
    let good = statement(&key, "third");
    assert_eq!(ask(&own, &good).await, Some(one.clone()));
    let forged = Statement {
        canonical: [7; 32],
        ..good.clone()
    };
    for (what, statement) in [
        ("another request", &forged),
        ("another account", &statement(&other, "third")),
        ("another region", &statement(&key, "second")),
        ("an alias", &statement(&key, "us-east-1")),
    ] {
        assert_eq!(ask(&own, statement).await, None, "{what}");
    }
    assert_eq!(ask(&BucketName::new("none").unwrap(), &good).await, None);
    // The keeper asks itself, and holds nothing of it.
    let at_keeper = cloud.keeper.prove(&third, &own, &good).await.unwrap();
    assert_eq!(at_keeper, None);
    // Chunks follow the head's signature.
    let day = good.day.clone();
    let secret = service_key(&region_key(&key.secret_key, &day, "third"), "s3");
    let scope = good.scope();
    let mut chain = access::signature::ChunkVerifier::new(
        HmacKey::from(secret),
        &good.stamp,
        &scope,
        &good.signature,
    );
    let signature = chain.sign_chunk(&[5; 32]).as_bytes().try_into().unwrap();
    let link = |sha256: [u8; 32]| ChunkLink {
        trailer: false,
        sha256,
        signature,
    };
    for (sha256, previous, proven) in [
        ([5; 32], &good.signature, true),
        ([6; 32], &good.signature, false),
        ([5; 32], &"0".repeat(64), false),
    ] {
        let links = [link(sha256)];
        let asked = cloud
            .second
            .prove_chunks(&third, &own, &good, previous, &links);
        assert_eq!(asked.await.unwrap(), proven);
    }
    // A region that is closed, a key that is disabled.
    let id = types::AccessKeyId::new(&key.access_key);
    let keeper = &cloud.keeper;
    keeper
        .set_key_status(ROOT, &id, KeyStatus::Disabled)
        .await
        .unwrap();
    assert_eq!(ask(&own, &good).await, None);
    keeper
        .set_key_status(ROOT, &id, KeyStatus::Active)
        .await
        .unwrap();
    assert!(ask(&own, &good).await.is_some());
    for status in [RegionStatus::Draining, RegionStatus::Closed] {
        let changed = keeper.set_region_status(ROOT, "third", status);
        changed.await.unwrap();
    }
    assert_eq!(ask(&own, &good).await, None);
}

#[tokio::test]
async fn p5_no_operator_takes_the_room_that_an_account_has_for_others() {
    let cloud = Cloud::new().await;
    let mut theirs = super::follow_tests::plan("partner", "DE");
    theirs.operator = "other".into();
    let hash = crate::token_hash(b"partner");
    let keeper = &cloud.keeper;
    keeper.add_operator(ROOT, "other", "Other").await.unwrap();
    let valid = std::time::Duration::from_secs(60);
    keeper
        .plan_region(ROOT, &theirs, &hash, valid)
        .await
        .unwrap();
    let here = super::follow_tests::announcement(9);
    let issued = super::follow_tests::issued(9);
    keeper
        .join(b"partner", "partner", &here, &issued)
        .await
        .unwrap();
    keeper
        .set_region_status(ROOT, "partner", RegionStatus::Open)
        .await
        .unwrap();
    let one = cloud.tenant("one").await;
    let theirs = keeper.create(Actor::System, bucket("theirs", &one, "partner"));
    let theirs = theirs.await.unwrap();
    for n in 1..BUCKETS_PER_ACCOUNT_MAX {
        let name = format!("theirs-{n}");
        let deed = types::BucketDeed {
            name: BucketName::new(&name).unwrap(),
            ..(*theirs).clone()
        };
        let row = crate::kinds::Record::write(&crate::DeedRecord::from(&deed)).unwrap();
        let mut state = keeper.state.write();
        state
            .put(&keeper.master, &format!("n/{name}"), row.as_bytes())
            .unwrap();
    }
    let more = keeper.create(Actor::System, bucket("one-more", &one, "partner"));
    assert!(matches!(more.await, Err(DeedError::TooMany(_))));
    let own = keeper.create(Actor::System, bucket("own", &one, "second"));
    assert!(own.await.is_ok());
}

/// Whatever a request calls the region: the bucket's home is the region that asks for it.
#[tokio::test]
async fn p5_a_users_policies_hold_for_the_home_whether_it_is_named_or_not() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let account = cloud.tenant("one").await;
    let (user, key) = cloud.user(&account, "anna").await;
    let text = |region: &str| {
        format!(
            r#"{{"Version": "2012-10-17", "Statement": [
            {{"Effect": "Allow", "Action": "s3:CreateBucket", "Resource": "*"}},
            {{"Effect": "Deny", "Action": "s3:CreateBucket", "Resource": "*", "Condition":
                {{"StringEquals": {{"s3:LocationConstraint": "{region}"}}}}}}]}}"#
        )
    };
    let put = |region: &str| {
        let text = text(region);
        let (keeper, id) = (Arc::clone(&cloud.keeper), user.id.clone());
        async move { keeper.put_user_policy(ROOT, &id, "p", Some(&text)).await }
    };
    put("second").await.unwrap();
    for homes in [json!([]), json!(["second"]), json!(["us-east-1"])] {
        let request = signed(&key, "second", json!({ "bucket": "annas", "homes": homes }));
        let told = cloud.asks("annas", &account, Some(&request)).await;
        assert!(is_refused(&told), "{homes}");
        assert!(!cloud.has("annas"), "{homes}");
    }
    put("third").await.unwrap();
    let request = creates(&key, "second", "annas");
    let told = cloud.asks("annas", &account, Some(&request)).await;
    assert!(matches!(told, RegistryAnswer::Deed(_)));
}
