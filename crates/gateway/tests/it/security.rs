//! Nobody without the key learns or does anything.

use axum::{body::Body, http::Request};
use gateway::endpoints;
use serde_json::json;

use crate::stage::{KEY, Script, Scripted, app, send};

const WRONG: [Option<&str>; 7] = [
    None,
    Some(""),
    Some("Bearer"),
    Some("Bearer "),
    Some("Bearer a-key-for-tests-0123456789abcdeF"),
    Some("Basic a-key-for-tests-0123456789abcdef"),
    Some("a-key-for-tests-0123456789abcdef"),
];

#[tokio::test]
async fn every_route_but_health_wants_the_key() {
    let app = app(Scripted::new(|_| Script::Panic));
    let routes = endpoints().into_iter().map(|endpoint| (endpoint.method.to_string(), endpoint.path, endpoint.public));
    let others = [("GET", "/nothing"), ("POST", "/v1/nothing"), ("DELETE", "/v1/models"), ("OPTIONS", "/metrics")];
    let others = others.into_iter().map(|(method, path)| (method.to_owned(), path.to_owned(), false));
    let mut public = Vec::new();
    for (method, path, is_public) in routes.chain(others) {
        for authorization in WRONG {
            let mut request = Request::builder().method(method.as_str()).uri(&path);
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            let answer = send(&app, request.body(Body::from("{}")).unwrap()).await;
            if is_public {
                assert_eq!(answer.status, 200, "{method} {path}");
                continue;
            }
            assert_eq!(answer.status, 401, "{method} {path} with {authorization:?}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
            let error = &answer.json()["error"];
            if path.starts_with("/api/") {
                assert_eq!(answer.json()["code"], "invalid_api_key");
            } else if path.starts_with("/v1/messages") {
                assert_eq!(error["type"], "authentication_error");
            } else {
                assert_eq!(
                    (&error["code"], &error["type"]),
                    (&json!("invalid_api_key"), &json!("invalid_request_error"))
                );
            }
            assert!(!answer.text().contains("0123456789abcde"), "a key is not repeated");
        }
        if is_public {
            public.push(path);
        }
    }
    assert_eq!(public, ["/", "/healthz", "/readyz"]);
}

#[tokio::test]
async fn the_scheme_may_be_written_in_any_case() {
    let app = app(Scripted::new(|_| Script::Panic));
    for authorization in [format!("bearer {KEY}"), format!("BEARER   {KEY} ")] {
        let request = Request::get("/v1/models").header("authorization", authorization).body(Body::empty()).unwrap();
        let answer = send(&app, request).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["object"]), (200, &json!("list")));
    }
}

#[tokio::test]
async fn the_key_may_stand_in_either_header_but_not_two_keys() {
    let app = app(Scripted::new(|_| Script::Panic));
    let bearer = |key: &str| Some(format!("Bearer {key}"));
    let key = |key: &str| Some(key.to_owned());
    let wrong = KEY.to_uppercase();
    for (authorization, x_api_key, expect) in [
        (None, key(KEY), 200),
        (None, key(&format!(" {KEY} ")), 200),
        (bearer(KEY), key(KEY), 200),
        (None, key(&wrong), 401),
        (None, key(""), 401),
        (bearer(&wrong), key(&wrong), 401),
        (bearer(KEY), key(&wrong), 401),
        (bearer(&wrong), key(KEY), 401),
        (bearer(KEY), key(""), 401),
        (Some(String::new()), key(KEY), 401),
    ] {
        let mut request = Request::get("/v1/models");
        for (name, value) in [("authorization", &authorization), ("x-api-key", &x_api_key)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let answer = send(&app, request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, expect, "{authorization:?} {x_api_key:?}");
    }
}
