//! A person's session: the cookie, and what shows that a request comes from a page of ours.
//!
//! A browser sends the cookie with requests that other sites cause, so whatever changes something needs more: the session's second
//! secret in a header, which no other site knows, and the browser's own word that the page is of this origin.

use account::{Identity, KeyedHash, Purpose, Token};
use axum::http::{HeaderMap, HeaderName, Method, header};
use wire::admin::{CSRF_HEADER, session_cookie};

use crate::{Service, error::ApiError};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const X_CSRF_TOKEN: HeaderName = HeaderName::from_static(CSRF_HEADER);

/// Where the page is from that caused a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Site {
    /// From here.
    Ours,
    /// From elsewhere.
    Other,
    /// Nobody says: no browser of these days.
    Unsaid,
}

impl Site {
    /// What the browser says: `Sec-Fetch-Site` (W3C Fetch Metadata), which no page can set, or `Origin` (RFC 6454), which
    /// is compared with the service's own origin, or where that is not set, with the host that was asked.
    pub(crate) fn of(headers: &HeaderMap, own: Option<&str>) -> Self {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let same = match (text(SEC_FETCH_SITE), text(header::ORIGIN), text(header::HOST)) {
            (Some(site), _, _) => site == "same-origin",
            (None, None, _) => return Self::Unsaid,
            (None, Some(origin), host) => match own {
                Some(own) => origin.eq_ignore_ascii_case(own),
                None => {
                    let asked = origin.split_once("://").map(|(_, host)| host);
                    asked.zip(host).is_some_and(|(asked, host)| asked.eq_ignore_ascii_case(host))
                }
            },
        };
        if same { Self::Ours } else { Self::Other }
    }
}

/// Whoever has the session that the request's cookie names; none without such a cookie. Nothing is said of what they want.
pub(crate) fn signed_in(headers: &HeaderMap, service: &Service) -> Option<Result<Identity, ApiError>> {
    let value = cookie(headers, session_cookie(service.config().secure))?;
    let session = Token::parse(Purpose::Session, value).ok().and_then(|token| service.tenancy().session(&token));
    Some(session.map(|(person, session)| Identity::Person(person, session)).ok_or(ApiError::SessionEnded))
}

/// Refuses what changes something unless a page of ours wants it.
pub(crate) fn check_intent(
    method: &Method,
    headers: &HeaderMap,
    session: &KeyedHash,
    service: &Service,
) -> Result<(), ApiError> {
    if method.is_safe() {
        return Ok(());
    }
    if Site::of(headers, service.config().origin.as_deref()) != Site::Ours {
        return Err(ApiError::CrossSite);
    }
    let sent = headers.get(X_CSRF_TOKEN).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if service.tenancy().csrf_token(session).matches(sent) { Ok(()) } else { Err(ApiError::WrongCsrfToken) }
}

/// The value of a cookie (RFC 6265, section 4.2).
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let values = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let mut headers = HeaderMap::new();
        for (name, value) in pairs.iter().map(pair) {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn the_browsers_word_decides_and_then_the_origin() {
        let own = Some("https://models.example.org");
        let ours = [("sec-fetch-site", "same-origin"), ("origin", "https://evil.example"), ("host", "x")];
        assert_eq!(Site::of(&headers(&ours), own), Site::Ours);
        for site in ["cross-site", "same-site", "none", ""] {
            let says = [("sec-fetch-site", site), ("origin", "https://models.example.org")];
            assert_eq!(Site::of(&headers(&says), own), Site::Other, "{site}");
        }
        for (origin, own, expect) in [
            ("https://models.example.org", own, Site::Ours),
            ("http://models.example.org", own, Site::Other),
            ("https://models.example.org.evil.example", own, Site::Other),
            ("http://localhost:8080", None, Site::Ours),
            ("http://localhost:8081", None, Site::Other),
            ("null", None, Site::Other),
            ("", None, Site::Other),
        ] {
            let headers = headers(&[("origin", origin), ("host", "localhost:8080")]);
            assert_eq!(Site::of(&headers, own), expect, "{origin}");
        }
        assert_eq!(Site::of(&headers(&[("origin", "http://localhost")]), None), Site::Other, "no host was named");
        assert_eq!(Site::of(&headers(&[("host", "localhost")]), None), Site::Unsaid);
    }

    #[test]
    fn a_cookie_is_found_among_others_by_its_whole_name() {
        let headers = headers(&[("cookie", "a=b; session=one; c"), ("cookie", "xsession=two;last=three")]);
        for (name, expect) in
            [("session", Some("one")), ("xsession", Some("two")), ("last", Some("three")), ("c", None), ("sess", None)]
        {
            assert_eq!(cookie(&headers, name), expect, "{name}");
        }
    }
}
