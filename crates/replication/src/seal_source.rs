//! The home's answers to a region whose replica is sealed. Nothing that it could read leaves here:
//! no names, no bytes, no places of rows; what it asks it asks by sealed names.

use std::{sync::Arc, time::Duration};

use access::{Permit, authorize_sealing};
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use objects::{DisplayVersion, Sealer};
use peer::{BoxBody, Held, Room, STREAM_BYTES};
use seal::BucketSeal;
use types::{BucketDeed, ObjectKey, Place, VersionId};

use crate::{
    Source,
    answers::{Refused, failed, json, refused, take},
    body::ReaderBody,
    frames::Answer,
    source::Stands,
    wire::{
        Ask, COUNT_ROOM, LACKING_MAX, LEASE_MAX, LeaseAnswer, PAGE_ROOM, UnwrapAnswer, WAIT_MAX,
        What,
    },
};

/// Where a snapshot begins.
const SNAPSHOT_START: &[u8] = b"c";

/// One region's questions about one bucket.
struct Sealing<'a> {
    source: &'a Source,
    deed: &'a Arc<BucketDeed>,
    to: &'a Place,
    seal: BucketSeal,
    permit: Permit,
}

impl Source {
    /// By leases of a home that was put back to an older state, what was overwritten since could
    /// be read; and the region of a sealed replica does not have the bucket's policy.
    pub(crate) async fn may_lease(&self, deed: &BucketDeed, what: &What) -> Result<(), Refused> {
        if !matches!(what, What::Lease { .. } | What::Unwrap { .. }) {
            return Ok(());
        }
        if let Some(doubt) = self.regions.home_doubt(deed) {
            return Err((StatusCode::CONFLICT, doubt));
        }
        let documents = self.objects.documents(deed).await.map_err(refused)?;
        if documents.is_none_or(|documents| documents.access.decides()) {
            return Err(refused(
                "the bucket has a policy, which only regions with a readable replica can decide by",
            ));
        }
        Ok(())
    }

    fn may_seal(&self, deed: &Arc<BucketDeed>, to: &Place) -> Result<Permit, Refused> {
        authorize_sealing(deed, &self.regions.here(), to).map_err(refused)
    }

    fn sealing_for<'a>(
        &'a self,
        deed: &'a Arc<BucketDeed>,
        to: &'a Place,
    ) -> Result<Sealing<'a>, Refused> {
        let permit = self.may_seal(deed, to)?;
        let key = self.sealing.as_ref();
        let key = key.ok_or_else(|| refused("this region has no key to seal with"))?;
        Ok(Sealing {
            source: self,
            deed,
            to,
            seal: key.of_bucket(deed.id.0, &to.region),
            permit,
        })
    }

    /// Answers a region whose replica is sealed.
    pub(crate) async fn answer_sealed(
        &self,
        deed: &Arc<BucketDeed>,
        to: &Place,
        room: &Room,
        ask: Ask,
    ) -> Result<Response<BoxBody>, Refused> {
        let sealing = self.sealing_for(deed, to)?;
        let (held, answer) = match ask.what {
            What::Head => {
                self.status.begins(deed, &to.region);
                (take(room, COUNT_ROOM).await?, sealing.head().await?)
            }
            What::Changes { after, wait_ms, .. } => {
                let stands = Stands::at(&ask, after);
                let (may, wait) = (Self::may_seal, Duration::from_millis(wait_ms).min(WAIT_MAX));
                self.changes(deed, to, room, stands, wait, may).await?
            }
            What::Snapshot { from } => {
                let held = take(room, PAGE_ROOM).await?;
                let answer = sealing.snapshot(&from).await?;
                self.status.seeds(deed, &to.region, answer.changes.len());
                (held, answer)
            }
            What::Body {
                key,
                version,
                offset,
            } => {
                let held = take(room, STREAM_BYTES).await?;
                return sealing.body(held, &key, &version, offset).await;
            }
            What::Version { key, version } => {
                let held = take(room, COUNT_ROOM).await?;
                (held, sealing.version(&key, &version).await?)
            }
            What::Lacking { versions } => return sealing.lacking(versions).await,
            What::Lease { key, version } => return sealing.lease(&key, version).await,
            What::Unwrap {
                key,
                version,
                wrapped,
                asker,
            } => return sealing.unwrap(&key, &version, &wrapped, &asker).await,
            What::Removals { .. }
            | What::Hear { .. }
            | What::Own { .. }
            | What::Gone { .. }
            | What::Gather { .. }
            | What::TakeByRule { .. }
            | What::ByRule { .. }
            | What::BodyByRule { .. }
            | What::Offer { .. }
            | What::Replicas
            | What::Usage
            | What::Uploads
            | What::Rules
            | What::Yield
            | What::Renewal
            | What::Followed => {
                return Err(refused("a sealed replica has no such question"));
            }
        };
        sealing.sealed(held, answer)
    }
}

fn version_id(text: &str) -> Result<VersionId, Refused> {
    VersionId::parse(text).ok_or_else(|| refused("not a version's name"))
}

impl Sealing<'_> {
    fn sealer(&self) -> Sealer<'_> {
        Sealer {
            seal: &self.seal,
            deed: self.deed,
            region: &self.to.region,
        }
    }

    /// The only way out for changes.
    fn sealed(&self, held: Held, mut answer: Answer) -> Result<Response<BoxBody>, Refused> {
        let sealer = self.sealer();
        for (_, change) in &mut answer.changes {
            *change = sealer.change(change.clone()).map_err(failed)?;
        }
        if let Some(row) = &mut answer.row {
            let name = self.seal.seal_name(&hex::encode(&*row)).map_err(refused)?;
            *row = Bytes::from(name);
        }
        Ok(held.full(answer.encode()))
    }

    async fn head(&self) -> Result<Answer, Refused> {
        let found = self.source.objects.head_position(&self.permit).await;
        let (position, config) = found.map_err(failed)?;
        Ok(Answer {
            position: position.0,
            changes: vec![(0, config)],
            ..Answer::default()
        })
    }

    async fn snapshot(&self, from: &str) -> Result<Answer, Refused> {
        let from = hex::decode(from).map_err(refused)?;
        let row = match from == SNAPSHOT_START {
            true => hex::encode(SNAPSHOT_START),
            false => {
                let name = std::str::from_utf8(&from).map_err(refused)?;
                self.seal.open_name(name).map_err(refused)?
            }
        };
        self.source.snapshot(&self.permit, &row).await
    }

    /// One version, asked for by its sealed name, because the replica's bytes of it are damaged.
    async fn version(&self, name: &str, version: &str) -> Result<Answer, Refused> {
        let key = self.sealer().key(name).map_err(failed)?;
        let named = (key.to_string(), version.to_owned());
        self.source.version(&self.permit, &named).await
    }

    async fn body(
        &self,
        held: Held,
        name: &str,
        version: &str,
        offset: u64,
    ) -> Result<Response<BoxBody>, Refused> {
        let sealer = self.sealer();
        let (key, version) = (sealer.key(name).map_err(failed)?, version_id(version)?);
        let objects = &self.source.objects;
        let reader = objects.ship_sealed_body(&self.permit, &sealer, &key, version, offset);
        let reader = reader.await.map_err(failed)?;
        let still = self.source.still(self.deed, self.to, Source::may_seal);
        let body = ReaderBody::new(reader, still).boxed_unsync();
        Ok(held.answer(Response::new(body)))
    }

    async fn lacking(&self, versions: Vec<(String, String)>) -> Result<Response<BoxBody>, Refused> {
        if versions.len() > LACKING_MAX {
            return Err(refused(format!("more than {LACKING_MAX} versions")));
        }
        let sealer = self.sealer();
        let mut lacking = Vec::new();
        for (name, text) in versions {
            // A name that this home never sealed is of nothing that it has.
            let known = match sealer.key(&name) {
                Ok(key) => {
                    let asked = vec![(key, version_id(&text)?)];
                    let found = self.source.objects.lacking(&self.permit, asked).await;
                    found.map_err(failed)?.is_empty()
                }
                Err(_) => false,
            };
            if !known {
                lacking.push((name, text));
            }
        }
        json(&lacking)
    }

    async fn lease(
        &self,
        key: &str,
        version: Option<String>,
    ) -> Result<Response<BoxBody>, Refused> {
        let key = ObjectKey::new(key).map_err(refused)?;
        let version = match version {
            None => None,
            Some(text) => {
                let read = DisplayVersion::parse(&text);
                Some(read.ok_or_else(|| refused("not a version's name"))?)
            }
        };
        let objects = &self.source.objects;
        let sealer = self.sealer();
        let current = objects.sealed_current(&self.permit, &sealer, &key, version);
        json(&match current.await {
            Ok(current) => LeaseAnswer::Current {
                token: current.token,
                version: current.version.to_string(),
                head: hex::encode(current.head),
            },
            Err(objects::Error::NoSuchKey { .. }) => LeaseAnswer::NoKey,
            Err(objects::Error::NoSuchVersion) => LeaseAnswer::NoVersion,
            Err(error) => return Err(failed(error)),
        })
    }

    async fn unwrap(
        &self,
        key: &str,
        version: &str,
        wrapped: &str,
        asker: &str,
    ) -> Result<Response<BoxBody>, Refused> {
        let key = ObjectKey::new(key).map_err(refused)?;
        let wrapped = hex::decode(wrapped).map_err(refused)?;
        let asker = hex::decode(asker).map_err(refused)?;
        let sealer = self.sealer();
        let objects = &self.source.objects;
        let version = version_id(version)?;
        let opened = objects.unwrap_key(&self.permit, &sealer, &key, version, &wrapped);
        let opened = opened.await.inspect_err(|error| {
            let (bucket, region) = (&self.deed.name, &self.to.region);
            tracing::warn!(%bucket, %region, %error, "a wrapped key was not opened");
        });
        json(&UnwrapAnswer {
            key: hex::encode(opened.map_err(failed)?.hand_to(&asker).map_err(refused)?),
            lasts_ms: LEASE_MAX.as_millis() as u64,
        })
    }
}
