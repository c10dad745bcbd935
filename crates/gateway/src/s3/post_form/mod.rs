//! Uploads by HTML forms ("POST Object", S3 API reference).
//!
//! Who sends a form, and what they may upload, stands in the body in front of the file. So the
//! fields are read first, at most 20 KiB of them; what they say then takes the place of the
//! request's head, and the rest is the path that every PutObject takes. Headers of the request
//! itself mean nothing here, since nobody signed them: one that asks for something is refused, but
//! for the owner whom the client expects.

mod fields;
mod file;
mod policy;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use access::{
    AuthType, Identity, SignatureError,
    signature::{Credential, Facts, verify_old_text, verify_text},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use types::{Body, BucketName, ObjectKey, Timestamp};

pub(crate) use self::fields::Fields;
use self::{
    fields::{Front, malformed},
    file::FileBody,
    policy::Policy,
};
use crate::{
    fault::{Fault, FaultKind},
    form::{Form, LateFault, Reply},
    s3::{headers::names, operations::EVERYWHERE, tagging, xml},
};

/// Most bytes that all fields together have once file names have been put in.
const EXPANDED_BYTES_MAX: usize = 2 * fields::FIELDS_BYTES_MAX;

/// Why a form is refused that says one thing by two names, such as `acl` and `x-amz-acl`.
const TWICE: &str = "The form says this twice: send one of the two.";

/// The field with the token of a session. The policy has to name it, as every field.
const TOKEN: &str = "x-amz-security-token";

/// Refuses a form whose own head asks for what only a field can ask for, naming it.
fn check_head(head: &HeaderMap) -> Result<(), Fault> {
    for name in head.keys() {
        let name = name.as_str();
        let asks = match name.strip_prefix("x-amz-") {
            Some(rest) => !EVERYWHERE.contains(&rest),
            None => name.starts_with("if-") || name.starts_with("x-dhow-") || name == "content-md5",
        };
        if asks && !types::planted("heads-of-forms-unread") {
            return Err(of_no_form(name));
        }
    }
    Ok(())
}

fn of_no_form(name: &str) -> Fault {
    let what = format!("{name} on the upload of a form (where it can be asked for, a field asks)");
    Fault::not_implemented(&what).detail("Header", name)
}

/// Reads a form up to its file, and verifies it. A form without policy and signature is
/// anonymous's.
///
/// # Errors
/// `MalformedPOSTRequest`, `MaxPostPreDataLengthExceeded`, `InvalidArgument` (no file, no key, a
/// field twice), `InvalidAccessKeyId`, `SignatureDoesNotMatch`, `InvalidPolicyDocument`,
/// `AccessDenied` where the policy does not allow it, `NotImplemented` for a condition or a header
/// of the request itself that asks for something.
pub(crate) async fn read(
    mut body: Box<dyn Body>,
    head: &HeaderMap,
    bucket: &BucketName,
    facts: &Facts<'_>,
) -> Result<Form, Fault> {
    check_head(head)?;
    let content_type = head.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let delimiter = content_type.and_then(fields::delimiter);
    let front = fields::read(&mut *body, delimiter.ok_or_else(malformed)?).await?;
    let Front {
        mut fields,
        filename,
        delimiter,
        file,
    } = front;
    put_filename(&mut fields, &filename)?;
    let Some(key) = fields.get("key").filter(|key| !key.is_empty()) else {
        return Err(missing("key"));
    };
    let key = ObjectKey::new(key)?;
    // The policy is for one bucket, so the URL's counts as a field; one that the form names must
    // be the same.
    if !fields.add("bucket", bucket.to_string()) && fields.get("bucket") != Some(bucket) {
        return Err(Fault::argument(
            "bucket",
            fields.get("bucket").unwrap_or_default(),
            "The bucket of the form is not the bucket of the URL.",
        ));
    }
    let auth = match of_version2(&fields) {
        true => AuthType::PostPolicyV2,
        false => AuthType::PostPolicy,
    };
    let (identity, length) = identify(&fields, auth, facts)?;
    let fault = LateFault::default();
    let text = |name| fields.get(name).map(str::to_owned);
    Ok(Form {
        identity,
        auth,
        key,
        headers: as_headers(&fields, head)?,
        reply: Reply {
            redirect: text("success_action_redirect").or_else(|| text("redirect")),
            status: text("success_action_status"),
            fault: Arc::clone(&fault),
        },
        body: Box::new(FileBody {
            inner: body,
            delimiter,
            piece: file,
            matched: 0,
            passed: 0,
            length,
            fault,
        }),
    })
}

fn missing(name: &str) -> Fault {
    Fault::argument(
        name,
        "",
        format!(
            "Bucket POST must contain a field named '{name}'.  If it is specified, please check \
             the order of the fields."
        ),
    )
}

/// Puts the file's name, without its path, where fields ask for it.
fn put_filename(fields: &mut Fields, path: &str) -> Result<(), Fault> {
    const VARIABLE: &str = "${filename}";
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut bytes = 0;
    for (field, value) in &mut fields.0 {
        let times = value.matches(VARIABLE).count();
        bytes += value.len() + times * name.len();
        if bytes > EXPANDED_BYTES_MAX {
            return Err(FaultKind::MaxPostPreDataLengthExceeded.into());
        }
        if times > 0 && field != "policy" {
            *value = value.replace(VARIABLE, name);
        }
    }
    Ok(())
}

/// Verifies signature and policy; the file's size may be as returned.
fn identify(
    fields: &Fields,
    auth: AuthType,
    facts: &Facts<'_>,
) -> Result<(Identity, Option<(u64, u64)>), Fault> {
    let need = |name| fields.get(name).ok_or_else(|| missing(name));
    let signs = |name: &str| fields.get(name).is_some();
    if auth == AuthType::PostPolicyV2 {
        return identify_version2(fields, facts);
    }
    if !signs("policy") && !signs("x-amz-signature") && !signs("x-amz-credential") {
        return Ok((Identity::Anonymous, None));
    }
    let text = need("policy")?;
    let algorithm = need("x-amz-algorithm")?;
    if algorithm != "AWS4-HMAC-SHA256" {
        return Err(Fault::argument(
            "x-amz-algorithm",
            algorithm,
            "x-amz-algorithm only supports \"AWS4-HMAC-SHA256\"",
        ));
    }
    let given = need("x-amz-credential")?;
    let credential = Credential::parse(given).map_err(|what| {
        let message = format!("Error parsing the x-amz-credential field; {what}");
        Fault::argument("x-amz-credential", given, message)
    })?;
    let date = need("x-amz-date")?;
    if Timestamp::parse_iso_basic(date).is_none() || !date.starts_with(credential.day) {
        return Err(Fault::argument(
            "x-amz-date",
            date,
            "X-Amz-Date must be formatted via ISO8601 Long format, on the day of the credential",
        ));
    }
    let token = fields.get(TOKEN).filter(|token| !token.is_empty());
    let signature = need("x-amz-signature")?;
    let identity = verify_text(text, &credential, signature, token, facts)?;
    Ok((identity, allowed_length(text, fields, facts)?))
}

/// The same with a signature of version 2, over the policy in base64.
fn identify_version2(
    fields: &Fields,
    facts: &Facts<'_>,
) -> Result<(Identity, Option<(u64, u64)>), Fault> {
    let need = |name| fields.get(name).ok_or_else(|| missing(name));
    for other in ["x-amz-algorithm", "x-amz-credential", "x-amz-signature"] {
        if fields.get(other).is_some() {
            return Err(SignatureError::BothPresent.into());
        }
    }
    if fields.get(TOKEN).is_some_and(|token| !token.is_empty()) {
        return Err(Fault::not_implemented(
            "Signature version 2 with temporary credentials",
        ));
    }
    let (access_key, text) = (need("awsaccesskeyid")?, need("policy")?);
    let identity = verify_old_text(text, access_key, need("signature")?, facts)?;
    Ok((identity, allowed_length(text, fields, facts)?))
}

/// Whether a form has a signature of version 2.
fn of_version2(fields: &Fields) -> bool {
    let signs = |name: &str| fields.get(name).is_some();
    signs("awsaccesskeyid") || signs("signature")
}

/// Compares the fields with the policy; answers how long it allows the file to be.
fn allowed_length(
    policy: &str,
    fields: &Fields,
    facts: &Facts<'_>,
) -> Result<Option<(u64, u64)>, Fault> {
    let json = STANDARD.decode(policy).map_err(|_| {
        let message = "Invalid Policy: it is not base64.";
        Fault::with(FaultKind::InvalidPolicyDocument, message)
    })?;
    Policy::parse(&json)?.check(fields, facts.now)
}

/// What the fields would be as headers of a PutObject. Of the request's own head are kept `Host`,
/// which says where the object will be, and the owner of the bucket whom the client expects.
fn as_headers(fields: &Fields, head: &HeaderMap) -> Result<HeaderMap, Fault> {
    let mut out = HeaderMap::new();
    for name in [header::HOST, names::EXPECTED_OWNER] {
        if let Some(value) = head.get(&name) {
            out.insert(name, value.clone());
        }
    }
    for (name, value) in &fields.0 {
        let bad = |what: &str| Fault::argument(name, value, what);
        let header = match name.as_str() {
            "acl" => names::ACL,
            "tagging" => {
                let query = tags(value).map_err(|_| bad("The tags are not well-formed XML."))?;
                let query = HeaderValue::try_from(query);
                let query = query.map_err(|_| bad("Invalid tags."))?;
                if out.insert(names::TAGGING, query).is_some() {
                    return Err(bad(TWICE));
                }
                continue;
            }
            // They frame a body, name another object or sign: a form does that otherwise.
            "x-amz-algorithm"
            | "x-amz-credential"
            | "x-amz-date"
            | "x-amz-signature"
            | "x-amz-content-sha256"
            | "x-amz-decoded-content-length"
            | "x-amz-security-token"
            | "x-amz-trailer" => continue,
            name if name.starts_with("if-") => return Err(of_no_form(name)),
            name if name.starts_with("x-amz-copy-source") => {
                return Err(Fault::not_implemented(name));
            }
            "cache-control"
            | "content-disposition"
            | "content-encoding"
            | "content-language"
            | "content-md5"
            | "content-type"
            | "expires" => known(name)?,
            name if name.starts_with("x-amz-") => known(name)?,
            _ => continue,
        };
        let text = HeaderValue::from_bytes(value.as_bytes());
        let text = text.map_err(|_| bad("The value cannot be a header's."))?;
        if out.insert(header, text).is_some() {
            return Err(bad(TWICE));
        }
    }
    Ok(out)
}

fn known(name: &str) -> Result<HeaderName, Fault> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Fault::argument(name, "", "The field's name cannot be a header's."))
}

/// Tags in XML, as a query string.
fn tags(text: &str) -> Result<String, Fault> {
    let pairs = tagging::read(&xml::parse(text.as_bytes(), &["Tagging"])?)?;
    let encode = access::sign::encode;
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    Ok(pairs.join("&"))
}
