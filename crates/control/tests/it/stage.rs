//! A store with two organisations, and the routes as a key sees them.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use account::{
    ApiKey, Billing, Identity, Key, KeyId, KeyedHash, ModelAccess, Name, OrgId, ProjectId, Role, Scope, Scopes,
    Session, UserId, Zone,
};
use axum::{
    Extension, Router,
    body::{Body, Bytes},
    http::{HeaderMap, Request, StatusCode},
};
use control::{Control, Cost, Providers, routes};
use http_body_util::BodyExt;
use serde_json::Value;
use store::{Act, Change, Config, Organisation, Project, Store, User};
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
    Scope::AdminMembers,
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

    /// The code, of an answer that is a refusal.
    pub fn code_if_refused(&self) -> String {
        if self.status.is_success() { String::new() } else { self.code() }
    }

    pub fn tag(&self) -> &str {
        self.headers["etag"].to_str().unwrap()
    }
}

pub async fn stage() -> Stage {
    stage_with(Providers::default()).await
}

/// The same, where people sign in by these providers, too.
pub async fn stage_with(providers: Providers) -> Stage {
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
    let cost = Cost { memory_kib: 8, passes: 1 };
    let config = control::Config { cost, ..control::Config::default() };
    let control = Control::new(
        config,
        providers,
        store.clone(),
        Box::new(move |change| seen.lock().unwrap().push(change.clone())),
    );
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
            owner: None,
            previous: None,
        };
        apply(&self.store, Change::AddKey(key.clone())).await;
        key
    }

    /// The routes as somebody sees them who holds this key, or none.
    pub fn app(&self, key: Option<&Key>) -> Router {
        match key {
            Some(key) => self.app_of(Identity::Key(Arc::new(key.clone()))),
            None => self.stranger(),
        }
    }

    /// The routes as somebody sees them who is not known.
    pub fn stranger(&self) -> Router {
        routes(self.control.clone()).layer(Extension(SocketAddr::from(([192, 0, 2, 7], 1))))
    }

    /// The routes as somebody sees them who is known.
    pub fn app_of(&self, identity: Identity) -> Router {
        self.stranger().layer(Extension(identity))
    }

    /// A person who exists, with a role in the first organisation or without.
    pub async fn user(&self, name: &str, role: Option<Role>) -> UserId {
        let id = UserId::generate().unwrap();
        let email = format!("{name}@example.org").into();
        apply(&self.store, Change::AddUser(User { id, email, operator: role == Some(Role::Operator) })).await;
        if let Some(role) = role.filter(|role| *role != Role::Operator) {
            apply(&self.store, Change::AddMember { org: ORG, user: id, role }).await;
        }
        id
    }

    /// The routes as this person sees them, as whoever the rows say that they are.
    pub async fn app_of_user(&self, user: UserId) -> Router {
        let person = self.store.person(user).await.unwrap().unwrap();
        let (hash, now) = (KeyedHash::from_bytes([1; 32]), store::now());
        self.app_of(Identity::Person(Arc::new(person), Session { hash, user, begun: now, seen: now }))
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
