//! What a caller says of a request for its own books: whom it is for, and tags.

use std::collections::BTreeMap;

use thiserror::Error;

/// Whom a request is for and what its caller calls it, in the caller's own words. Labels stand in usage rows and their sums and
/// never in the ledger: they may have to be erased.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    end_user: Option<Box<str>>,
    tags: BTreeMap<Box<str>, Box<str>>,
}

/// Labels that are too many or too long.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidLabels {
    /// The end user.
    #[error("the name of an end user has at most {} bytes, but this one has {found}", Labels::MOST_VALUE_BYTES)]
    EndUser {
        /// Its bytes.
        found: usize,
    },
    /// The number of tags.
    #[error("a request has at most {} tags, but there are {found}", Labels::MOST_TAGS)]
    TooMany {
        /// How many there are.
        found: usize,
    },
    /// The name of a tag.
    #[error("the name of a tag has 1 to {} bytes, but one has {found}", Labels::MOST_NAME_BYTES)]
    Name {
        /// Its bytes.
        found: usize,
    },
    /// The value of a tag.
    #[error("the value of a tag has at most {} bytes, but that of `{name}` has {found}", Labels::MOST_VALUE_BYTES)]
    Value {
        /// The tag's name.
        name: Box<str>,
        /// Bytes of its value.
        found: usize,
    },
}

impl Labels {
    /// Most tags of a request.
    pub const MOST_TAGS: usize = 16;

    /// Longest name of a tag.
    pub const MOST_NAME_BYTES: usize = 64;

    /// Longest value of a tag, and longest name of an end user.
    pub const MOST_VALUE_BYTES: usize = 512;

    /// Labels within the bounds. An end user without a name is none.
    pub fn new(end_user: Option<&str>, tags: BTreeMap<Box<str>, Box<str>>) -> Result<Self, InvalidLabels> {
        let end_user = end_user.filter(|name| !name.is_empty());
        if let Some(found) = end_user.map(str::len).filter(|found| *found > Self::MOST_VALUE_BYTES) {
            return Err(InvalidLabels::EndUser { found });
        }
        if tags.len() > Self::MOST_TAGS {
            return Err(InvalidLabels::TooMany { found: tags.len() });
        }
        for (name, value) in &tags {
            if !(1..=Self::MOST_NAME_BYTES).contains(&name.len()) {
                return Err(InvalidLabels::Name { found: name.len() });
            }
            if value.len() > Self::MOST_VALUE_BYTES {
                return Err(InvalidLabels::Value { name: name.clone(), found: value.len() });
            }
        }
        Ok(Self { end_user: end_user.map(Into::into), tags })
    }

    /// Whom the request is for.
    pub fn end_user(&self) -> Option<&str> {
        self.end_user.as_deref()
    }

    /// Tags by their names.
    pub fn tags(&self) -> &BTreeMap<Box<str>, Box<str>> {
        &self.tags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(count: usize, name: usize, value: usize) -> BTreeMap<Box<str>, Box<str>> {
        let tag = |number| (format!("{number:0>name$}").into(), "v".repeat(value).into());
        (0..count).map(tag).collect()
    }

    #[test]
    fn bounds_belong_to_what_is_taken() {
        let labels = Labels::new(Some(&"u".repeat(512)), tags(16, 64, 512)).unwrap();
        assert_eq!((labels.end_user().unwrap().len(), labels.tags().len()), (512, 16));
        assert_eq!(Labels::new(Some(&"u".repeat(513)), tags(0, 1, 1)), Err(InvalidLabels::EndUser { found: 513 }));
        assert_eq!(Labels::new(None, tags(17, 2, 1)), Err(InvalidLabels::TooMany { found: 17 }));
        assert_eq!(Labels::new(None, tags(1, 65, 1)), Err(InvalidLabels::Name { found: 65 }));
        assert_eq!(Labels::new(None, [("".into(), "v".into())].into()), Err(InvalidLabels::Name { found: 0 }));
        assert_eq!(Labels::new(None, tags(1, 1, 513)), Err(InvalidLabels::Value { name: "0".into(), found: 513 }));
        assert_eq!(Labels::new(Some(""), BTreeMap::new()), Ok(Labels::default()));
    }
}
