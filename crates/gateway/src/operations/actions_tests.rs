//! S16: the action that each operation asks for, written by hand from S3's own table ("Required
//! permissions for Amazon S3 API operations"), and compared with the table of this crate.

use super::*;

/// Operation, action, and the action where a version is named if that is another; `501` is not
/// implemented.
const S16: &str = "
ListBuckets                                 s3:ListAllMyBuckets
CreateBucket                                s3:CreateBucket
HeadBucket                                  s3:ListBucket
DeleteBucket                                s3:DeleteBucket
ListObjects                                 s3:ListBucket
ListObjectsV2                               s3:ListBucket
ListObjectVersions                          s3:ListBucketVersions
ListMultipartUploads                        s3:ListBucketMultipartUploads
GetBucketLocation                           s3:GetBucketLocation
GetBucketVersioning                         s3:GetBucketVersioning
PutBucketVersioning                         s3:PutBucketVersioning
GetBucketTagging                            s3:GetBucketTagging
PutBucketTagging                            s3:PutBucketTagging
DeleteBucketTagging                         s3:PutBucketTagging
GetBucketAcl                                s3:GetBucketAcl
PutBucketAcl                                s3:PutBucketAcl
GetBucketPolicy                             s3:GetBucketPolicy
PutBucketPolicy                             s3:PutBucketPolicy
DeleteBucketPolicy                          s3:DeleteBucketPolicy
GetBucketPolicyStatus                       s3:GetBucketPolicyStatus
GetPublicAccessBlock                        s3:GetBucketPublicAccessBlock
PutPublicAccessBlock                        s3:PutBucketPublicAccessBlock
DeletePublicAccessBlock                     s3:PutBucketPublicAccessBlock
GetBucketOwnershipControls                  s3:GetBucketOwnershipControls
PutBucketOwnershipControls                  s3:PutBucketOwnershipControls
DeleteBucketOwnershipControls               s3:PutBucketOwnershipControls
GetBucketCors                               s3:GetBucketCORS
PutBucketCors                               s3:PutBucketCORS
DeleteBucketCors                            s3:PutBucketCORS
GetBucketEncryption                         s3:GetEncryptionConfiguration
PutBucketEncryption                         501
DeleteBucketEncryption                      s3:PutEncryptionConfiguration
GetBucketLifecycleConfiguration             s3:GetLifecycleConfiguration
PutBucketLifecycleConfiguration             501
DeleteBucketLifecycle                       s3:PutLifecycleConfiguration
GetBucketReplication                        s3:GetReplicationConfiguration
PutBucketReplication                        s3:PutReplicationConfiguration
DeleteBucketReplication                     s3:PutReplicationConfiguration
GetBucketWebsite                            s3:GetBucketWebsite
PutBucketWebsite                            501
DeleteBucketWebsite                         s3:DeleteBucketWebsite
GetBucketNotificationConfiguration          s3:GetBucketNotification
PutBucketNotificationConfiguration          s3:PutBucketNotification
GetBucketLogging                            s3:GetBucketLogging
PutBucketLogging                            s3:PutBucketLogging
GetBucketRequestPayment                     s3:GetBucketRequestPayment
PutBucketRequestPayment                     s3:PutBucketRequestPayment
GetBucketAccelerateConfiguration            s3:GetAccelerateConfiguration
PutBucketAccelerateConfiguration            s3:PutAccelerateConfiguration
GetBucketAbac                               s3:GetBucketAbac
PutBucketAbac                               s3:PutBucketAbac
GetObjectLockConfiguration                  s3:GetBucketObjectLockConfiguration
PutObjectLockConfiguration                  501
GetBucketAnalyticsConfiguration             s3:GetAnalyticsConfiguration
ListBucketAnalyticsConfigurations           s3:GetAnalyticsConfiguration
PutBucketAnalyticsConfiguration             501
DeleteBucketAnalyticsConfiguration          s3:PutAnalyticsConfiguration
GetBucketIntelligentTieringConfiguration    s3:GetIntelligentTieringConfiguration
ListBucketIntelligentTieringConfigurations  s3:GetIntelligentTieringConfiguration
PutBucketIntelligentTieringConfiguration    501
DeleteBucketIntelligentTieringConfiguration s3:PutIntelligentTieringConfiguration
GetBucketInventoryConfiguration             s3:GetInventoryConfiguration
ListBucketInventoryConfigurations           s3:GetInventoryConfiguration
PutBucketInventoryConfiguration             501
DeleteBucketInventoryConfiguration          s3:PutInventoryConfiguration
GetBucketMetricsConfiguration               s3:GetMetricsConfiguration
ListBucketMetricsConfigurations             s3:GetMetricsConfiguration
PutBucketMetricsConfiguration               501
DeleteBucketMetricsConfiguration            s3:PutMetricsConfiguration
CreateBucketMetadataTableConfiguration      501
GetBucketMetadataTableConfiguration         501
DeleteBucketMetadataTableConfiguration      501
CreateBucketMetadataConfiguration           501
GetBucketMetadataConfiguration              501
DeleteBucketMetadataConfiguration           501
UpdateBucketMetadataAnnotationTableConfiguration 501
UpdateBucketMetadataInventoryTableConfiguration 501
UpdateBucketMetadataJournalTableConfiguration 501
CreateSession                               501
PutObject                                   s3:PutObject
PostObject                                  s3:PutObject
CopyObject                                  s3:PutObject
CreateMultipartUpload                       s3:PutObject
UploadPart                                  s3:PutObject
UploadPartCopy                              s3:PutObject
CompleteMultipartUpload                     s3:PutObject
AbortMultipartUpload                        s3:AbortMultipartUpload
ListParts                                   s3:ListMultipartUploadParts
GetObject                                   s3:GetObject s3:GetObjectVersion
HeadObject                                  s3:GetObject s3:GetObjectVersion
GetObjectAttributes                         s3:GetObjectAttributes s3:GetObjectVersionAttributes
DeleteObject                                s3:DeleteObject s3:DeleteObjectVersion
DeleteObjects                               s3:DeleteObject
GetObjectTagging                            s3:GetObjectTagging s3:GetObjectVersionTagging
PutObjectTagging                            s3:PutObjectTagging s3:PutObjectVersionTagging
DeleteObjectTagging                         s3:DeleteObjectTagging s3:DeleteObjectVersionTagging
GetObjectAcl                                s3:GetObjectAcl s3:GetObjectVersionAcl
PutObjectAcl                                s3:PutObjectAcl s3:PutObjectVersionAcl
GetObjectLegalHold                          s3:GetObjectLegalHold
PutObjectLegalHold                          501
GetObjectRetention                          s3:GetObjectRetention
PutObjectRetention                          501
GetObjectAnnotation                         501
ListObjectAnnotations                       501
PutObjectAnnotation                         501
DeleteObjectAnnotation                      501
GetObjectTorrent                            501
RestoreObject                               501
SelectObjectContent                         501
RenameObject                                501
UpdateObjectEncryption                      501
";

#[test]
fn s16_each_operation_asks_for_the_action_that_the_table_by_hand_has() {
    let rows: Vec<&str> = S16.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(
        rows.len(),
        OPERATIONS.len(),
        "an operation without a row here"
    );
    assert!(rows.len() >= 110, "{}", rows.len());
    for row in rows {
        let words: Vec<&str> = row.split_whitespace().collect();
        let operation = &OPERATIONS[find(words[0])];
        let asked = |named| operation.action_for(named).map(access::Action::name);
        let wanted = |n: usize| {
            let word = *words.get(n).or(words.get(1)).unwrap();
            (word != "501").then(|| word.to_owned())
        };
        assert_eq!((asked(false), asked(true)), (wanted(1), wanted(2)), "{row}");
    }
}
