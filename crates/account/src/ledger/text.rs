//! The canonical bytes of a line, as docs/ledger.md fixes them.

use std::{fmt::Write, str::FromStr};

use thiserror::Error;

use super::{Charge, CreditSource, Entry, Line, LineHash, Terms};
use crate::{Cause, Class, Counts, KeyId, Nano, OrgId, PriceId, ProjectId, Rates, RequestId, Service, Timestamp, hex};

/// What a line begins with; another version of the format begins with something else.
const VERSION: &str = "v1";

/// A text that is not the canonical form of any line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the line is not in its canonical form: {what}")]
pub struct InvalidLine {
    /// What is wrong.
    pub what: &'static str,
}

impl Line {
    /// The canonical form, without a line break.
    pub fn text(&self) -> String {
        let mut text = format!("{VERSION} {} {} {} {} ", self.org, self.number, self.at.as_millis(), self.previous);
        match &self.entry {
            Entry::Charge(charge) => {
                let Charge { request, project, key, model, cause, service, terms } = charge;
                let _ = write!(text, "charge request={request} project={project} key={key} model=");
                escape(&mut text, model);
                let _ = write!(text, " cause={} service={}", cause.code(), service.as_str());
                push_terms(&mut text, terms);
            }
            Entry::Credit { source, external } => {
                let _ = write!(text, "credit source={} external=", source.as_str());
                hex::push(&mut text, external);
            }
            Entry::Correction { corrects, terms } => {
                let _ = write!(text, "correction corrects={corrects}");
                if let Some(terms) = terms {
                    push_terms(&mut text, terms);
                }
            }
        }
        let _ = write!(text, " amount={} balance={}", self.amount.get(), self.balance.get());
        text
    }

    /// Reads the canonical form, and nothing but that.
    pub fn parse(text: &str) -> Result<Self, InvalidLine> {
        let line = read(text).map_err(|what| InvalidLine { what })?;
        // Whatever else would read as the same line has another hash.
        if line.text() == text { Ok(line) } else { Err(InvalidLine { what: "it could be written in another way" }) }
    }
}

fn push_terms(text: &mut String, terms: &Terms) {
    let _ = write!(text, " price={} share={}", terms.price, terms.share);
    for (class, count) in terms.counts.iter().filter(|(_, count)| *count > 0) {
        let _ = write!(text, " {}={count}x{}", class.as_str(), terms.rates.of(class).get());
    }
}

/// Percent-encodes all but unreserved characters, colon and slash (RFC 3986, section 2.1), digits in upper case.
fn escape(text: &mut String, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'/' => text.push(byte.into()),
            _ => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
}

fn unescape(value: &str) -> Option<Box<str>> {
    let (mut bytes, mut rest) = (Vec::new(), value);
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend(before.bytes());
        let [byte] = hex::parse(after.get(..2)?)?;
        bytes.push(byte);
        rest = &after[2..];
    }
    bytes.extend(rest.bytes());
    String::from_utf8(bytes).ok().map(Into::into)
}

/// The words of a line, one after the other.
struct Words<'a>(std::iter::Peekable<std::str::Split<'a, char>>);

impl<'a> Words<'a> {
    fn word(&mut self) -> Result<&'a str, &'static str> {
        self.0.next().ok_or("it breaks off")
    }

    /// The value of the next word, which must be `name=value`.
    fn value(&mut self, name: &'static str) -> Result<&'a str, &'static str> {
        let word = self.word()?;
        word.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')).ok_or(name)
    }

    /// The same, where there may be another word instead.
    fn value_if(&mut self, name: &'static str) -> Option<&'a str> {
        let value = self.0.peek()?.strip_prefix(name)?.strip_prefix('=')?;
        self.0.next();
        Some(value)
    }

    fn number<T: FromStr>(&mut self, name: &'static str) -> Result<T, &'static str> {
        self.value(name)?.parse().map_err(|_| name)
    }
}

fn read(text: &str) -> Result<Line, &'static str> {
    let mut words = Words(text.split(' ').peekable());
    if words.word()? != VERSION {
        return Err("its version is not known");
    }
    let org = OrgId::parse(words.word()?).map_err(|_| "organisation")?;
    let number = words.word()?.parse().map_err(|_| "number")?;
    let millis = words.word()?.parse().map_err(|_| "time")?;
    let previous = LineHash::parse(words.word()?).ok_or("hash of the line before")?;
    let entry = match words.word()? {
        "charge" => Entry::Charge(read_charge(&mut words)?),
        "credit" => {
            let source = words.value("source")?;
            let source = CreditSource::ALL.into_iter().find(|known| known.as_str() == source).ok_or("source")?;
            Entry::Credit { source, external: hex::parse(words.value("external")?).ok_or("external")? }
        }
        "correction" => {
            let corrects = words.number("corrects")?;
            let terms = match words.value_if("price") {
                Some(price) => Some(read_terms(price, &mut words)?),
                None => None,
            };
            Entry::Correction { corrects, terms }
        }
        _ => return Err("kind"),
    };
    let amount = Nano::new(words.number("amount")?);
    let balance = Nano::new(words.number("balance")?);
    if words.0.next().is_some() {
        return Err("there is more behind its end");
    }
    Ok(Line { org, number, at: Timestamp::from_millis(millis), previous, entry, amount, balance })
}

fn read_charge(words: &mut Words<'_>) -> Result<Charge, &'static str> {
    let request = RequestId::parse(words.value("request")?).map_err(|_| "request")?;
    let project = ProjectId::parse(words.value("project")?).map_err(|_| "project")?;
    let key = KeyId::parse(words.value("key")?).map_err(|_| "key")?;
    let model = unescape(words.value("model")?).ok_or("model")?;
    let cause = Cause::from_code(words.value("cause")?).ok_or("cause")?;
    let service = words.value("service")?;
    let service = Service::ALL.into_iter().find(|known| known.as_str() == service).ok_or("service")?;
    let price = words.value("price")?;
    Ok(Charge { request, project, key, model, cause, service, terms: read_terms(price, words)? })
}

fn read_terms(price: &str, words: &mut Words<'_>) -> Result<Terms, &'static str> {
    let price = PriceId::parse(price).map_err(|_| "price")?;
    let share = words.number("share")?;
    let (mut counts, mut rates) = (Counts::default(), Rates::default());
    for class in Class::ALL {
        let Some(value) = words.value_if(class.as_str()) else { continue };
        let (count, rate) = value.split_once('x').ok_or(class.as_str())?;
        let rate: i64 = rate.parse().ok().filter(|rate| *rate >= 0).ok_or(class.as_str())?;
        counts = counts.with(class, count.parse().map_err(|_| class.as_str())?);
        rates = rates.with(class, Nano::new(rate));
    }
    Ok(Terms { price, share, counts, rates })
}
