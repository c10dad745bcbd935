//! GetBucketVersioning: whether a bucket keeps versions. A bucket that never did says nothing.

use objects::Versioning;

use crate::{
    call::{Answer, Call},
    s3::xml::XmlWriter,
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let state = call.gateway.objects.versioning(&call.permit).await?;
    let mut xml = XmlWriter::document("VersioningConfiguration", 192);
    match state {
        Versioning::Off => {}
        Versioning::Enabled => {
            xml.element("Status", "Enabled");
        }
        Versioning::Suspended => {
            xml.element("Status", "Suspended");
        }
    }
    Ok(call.xml(xml.finish("VersioningConfiguration")))
}
