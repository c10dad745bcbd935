//! What there is of S3's control API: the public access block of an account. Each region says what
//! it is; it is set where the registry is kept.

use access::{
    Identity, PublicAccessBlock, RequestFacts,
    policy::{ActionName, Conditions as Asked, Target},
    signature::Service,
};
use bytes::Bytes;
use cloud::AccessChange;
use gateway::s3::{read_switches, xml};
use http::{Method, StatusCode, request::Parts};
use iam::IamError;
use types::{AccountId, Actor};

use super::{IamForms, Kept, SignedChange, key_of_user, unauthenticated};

/// Names the account, also where its own endpoint does.
const ACCOUNT: &str = "x-amz-account-id";
const ROOT: &str = "PublicAccessBlockConfiguration";
const NAMESPACE: &str = "http://awss3control.amazonaws.com/doc/2018-08-20/";

fn denied(message: impl Into<String>) -> IamError {
    IamError::new("AccessDenied", 403, message)
}

fn shown(block: PublicAccessBlock) -> String {
    let switches = block.switches().into_iter();
    let switches: String = switches
        .map(|(name, on)| format!("<{name}>{on}</{name}>"))
        .collect();
    format!("<{ROOT} xmlns=\"{NAMESPACE}\">{switches}</{ROOT}>\n")
}

/// An error as clients of S3 read it.
pub(super) fn refused(error: &IamError, request_id: &str) -> String {
    let mut out = xml::XmlWriter::new(512);
    out.open("Error")
        .element("Code", error.code)
        .element("Message", &error.message)
        .element("RequestId", request_id);
    String::from_utf8_lossy(&out.finish("Error")).into_owned()
}

impl IamForms {
    pub(super) async fn act_on_block(
        &self,
        head: &Parts,
        body: &Bytes,
        came: RequestFacts,
    ) -> Result<(StatusCode, String), IamError> {
        let action = match head.method {
            Method::GET => "s3:GetAccountPublicAccessBlock",
            Method::PUT | Method::DELETE => "s3:PutAccountPublicAccessBlock",
            _ => {
                let why = "The specified method is not allowed against this resource.";
                return Err(IamError::new("MethodNotAllowed", 405, why));
            }
        };
        let proven = self.verify(Kept::Block, Service::S3, head, body)?;
        let (verified, signature) = (proven.verified, proven.signature);
        let identity = verified.identity;
        let account = self.may(&identity, action, head, came)?;
        if head.method == Method::GET {
            let found = self.region.registry.account(&account);
            return match found.and_then(|account| account.block()) {
                Some(block) => Ok((StatusCode::OK, shown(block))),
                None => Err(IamError::new(
                    "NoSuchPublicAccessBlockConfiguration",
                    404,
                    "The public access block configuration was not found",
                )),
            };
        }
        self.is_kept_here(Kept::Block)?;
        let block = match head.method {
            Method::PUT => Some(read(body)?),
            _ => None,
        };
        let signed = SignedChange {
            signature,
            account: account.to_string(),
            of_user: key_of_signer(&identity),
            root: self.is_root(&account),
            tightens: false,
        };
        self.take_once(iam::Api::Iam, signed, verified.at).await?;
        let actor = identity.actor().ok_or_else(unauthenticated)?;
        self.set_block(&actor, &account, block).await
    }

    async fn set_block(
        &self,
        actor: &Actor,
        account: &AccountId,
        block: Option<PublicAccessBlock>,
    ) -> Result<(StatusCode, String), IamError> {
        let change = AccessChange {
            block: Some(block),
            ..AccessChange::default()
        };
        let registry = &self.region.registry;
        registry.set_account_access(actor, account, change).await?;
        Ok(match block {
            Some(_) => (StatusCode::OK, String::new()),
            None => (StatusCode::NO_CONTENT, String::new()),
        })
    }

    /// Whether the caller may do it on the account that the request names: its own.
    fn may(
        &self,
        identity: &Identity,
        action: &str,
        head: &Parts,
        came: RequestFacts,
    ) -> Result<AccountId, IamError> {
        let Identity::Key {
            account,
            who,
            guard,
            ..
        } = identity
        else {
            return Err(unauthenticated());
        };
        let named = head.headers.get(ACCOUNT).map(|value| value.as_bytes());
        if !identity.is_own_account(named) {
            return Err(denied("Access Denied"));
        }
        let how = self.conditions(head, came);
        let conditions = Asked {
            current_time: Some(how.now),
            source_ip: how.source,
            secure_transport: Some(how.tls),
            user_agent: how.user_agent,
            requested_region: Some(how.region),
            ..Asked::default()
        };
        let (name, target) = (ActionName::parse(action), Target::Arn("*"));
        let decided = who.decide((account, guard), name, target, &conditions);
        decided.map_err(|decision| {
            tracing::info!(
                ?who,
                action,
                "a request about an account's block was refused"
            );
            denied(who.sentence(account, name, target, &decision))
        })?;
        Ok(account.clone())
    }
}

fn key_of_signer(identity: &Identity) -> Option<String> {
    match identity {
        Identity::Anonymous => None,
        Identity::Key {
            who, access_key, ..
        } => key_of_user(who, access_key),
    }
}

fn read(body: &[u8]) -> Result<PublicAccessBlock, IamError> {
    let wrong = |_| {
        let why = "The XML you provided was not well-formed or did not validate against our \
                   published schema";
        IamError::new("MalformedXML", 400, why)
    };
    let root = xml::parse(body, &[ROOT]).map_err(wrong)?;
    read_switches(&root).map_err(wrong)
}
