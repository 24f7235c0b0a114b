//! One file over HTTP: continued when it is cut, checked when it is whole.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::{Method, StatusCode, Url};
use tokio::sync::mpsc;

use crate::{
    Digest, Error,
    folder::Folder,
    http::{Answer, From, Http, HttpError, Kind},
    lock::{self, Mode},
    part::{self, Finished, Part, Stored},
    progress::{Reporter, Stage},
    source::{Failure, blocking},
};

/// Chunks on their way from the network to the disk.
const CHUNKS_AHEAD: usize = 16;
/// Attempts that bring less do not count as progress: a server must not keep a pull alive byte by byte.
const PROGRESS_BYTES: u64 = 64 << 10;

/// What is to be downloaded.
pub(crate) struct Download {
    pub(crate) url: Url,
    /// What the file has to be, as far as that is known beforehand.
    pub(crate) digest: Option<Digest>,
    pub(crate) bytes: Option<u64>,
    /// What the file has to begin with.
    pub(crate) magic: &'static [u8],
    /// Bytes of the model's other files that are here, for the progress.
    pub(crate) before: u64,
    /// Whether the model has other files: then the total is not this file's.
    pub(crate) total_known: bool,
}

/// Downloads a file, or finds it among the blobs.
pub(crate) async fn download(
    http: &Http,
    folder: &Arc<Folder>,
    want: Download,
    reporter: &Reporter,
) -> Result<Stored, Failure> {
    let key = part::key(want.digest, want.url.as_str());
    let lock = lock::lock(&folder.partial_lock(&key), Mode::Exclusive, || reporter.stage(Stage::Waiting)).await?;
    if let Some(stored) = want.digest.and_then(|digest| part::stored(folder, digest)) {
        reporter.done(want.before + stored.bytes);
        return Ok(stored);
    }
    let opened = {
        let (folder, digest) = (folder.clone(), want.digest);
        blocking(move || Part::open(folder, lock, &key, digest)).await??
    };
    let mut part = opened;
    if want.bytes.is_some_and(|bytes| part.length() > bytes) {
        part.restart()?;
    }
    let mut fruitless = 0;
    // The most that was ever here: starting anew, again and again, is no progress.
    let mut best = part.length();
    let mut answered = false;
    loop {
        let (returned, outcome) = attempt(http, folder, &want, part, reporter, &mut answered).await?;
        part = returned;
        let error = match outcome {
            Ok(()) => match check(&want, part, reporter).await? {
                Ok(stored) => return Ok(stored),
                // What was there before did not belong to it; the second time everything is fresh.
                Err(fresh) => {
                    part = fresh;
                    continue;
                }
            },
            Err(error) => error,
        };
        // "Too busy" is an answer; silence is not, and another source may be better.
        answered |= error.status.is_some();
        if part.length() >= best + PROGRESS_BYTES {
            best = part.length();
            fruitless = 0;
        }
        if error.kind == Kind::Permanent || !answered || fruitless >= http.limits.retries {
            return Err(Failure::Source(error.reason));
        }
        tracing::info!(url = %shown(&want.url), bytes = part.length(), reason = %error.reason, "continuing a download");
        tokio::time::sleep(http.limits.backoff * 2_u32.saturating_pow(fruitless)).await;
        fruitless += 1;
    }
}

/// A URL without its query, which may hold a signature.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// Checks a whole file. The inner error is an emptied part, to be tried once more.
async fn check(want: &Download, mut part: Part, reporter: &Reporter) -> Result<Result<Stored, Part>, Failure> {
    reporter.stage(Stage::Checking);
    let (magic, digest) = (want.magic, want.digest);
    let result = blocking(move || {
        if part.was_resumed() && digest.is_some_and(|digest| digest != part.digest()) {
            part.restart()?;
            return Ok(Err(part));
        }
        let first = part.first_bytes(magic.len())?;
        if first != magic {
            part.discard()?;
            return Err(Failure::Source(wrong_magic(magic, &first)));
        }
        match part.finish()? {
            Finished::Stored(stored) => Ok(Ok(stored)),
            Finished::Mismatch { found } => Err(Failure::mismatch(digest, found)),
        }
    });
    result.await?
}

pub(crate) fn wrong_magic(magic: &[u8], first: &[u8]) -> String {
    format!("the file begins with `{}` instead of `{}`: it is not a model", first.escape_ascii(), magic.escape_ascii())
}

/// One request and its body. Gives the part back with whatever arrived.
async fn attempt(
    http: &Http,
    folder: &Arc<Folder>,
    want: &Download,
    mut part: Part,
    reporter: &Reporter,
    answered: &mut bool,
) -> Result<(Part, Result<(), HttpError>), Failure> {
    // A whole file that a killed pull left needs no request.
    if want.digest.is_some() && want.bytes == Some(part.length()) {
        return Ok((part, Ok(())));
    }
    if part.length() > 0 && !part.can_resume() {
        part.restart()?;
    }
    let etag = part.note().etag.clone();
    let from = (part.length() > 0).then(|| From { start: part.length(), if_range: etag.as_deref() });
    let answer = match http.send(Method::GET, &want.url, from).await {
        Ok(answer) => answer,
        Err(error) => return Ok((part, Err(error))),
    };
    *answered = true;
    let total = match fit(http, want, &mut part, &answer)? {
        Ok(total) => total,
        Err(error) => return Ok((part, Err(error))),
    };
    if let Some(total) = total {
        folder.need(total - part.length())?;
        if !want.total_known {
            reporter.total(Some(want.before + total));
        }
    }
    part.begin(answer.linked.etag.clone(), answer.strong_etag())?;
    receive(http, want, part, answer, total.unwrap_or(http.limits.file_bytes), total.is_some(), reporter).await
}

/// Brings the part and the answer together: what of the part stays, and how long the whole will be.
fn fit(
    http: &Http,
    want: &Download,
    part: &mut Part,
    answer: &Answer,
) -> Result<Result<Option<u64>, HttpError>, Failure> {
    let response = &answer.response;
    // A server may honour the range and not its condition. With a digest, that decides in the end.
    let differs = |noted: &Option<String>, found: Option<String>| noted.is_some() && found.is_some() && *noted != found;
    let changed = want.digest.is_none()
        && (differs(&part.note().identity, answer.linked.etag.clone())
            || differs(&part.note().etag, answer.strong_etag()));
    let total = match response.status() {
        StatusCode::PARTIAL_CONTENT => match answer.range() {
            Some((start, total)) if start == part.length() && !changed => {
                total.or_else(|| response.content_length().map(|rest| start.saturating_add(rest)))
            }
            _ => {
                part.restart()?;
                return Ok(Err(HttpError::transient("the file changed, or another range came than was asked for")));
            }
        },
        StatusCode::RANGE_NOT_SATISFIABLE => {
            part.restart()?;
            return Ok(Err(HttpError::transient("the server has less of the file than is here")));
        }
        _ => {
            if part.length() > 0 {
                part.restart()?;
            }
            response.content_length()
        }
    };
    let linked = answer.linked.bytes;
    let expected = want.bytes.or(linked);
    if let (Some(total), Some(expected)) = (total, expected)
        && total != expected
    {
        return Ok(Err(HttpError::permanent(format!("the file has {total} bytes instead of {expected}"))));
    }
    let total = total.or(expected);
    let most = http.limits.file_bytes;
    if total.is_some_and(|total| total > most) {
        return Ok(Err(HttpError::permanent(format!("the file has more than {most} bytes"))));
    }
    Ok(match total {
        Some(total) if total < part.length() => {
            part.restart()?;
            Err(HttpError::transient("the server has less of the file than is here"))
        }
        total => Ok(total),
    })
}

/// Reads the body to its end, and writes it on a thread that may block.
async fn receive(
    http: &Http,
    want: &Download,
    part: Part,
    mut answer: Answer,
    most: u64,
    exact: bool,
    reporter: &Reporter,
) -> Result<(Part, Result<(), HttpError>), Failure> {
    let mut length = part.length();
    let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
    let writer = blocking(move || write(part, chunks));
    let writer = tokio::spawn(writer);
    let received = loop {
        let chunk = match http.chunk(&mut answer.response).await {
            Ok(Some(chunk)) => chunk,
            Ok(None) if exact && length < most => {
                break Err(HttpError::transient(format!("the connection ended after {length} of {most} bytes")));
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        length += chunk.len() as u64;
        if length > most {
            break Err(HttpError::permanent(format!("the file has more than {most} bytes")));
        }
        if sender.send(chunk).await.is_err() {
            // The writer says why.
            break Ok(());
        }
        reporter.done(want.before + length);
    };
    drop(sender);
    let part = writer.await.map_err(|_| Failure::Source("writing it failed inside the program".to_owned()))???;
    Ok((part, received))
}

fn write(mut part: Part, mut chunks: mpsc::Receiver<Bytes>) -> Result<Part, Error> {
    while let Some(chunk) = chunks.blocking_recv() {
        part.write(&chunk)?;
    }
    Ok(part)
}
