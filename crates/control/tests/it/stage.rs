//! A store with two organisations, and the routes as a key sees them.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use account::{ApiKey, Billing, Key, KeyId, ModelAccess, Name, OrgId, ProjectId, Scope, Scopes, Zone};
use axum::{
    Extension, Router,
    body::{Body, Bytes},
    http::{HeaderMap, Request, StatusCode},
};
use control::{Control, routes};
use http_body_util::BodyExt;
use serde_json::Value;
use store::{Act, Change, Config, Organisation, Project, Store};
use tempfile::TempDir;
use tower::ServiceExt;

pub const ORG: OrgId = OrgId::from_bytes([1; 16]);
pub const OTHER: OrgId = OrgId::from_bytes([2; 16]);
pub const PROJECT: ProjectId = ProjectId::from_bytes([3; 16]);
pub const OTHER_PROJECT: ProjectId = ProjectId::from_bytes([4; 16]);

/// Every scope that an organisation can give.
pub const OF_AN_OWNER: &[Scope] = &[
    Scope::Inference,
    Scope::ModelsRead,
    Scope::UsageRead,
    Scope::AdminOrganisation,
    Scope::AdminProjects,
    Scope::AdminKeys,
    Scope::AdminLimits,
    Scope::AdminBilling,
    Scope::AdminAudit,
];

pub struct Stage {
    pub store: Store,
    pub published: Arc<Mutex<Vec<Change>>>,
    control: Control,
    _folder: TempDir,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("not JSON: {:?}", self.bytes))
    }

    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn tag(&self) -> &str {
        self.headers["etag"].to_str().unwrap()
    }
}

pub async fn stage() -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Config::default()).await.unwrap();
    for (org, project, name) in [(ORG, PROJECT, "one"), (OTHER, OTHER_PROJECT, "other")] {
        let organisation =
            Organisation { id: org, name: Name::parse(name).unwrap(), zone: Zone::UTC, billing: Billing::Postpaid };
        apply(&store, Change::AddOrganisation(organisation)).await;
        apply(&store, Change::AddProject(Project { id: project, org, name: Name::default_name() })).await;
    }
    let published: Arc<Mutex<Vec<Change>>> = Arc::default();
    let seen = Arc::clone(&published);
    let control = Control::new(store.clone(), Box::new(move |change| seen.lock().unwrap().push(change.clone())));
    Stage { store, published, control, _folder: folder }
}

pub async fn apply(store: &Store, change: Change) {
    let act = Act { actor: "test".into(), at: store::now(), before: None, after: None, address: None };
    store.apply(change, act, None).await.unwrap();
}

impl Stage {
    /// A key of the first organisation with these scopes, that exists.
    pub async fn key(&self, scopes: &[Scope]) -> Key {
        let key = Key {
            id: KeyId::generate().unwrap(),
            org: ORG,
            project: PROJECT,
            name: Name::parse("asks").unwrap(),
            scopes: Scopes::of(scopes),
            models: ModelAccess::All,
            expires: None,
            revoked: None,
            secret: self.store.pepper().hash(&ApiKey::generate().unwrap().hash()),
            previous: None,
        };
        apply(&self.store, Change::AddKey(key.clone())).await;
        key
    }

    /// The routes as somebody sees them who holds this key, or none.
    pub fn app(&self, key: Option<&Key>) -> Router {
        let router = routes(self.control.clone());
        match key {
            Some(key) => {
                router.layer(Extension(Arc::new(key.clone()))).layer(Extension(SocketAddr::from(([192, 0, 2, 7], 1))))
            }
            None => router,
        }
    }

    /// As whoever runs the installation.
    pub async fn operator(&self) -> Router {
        let key = self.key(&Scope::ALL).await;
        self.app(Some(&key))
    }

    /// As somebody with every right of an organisation.
    pub async fn owner(&self) -> Router {
        let key = self.key(OF_AN_OWNER).await;
        self.app(Some(&key))
    }
}

pub async fn send(app: &Router, request: Request<Body>) -> Answer {
    let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, bytes }
}

/// Asks and expects a status. A body that is null is not sent.
pub async fn check(app: &Router, method: &str, path: &str, body: Value, expect: u16) -> Answer {
    check_with(app, method, path, body, &[], expect).await
}

/// The same with headers.
pub async fn check_with(
    app: &Router,
    method: &str,
    path: &str,
    body: Value,
    headers: &[(&str, &str)],
    expect: u16,
) -> Answer {
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = send(app, request.body(body).unwrap()).await;
    assert_eq!(answer.status, expect, "{method} {path}: {:?}", answer.bytes);
    answer
}
