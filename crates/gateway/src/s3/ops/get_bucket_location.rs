//! GetBucketLocation: in which region a bucket has its home.

use crate::{
    call::{Answer, Call},
    s3::xml::XmlWriter,
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let deed = call.deed()?;
    let mut xml = XmlWriter::document("LocationConstraint", 160);
    // S3 leaves the element empty for its oldest region.
    if &*deed.home != "us-east-1" {
        xml.text(&deed.home);
    }
    Ok(call.xml(xml.finish("LocationConstraint")))
}
