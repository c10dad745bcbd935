//! A list as a document.

use access::{AccessList, Grantee};
use types::AccountId;

use crate::s3::xml::XmlWriter;

const SCHEMA: &str = "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"";

/// Everybody, everybody who signs, and what writes access logs.
pub(super) const ALL_USERS: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
pub(super) const AUTHENTICATED: &str = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";
pub(super) const LOG_DELIVERY: &str = "http://acs.amazonaws.com/groups/s3/LogDelivery";

/// Writes a list. `id` answers the canonical id of an account.
pub(super) fn document(list: &AccessList, id: &dyn Fn(&AccountId) -> String) -> Vec<u8> {
    let mut xml = XmlWriter::document("AccessControlPolicy", 320 + list.grants.len() * 320);
    xml.open("Owner")
        .element("ID", &id(&list.owner))
        .close("Owner");
    xml.open("AccessControlList");
    for grant in &list.grants {
        xml.open("Grant");
        let kind = match &grant.grantee {
            Grantee::Account(_) => "CanonicalUser",
            _ => "Group",
        };
        for piece in ["<Grantee ", SCHEMA, " xsi:type=\"", kind, "\">"] {
            xml.raw(piece);
        }
        match &grant.grantee {
            Grantee::Account(account) => xml.element("ID", &id(account)),
            Grantee::AllUsers => xml.element("URI", ALL_USERS),
            Grantee::AuthenticatedUsers => xml.element("URI", AUTHENTICATED),
            Grantee::LogDelivery => xml.element("URI", LOG_DELIVERY),
        };
        xml.close("Grantee")
            .element("Permission", grant.permission.name())
            .close("Grant");
    }
    xml.close("AccessControlList");
    xml.finish("AccessControlPolicy")
}
