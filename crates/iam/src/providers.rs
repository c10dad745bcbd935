//! Identity providers (OpenID Connect): whose tokens may begin sessions of roles.

use std::collections::BTreeMap;

use cloud::{NewProvider, ProviderChange, ProviderInfo};

use crate::{
    IamError,
    answer::{Node, missing, time},
    call::{About, Call, Done},
    rows,
    users::tags,
    web::Issuers,
};

rows! {
    CreateOpenIDConnectProvider [Url] [ClientIDList ThumbprintList Tags];
    GetOpenIDConnectProvider [OpenIDConnectProviderArn];
    ListOpenIDConnectProviders [];
    DeleteOpenIDConnectProvider [OpenIDConnectProviderArn];
    AddClientIDToOpenIDConnectProvider [OpenIDConnectProviderArn ClientID];
    RemoveClientIDFromOpenIDConnectProvider [OpenIDConnectProviderArn ClientID];
    UpdateOpenIDConnectProviderThumbprint [OpenIDConnectProviderArn] [ThumbprintList];
    TagOpenIDConnectProvider [OpenIDConnectProviderArn] [Tags];
    UntagOpenIDConnectProvider [OpenIDConnectProviderArn] [TagKeys];
    ListOpenIDConnectProviderTags [OpenIDConnectProviderArn Marker MaxItems];
}

fn tag_list(all: &BTreeMap<String, String>) -> Node {
    Node::List(tags(all).into_iter().map(|(_, tag)| tag).collect())
}

fn texts<'t>(all: impl IntoIterator<Item = &'t String>) -> Node {
    Node::List(all.into_iter().map(|text| text.clone().into()).collect())
}

impl Call<'_> {
    pub(crate) async fn perform_on_provider(&self, op: Op, issuers: &dyn Issuers) -> Done {
        match op {
            Op::CreateOpenIDConnectProvider => self.create_provider(issuers).await,
            Op::GetOpenIDConnectProvider => self.get_provider(),
            Op::ListOpenIDConnectProviders => self.list_providers(),
            Op::DeleteOpenIDConnectProvider => self.delete_provider().await,
            Op::AddClientIDToOpenIDConnectProvider => self.add_client().await,
            Op::RemoveClientIDFromOpenIDConnectProvider => self.remove_client().await,
            Op::UpdateOpenIDConnectProviderThumbprint => self.update_thumbprints().await,
            Op::TagOpenIDConnectProvider => self.tag_provider().await,
            Op::UntagOpenIDConnectProvider => self.untag_provider().await,
            Op::ListOpenIDConnectProviderTags => self.list_provider_tags(),
        }
    }

    fn provider_arn(&self, place: &str) -> String {
        let account = self.caller.account;
        format!("arn:aws:iam::{account}:oidc-provider/{place}")
    }

    /// The provider that the form names, once the caller may do the action on it. Who may not does
    /// not learn whether it is there.
    fn provider(&self, about: &About<'_>) -> Result<ProviderInfo, IamError> {
        let arn = self.form.need("OpenIDConnectProviderArn")?;
        let found = self.registry.provider_of_arn(self.caller.account, arn);
        match found {
            Some(provider) => {
                let about = About {
                    has: Some(&provider.tags),
                    ..*about
                };
                self.may(&provider.arn, &about)?;
                Ok(provider)
            }
            None => {
                self.may(arn, about)?;
                let arn = types::text::shown(arn, 300);
                Err(missing(format!(
                    "OpenIDConnect Provider not found for arn {arn}"
                )))
            }
        }
    }

    async fn create_provider(&self, issuers: &dyn Issuers) -> Done {
        let strings = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect();
        let new = NewProvider {
            url: self.form.need("Url")?.to_owned(),
            clients: strings(self.form.list("ClientIDList")?),
            thumbprints: strings(self.form.list("ThumbprintList")?),
            tags: self.form.pairs("Tags")?,
        };
        let about = About {
            given: Some(&new.tags),
            ..About::default()
        };
        let place = new.url.split_once("://").map_or(&*new.url, |(_, at)| at);
        self.may_create(
            &self.provider_arn(place),
            &about,
            "TagOpenIDConnectProvider",
        )?;
        let refused = |why: crate::NoKeys| IamError::new("InvalidInput", 400, why.to_string());
        issuers.check(&new.url).map_err(refused)?;
        let (actor, account) = (self.caller.actor, self.caller.account);
        let made = self.registry.create_provider(actor, account, new).await?;
        let mut fields = vec![("OpenIDConnectProviderArn", made.arn.into())];
        if !made.tags.is_empty() {
            fields.push(("Tags", tag_list(&made.tags)));
        }
        Ok(Some(Node::Fields(fields)))
    }

    fn get_provider(&self) -> Done {
        let provider = self.provider(&About::default())?;
        let mut fields = vec![
            // As IAM: without the scheme.
            ("Url", provider.place.into()),
            ("ClientIDList", texts(&provider.clients)),
            ("ThumbprintList", texts(&provider.thumbprints)),
            ("CreateDate", time(provider.created_ms)),
        ];
        if !provider.tags.is_empty() {
            fields.push(("Tags", tag_list(&provider.tags)));
        }
        Ok(Some(Node::Fields(fields)))
    }

    fn list_providers(&self) -> Done {
        self.may(&self.provider_arn("*"), &About::default())?;
        let all = self.registry.providers(self.caller.account).into_iter();
        let shown = all.map(|one| Node::Fields(vec![("Arn", one.arn.into())]));
        let list = Node::List(shown.collect());
        Ok(Some(Node::Fields(vec![(
            "OpenIDConnectProviderList",
            list,
        )])))
    }

    async fn change_provider(&self, about: &About<'_>, change: ProviderChange) -> Done {
        let provider = self.provider(about)?;
        let actor = self.caller.actor;
        let changed = self.registry.change_provider(actor, &provider.id, change);
        changed.await?;
        Ok(None)
    }

    async fn delete_provider(&self) -> Done {
        let provider = self.provider(&About::default())?;
        let actor = self.caller.actor;
        self.registry.delete_provider(actor, &provider.id).await?;
        Ok(None)
    }

    async fn add_client(&self) -> Done {
        let client = self.form.need("ClientID")?.to_owned();
        let change = ProviderChange::AddClient(client);
        self.change_provider(&About::default(), change).await
    }

    async fn remove_client(&self) -> Done {
        let client = self.form.need("ClientID")?.to_owned();
        let change = ProviderChange::RemoveClient(client);
        self.change_provider(&About::default(), change).await
    }

    async fn update_thumbprints(&self) -> Done {
        let all = self.form.list("ThumbprintList")?.into_iter();
        let change = ProviderChange::Thumbprints(all.map(str::to_owned).collect());
        self.change_provider(&About::default(), change).await
    }

    async fn tag_provider(&self) -> Done {
        let tags = self.form.pairs("Tags")?;
        let about = About {
            given: Some(&tags),
            ..About::default()
        };
        self.change_provider(&about, ProviderChange::Tag(tags.clone()))
            .await
    }

    async fn untag_provider(&self) -> Done {
        let named = self.form.tag_keys()?;
        let about = About {
            given: Some(&named),
            ..About::default()
        };
        let change = ProviderChange::Untag(named.keys().cloned().collect());
        self.change_provider(&about, change).await
    }

    fn list_provider_tags(&self) -> Done {
        let provider = self.provider(&About::default())?;
        let page = self.page("Tags", tags(&provider.tags))?;
        Ok(Some(Node::Fields(page)))
    }
}
