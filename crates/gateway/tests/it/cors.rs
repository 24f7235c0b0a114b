//! Pages of other origins.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Request, StatusCode},
};
use gateway::{Config, router};
use tower::ServiceExt;

use crate::stage::{KEY, Script, Scripted, service};

const APP: &str = "https://app.example.org";

/// Asks as a browser does for a page of `origin`.
async fn ask(
    allowed: &[&'static str],
    method: &str,
    path: &str,
    origin: &str,
    key: Option<&str>,
) -> (StatusCode, HeaderMap) {
    let cors_origins = allowed.iter().map(|origin| HeaderValue::from_static(origin)).collect();
    let service = service(Config { cors_origins, ..Config::default() }, Scripted::once(Script::Endless));
    let mut request = Request::builder().method(method).uri(path).header("origin", origin);
    if method == "OPTIONS" {
        request = request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type");
    }
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let answer = router(service).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    (answer.status(), answer.headers().clone())
}

#[tokio::test]
async fn a_listed_origin_may_ask_and_read_refusals_too_but_never_with_cookies() {
    let (status, headers) = ask(&[APP], "OPTIONS", "/v1/chat/completions", APP, None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["access-control-allow-origin"], APP);
    assert_eq!(headers["access-control-allow-headers"], "authorization,content-type");
    assert!(headers["access-control-allow-methods"].to_str().unwrap().contains("POST"));
    for (key, status) in [(None, StatusCode::UNAUTHORIZED), (Some(KEY), StatusCode::OK)] {
        let (answered, headers) = ask(&[APP], "GET", "/v1/models", APP, key).await;
        assert_eq!((answered, &headers["access-control-allow-origin"]), (status, &HeaderValue::from_static(APP)));
        assert!(headers.contains_key("x-request-id"));
        assert!(!headers.contains_key("access-control-allow-credentials"));
    }
}

#[tokio::test]
async fn other_origins_and_administration_are_told_nothing() {
    for (allowed, path, origin) in [
        (&[APP][..], "/v1/models", "https://app.example.org.evil.example"),
        (&[APP], "/v1/models", "null"),
        (&[APP], "/admin/v1/me", APP),
        (&[], "/v1/models", APP),
    ] {
        for method in ["OPTIONS", "GET"] {
            let (_, headers) = ask(allowed, method, path, origin, Some(KEY)).await;
            assert!(!headers.contains_key("access-control-allow-origin"), "{method} {path} from {origin}");
        }
    }
    let (status, _) = ask(&[], "OPTIONS", "/v1/models", APP, None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "without origins a preflight is a request like any other");
}
