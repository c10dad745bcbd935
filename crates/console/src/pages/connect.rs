//! Lines that are ready to be used with the programs that people have.

use maud::{Markup, html};

use crate::{
    call::Call,
    reply::{Answer, Page},
    ui::text,
};

/// The page. It never shows a secret: programs read it from where their users keep it.
pub async fn show(call: &Call<'_>) -> Answer {
    let settings = &call.console.settings;
    let (endpoint, region) = (&settings.data_origin, &*settings.region);
    let key = &*call.who()?.key;
    let ready = ready(endpoint, region, key);
    let body = html! {
        (crate::ui::parts::facts(&[
            (&call.t("Endpoint"), text::code(endpoint)),
            (&call.t("Region"), text::code(region)),
            (&call.t("Access key"), text::code(key)),
            (&call.t("Secret key"), html! { (call.t("shown once, when the key was made")) }),
            (&call.t("Addressing"), html! { (call.t("path style, signature version 4")) }),
        ]))
        div.cards {
            @for (name, lines) in &ready { (card(call, name, lines)) }
        }
    };
    Page::new(call.t("Connect"), body).into()
}

fn card(call: &Call<'_>, name: &str, lines: &str) -> Markup {
    html! {
        section.card {
            div.head {
                h2 { (name) }
                button.small type="button" data-copy=(lines) data-done=(call.t("Copied")) {
                    (call.t("Copy"))
                }
            }
            pre tabindex="0" { code dir="ltr" { (lines) } }
        }
    }
}

fn ready(endpoint: &str, region: &str, key: &str) -> [(&'static str, String); 7] {
    let host = endpoint
        .split_once("://")
        .map_or(endpoint, |(_, host)| host);
    let plain = if endpoint.starts_with("https://") {
        "True"
    } else {
        "False"
    };
    [
        (
            "AWS CLI",
            format!(
                "export AWS_ACCESS_KEY_ID={key}\nexport AWS_SECRET_ACCESS_KEY=...\n\
                 export AWS_REGION={region}\nexport AWS_ENDPOINT_URL={endpoint}\naws s3 ls"
            ),
        ),
        (
            "Python (boto3)",
            format!(
                "import boto3\n\ns3 = boto3.client(\n    \"s3\",\n    \
                 endpoint_url=\"{endpoint}\",\n    region_name=\"{region}\",\n)\n\
                 print(s3.list_buckets()[\"Buckets\"])"
            ),
        ),
        (
            "rclone",
            format!(
                "[dhow]\ntype = s3\nprovider = Other\naccess_key_id = {key}\n\
                 secret_access_key = ...\nregion = {region}\nendpoint = {endpoint}"
            ),
        ),
        (
            "s3cmd",
            format!(
                "[default]\naccess_key = {key}\nsecret_key = ...\nhost_base = {host}\n\
                 host_bucket = {host}\nbucket_location = {region}\nuse_https = {plain}\n\
                 signature_v2 = False"
            ),
        ),
        (
            "JavaScript",
            format!(
                "import {{ S3Client }} from \"@aws-sdk/client-s3\";\n\nconst s3 = new S3Client({{\n  \
                 endpoint: \"{endpoint}\",\n  region: \"{region}\",\n  forcePathStyle: true,\n}});"
            ),
        ),
        (
            "Go",
            format!(
                "cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(\"{region}\"))\n\
                 client := s3.NewFromConfig(cfg, func(o *s3.Options) {{\n\t\
                 o.BaseEndpoint = aws.String(\"{endpoint}\")\n\to.UsePathStyle = true\n}})"
            ),
        ),
        (
            "Terraform",
            format!(
                "provider \"aws\" {{\n  region = \"{region}\"\n  s3_use_path_style = true\n  \
                 skip_credentials_validation = true\n  skip_requesting_account_id = true\n  \
                 endpoints {{\n    s3 = \"{endpoint}\"\n  }}\n}}"
            ),
        ),
    ]
}
