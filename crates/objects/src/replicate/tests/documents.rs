//! Documents of a bucket: in their own rows, in step with what is in memory, and shipped with the
//! configuration.

use types::{Clock, VersionId};

use super::*;
use crate::{Configuration, Document, DocumentKind, Documents, replicate::AHEAD_MAX_MS};

const SPEED: DocumentKind = DocumentKind::Accelerate;
const PAYER: DocumentKind = DocumentKind::RequestPayment;

fn put_of(kind: DocumentKind) -> Action {
    match kind {
        DocumentKind::RequestPayment => Action::PutBucketRequestPayment,
        _ => Action::PutAccelerateConfiguration,
    }
}

impl Region {
    async fn set_document(&self, kind: DocumentKind, byte: Option<u8>) {
        self.clock.advance_ms(1);
        let action = put_of(kind);
        let bytes = byte.map(|byte| Arc::from([byte]));
        let permit = self.permit(action);
        let set = self.objects.set_document(
            &permit,
            action,
            (kind, bytes),
            access::PublicAccessBlock::NONE,
        );
        set.await.unwrap();
    }

    /// As a request finds it.
    async fn document(&self, kind: DocumentKind) -> Option<Option<u8>> {
        let found = self.objects.documents(&self.deed).await.unwrap()?;
        let document = found.documents.get(kind)?;
        Some(document.bytes.as_ref().map(|bytes| bytes[0]))
    }

    async fn shipped(&self) -> Configuration {
        let head = self.objects.head_position(&self.sending()).await;
        match head.unwrap().1 {
            ShippedChange::Config(config) => *config,
            other => panic!("{other:?}"),
        }
    }

    async fn takes(&self, config: &Configuration) -> Applied {
        let change = ShippedChange::Config(Box::new(config.clone()));
        let change = ShippedChange::decode(&change.encode()).unwrap();
        self.take(&change, &Nothing).await.unwrap()
    }

    /// The same folder after a start.
    fn started_again(&self, id: &str) -> Self {
        let region = Self::on(self.engine.clone(), id, 9, Arc::clone(&self.deed));
        region.clock.set_ms(self.clock.now().ms());
        region
    }
}

#[tokio::test]
async fn what_was_set_is_found_at_once_after_a_start_and_at_a_replica() {
    let (home, copy) = (Region::new("home", 1), Region::new("copy", 2));
    assert_eq!(home.document(PAYER).await, None);
    home.set_document(PAYER, Some(1)).await;
    home.set_document(SPEED, Some(2)).await;
    assert_eq!(home.document(PAYER).await, Some(Some(1)));
    assert_eq!(copy.takes(&home.shipped().await).await, Applied::Done);
    assert_eq!(copy.takes(&home.shipped().await).await, Applied::Known);
    home.set_document(PAYER, None).await;
    assert_eq!(copy.document(PAYER).await, Some(Some(1)));
    copy.takes(&home.shipped().await).await;
    for region in [
        &home,
        &copy,
        &home.started_again("home"),
        &copy.started_again("copy"),
    ] {
        assert_eq!(region.document(PAYER).await, Some(None));
        assert_eq!(region.document(SPEED).await, Some(Some(2)));
    }
    assert_eq!(copy.shipped().await, home.shipped().await);
}

#[tokio::test]
async fn a_replica_that_has_not_received_them_does_not_act_as_if_there_were_none() {
    let home = Region::new("home", 1);
    let mut added = (*deed()).clone();
    added.placement.since.insert(RegionId::new("copy"), 3);
    let copy = Region::under("copy", 2, Arc::new(added));
    let documents = || async { copy.objects.documents(&copy.deed).await.unwrap() };
    assert!(home.objects.documents(&home.deed).await.unwrap().is_some());
    assert!(documents().await.is_none());
    // The home has none: that is known with the first place in its log.
    copy.takes(&home.shipped().await).await;
    let (permit, source) = (copy.receiving(), RegionId::new("home"));
    let cursor = crate::FollowCursor::default();
    let noted = copy.objects.set_follow_cursor(&permit, &source, &cursor);
    noted.await.unwrap();
    assert!(documents().await.is_some());
    copy.objects.discard_bucket(&copy.deed).await.unwrap();
    assert!(documents().await.is_none());
}

#[tokio::test]
async fn a_write_that_was_decided_before_lands_beside_a_document() {
    let home = Region::new("home", 1);
    home.put("a", "1").await;
    let before = home.objects.epoch_here(&home.deed).await.unwrap();
    let range = ScanRange::prefix(rows::BUCKET);
    let index = &home.engine.index;
    let row = index.scan(PartitionId(7), range.clone(), 1).await.unwrap();
    home.set_document(PAYER, Some(1)).await;
    let same = index.scan(PartitionId(7), range, 1).await.unwrap();
    assert_eq!(row[0].1.version, same[0].1.version);
    assert_eq!(home.objects.epoch_here(&home.deed).await.unwrap(), before);
}

#[tokio::test]
async fn of_two_homes_the_document_that_was_set_last_counts() {
    let (old, new) = (Region::new("home", 1), Region::new("copy", 2));
    old.set_document(PAYER, Some(1)).await;
    new.takes(&old.shipped().await).await;
    let backup = old.shipped().await;
    old.set_document(PAYER, None).await;
    old.set_document(SPEED, Some(1)).await;
    // A replica that has later ones keeps them, and offers them to the home.
    let late = old.shipped().await;
    new.takes(&late).await;
    assert_eq!(new.takes(&backup).await, Applied::Known);
    assert_eq!(new.document(PAYER).await, Some(None));
    let receiving = new.receiving();
    assert!(
        new.objects
            .configured_later(&receiving, &backup)
            .await
            .unwrap()
    );
    assert!(
        !new.objects
            .configured_later(&receiving, &late)
            .await
            .unwrap()
    );
    // The home takes what is later than its own, and nothing that is dated ahead.
    let home = Region::new("home", 3);
    home.clock.advance_ms(10);
    home.takes(&backup).await;
    assert_eq!(home.takes(&late).await, Applied::Done);
    assert_eq!(home.takes(&backup).await, Applied::Known);
    assert_eq!(home.document(PAYER).await, Some(None));
    let ms = NOW + 2 * AHEAD_MAX_MS + 60_000;
    let ahead = Document {
        bytes: Some(Arc::from([1])),
        set: VersionId::new(Timestamp::from_ms(ms), 0, 0, 0),
    };
    let mut config = home.shipped().await;
    config.documents = Documents([(PAYER, ahead)].into());
    assert_eq!(home.takes(&config).await, Applied::Known);
    assert_eq!(home.document(PAYER).await, Some(None));
    // What the home sets after it took something over counts more.
    home.set_document(PAYER, Some(0)).await;
    new.takes(&home.shipped().await).await;
    assert_eq!(new.document(PAYER).await, Some(Some(0)));
}

#[tokio::test]
async fn documents_go_with_their_bucket_and_with_their_replica() {
    let home = Region::new("home", 1);
    home.set_document(PAYER, Some(1)).await;
    let permit = home.permit(Action::DeleteBucket);
    // The deed of this test stays; the rows do not.
    let _ = home.objects.delete_bucket(&permit).await;
    let range = ScanRange::prefix(rows::DOCUMENT);
    let left = home
        .engine
        .index
        .scan(PartitionId(7), range.clone(), 9)
        .await;
    assert!(left.unwrap().is_empty());
    assert_eq!(home.document(PAYER).await, None);
    let (home, copy) = (Region::new("home", 1), Region::new("copy", 2));
    home.set_document(PAYER, Some(1)).await;
    copy.takes(&home.shipped().await).await;
    assert_eq!(copy.document(PAYER).await, Some(Some(1)));
    copy.objects.discard_bucket(&copy.deed).await.unwrap();
    let left = copy.engine.index.scan(PartitionId(7), range, 9).await;
    assert!(left.unwrap().is_empty());
    assert_eq!(copy.document(PAYER).await, None);
}

#[tokio::test]
async fn a_document_is_as_long_as_its_kind_may_be_and_of_a_kind_that_is_known() {
    let home = Region::new("home", 1);
    let action = Action::PutBucketRequestPayment;
    let permit = home.permit(action);
    let long = (PAYER, Some(Arc::from([1, 2])));
    let refused = home
        .objects
        .set_document(&permit, action, long, access::PublicAccessBlock::NONE)
        .await;
    assert!(matches!(refused, Err(Error::InvalidRequest(_))));
    home.set_document(PAYER, Some(1)).await;
    let mut config = home.shipped().await;
    let mut long = config.documents.get(PAYER).unwrap().clone();
    long.bytes = Some(Arc::from([1, 2]));
    config.documents.0.insert(PAYER, long);
    let change = ShippedChange::Config(Box::new(config));
    assert!(ShippedChange::decode(&change.encode()).is_err());
    // Another release's kind: nobody acts without it.
    let batch = store::Batch::new().put(rows::document(200), vec![1]);
    home.engine
        .index
        .commit(PartitionId(7), batch)
        .await
        .unwrap();
    let again = home.started_again("home");
    assert!(again.objects.documents(&again.deed).await.is_err());
}

#[tokio::test]
async fn what_is_in_memory_is_what_landed_when_the_caller_goes_away() {
    let home = Region::new("home", 1);
    home.set_document(PAYER, Some(0)).await;
    assert_eq!(home.document(PAYER).await, Some(Some(0)));
    let action = put_of(PAYER);
    let permit = home.permit(action);
    let document = (PAYER, Some(Arc::from([1])));
    let set = home
        .objects
        .set_document(&permit, action, document, access::PublicAccessBlock::NONE);
    // It goes away once it has handed its commit over.
    let mut set = Box::pin(set);
    let waker = std::task::Waker::noop();
    let mut context = std::task::Context::from_waker(waker);
    for _ in 0..3 {
        if set.as_mut().poll(&mut context).is_ready() {
            break;
        }
    }
    drop(set);
    let stored = || async {
        let row = rows::document(PAYER as u8);
        let index = &home.engine.index;
        let row = index.get(PartitionId(7), &row, store::Want::Value).await;
        let row = row.unwrap().unwrap();
        Document::decode(PAYER, &row.value).unwrap().bytes.unwrap()[0]
    };
    let both = async {
        loop {
            let landed = stored().await;
            if home.document(PAYER).await == Some(Some(landed)) && landed == 1 {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    let seen = tokio::time::timeout(std::time::Duration::from_secs(30), both);
    seen.await.expect("what landed is in memory");
}
