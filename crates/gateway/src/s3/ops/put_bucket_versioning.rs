//! PutBucketVersioning: begins to keep versions, or suspends it.

use objects::Versioning;

use crate::{
    call::{Answer, Call},
    fault::{Fault, FaultKind},
    s3::xml::Element,
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let root = call.read_xml(&["VersioningConfiguration"]).await?;
    let state = read(&root)?;
    call.gateway
        .objects
        .set_versioning(&call.permit, state)
        .await?;
    Ok(call.empty(http::StatusCode::OK))
}

fn read(root: &Element) -> Result<Versioning, Fault> {
    root.only(&["Status", "MfaDelete"])?;
    if root.text_of("MfaDelete")?.is_some_and(|m| m != "Disabled") {
        return Err(Fault::not_implemented("MfaDelete"));
    }
    match root.text_of("Status")? {
        Some("Enabled") => Ok(Versioning::Enabled),
        Some("Suspended") => Ok(Versioning::Suspended),
        Some(_) => Err(FaultKind::MalformedXML.into()),
        None => Err(FaultKind::IllegalVersioningConfigurationException.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::xml;

    #[test]
    fn only_the_two_states_are_taken() {
        let state = |inner: &str| {
            let text = format!("<VersioningConfiguration>{inner}</VersioningConfiguration>");
            let root = xml::parse(text.as_bytes(), &["VersioningConfiguration"]).unwrap();
            read(&root).map_err(|e| e.kind.name())
        };
        assert_eq!(state("<Status>Enabled</Status>"), Ok(Versioning::Enabled));
        assert_eq!(
            state("<Status>Suspended</Status>"),
            Ok(Versioning::Suspended)
        );
        assert_eq!(state("<Status>enabled</Status>"), Err("MalformedXML"));
        assert_eq!(state(""), Err("IllegalVersioningConfigurationException"));
        let mfa = "<Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>";
        assert_eq!(state(mfa), Err("NotImplemented"));
    }
}
