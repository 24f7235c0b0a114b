//! The cookies in which a browser keeps its session, and before that a sign-in that has begun.

use account::{Session, Token};
use axum::http::{HeaderMap, HeaderValue, header, response::Builder};
use wire::admin::{pending_cookie, session_cookie};

use crate::pending;

/// Adds the cookie of a new session to an answer. Scripts do not see it, and other sites' forms do not send it.
pub(crate) fn keep(answer: Builder, token: &Token, secure: bool) -> Builder {
    set(answer, session_cookie(secure), token.expose(), Session::LONGEST.as_secs(), secure)
}

/// Takes the cookie away.
pub(crate) fn forget(answer: Builder, secure: bool) -> Builder {
    set(answer, session_cookie(secure), "", 0, secure)
}

/// Adds the cookie of a sign-in that has begun. The browser sends it when the provider sends the browser back.
pub(crate) fn keep_pending(answer: Builder, text: &str, secure: bool) -> Builder {
    set(answer, pending_cookie(secure), text, pending::LASTS.as_secs(), secure)
}

/// Takes that one away.
pub(crate) fn forget_pending(headers: &mut HeaderMap, secure: bool) {
    add(headers, pending_cookie(secure), "", 0, secure);
}

/// What the browser keeps of a sign-in that has begun.
pub(crate) fn pending(headers: &HeaderMap, secure: bool) -> Option<&str> {
    let values = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == pending_cookie(secure)).map(|(_, value)| value)
}

fn set(mut answer: Builder, name: &str, value: &str, seconds: u64, secure: bool) -> Builder {
    if let Some(headers) = answer.headers_mut() {
        add(headers, name, value, seconds, secure);
    }
    answer
}

fn add(headers: &mut HeaderMap, name: &str, value: &str, seconds: u64, secure: bool) {
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    // Both cookies hold visible ASCII alone.
    if let Ok(mut cookie) = HeaderValue::from_str(&cookie) {
        cookie.set_sensitive(true);
        headers.append(header::SET_COOKIE, cookie);
        // Nothing on the way keeps an answer that belongs to one person.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

#[cfg(test)]
mod tests {
    use account::Purpose;
    use axum::http::Response;

    use super::*;

    #[test]
    fn over_tls_the_cookie_is_bound_to_this_host_and_sent_over_nothing_else() {
        let token = Token::generate(Purpose::Session).unwrap();
        let text = |answer: Builder| {
            let answer = answer.body(()).unwrap();
            answer.headers()[header::SET_COOKIE].to_str().unwrap().to_owned()
        };
        let kept = text(keep(Response::builder(), &token, true));
        let expect = format!(
            "__Host-modelworks-session={}; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax; Secure",
            token.expose()
        );
        assert_eq!(kept, expect);
        let kept = text(keep(Response::builder(), &token, false));
        assert!(kept.starts_with("modelworks-session=mws-") && kept.ends_with("; HttpOnly; SameSite=Lax"), "{kept}");
        let gone = text(forget(Response::builder(), false));
        assert_eq!(gone, "modelworks-session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    }
}
