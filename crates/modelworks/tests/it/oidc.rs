//! Signing in with a real provider, npm's `oidc-provider`, by the real binary, as a browser does.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use reqwest::{Client, Method, Response, StatusCode, Url, redirect};
use serde_json::{Value, json};

use crate::{
    node,
    server::{KEY, Server, data_with_model, link, modelworks},
};

/// Where browsers find the server. Nobody asks for this name: the browser here knows where the server is.
const PUBLIC: &str = "https://models.example.org";

const CLIENT: &str = "modelworks: test";

/// Stands in no log.
pub const SECRET: &str = "marked-client-secret &=%-0123456789abcdef";

/// The same as it is sent (RFC 6749, section 2.3.1).
pub const ENCODED_SECRET: &str = "marked-client-secret+%26%3D%25-0123456789abcdef";

/// The provider. It ends with this.
pub struct Provider {
    child: Child,
    pub issuer: String,
    /// It says more there later, and would end if nobody could hear it.
    _stdout: BufReader<ChildStdout>,
}

impl Provider {
    pub async fn start() -> Self {
        tokio::task::spawn_blocking(|| {
            let (node, modules) = node::installed();
            let mut command = Command::new(node);
            command.arg(modules.join("oidc_provider.js")).stdin(Stdio::piped()).stdout(Stdio::piped());
            command.env("CLIENT_ID", CLIENT).env("CLIENT_SECRET", SECRET);
            command.env("REDIRECT_URI", format!("{PUBLIC}/admin/v1/oidc/test/callback"));
            let mut child = command.stderr(Stdio::null()).spawn().expect("node starts");
            let mut line = String::new();
            let mut out = BufReader::new(child.stdout.take().expect("stdout is piped"));
            out.read_line(&mut line).expect("a line");
            assert!(line.starts_with("http://127.0.0.1:"), "the provider says `{line}`");
            Self { child, issuer: line.trim().to_owned(), _stdout: out }
        })
        .await
        .expect("the provider starts")
    }

    /// Writes a configuration with this provider, whose people join `org`.
    pub fn configure(&self, folder: &Path, org: &str) -> String {
        let (file, secret) = (folder.join("modelworks.toml"), folder.join("client-secret"));
        fs::write(&secret, format!("{SECRET}\n")).expect("a file");
        let text = format!(
            "public_url = '{PUBLIC}'\n[oidc.test]\nissuer = '{}'\nclient_id = '{CLIENT}'\nclient_secret_file = {secret:?}\n\
             domains.'listed.example' = {{ organisation = '{org}', role = 'member' }}\n",
            self.issuer
        );
        fs::write(&file, text).expect("a file");
        file.to_str().expect("UTF-8").to_owned()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A browser: it follows redirects, keeps cookies, and knows the server by its public name.
pub struct Browser {
    http: Client,
    server: String,
    /// By origin and name.
    cookies: BTreeMap<(String, String), String>,
}

impl Browser {
    pub fn new(server: &Server) -> Self {
        let http = Client::builder().redirect(redirect::Policy::none()).build().expect("a client");
        Self { http, server: server.base.clone(), cookies: BTreeMap::new() }
    }

    /// Asks for one page.
    pub async fn ask(&mut self, method: Method, url: &Url, headers: &[(&str, &str)], form: Option<String>) -> Response {
        let origin = url.origin().ascii_serialization();
        let asked = url.as_str().replacen(PUBLIC, &self.server, 1);
        let cookies = self.cookies.iter().filter(|((of, _), value)| *of == origin && !value.is_empty());
        let cookies: Vec<String> = cookies.map(|((_, name), value)| format!("{name}={value}")).collect();
        let mut request = self.http.request(method, asked).header("cookie", cookies.join("; "));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(form) = form {
            request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        }
        let answer = request.send().await.expect("an answer");
        for cookie in answer.headers().get_all("set-cookie") {
            let pair = cookie.to_str().expect("ASCII").split(';').next().expect("a pair");
            let (name, value) = pair.split_once('=').expect("a name and a value");
            self.cookies.insert((origin.clone(), name.to_owned()), value.to_owned());
        }
        answer
    }

    /// Begins at this path here, says at the provider to be `login`, agrees to everything, and comes back: what the server
    /// answers then, and every address on the way.
    pub async fn sign_in(&mut self, path: &str, login: &str) -> (Response, Vec<Url>) {
        let mut url: Url = format!("{PUBLIC}{path}").parse().expect("an address");
        let mut way = Vec::new();
        let mut form = None;
        while way.len() < 20 {
            let method = if form.is_some() { Method::POST } else { Method::GET };
            let headers = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
            let answer = self.ask(method, &url, &headers, form.take()).await;
            way.push(url.clone());
            let is_callback = url.path().ends_with("/callback");
            if is_callback {
                return (answer, way);
            }
            match answer.status() {
                StatusCode::SEE_OTHER | StatusCode::FOUND => {
                    let next = answer.headers()["location"].to_str().expect("ASCII");
                    url = url.join(next).expect("an address");
                }
                _ => {
                    let page = answer.text().await.expect("a page");
                    let action = between(&page, "action=\"", "\"").unwrap_or_else(|| panic!("no form: {page}"));
                    url = url.join(action).expect("an address");
                    let is_login = page.contains("value=\"login\"");
                    let said = format!("prompt=login&login={login}&password=any");
                    form = Some(if is_login { said } else { "prompt=consent".to_owned() });
                }
            }
        }
        panic!("it goes on and on: {way:?}");
    }

    /// The session, if there is one.
    pub fn session(&self) -> Option<&str> {
        let name = (PUBLIC.to_owned(), "__Host-modelworks-session".to_owned());
        self.cookies.get(&name).map(String::as_str).filter(|value| !value.is_empty())
    }

    async fn get(&mut self, path: &str) -> (StatusCode, Value) {
        let url = format!("{PUBLIC}{path}").parse().expect("an address");
        let answer = self.ask(Method::GET, &url, &[], None).await;
        let status = answer.status();
        (status, serde_json::from_slice(&answer.bytes().await.expect("a body")).unwrap_or_default())
    }
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    text.split_once(before)?.1.split_once(after).map(|(found, _)| found)
}

fn run(data: &Path, arguments: &[&str]) -> String {
    let output = modelworks().args(arguments).arg("--data-dir").arg(data).output().expect("the binary starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_a_real_provider_sign_in_join_and_are_unlinked() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let data = folder.path();
    link(data_with_model(), data);
    let provider = Provider::start().await;
    // The organisation is there before the configuration names it.
    let server = Server::start_in(data, &[]).await;
    let org: Value = serde_json::from_str(&run(data, &["org", "create", "Acme", "--json"])).expect("JSON");
    drop(server);
    let config = provider.configure(data, org["id"].as_str().expect("an id"));
    let server = Server::start_in(data, &["--config", &config]).await;

    let mut ann = Browser::new(&server);
    let (_, listed) = ann.get("/admin/v1/oidc").await;
    assert_eq!(listed["data"][0]["display_name"], "test");
    let start = listed["data"][0]["start"].as_str().expect("a path").to_owned();
    let (answer, way) = ann.sign_in(&format!("{start}?return_to=/console"), "ann").await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{}", answer.text().await.expect("a page"));
    assert_eq!(answer.headers()["location"], format!("{PUBLIC}/console"));
    assert!(way.iter().any(|url| url.as_str().starts_with(&provider.issuer)), "{way:?}");
    let (status, info) = ann.get("/admin/v1/session").await;
    assert_eq!((status, &info["email"]), (StatusCode::OK, &json!("ann@listed.example")));
    let membership = json!([{"organisation_id": org["id"], "name": "Acme", "role": "member"}]);
    assert_eq!(info["organisations"], membership);

    // The same answer again, from this browser and from another one.
    let callback = way.last().expect("the last").clone();
    for browser in [&mut ann, &mut Browser::new(&server)] {
        let again = browser.ask(Method::GET, &callback, &[], None).await;
        assert_eq!(again.status(), StatusCode::BAD_REQUEST);
        assert!(again.text().await.expect("a page").contains("sign_in_lost"));
    }

    // Ben was here before, with a password, and Cem comes with an invitation; the address of neither listed domain helps him.
    let made = ["user", "create", "ben@listed.example", "--operator", "--password"];
    let mut command = modelworks();
    command.args(made).arg("--data-dir").arg(data).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().expect("the binary starts");
    use std::io::Write as _;
    child.stdin.take().expect("stdin is piped").write_all(b"correct horse battery\n").expect("it reads");
    assert!(child.wait().expect("it ends").success());
    let mut ben = Browser::new(&server);
    let (answer, _) = ben.sign_in(&start, "ben").await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(ben.get("/admin/v1/session").await.1["operator"], true);
    let password = json!({"email": "ben@listed.example", "password": "correct horse battery"}).to_string();
    let by_password = Client::new().post(format!("{}/admin/v1/session", server.base)).body(password).send().await;
    assert_eq!(by_password.expect("an answer").status(), StatusCode::UNAUTHORIZED);

    let mut cem = Browser::new(&server);
    let (answer, _) = cem.sign_in(&start, "unproved-cem").await;
    assert!(answer.text().await.expect("a page").contains("email_not_verified"));
    assert_eq!(cem.session(), None);
    let invite = ["user", "invite", "unproved-cem@listed.example", "--role", "viewer", "--org", "Acme", "--quiet"];
    let token = run(data, &invite);
    let mut cem = Browser::new(&server);
    let (answer, _) = cem.sign_in(&format!("{start}?invite={}", token.trim()), "unproved-cem").await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(cem.get("/admin/v1/session").await.1["organisations"][0]["role"], "viewer");

    let listed = run(data, &["user", "identities", "ann@listed.example", "--json"]);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!((&listed[0]["issuer"], &listed[0]["subject"]), (&json!(provider.issuer), &json!("ann")));
    run(data, &["user", "unlink", "ann@listed.example", listed[0]["id"].as_str().expect("an id")]);
    assert_eq!(ann.get("/admin/v1/session").await.0, StatusCode::UNAUTHORIZED);
    assert!(!run(data, &["user", "identities", "ann@listed.example"]).contains(&provider.issuer));
    let audit = run(data, &["audit", "--installation", "--json"]);
    for action in ["identity.use", "identity.link", "identity.unlink", "password.drop"] {
        assert!(audit.contains(action), "{action}");
    }
    assert!(!audit.contains(SECRET) && !audit.contains(KEY));
}
