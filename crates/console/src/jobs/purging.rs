//! Deletes every version of an object, or all that a bucket has and then the bucket.

use std::sync::atomic::Ordering::Relaxed;

use futures_util::{StreamExt, stream};
use http::{Method, StatusCode};
use types::Timestamp;

use super::{
    Job, Purge,
    run::{AT_ONCE, Outcome, PAGE, Stop, goes_on, patiently},
    state::State,
};
use crate::{
    call::Call,
    fault::Fault,
    fields::decoded,
    s3::{Node, S3Ask},
};

/// A version, or a delete marker.
struct Version {
    key: String,
    id: String,
    size: u64,
    written: Option<Timestamp>,
}

impl Version {
    fn read(node: &Node) -> Self {
        let id = State::read(node.text("VersionId").to_owned());
        let modified = Timestamp::parse_iso8601(node.text("LastModified"));
        Self {
            key: decoded(node.text("Key")).into_owned(),
            id: node.text("VersionId").to_owned(),
            size: node.text("Size").parse().unwrap_or(0),
            written: id.map(|state| state.written).or(modified),
        }
    }

    /// Whether it was written while the bucket kept no versions: such a one can be written over.
    fn is_null(&self) -> bool {
        self.id == NULL
    }
}

/// Whether the bucket ever kept versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeps {
    Ever,
    None,
}

/// Goes through all versions, and deletes the bucket in the end if nothing is left.
pub async fn walk(call: &Call<'_>, job: &Job, what: Purge) -> Result<(), Stop> {
    let mut from: Option<(String, String)> = None;
    loop {
        goes_on(call, job)?;
        let broken = |fault: Fault| Stop::Broken(call.why(&fault));
        let keeps = keeps(call, job).await.map_err(broken)?;
        let listed = page(call, job, from.as_ref()).await.map_err(broken)?;
        let rows = listed.children().iter();
        let rows = rows.filter(|node| matches!(&*node.name, "Version" | "DeleteMarker"));
        let mut versions: Vec<Version> = rows.map(Version::read).collect();
        let all = versions.len();
        if what == Purge::Key {
            versions.retain(|one| one.key == job.from.prefix);
        }
        let ends = versions.len() < all;
        let mut under_way = stream::iter(versions)
            .map(|one| one_version(call, job, keeps, one))
            .buffer_unordered(AT_ONCE);
        let mut stopped = Ok(());
        while let Some(ended) = under_way.next().await {
            stopped = stopped.and(ended);
        }
        stopped?;
        if ends || listed.text("IsTruncated") != "true" {
            break;
        }
        let key = decoded(listed.text("NextKeyMarker")).into_owned();
        from = Some((key, listed.text("NextVersionIdMarker").to_owned()));
    }
    match what {
        Purge::Key => Ok(()),
        Purge::Bucket => bucket(call, job).await,
    }
}

async fn keeps(call: &Call<'_>, job: &Job) -> Result<Keeps, Fault> {
    let ask = || S3Ask::bucket(&Method::GET, &job.from.bucket).query("versioning", "");
    let root = patiently(|| call.s3(ask())).await?.xml()?;
    Ok(match root.text("Status") {
        "" => Keeps::None,
        _ => Keeps::Ever,
    })
}

async fn page(call: &Call<'_>, job: &Job, from: Option<&(String, String)>) -> Result<Node, Fault> {
    let ask = || {
        S3Ask::bucket(&Method::GET, &job.from.bucket)
            .query("versions", "")
            .query("encoding-type", "url")
            .query("max-keys", PAGE)
            .query("prefix", &*job.from.prefix)
            .maybe("key-marker", from.map(|(key, _)| &**key))
            .maybe("version-id-marker", from.map(|(_, id)| &**id))
    };
    patiently(|| call.s3(ask())).await?.xml()
}

async fn one_version(call: &Call<'_>, job: &Job, keeps: Keeps, one: Version) -> Result<(), Stop> {
    goes_on(call, job)?;
    match deleted(call, job, keeps, &one).await {
        Ok(Outcome::Done) => {
            job.done.fetch_add(1, Relaxed);
            job.bytes.fetch_add(one.size, Relaxed);
        }
        Ok(Outcome::Left) => drop(job.left.fetch_add(1, Relaxed)),
        Err(fault) => job.fails(&one.key, call.why(&fault)),
    }
    Ok(())
}

/// Whether what was written then was seen by whoever began the job.
fn may_go(written: Option<Timestamp>, until: Timestamp) -> bool {
    written.is_some_and(|written| written <= until) || types::planted("console-purges-what-came")
}

/// Deletes what was listed, and nothing that came in its place: a version's id names it for good,
/// but for the one that is called null.
async fn deleted(
    call: &Call<'_>,
    job: &Job,
    keeps: Keeps,
    one: &Version,
) -> Result<Outcome, Fault> {
    let at = (&*job.from.bucket, &*one.key);
    if !may_go(one.written, job.until) {
        return Ok(Outcome::Left);
    }
    if one.is_null() {
        return null_version(call, job, keeps, at).await;
    }
    let ask = || S3Ask::object(&Method::DELETE, at.0, at.1).query("versionId", &*one.id);
    patiently(|| call.s3(ask())).await?;
    Ok(Outcome::Done)
}

/// Deletes the version that is called null, in the state that it has now: another write may have
/// taken its place, which was not seen by whoever began the job.
async fn null_version(
    call: &Call<'_>,
    job: &Job,
    keeps: Keeps,
    at: (&str, &str),
) -> Result<Outcome, Fault> {
    // Where no version was ever kept, it is the object itself: whoever may delete that may do so.
    let state = match keeps {
        Keeps::None => State::of(call, at).await?,
        Keeps::Ever => State::of_version(call, at, NULL).await?,
    };
    let Some(state) = state.filter(|state| may_go(Some(state.written), job.until)) else {
        return Ok(Outcome::Left);
    };
    let ask = || match keeps {
        Keeps::None => state.delete(at),
        Keeps::Ever => state.delete(at).query("versionId", NULL),
    };
    let answer = patiently(|| call.s3(ask())).await?;
    Ok(match answer.0.status() {
        StatusCode::NOT_FOUND => Outcome::Left,
        _ => Outcome::Done,
    })
}

/// The id of what was written while a bucket kept no versions.
const NULL: &str = "null";

/// Deletes the bucket, unless something is in it yet.
async fn bucket(call: &Call<'_>, job: &Job) -> Result<(), Stop> {
    goes_on(call, job)?;
    if job.failed.load(Relaxed) + job.left.load(Relaxed) > 0 {
        return Err(Stop::Broken(call.t(KEPT).into_owned()));
    }
    let ask = || S3Ask::bucket(&Method::DELETE, &job.from.bucket);
    let deleted = patiently(|| call.s3(ask())).await;
    deleted
        .map(drop)
        .map_err(|fault| Stop::Broken(call.why(&fault)))
}

const KEPT: &str = "Something was left in the bucket, so the bucket stays.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_after_the_form_was_shown_stays() {
        let at = Timestamp::from_ms;
        assert!(may_go(Some(at(1000)), at(1000)));
        assert!(!may_go(Some(at(1001)), at(1000)));
        assert!(!may_go(None, at(1000)));
    }

    #[test]
    fn a_version_is_as_old_as_its_id_says() {
        let text = "<Version><Key>a%2Fb</Key><VersionId>0000000003e9ffffffffffffffffffff</VersionId>\
                    <LastModified>1970-01-01T00:00:00.000Z</LastModified></Version>";
        let read = Version::read(&Node::parse(text.as_bytes()).unwrap());
        assert_eq!(
            (&*read.key, read.written),
            ("a/b", Some(Timestamp::from_ms(1001)))
        );
        let null = text.replace("0000000003e9ffffffffffffffffffff", "null");
        let read = Version::read(&Node::parse(null.as_bytes()).unwrap());
        assert!(read.is_null() && read.written == Some(Timestamp::from_ms(0)));
    }
}
