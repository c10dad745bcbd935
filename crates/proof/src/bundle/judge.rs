//! Judges a bundle.

use serde::Serialize;

use super::{
    Bundle, DeedDetail, Finding, REGIONS_MAX, RegionDetail, RegionIdentity, Said, TrustAnchor,
    VERSION,
    deeds::{self, Ledger, Standing},
};
use crate::{
    chain::{self, Checkpoint, Head},
    encoding::Hash,
    jurisdictions,
    merkle::Tree,
    residency::Digest,
};

/// What a bundle without faults shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The cloud's name.
    pub cloud: String,
    /// The bucket's name.
    pub bucket: String,
    /// Whether there is a bucket of that name.
    pub stands: Stands,
    /// The deed in force; `None` when there is no such bucket.
    pub deed: Option<DeedDetail>,
    /// Since when it has been in force (or deleted), in milliseconds since 1970; 0 when there never
    /// was such a bucket.
    pub since_ms: u64,
    /// The numbers of the log's entries about the bucket that the bundle shows.
    pub history: Vec<u64>,
    /// The head of the audit chain: what the next bundle is to pass through
    /// ([`TrustAnchor::known`]).
    pub head: Head,
    /// When that head was signed, in milliseconds since 1970.
    pub signed_at_ms: u64,
    /// What each region says that it holds.
    pub held: Vec<HeldIn>,
    /// Regions that are open, not of the placement, and have signed nothing about the bucket.
    pub silent: Vec<String>,
    /// What regions have had put on record about the bucket, in order: their word, and no finding.
    pub said: Vec<Said>,
}

/// Whether there is a bucket of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stands {
    /// There is, and it is placed.
    Placed,
    /// There was, and it was deleted.
    Deleted,
    /// There never was.
    Never,
}

/// What bundles of both kinds have.
#[derive(Clone, Copy)]
pub(super) struct Case<'b> {
    pub(super) cloud: &'b str,
    pub(super) bucket: &'b str,
    pub(super) made_at_ms: u64,
    pub(super) checkpoint: &'b Checkpoint,
    pub(super) digests: &'b [Digest],
}

/// What one region says that it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldIn {
    /// The region.
    pub region: String,
    /// Its jurisdiction.
    pub jurisdiction: String,
    /// Who runs it.
    pub operator: String,
    /// How many versions it holds.
    pub count: u64,
    /// The bytes of those versions.
    pub bytes: u64,
    /// The Merkle root over them.
    pub root: Hash,
    /// The position of the home's change log that this reflects.
    pub position: u64,
    /// When it was signed, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whether this was compared with the home, both being at one position. A region that is
    /// behind cannot be.
    pub compared: bool,
}

pub(super) fn verify(bundle: &Bundle, trusted: &TrustAnchor) -> Result<Report, Vec<Finding>> {
    let mut findings = Vec::new();
    if bundle.v != VERSION {
        return Err(vec![Finding::Version(bundle.v)]);
    }
    let case = Case {
        cloud: &bundle.cloud,
        bucket: &bundle.bucket,
        made_at_ms: bundle.made_at_ms,
        checkpoint: &bundle.checkpoint,
        digests: &bundle.digests,
    };
    let many = bundle.regions.len().max(bundle.digests.len());
    if many > REGIONS_MAX {
        return Err(vec![Finding::TooMany(many)]);
    }
    statements(&case, trusted, &mut findings);
    let head = match chain::verify(bundle.chain.iter().cloned()) {
        Ok(head) => head,
        Err(e) => {
            findings.push(e.into());
            return Err(findings);
        }
    };
    findings.extend(head_finding(bundle, head));
    findings.extend(known_finding(bundle, trusted, head));
    let regions = deeds::identities(&bundle.chain);
    if regions.len() > REGIONS_MAX {
        findings.push(Finding::TooMany(regions.len()));
        return Err(findings);
    }
    identities(bundle, &regions, &mut findings);
    let ledger = Ledger::read(&bundle.chain, &bundle.bucket);
    judge(&case, ledger, findings)
}

/// Whether what regions say is as the ledger wants it.
pub(super) fn judge(
    case: &Case<'_>,
    mut ledger: Ledger,
    mut findings: Vec<Finding>,
) -> Result<Report, Vec<Finding>> {
    findings.append(&mut ledger.findings);
    if ledger.standing == Standing::Unknown {
        findings.push(Finding::NoDeed);
        return Err(findings);
    }
    for digest in case.digests {
        digest_findings(case, &ledger, digest, &mut findings);
    }
    let held = placement(case, &ledger, &mut findings);
    if !findings.is_empty() {
        return Err(findings);
    }
    Ok(report(case, ledger, held))
}

fn report(case: &Case<'_>, ledger: Ledger, held: Vec<HeldIn>) -> Report {
    let speaks = |region: &String| held.iter().any(|h| h.region == *region);
    let (stands, deed) = match ledger.standing {
        Standing::Placed(deed) => (Stands::Placed, Some(deed)),
        Standing::Deleted(_) => (Stands::Deleted, None),
        Standing::Unknown => (Stands::Never, None),
    };
    Report {
        cloud: case.cloud.to_owned(),
        bucket: case.bucket.to_owned(),
        stands,
        silent: ledger.regions.into_keys().filter(|r| !speaks(r)).collect(),
        deed,
        since_ms: ledger.since_ms,
        history: ledger.history,
        said: ledger.said,
        head: case.checkpoint.head,
        signed_at_ms: case.checkpoint.at_ms,
        held,
    }
}

/// What can be judged without any entry: the checkpoint, signatures, times.
pub(super) fn statements(case: &Case<'_>, trusted: &TrustAnchor, findings: &mut Vec<Finding>) {
    let checkpoint = case.checkpoint;
    if !checkpoint.verify() {
        findings.push(Finding::CheckpointSignature);
    }
    if !trusted.key.is(&checkpoint.public_key) {
        findings.push(Finding::CheckpointKey);
    }
    if checkpoint.cloud != case.cloud {
        findings.push(Finding::CheckpointCloud(checkpoint.cloud.clone()));
    }
    for digest in case.digests.iter().filter(|d| !d.verify()) {
        let region = digest.region.clone();
        findings.push(Finding::DigestSignature { region });
    }
    times(case, trusted, findings);
}

/// Nothing is signed after the bundle was made, nor before the time that is wanted.
fn times(case: &Case<'_>, trusted: &TrustAnchor, findings: &mut Vec<Finding>) {
    let made_at_ms = case.made_at_ms;
    let digests = case
        .digests
        .iter()
        .map(|d| (format!("digest of {}", d.region), d.at_ms));
    let checkpoint = ("checkpoint".to_owned(), case.checkpoint.at_ms);
    for (what, at_ms) in std::iter::once(checkpoint).chain(digests) {
        if let Some(wanted_ms) = trusted.fresh_since_ms.filter(|wanted| at_ms < *wanted) {
            findings.push(Finding::Stale {
                what,
                at_ms,
                wanted_ms,
            });
        } else if at_ms > made_at_ms {
            findings.push(Finding::MadeBefore { made_at_ms, what });
        }
    }
}

/// The chain has to end where the checkpoint says.
fn head_finding(bundle: &Bundle, head: Head) -> Option<Finding> {
    let (signed, ends) = (bundle.checkpoint.head.number, head.number);
    if ends < signed {
        return Some(Finding::Truncated { ends, signed });
    }
    if ends > signed {
        return Some(Finding::NotSigned { ends, signed });
    }
    if head != bundle.checkpoint.head {
        return Some(Finding::Rewritten { number: ends });
    }
    let (at_ms, entry_ms) = (bundle.checkpoint.at_ms, bundle.chain.last()?.at_ms);
    (at_ms < entry_ms).then_some(Finding::CheckpointBackDated { at_ms, entry_ms })
}

fn known_finding(bundle: &Bundle, trusted: &TrustAnchor, head: Head) -> Option<Finding> {
    let known = trusted.known?;
    let entry = usize::try_from(known.number).ok();
    match entry.and_then(|n| bundle.chain.get(n)) {
        None => Some(Finding::RolledBack {
            ends: head.number,
            known: known.number,
        }),
        Some(entry) if entry.hash != known.hash => Some(Finding::ForkedFromKnown {
            number: known.number,
        }),
        Some(_) => None,
    }
}

/// The bundle's list of regions has to be the chain's.
fn identities(bundle: &Bundle, real: &[RegionIdentity], findings: &mut Vec<Finding>) {
    let wrong = bundle.regions.iter().filter(|r| !real.contains(r));
    let left_out = real.iter().filter(|r| {
        let named = |other: &&RegionIdentity| other.region == r.region;
        bundle.regions.iter().filter(named).count() != 1
    });
    for region in wrong.chain(left_out) {
        let region = region.region.clone();
        let finding = Finding::RegionIdentity { region };
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
}

/// Whether this is who the chain says, speaking of this bucket, since its deed is in force.
fn digest_findings(b: &Case<'_>, ledger: &Ledger, digest: &Digest, findings: &mut Vec<Finding>) {
    let region = || digest.region.clone();
    let Some(known) = ledger.regions.get(&digest.region) else {
        findings.push(Finding::DigestOfUnknown { region: region() });
        return;
    };
    if digest.public_key != known.public_key {
        findings.push(Finding::DigestKey {
            region: region(),
            holder: ledger.holder_of(&digest.public_key),
        });
    }
    if digest.jurisdiction != known.jurisdiction || digest.operator != known.operator {
        findings.push(Finding::DigestIdentity { region: region() });
    }
    let id = match &ledger.standing {
        Standing::Placed(deed) => Some(deed.id),
        Standing::Deleted(id) => Some(*id),
        Standing::Unknown => None,
    };
    if digest.cloud != b.cloud || digest.bucket != b.bucket || Some(digest.bucket_id) != id {
        findings.push(Finding::DigestOfAnother { region: region() });
    }
    let same = |other: &&Digest| other.region == digest.region;
    let repeated = Finding::DigestRepeated { region: region() };
    if b.digests.iter().filter(same).count() > 1 && !findings.contains(&repeated) {
        findings.push(repeated);
    }
    if digest.at_ms < ledger.since_ms {
        findings.push(Finding::DigestBackDated {
            region: region(),
            at_ms: digest.at_ms,
            deed_ms: ledger.since_ms,
        });
    }
    let nothing = digest.root == Tree::new().root();
    if (digest.count == 0) != nothing || (digest.count == 0 && digest.bytes != 0) {
        findings.push(Finding::DigestIncoherent { region: region() });
    }
    if let Standing::Placed(deed) = &ledger.standing {
        deed_findings(deed, known, digest, findings);
    } else if digest.count > 0 {
        findings.push(outside(digest));
    }
}

/// Whether what the region holds is what the deed in force wants.
fn deed_findings(
    deed: &DeedDetail,
    known: &RegionDetail,
    digest: &Digest,
    findings: &mut Vec<Finding>,
) {
    let region = || digest.region.clone();
    if digest.epoch != deed.epoch {
        findings.push(Finding::DigestEpoch {
            region: region(),
            epoch: digest.epoch,
            deed: deed.epoch,
        });
    }
    if digest.count == 0 {
        return;
    }
    if !deed.regions().any(|r| r == digest.region) {
        findings.push(outside(digest));
    }
    let country = &known.jurisdiction;
    if !jurisdictions::allows(&deed.jurisdictions, country, jurisdictions::is_member) {
        findings.push(Finding::HeldForbidden {
            region: region(),
            jurisdiction: country.clone(),
            count: digest.count,
        });
    }
}

fn outside(digest: &Digest) -> Finding {
    Finding::HeldOutside {
        region: digest.region.clone(),
        count: digest.count,
    }
}

/// Whether every region of the placement speaks, and those at one position with the home agree.
fn placement(bundle: &Case<'_>, ledger: &Ledger, findings: &mut Vec<Finding>) -> Vec<HeldIn> {
    let deed = match &ledger.standing {
        Standing::Placed(deed) => Some(deed),
        Standing::Unknown | Standing::Deleted(_) => None,
    };
    for region in deed.iter().flat_map(|d| d.regions()) {
        if !bundle.digests.iter().any(|d| d.region == region) {
            let region = region.to_owned();
            findings.push(Finding::NoDigest { region });
        }
    }
    let home = deed.and_then(|deed| bundle.digests.iter().find(|d| d.region == deed.home));
    let mut held = Vec::new();
    for digest in bundle.digests {
        let placed = deed.is_some_and(|d| d.regions().any(|r| r == digest.region));
        // Position 0 says that the bucket changed while it was counted.
        let at_home =
            home.filter(|home| placed && home.position == digest.position && digest.position > 0);
        // What is sealed has other names and lengths than at home, but there is as much of it.
        let sealed = deed.is_some_and(|d| d.is_sealed_in(&digest.region));
        let of = |d: &Digest| match sealed {
            true => (None, d.count, 0),
            false => (Some(d.root), d.count, d.bytes),
        };
        if let Some(home) = at_home.filter(|home| of(home) != of(digest)) {
            findings.push(Finding::Disagree {
                region: digest.region.clone(),
                home: home.region.clone(),
                position: digest.position,
            });
        }
        held.push(HeldIn {
            region: digest.region.clone(),
            jurisdiction: digest.jurisdiction.clone(),
            operator: digest.operator.clone(),
            count: digest.count,
            bytes: digest.bytes,
            root: digest.root,
            position: digest.position,
            at_ms: digest.at_ms,
            compared: at_home.is_some(),
        });
    }
    held
}
