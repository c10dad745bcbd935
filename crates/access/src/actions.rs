//! The one table of actions. A row says all that the decision, the gateway and the documents need
//! to know of an action, and an action without a row does not compile: the macro makes both.

/// What an action is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The service as a whole.
    Service,
    /// A bucket that does not exist yet.
    NewBucket,
    /// A bucket.
    Bucket,
    /// An object, or an upload of one.
    Object,
}

/// What an action does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It changes nothing.
    Reads,
    /// It changes something.
    Writes,
}

/// Which keys one permit for an action covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Keys {
    /// None: the action is not on keys.
    None,
    /// All keys that begin with the prefix that is asked for.
    Under,
    /// One key.
    One,
    /// One key, and the version of it that the request names, if it names one.
    Version,
}

/// Which regions act on a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Where {
    /// Any region, for its own clients: the answer is in the bucket's deed.
    Anywhere,
    /// The home, or a region that has a readable replica.
    Readable,
    /// The home; in a bucket with `writes = any` each region that has a readable replica.
    Writers,
    /// The home only.
    Home,
}

/// Whether a region with a sealed replica opens it for an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sealed {
    /// Yes, with a lease from the home.
    Opened,
    /// No.
    Closed,
}

/// Who asks for an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// Whoever has an access key.
    Callers,
    /// Regions only, for their own work.
    Regions,
}

/// What is known of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Which action.
    pub action: Action,
    /// IAM's name, without the service.
    pub name: &'static str,
    /// What it is on.
    pub kind: Kind,
    /// What it does.
    pub effect: Effect,
    /// Which keys a permit for it covers.
    pub keys: Keys,
    /// Where it is acted on.
    pub place: Where,
    /// Whether a sealed replica is opened for it.
    pub sealed: Sealed,
    /// Who asks for it.
    pub by: By,
    /// What is needed instead by a request that names a version.
    pub versioned: Option<Action>,
}

macro_rules! versioned {
    () => {
        None
    };
    ($action:ident) => {
        Some(Action::$action)
    };
}

macro_rules! actions {
    ($($(#[$doc:meta])*
        $name:ident $kind:ident $effect:ident $keys:ident $place:ident $sealed:ident $by:ident
        $($versioned:ident)?
    ;)*) => {
        /// What is asked for, by IAM's names of actions ("Actions, resources, and condition keys
        /// for Amazon S3").
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs)] // each is the IAM action of the same name
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        /// A row for each action, in their order.
        static ROWS: &[Row] = &[$(Row {
            action: Action::$name,
            name: stringify!($name),
            kind: Kind::$kind,
            effect: Effect::$effect,
            keys: Keys::$keys,
            place: Where::$place,
            sealed: Sealed::$sealed,
            by: By::$by,
            versioned: versioned!($($versioned)?),
        },)*];
    };
}

// Action, what it is on, what it does, which keys its permit covers, where it is acted on, whether
// a sealed replica is opened for it, who asks for it; and what is needed instead by a request that
// names a version.
actions! {
    ListAllMyBuckets Service Reads None Anywhere Closed Callers;
    CreateBucket NewBucket Writes None Home Closed Callers;
    DeleteBucket Bucket Writes None Home Closed Callers;
    ListBucket Bucket Reads Under Readable Closed Callers;
    ListBucketVersions Bucket Reads Under Readable Closed Callers;
    ListBucketMultipartUploads Bucket Reads Under Writers Closed Callers;
    GetBucketLocation Bucket Reads None Anywhere Closed Callers;
    GetBucketVersioning Bucket Reads None Readable Closed Callers;
    PutBucketVersioning Bucket Writes None Home Closed Callers;
    GetBucketTagging Bucket Reads None Readable Closed Callers;
    PutBucketTagging Bucket Writes None Home Closed Callers;
    GetObject Object Reads Version Readable Opened Callers GetObjectVersion;
    GetObjectVersion Object Reads Version Readable Opened Callers;
    GetObjectAttributes Object Reads Version Readable Closed Callers GetObjectVersionAttributes;
    GetObjectVersionAttributes Object Reads Version Readable Closed Callers;
    PutObject Object Writes One Writers Closed Callers;
    DeleteObject Object Writes Version Writers Closed Callers DeleteObjectVersion;
    DeleteObjectVersion Object Writes Version Writers Closed Callers;
    GetObjectTagging Object Reads Version Readable Closed Callers GetObjectVersionTagging;
    GetObjectVersionTagging Object Reads Version Readable Closed Callers;
    PutObjectTagging Object Writes Version Writers Closed Callers PutObjectVersionTagging;
    PutObjectVersionTagging Object Writes Version Writers Closed Callers;
    DeleteObjectTagging Object Writes Version Writers Closed Callers DeleteObjectVersionTagging;
    DeleteObjectVersionTagging Object Writes Version Writers Closed Callers;
    AbortMultipartUpload Object Writes One Writers Closed Callers;
    ListMultipartUploadParts Object Reads One Writers Closed Callers;
    GetReplicationConfiguration Bucket Reads None Readable Closed Callers;
    PutReplicationConfiguration Bucket Writes None Home Closed Callers;
    GetBucketAcl Bucket Reads None Readable Closed Callers;
    PutBucketAcl Bucket Writes None Home Closed Callers;
    GetBucketPolicy Bucket Reads None Readable Closed Callers;
    PutBucketPolicy Bucket Writes None Home Closed Callers;
    DeleteBucketPolicy Bucket Writes None Home Closed Callers;
    GetBucketPolicyStatus Bucket Reads None Readable Closed Callers;
    GetBucketPublicAccessBlock Bucket Reads None Readable Closed Callers;
    PutBucketPublicAccessBlock Bucket Writes None Home Closed Callers;
    GetBucketOwnershipControls Bucket Reads None Readable Closed Callers;
    PutBucketOwnershipControls Bucket Writes None Home Closed Callers;
    GetBucketCORS Bucket Reads None Readable Closed Callers;
    PutBucketCORS Bucket Writes None Home Closed Callers;
    GetEncryptionConfiguration Bucket Reads None Readable Closed Callers;
    PutEncryptionConfiguration Bucket Writes None Home Closed Callers;
    GetLifecycleConfiguration Bucket Reads None Readable Closed Callers;
    PutLifecycleConfiguration Bucket Writes None Home Closed Callers;
    GetBucketWebsite Bucket Reads None Readable Closed Callers;
    DeleteBucketWebsite Bucket Writes None Home Closed Callers;
    GetBucketNotification Bucket Reads None Readable Closed Callers;
    PutBucketNotification Bucket Writes None Home Closed Callers;
    GetBucketLogging Bucket Reads None Readable Closed Callers;
    PutBucketLogging Bucket Writes None Home Closed Callers;
    GetBucketRequestPayment Bucket Reads None Readable Closed Callers;
    PutBucketRequestPayment Bucket Writes None Home Closed Callers;
    GetAccelerateConfiguration Bucket Reads None Readable Closed Callers;
    PutAccelerateConfiguration Bucket Writes None Home Closed Callers;
    GetBucketAbac Bucket Reads None Readable Closed Callers;
    PutBucketAbac Bucket Writes None Home Closed Callers;
    GetBucketObjectLockConfiguration Bucket Reads None Readable Closed Callers;
    GetAnalyticsConfiguration Bucket Reads None Readable Closed Callers;
    PutAnalyticsConfiguration Bucket Writes None Home Closed Callers;
    GetIntelligentTieringConfiguration Bucket Reads None Readable Closed Callers;
    PutIntelligentTieringConfiguration Bucket Writes None Home Closed Callers;
    GetInventoryConfiguration Bucket Reads None Readable Closed Callers;
    PutInventoryConfiguration Bucket Writes None Home Closed Callers;
    GetMetricsConfiguration Bucket Reads None Readable Closed Callers;
    PutMetricsConfiguration Bucket Writes None Home Closed Callers;
    GetObjectAcl Object Reads Version Readable Closed Callers GetObjectVersionAcl;
    GetObjectVersionAcl Object Reads Version Readable Closed Callers;
    PutObjectAcl Object Writes Version Home Closed Callers PutObjectVersionAcl;
    PutObjectVersionAcl Object Writes Version Home Closed Callers;
    GetObjectLegalHold Object Reads Version Readable Closed Callers;
    GetObjectRetention Object Reads Version Readable Closed Callers;
    /// Dhow's own: to hand a bucket's objects to another region.
    ReplicateFrom Bucket Reads None Readable Closed Regions;
    /// Dhow's own: to take a bucket's objects over from another region.
    ReplicateInto Bucket Writes None Readable Closed Regions;
    /// Dhow's own: to count a bucket's versions, for what the region says that it holds.
    CountVersions Bucket Reads None Readable Closed Regions;
}

impl Action {
    /// All rows, in the order of the actions.
    pub fn rows() -> &'static [Row] {
        ROWS
    }

    /// What is known of the action.
    pub fn row(self) -> &'static Row {
        // The macro makes a row for each action, in the same order.
        &ROWS[self as usize]
    }

    /// IAM's name of it, with the service, such as `s3:GetObject`.
    pub fn name(self) -> String {
        let service = match self.row().by {
            By::Callers => "s3",
            By::Regions => "dhow",
        };
        [service, ":", self.row().name].concat()
    }

    /// What a request needs that names a version (or names none).
    #[must_use]
    pub fn for_version(self, named: bool) -> Self {
        match self.row().versioned {
            Some(versioned) if named => versioned,
            _ => self,
        }
    }

    /// Whether it is on a bucket that has a deed.
    pub fn has_deed(self) -> bool {
        matches!(self.row().kind, Kind::Bucket | Kind::Object)
    }

    /// Whether only a region that takes writes of the bucket acts on it: it changes something, or
    /// asks about what only such a region knows (uploads under way).
    pub fn is_for_writers(self) -> bool {
        matches!(self.row().place, Where::Writers | Where::Home)
    }

    /// Whether a replica of a bucket with `writes = any` acts on it: writes of objects, and what is
    /// asked about the uploads that were begun there.
    pub fn is_taken_everywhere(self) -> bool {
        self.row().place == Where::Writers
    }

    /// Whether it changes the bucket's configuration, or ends the bucket.
    pub fn configures(self) -> bool {
        let row = self.row();
        (row.kind, row.effect, row.by) == (Kind::Bucket, Effect::Writes, By::Callers)
    }

    /// Whether it is on the bucket as a whole, and not on keys: what a replica answers from the
    /// configuration.
    pub fn is_of_configuration(self) -> bool {
        let row = self.row();
        (row.kind, row.keys, row.by) == (Kind::Bucket, Keys::None, By::Callers)
            && row.place != Where::Anywhere
            && self != Self::DeleteBucket
    }

    /// Whether it changes objects or what belongs to them, so that a condition may be on it.
    pub fn writes_objects(self) -> bool {
        self.is_taken_everywhere() && self.row().effect == Effect::Writes
    }
}

/// docs/actions.md.
pub fn document() -> String {
    let mut text = String::from(
        "# Actions\n\nWritten from the table in `crates/access/src/actions.rs`; do not edit. To \
         write it anew: `UPDATE=1 cargo test -p access --lib actions`.\n\n\
         Each operation asks for one action ([operations.md](operations.md) says which), and a \
         request that acts on a second bucket or key asks for more. A permit covers exactly what \
         the table says: no keys, one key, one version of one key, or the keys under one \
         prefix.\n\n\
         - *Acted on in*: `any region` answers from the bucket's deed. `readable` is the home, or \
         a region that has a readable replica of the bucket. `writers` is the home, and in a \
         bucket with `writes = any` each region with a readable replica. `home` is the home \
         only.\n\
         - *Sealed*: whether a region with a sealed replica opens it for this action.\n\
         - *By*: `regions` only for what regions do by themselves; no caller is permitted it.\n\
         - *With a version*: what a request that names a version needs instead.\n\n\
         | action | on | does | keys | acted on in | sealed | by | with a version |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for row in ROWS {
        text.push_str(&line(row));
    }
    text
}

fn line(row: &Row) -> String {
    let kind = match row.kind {
        Kind::Service => "service",
        Kind::NewBucket => "new bucket",
        Kind::Bucket => "bucket",
        Kind::Object => "object",
    };
    let effect = match row.effect {
        Effect::Reads => "reads",
        Effect::Writes => "writes",
    };
    let keys = match row.keys {
        Keys::None => "none",
        Keys::Under => "under a prefix",
        Keys::One => "one",
        Keys::Version => "one, or a version",
    };
    let place = match row.place {
        Where::Anywhere => "any region",
        Where::Readable => "readable",
        Where::Writers => "writers",
        Where::Home => "home",
    };
    let sealed = match row.sealed {
        Sealed::Opened => "opened",
        Sealed::Closed => "closed",
    };
    let by = match row.by {
        By::Callers => "callers",
        By::Regions => "regions",
    };
    let versioned = row.versioned.map(|action| format!("`{}`", action.name()));
    format!(
        "| `{}` | {kind} | {effect} | {keys} | {place} | {sealed} | {by} | {} |\n",
        row.action.name(),
        versioned.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_action_has_its_row() {
        for (n, row) in ROWS.iter().enumerate() {
            assert_eq!(row.action as usize, n);
            assert_eq!(row.action.row(), row);
            assert_eq!(format!("{:?}", row.action), row.name);
        }
    }

    #[test]
    fn the_columns_of_each_row_fit_together() {
        for row in ROWS {
            let name = row.name;
            let one = matches!(row.keys, Keys::One | Keys::Version);
            assert_eq!(one, row.kind == Kind::Object, "{name}");
            if row.keys == Keys::Under {
                assert_eq!(
                    (row.kind, row.effect),
                    (Kind::Bucket, Effect::Reads),
                    "{name}"
                );
            }
            // Only writes change a replica, also a sealed one.
            if row.effect == Effect::Writes && row.by == By::Callers {
                assert!(row.action.is_for_writers(), "{name}");
            }
            if row.sealed == Sealed::Opened {
                assert_eq!(
                    (row.place, row.effect),
                    (Where::Readable, Effect::Reads),
                    "{name}"
                );
                assert!(one, "{name}");
            }
            if row.place == Where::Anywhere {
                assert_eq!(
                    (row.effect, row.keys),
                    (Effect::Reads, Keys::None),
                    "{name}"
                );
            }
            let Some(versioned) = row.versioned.map(Action::row) else {
                continue;
            };
            let same = Row {
                action: row.action,
                name,
                versioned: row.versioned,
                ..*versioned
            };
            assert_eq!((same, versioned.versioned), (*row, None), "{name}");
            assert_eq!(row.keys, Keys::Version, "{name}");
        }
    }

    #[test]
    fn actions_document_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/actions.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, document()).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap_or_default(),
            document()
        );
    }
}
