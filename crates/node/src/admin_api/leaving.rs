//! Multipart uploads in progress at a bucket's home. Their parts are there only and move to no
//! other home, so a change of the home is refused while the home has some.

use std::{sync::Arc, time::Duration};

use replication::Uploads;
use types::BucketDeed;

use super::{Admin, Refused, answers::conflict};

/// How long the home may take to count.
const COUNT_WAIT: Duration = Duration::from_secs(5);

/// In words: how many there are.
fn words(found: &Uploads) -> String {
    let of = |count: u64, what: &str| match count {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    };
    format!(
        "{}{} in progress ({}, {} bytes)",
        if found.more { "more than " } else { "" },
        of(found.uploads, "multipart upload"),
        of(found.parts, "part"),
        found.bytes
    )
}

impl Admin {
    /// How many uploads are in progress at the home of a bucket.
    pub(super) async fn uploads(&self, found: &Arc<BucketDeed>) -> Result<Uploads, String> {
        let asked = tokio::time::timeout(COUNT_WAIT, self.region.uploads(found)).await;
        asked.unwrap_or_else(|_| {
            let wait = COUNT_WAIT.as_secs();
            Err(format!("{} does not answer within {wait} s", found.home))
        })
    }

    /// What is lost when the bucket gets another home; `None` where its home does not answer, so
    /// that nobody can say. Refused while there is something, unless it is to be `aborted`.
    pub(super) async fn lost_uploads(
        &self,
        found: &Arc<BucketDeed>,
        aborted: bool,
    ) -> Result<Option<Uploads>, Refused> {
        let answers = found.home == self.region.id || self.region.answers(&found.home).await;
        if !answers {
            return Ok(None);
        }
        let (name, home) = (&found.name, &found.home);
        match self.uploads(found).await {
            Ok(uploads) if uploads.uploads == 0 || aborted => Ok(Some(uploads)),
            Ok(uploads) => Err(conflict(&format!(
                "{name} has {} at its home, region {home}, which would be lost: have them \
                 completed or aborted (`aws s3api list-multipart-uploads --bucket {name}` lists \
                 them), or use --abort-uploads to go on without them",
                words(&uploads)
            ))),
            Err(_) if aborted => Ok(None),
            Err(why) => Err(conflict(&format!(
                "how many multipart uploads of {name} are in progress at its home, region {home}, \
                 is not known ({why}); with --abort-uploads the change goes on, and they are lost"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_are_told_in_words() {
        let mut found = Uploads {
            uploads: 1,
            parts: 2,
            bytes: 7,
            more: false,
        };
        let told = "1 multipart upload in progress (2 parts, 7 bytes)";
        assert_eq!(words(&found), told);
        (found.uploads, found.parts, found.more) = (1000, 1, true);
        let told = "more than 1000 multipart uploads in progress (1 part, 7 bytes)";
        assert_eq!(words(&found), told);
    }
}
