//! docs/admin-api.json: the admin API in OpenAPI 3.1, made from the table of operations and the
//! grants.

use access::grants::{Grant, Role, grant};
use serde_json::{Map, Value, json};

use crate::{
    PREFIX,
    field::{Field, Kind},
    fields::ANSWERS,
    operations::{OPERATIONS, Operation, Output},
};

/// The document. The same whoever asks: it reveals nothing of this cloud.
pub fn document() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = format!("{PREFIX}{}", operation.path);
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        if let Value::Object(methods) = methods {
            methods.insert(operation.method.to_ascii_lowercase(), described(operation));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Dhow admin API",
            "version": "1",
            "summary": "Accounts, keys, regions, buckets and the audit log of a cloud.",
            "description": "Each request is signed, and allowed by the role of its key: \
                `x-dhow-grants` lists the roles that may do an operation and how far that reaches. \
                A request that the role does not allow is answered 403, whether or not what it \
                names is there. The registry is changed in the region that keeps it; the others \
                answer 421.",
        },
        "servers": [{
            "url": "http://{address}",
            "description": "The admin listener of a region.",
            "variables": { "address": { "default": "127.0.0.1:9001" } },
        }],
        "security": [{ "sigv4": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "sigv4": {
                "type": "apiKey",
                "in": "header",
                "name": "Authorization",
                "description": "AWS Signature Version 4 in headers, for the service `dhow-admin` and the \
                    region's id, by an active key. `x-amz-content-sha256` is the SHA-256 of the \
                    body: unsigned and streamed bodies are refused.",
            } },
            "schemas": schemas(),
            "responses": responses(),
        },
    })
}

fn schemas() -> Value {
    let named = ANSWERS.iter();
    let mut schemas: Map<String, Value> = named
        .map(|(name, fields)| ((*name).to_owned(), object(fields)))
        .collect();
    let reference = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    schemas.insert(
        "PlacedBucket".into(),
        json!({ "oneOf": [reference("Bucket"), reference("PlacementDryRun")] }),
    );
    schemas.insert(
        "AuditEntry".into(),
        json!({
            "type": "object",
            "description": "One change of the registry, chained by hashes.",
        }),
    );
    schemas.insert(
        "Error".into(),
        json!({
            "type": "object",
            "required": ["error"],
            "properties": { "error": { "type": "string" } },
        }),
    );
    Value::Object(schemas)
}

/// Statuses beside 200, by the names of their descriptions.
const REFUSALS: &[(&str, &str, &str)] = &[
    ("400", "Malformed", "The request is not as described here."),
    (
        "403",
        "Denied",
        "The signature is wrong, or the key's role does not allow it.",
    ),
    (
        "404",
        "NotFound",
        "What is named is not there; nor is an operation not listed here.",
    ),
    ("409", "Conflict", "The state of the cloud forbids it."),
    (
        "421",
        "Elsewhere",
        "Ask the region that keeps the registry; the message names it.",
    ),
    ("503", "Unavailable", "Not now; it may be sent again."),
    ("default", "Failed", "The cloud failed."),
];

fn responses() -> Value {
    let schema = json!({ "$ref": "#/components/schemas/Error" });
    let content = json!({ "application/json": { "schema": schema } });
    let response = |about: &str| json!({ "description": about, "content": content });
    let all = REFUSALS
        .iter()
        .map(|(_, name, about)| ((*name).to_owned(), response(about)));
    Value::Object(all.collect())
}

fn described(o: &Operation) -> Value {
    let mut answers = Map::new();
    let schema = match o.output {
        Output::Empty => json!({ "type": "object", "maxProperties": 0 }),
        Output::Object => json!({ "type": "object" }),
        Output::One(name) => json!({ "$ref": format!("#/components/schemas/{name}") }),
        Output::Many(name) => json!({
            "type": "array",
            "items": { "$ref": format!("#/components/schemas/{name}") },
        }),
    };
    let content = json!({ "application/json": { "schema": schema } });
    answers.insert(
        "200".into(),
        json!({ "description": "Done.", "content": content }),
    );
    for (status, name, _) in REFUSALS {
        let response = json!({ "$ref": format!("#/components/responses/{name}") });
        answers.insert((*status).to_owned(), response);
    }
    let mut described = json!({
        "operationId": o.name,
        "summary": o.summary,
        "responses": answers,
        "x-dhow-grants": grants(o),
    });
    if let Value::Object(fields) = &mut described {
        let parameters = parameters(o);
        if !parameters.is_empty() {
            fields.insert("parameters".into(), Value::Array(parameters));
        }
        if let Some(body) = o.body {
            let content = json!({ "application/json": { "schema": closed(body) } });
            let body = json!({ "required": true, "content": content });
            fields.insert("requestBody".into(), body);
        }
    }
    described
}

fn parameters(o: &Operation) -> Vec<Value> {
    let mut found = Vec::new();
    if let Some((_, rest)) = o.path.split_once('{')
        && let Some((name, _)) = rest.split_once('}')
    {
        let schema = json!({ "type": "string", "minLength": 1 });
        found.push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
    }
    if let Some(query) = o.query {
        let schema = match query.number {
            true => json!({ "type": "integer", "minimum": 0 }),
            false => json!({ "type": "string" }),
        };
        found.push(json!({
            "name": query.name,
            "in": "query",
            "description": query.about,
            "schema": schema,
        }));
    }
    found
}

/// The roles that may do it, and how far.
fn grants(o: &Operation) -> Value {
    let roles = [
        ("customer", Role::Customer),
        ("tenant admin", Role::TenantAdmin),
        ("regional operator", Role::RegionalOperator(String::new())),
        ("cloud operator", Role::CloudOperator),
        ("auditor", Role::Auditor),
    ];
    let granted = roles.iter().filter_map(|(name, role)| {
        let reach = match grant(role, o.action) {
            Grant::No => return None,
            Grant::OwnAccount => "own account",
            Grant::OwnRegions => "own regions",
            Grant::All => "all",
        };
        Some(json!({ "role": name, "reach": reach }))
    });
    granted.collect()
}

fn object(fields: &[Field]) -> Value {
    let property = |f: &Field| {
        let mut schema = schema(&f.kind);
        if let (Value::Object(schema), false) = (&mut schema, f.about.is_empty()) {
            schema.insert("description".into(), json!(f.about));
        }
        (f.name.to_owned(), schema)
    };
    let properties: Map<String, Value> = fields.iter().map(property).collect();
    let required: Vec<&str> = fields
        .iter()
        .filter(|f| f.required)
        .map(|f| f.name)
        .collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

/// For bodies, whose readers refuse a field that they do not know.
fn closed(fields: &[Field]) -> Value {
    let mut schema = object(fields);
    if let Value::Object(schema) = &mut schema {
        schema.insert("additionalProperties".into(), json!(false));
    }
    schema
}

fn schema(kind: &Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Count => json!({ "type": "integer", "minimum": 0 }),
        Kind::Number => json!({ "type": "number" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Word(words) => json!({ "type": "string", "enum": words }),
        Kind::List(of) => json!({ "type": "array", "items": schema(of) }),
        Kind::Fields(fields) => object(fields),
        Kind::Named(name) => json!({ "$ref": format!("#/components/schemas/{name}") }),
        Kind::OrNull(of) => json!({ "anyOf": [schema(of), { "type": "null" }] }),
        Kind::Object => json!({ "type": "object" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/admin-api.json");
        if std::env::var_os("UPDATE").is_some() {
            let text = serde_json::to_string_pretty(&document()).unwrap();
            std::fs::write(path, text + "\n").unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        let written: Value = serde_json::from_str(&written).unwrap_or_default();
        assert!(
            written == document(),
            "docs/admin-api.json is not current: UPDATE=1 cargo test -p admin"
        );
    }

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(to)) = fields.get("$ref") {
                    found.push(to.clone());
                }
                fields.values().for_each(|v| references(v, found));
            }
            Value::Array(all) => all.iter().for_each(|v| references(v, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > OPERATIONS.len());
        for to in found {
            let at = to.strip_prefix('#').unwrap();
            assert!(document.pointer(at).is_some(), "{to}");
        }
    }
}
