//! The cookie in which a browser keeps its session.

use account::{Session, Token};
use axum::http::{HeaderValue, header, response::Builder};
use wire::admin::session_cookie;

/// Adds the cookie of a new session to an answer. Scripts do not see it, and other sites' forms do not send it.
pub(crate) fn keep(answer: Builder, token: &Token, secure: bool) -> Builder {
    set(answer, token.expose(), Session::LONGEST.as_secs(), secure)
}

/// Takes the cookie away.
pub(crate) fn forget(answer: Builder, secure: bool) -> Builder {
    set(answer, "", 0, secure)
}

fn set(answer: Builder, value: &str, seconds: u64, secure: bool) -> Builder {
    let name = session_cookie(secure);
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    match HeaderValue::from_str(&cookie) {
        Ok(mut cookie) => {
            cookie.set_sensitive(true);
            // Nothing on the way keeps an answer that belongs to one person.
            answer.header(header::SET_COOKIE, cookie).header(header::CACHE_CONTROL, "no-store")
        }
        // A token is visible ASCII.
        Err(_) => answer,
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
