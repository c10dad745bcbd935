//! A replica that has read what its home does not have: the home was put back to an older state, or
//! lost its newest writes. The replica hands over what it alone has, and begins a snapshot anew.

use access::Permit;
use objects::FollowCursor;
use store::Position;

use crate::{ReplicationError, follow::Follower, said::By, wire::What};

impl Follower {
    /// The home does not have what this region has read of it: it was brought back from a backup,
    /// or a loss of power took its newest writes. Those are handed over before this replica takes
    /// on the home's state, so nothing that was acknowledged goes. Removals are not: the home
    /// accepts them from a replica only under a new epoch.
    pub(crate) async fn hand_over_ahead(
        &self,
        permit: &Permit,
        to: By,
        mut cursor: FollowCursor,
    ) -> Result<(), ReplicationError> {
        self.stands_nowhere();
        let (bucket, region) = (&self.far.deed.name, &self.far.region);
        if self.far.sealed {
            return Err(ReplicationError::Refused(format!(
                "the home of {bucket}, region {region}, has not what was read of it before: this \
                 sealed replica stays as it is; promote a region that has the newest state"
            )));
        }
        tracing::warn!(
            %bucket, %region,
            "the home has not what was read of it before: it was put back to an older state, or lost \
             its newest writes; what only this region has is handed over"
        );
        // A start of this region in between goes on here: what the home has again of what was
        // removed comes with the snapshot.
        cursor.snapshot = Some(bytes::Bytes::from_static(b"c"));
        cursor.reach = Position(self.far.said.reach());
        self.note(permit, &cursor).await?;
        self.far.said.hands_over(to);
        let handed = async {
            // First: whether versions are kept must be known before the home serves again.
            let head = self.far.ask(What::Head).await?;
            self.offer_configuration(permit, &head).await?;
            self.catch_up(permit).await?;
            self.hand_over(permit).await
        };
        let handed = handed.await;
        self.far.said.has_handed_over(handed.is_ok());
        handed?;
        self.begin_anew(permit, Position(0), cursor).await
    }

    /// Another start of the home answers than before: that one, if it does not have all that was
    /// read of the one before it.
    pub(crate) async fn lacks_some(&self) -> Result<Option<By>, ReplicationError> {
        let ask = What::Changes {
            after: self.far.said.reach(),
            wait_ms: 0,
            // Nothing is noted yet.
            applied: Some(0),
        };
        let (answer, by) = self.far.ask_by(ask).await?;
        Ok(answer.ahead.then_some(by))
    }

    /// Begins a snapshot once more. What was removed at the home behind `known` is fetched.
    pub(crate) async fn begin_anew(
        &self,
        permit: &Permit,
        known: Position,
        mut cursor: FollowCursor,
    ) -> Result<(), ReplicationError> {
        let head = self.far.ask(What::Head).await?;
        self.apply_all(permit, &head).await?;
        if !self.far.sealed {
            self.exchange_removals(permit, known).await?;
        }
        cursor.position = Position(head.position);
        cursor.snapshot = Some(bytes::Bytes::from_static(b"c"));
        cursor.reach = Position(self.far.said.reach());
        self.note(&self.permit()?, &cursor).await.map(drop)
    }
}
