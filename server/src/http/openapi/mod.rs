//! `GET /openapi.json`: what can be called, written from the types that are parsed and answered.

mod table;
mod yaml;

use std::cell::OnceCell;
use std::mem;

use hyper::Method;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::api;
use super::route::{Route, Scope};

/// The description, made when it is first asked for.
#[derive(Debug, Default)]
pub(super) struct Description {
    json: OnceCell<String>,
    yaml: OnceCell<String>,
}

/// What the description is written in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    Json,
    Yaml,
}

impl Description {
    /// The description as text.
    pub(super) fn text(&self, form: Form) -> &str {
        match form {
            Form::Json => self.json.get_or_init(|| document().to_string()),
            Form::Yaml => self.yaml.get_or_init(|| yaml::write(&document())),
        }
    }
}

impl Form {
    /// Its media type.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
        }
    }
}

/// One method of one path.
#[derive(Clone)]
struct Call {
    method: Method,
    path: String,
    tag: &'static str,
    summary: &'static str,
    parameters: Vec<Parameter>,
    body: Option<Body>,
    replies: Vec<Reply>,
}

/// Writes a type's schema into the components, and gives a reference to it.
type Describe = fn(&mut Components) -> Schema;

#[derive(Clone, Copy)]
enum Body {
    /// JSON.
    Json(Describe),
    /// JSON or nothing.
    Maybe(Describe),
    /// Text of a media type.
    Text(&'static str),
}

#[derive(Clone)]
struct Reply {
    status: u16,
    words: &'static str,
    content: Option<(&'static str, Describe)>,
}

#[derive(Clone)]
struct Parameter {
    name: &'static str,
    place: &'static str,
    words: &'static str,
    pattern: Option<&'static str>,
}

impl Call {
    fn new(method: Method, path: String, tag: &'static str, summary: &'static str) -> Self {
        Self { method, path, tag, summary, parameters: Vec::new(), body: None, replies: Vec::new() }
    }

    /// A path that speaks WebSocket.
    fn socket(path: String, tag: &'static str, summary: &'static str) -> Self {
        let call = Self::new(Method::GET, path, tag, summary).with(Reply::nothing(101, "the connection is a WebSocket from here on"));
        call.refusing(426, "it was not asked for a WebSocket of version 13")
    }

    fn asking(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    fn taking(mut self, body: Body) -> Self {
        self.body = Some(body);
        self.refusing(408, "the body did not come in time").refusing(413, "the body is longer than 1 MiB")
    }

    fn with(mut self, reply: Reply) -> Self {
        self.replies.push(reply);
        self
    }

    fn refusing(self, status: u16, words: &'static str) -> Self {
        self.with(Reply::json(status, words, writes::<api::Refused<'_>>))
    }

    /// The path with something in its places.
    fn sample(&self) -> String {
        self.path.replace("{id}", "live").replace("{token}", SAMPLE_TOKEN)
    }

    fn scope(&self) -> Scope {
        Route::find(&self.method, &self.sample()).map_or(Scope::Control, |route| route.scope())
    }

    fn describe(self, components: &mut Components) -> Value {
        let mut replies = self.replies.clone();
        for (status, words) in ALWAYS {
            if replies.iter().all(|reply| reply.status != status) {
                replies.push(Reply::json(status, words, writes::<api::Refused<'_>>));
            }
        }
        let answers: Map<String, Value> = replies.into_iter().map(|reply| (reply.status.to_string(), reply.describe(components))).collect();
        let mut operation = json!({
            "operationId": self.operation_id(),
            "tags": [self.tag],
            "summary": self.summary,
            "responses": answers,
        });
        if !self.parameters.is_empty() {
            operation["parameters"] = self.parameters.iter().map(Parameter::describe).collect();
        }
        if let Some(body) = self.body {
            operation["requestBody"] = body.describe(components);
        }
        operation["security"] = match self.scope() {
            Scope::Open => json!([]),
            Scope::Any | Scope::Control | Scope::Publish | Scope::View => json!([{}, {"bearer": []}, {"query": []}]),
        };
        operation
    }

    /// `postStreamStart`
    fn operation_id(&self) -> String {
        let words = self.path.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let titled = words.flat_map(|word| word[..1].to_uppercase().chars().chain(word[1..].chars()).collect::<Vec<_>>());
        self.method.as_str().to_lowercase().chars().chain(titled).collect()
    }
}

impl Body {
    fn describe(self, components: &mut Components) -> Value {
        let (kind, schema, required) = match self {
            Self::Json(schema) => ("application/json", json!(schema(components)), true),
            Self::Maybe(schema) => ("application/json", json!(schema(components)), false),
            Self::Text(kind) => (kind, json!({"type": "string"}), true),
        };
        json!({"required": required, "content": {kind: {"schema": schema}}})
    }
}

impl Reply {
    fn json(status: u16, words: &'static str, schema: Describe) -> Self {
        Self { status, words, content: Some(("application/json", schema)) }
    }

    /// What no type of ours says more about.
    fn text(status: u16, words: &'static str, kind: &'static str) -> Self {
        let schema: Describe = match kind {
            "application/json" | "application/yaml" => |_| schemars::json_schema!({"type": "object"}),
            _ => |_| schemars::json_schema!({"type": "string"}),
        };
        Self { status, words, content: Some((kind, schema)) }
    }

    fn nothing(status: u16, words: &'static str) -> Self {
        Self { status, words, content: None }
    }

    fn describe(self, components: &mut Components) -> Value {
        let mut answer = json!({"description": self.words});
        if let Some((kind, schema)) = self.content {
            answer["content"] = json!({kind: {"schema": schema(components)}});
        }
        answer
    }
}

impl Parameter {
    fn query(name: &'static str, words: &'static str) -> Self {
        Self { name, place: "query", words, pattern: None }
    }

    fn stream() -> Self {
        Self { name: "id", place: "path", words: "the stream", pattern: Some("^[A-Za-z0-9_-]{1,64}$") }
    }

    fn token() -> Self {
        Self { name: "token", place: "path", words: "the session, as Location named it", pattern: Some("^[0-9a-f]{32}$") }
    }

    fn describe(&self) -> Value {
        let mut schema = json!({"type": "string"});
        if let Some(pattern) = self.pattern {
            schema["pattern"] = json!(pattern);
        }
        json!({"name": self.name, "in": self.place, "required": self.place == "path", "description": self.words, "schema": schema})
    }
}

/// The schemas of the types that are referred to: read types and written types differ in what may be absent.
struct Components {
    read: SchemaGenerator,
    written: SchemaGenerator,
}

impl Components {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self { read: settings().for_deserialize().into_generator(), written: settings().for_serialize().into_generator() }
    }

    fn into_schemas(mut self) -> Map<String, Value> {
        let mut schemas = mem::take(self.read.definitions_mut());
        for (name, schema) in mem::take(self.written.definitions_mut()) {
            let same = schemas.insert(name, schema.clone()).is_none_or(|read| read == schema);
            assert!(same, "a type that is read and written has to be the same in both");
        }
        schemas
    }
}

fn schema<T: JsonSchema>(components: &mut Components) -> Schema {
    components.read.subschema_for::<T>()
}

fn writes<T: JsonSchema>(components: &mut Components) -> Schema {
    components.written.subschema_for::<T>()
}

fn document() -> Value {
    let mut components = Components::new();
    let mut paths = Map::new();
    for call in table::calls() {
        let method = call.method.as_str().to_lowercase();
        let entry = paths.entry(call.path.clone()).or_insert_with(|| json!({}));
        entry[method] = call.describe(&mut components);
    }
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Crosspoint",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A live camera, microphone and screen for a sandboxed browser. Words are read in any case.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "inputs", "description": "What camera and microphone get"},
            {"name": "streams", "description": "The display and the speaker for viewers"},
            {"name": "webrtc", "description": "WHIP (RFC 9725) and WHEP (draft 04)"},
            {"name": "operation", "description": "How it is"},
        ],
        "paths": paths,
        "components": {
            "schemas": components.into_schemas(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "a token, if the server was given some"},
                "query": {"type": "apiKey", "in": "query", "name": "access_token", "description": "the same where no header can be set"},
            },
        },
    })
}

/// What any call may be refused with, whatever it is.
const ALWAYS: [(u16, &str); 5] = [
    (400, "the request can never be right"),
    (401, "a token is missing, or is none of ours"),
    (403, "a page of another origin asks, or the token is for other calls"),
    (421, "the Host is not one of ours"),
    (503, "the server ends"),
];
const SAMPLE_TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_call_is_a_route_and_every_route_a_call() {
        let mut described = BTreeSet::new();
        for call in table::calls() {
            let route = Route::find(&call.method, &call.sample());
            let route = route.unwrap_or_else(|miss| panic!("{} {} is {miss:?}", call.method, call.path));
            described.insert(route.name());
        }
        let names: BTreeSet<_> = Route::NAMES.into_iter().filter(|name| *name != "Asset").collect();
        assert_eq!(described, names);
    }

    #[test]
    fn references_lead_somewhere_and_ids_are_unique() {
        let document = document();
        let text = document.to_string();
        let references: BTreeSet<_> = text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(references.contains("/components/schemas/VirtualInputsStatus"), "{references:?}");
        for reference in references {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
        let paths = document["paths"].as_object().unwrap();
        let ids: Vec<_> = paths.values().flat_map(|path| path.as_object().unwrap().values()).map(|call| &call["operationId"]).collect();
        assert_eq!(ids.iter().map(|id| id.as_str().unwrap()).collect::<BTreeSet<_>>().len(), ids.len());
        assert!(ids.iter().any(|id| *id == "postInputDevicesVirtualConfigure"));
    }

    #[test]
    fn schemas_are_those_of_the_types() {
        let schemas = document()["components"]["schemas"].take();
        let configure = &schemas["ConfigureRequest"];
        assert_eq!((&configure["additionalProperties"], configure.get("required")), (&json!(false), None));
        assert_eq!(schemas["VideoRequest"]["required"], json!(["type"]));
        assert_eq!(schemas["VideoRequest"]["properties"]["width"]["maximum"], 3840);
        assert_eq!(schemas["VirtualInputType"]["enum"], json!(["file", "socket", "stream", "webrtc"]));
        let status = schemas["VirtualInputsStatus"]["required"].as_array().unwrap();
        assert!(status.contains(&json!("last_error")) && !status.contains(&json!("video_file")), "{status:?}");
    }
}
