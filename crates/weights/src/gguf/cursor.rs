//! A position in untrusted bytes: every read is checked, and nothing is allocated that the bytes left do not justify.

use crate::error::Problem;

/// Reads little-endian fields one after the other.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Bytes from the beginning of the file.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// The next `length` bytes.
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Problem> {
        let taken = self.position.checked_add(length).and_then(|end| self.bytes.get(self.position..end));
        let Some(taken) = taken else {
            let text = format!("needs {length} bytes, but only {} are left in the file", self.left());
            return Err(self.problem(text));
        };
        self.position += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Problem> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Problem> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Problem> {
        self.array().map(u64::from_le_bytes)
    }

    /// A count of things that take at least `least` bytes each: refused when the bytes left cannot hold so many.
    pub(super) fn count(&mut self, least: usize) -> Result<usize, Problem> {
        let start = self.position;
        let count = self.u64()?;
        let most = self.left() / least;
        usize::try_from(count).ok().filter(|&count| count <= most).ok_or_else(|| Problem {
            offset: start,
            text: format!("is {count}, but the {} bytes left in the file hold {most} at most", self.left()),
        })
    }

    /// A string: its length as u64, then UTF-8.
    pub(super) fn string(&mut self) -> Result<&'a str, Problem> {
        let start = self.position;
        let length =
            self.count(1).map_err(|problem| Problem { text: format!("length {}", problem.text), ..problem })?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes)
            .map_err(|error| Problem { offset: start, text: format!("is not UTF-8: {error} of its {length}") })
    }

    /// One byte that is 0 or 1.
    pub(super) fn bool(&mut self) -> Result<bool, Problem> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Problem { offset: self.position - 1, text: format!("is {other}, a bool is 0 or 1") }),
        }
    }

    /// `count` numbers of `N` bytes each.
    pub(super) fn numbers<T, const N: usize>(
        &mut self,
        count: usize,
        number: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>, Problem> {
        let length = count.checked_mul(N).ok_or_else(|| self.problem(format!("{count} numbers of {N} bytes")))?;
        Ok(self.take(length)?.as_chunks().0.iter().map(|bytes| number(*bytes)).collect())
    }

    /// A problem with the field that begins here.
    pub(super) fn problem(&self, text: impl Into<String>) -> Problem {
        Problem { offset: self.position, text: text.into() }
    }
}
