//! safetensors: a JSON header that describes tensors, and their bytes behind it.
//!
//! Format: the README of the `safetensors` project. As its own reader does, this one refuses holes, overlaps and bytes
//! that belong to no tensor. `F32`, `F16` and `BF16` can be read. Integers and truth values (position tables and the
//! like, which models of this kind do not need) are checked and left out; any other type is an error. Tensors of bytes,
//! in which some models pack their weights, are left out too, but can be had as they are ([`Safetensors::raw`]).

use std::{
    collections::{HashMap, HashSet},
    fmt,
    ops::Range,
    path::Path,
};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;

use crate::{
    ByteTensor, Error, Tensor, TensorType,
    error::{Defect, defect, shown},
    mapping::Bytes,
};

/// Bytes of the header's length, in front of the header.
const LENGTH_BYTES: usize = 8;
/// The format's own limit for the header.
const MOST_HEADER_BYTES: u64 = 100_000_000;
/// Dimensions of a tensor: generous, the format has no limit.
const MOST_DIMENSIONS: usize = 8;

/// One safetensors file.
#[derive(Debug)]
pub struct Safetensors {
    bytes: Bytes,
    tensors: Vec<TensorInfo>,
    index: HashMap<String, usize>,
    raw: HashMap<String, RawInfo>,
    left_out: Vec<String>,
}

#[derive(Debug)]
struct TensorInfo {
    name: String,
    kind: TensorType,
    shape: Vec<usize>,
    /// Bytes from the beginning of the file.
    start: usize,
    length: usize,
}

#[derive(Debug)]
struct RawInfo {
    shape: Vec<usize>,
    /// Bytes from the beginning of the file.
    place: Range<usize>,
}

impl Safetensors {
    /// Opens a file and checks all of its header.
    ///
    /// # Errors
    /// The file cannot be read or breaks the format.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::check(Bytes::open(path)?)
    }

    /// The same for bytes that are in memory already.
    ///
    /// # Errors
    /// The bytes break the format.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Error> {
        Self::check(Bytes::Memory(bytes))
    }

    fn check(bytes: Bytes) -> Result<Self, Error> {
        match parse(bytes.as_slice()) {
            Ok(Parsed { tensors, raw, left_out }) => {
                let index = tensors.iter().enumerate().map(|(position, info)| (info.name.clone(), position)).collect();
                Ok(Self { bytes, tensors, index, raw, left_out })
            }
            Err(defect) => Err(Error::Format { path: bytes.path().to_owned(), defect }),
        }
    }

    /// The tensor of a name.
    pub fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        self.index.get(name).map(|&position| self.view(&self.tensors[position]))
    }

    /// The tensor of bytes (`U8`) of a name.
    pub fn raw(&self, name: &str) -> Option<ByteTensor<'_>> {
        let RawInfo { shape, place } = self.raw.get(name)?;
        Some(ByteTensor { shape, bytes: &self.bytes.as_slice()[place.clone()] })
    }

    /// The names of all tensors of bytes, in no order.
    pub fn raw_names(&self) -> impl Iterator<Item = &str> {
        self.raw.keys().map(String::as_str)
    }

    /// All tensors in the order of their bytes.
    pub fn tensors(&self) -> impl Iterator<Item = Tensor<'_>> {
        self.tensors.iter().map(|info| self.view(info))
    }

    /// Names of the tensors of integers or truth values or without any element, which were left out.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// See [`Checkpoint::still_whole`](crate::Checkpoint::still_whole).
    ///
    /// # Errors
    /// [`Error::Changed`], or the system does not say.
    pub fn still_whole(&self) -> Result<(), Error> {
        self.bytes.still_whole()
    }

    fn view<'a>(&'a self, info: &'a TensorInfo) -> Tensor<'a> {
        let bytes = &self.bytes.as_slice()[info.start..info.start + info.length];
        Tensor { name: &info.name, kind: info.kind, shape: &info.shape, bytes }
    }
}

struct Parsed {
    tensors: Vec<TensorInfo>,
    raw: HashMap<String, RawInfo>,
    left_out: Vec<String>,
}

fn parse(bytes: &[u8]) -> Result<Parsed, Defect> {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        let problem = format!("needs {LENGTH_BYTES} bytes, but the file has only {}", bytes.len());
        return Err(defect("header length", 0, problem));
    };
    let length = u64::from_le_bytes(*length);
    if length > MOST_HEADER_BYTES {
        return Err(defect("header length", 0, format!("is {length}, the format allows {MOST_HEADER_BYTES}")));
    }
    let split = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
    let Some((header, data)) = split else {
        let problem = format!("is {length}, but only {} bytes are left in the file", rest.len());
        return Err(defect("header length", 0, problem));
    };
    let data_start = LENGTH_BYTES + header.len();

    let Header(entries) = serde_json::from_slice(header).map_err(|error| {
        // A header is one line as a rule, so that the column is the byte.
        let offset = if error.line() == 1 { LENGTH_BYTES + error.column().saturating_sub(1) } else { LENGTH_BYTES };
        defect("header", offset, format!("is not the JSON that the format asks for: {error}"))
    })?;

    let mut found = Vec::with_capacity(entries.len());
    for (name, entry) in entries {
        found.push(checked(name, entry, data.len(), header)?);
    }
    found.sort_unstable_by(|a, b| (a.start, a.end, &a.name).cmp(&(b.start, b.end, &b.name)));

    let mut end = 0;
    let mut parsed = Parsed { tensors: Vec::new(), raw: HashMap::new(), left_out: Vec::new() };
    let mut previous: Option<String> = None;
    for Found { name, kind, raw, shape, start, end: tensor_end } in found {
        if start != end {
            let problem = format!("begins at byte {start} of the data, but the tensors before it end at byte {end}");
            return Err(defect(format!("data_offsets of tensor {}", shown(&name)), data_start + start, problem));
        }
        end = tensor_end;
        previous = Some(name.clone());
        match kind {
            Some(kind) => {
                parsed.tensors.push(TensorInfo { name, kind, shape, start: data_start + start, length: end - start })
            }
            None => {
                if raw {
                    let place = data_start + start..data_start + end;
                    parsed.raw.insert(name.clone(), RawInfo { shape, place });
                }
                parsed.left_out.push(name);
            }
        }
    }
    if end != data.len() {
        let after = previous.map_or_else(|| "the header".to_owned(), |name| format!("tensor {}", shown(&name)));
        let problem = format!("has {} bytes behind {after} that belong to no tensor", data.len() - end);
        return Err(defect("data", data_start + end, problem));
    }
    Ok(parsed)
}

/// A tensor's entry, checked by itself.
struct Found {
    name: String,
    /// `None`: to be left out.
    kind: Option<TensorType>,
    /// Whether it is left out, but to be had as bytes.
    raw: bool,
    shape: Vec<usize>,
    /// Bytes from the beginning of the data.
    start: usize,
    end: usize,
}

fn checked(name: String, entry: Entry, data: usize, header: &[u8]) -> Result<Found, Defect> {
    let wrong = |field: &str, problem: String| {
        defect(format!("{field} of tensor {}", shown(&name)), entry_offset(header, &name), problem)
    };
    let (mut kind, size) = match entry.dtype.as_str() {
        "F32" => (Some(TensorType::F32), 4),
        "F16" => (Some(TensorType::F16), 2),
        "BF16" => (Some(TensorType::BF16), 2),
        "BOOL" | "U8" | "I8" => (None, 1),
        "U16" | "I16" => (None, 2),
        "U32" | "I32" => (None, 4),
        "U64" | "I64" => (None, 8),
        other => {
            let problem = format!("is {}, which is not supported; known are F32, F16, BF16", shown(other));
            return Err(wrong("dtype", problem));
        }
    };
    if entry.shape.len() > MOST_DIMENSIONS {
        return Err(wrong(
            "shape",
            format!("has {} dimensions, at most {MOST_DIMENSIONS} are read", entry.shape.len()),
        ));
    }
    let mut shape = Vec::with_capacity(entry.shape.len());
    let mut bytes: usize = size;
    for &dimension in &entry.shape {
        let product = usize::try_from(dimension).ok().and_then(|size| Some((size, bytes.checked_mul(size)?)));
        let Some((dimension, product)) = product else {
            return Err(wrong("shape", format!("{:?} is too large for this machine", entry.shape)));
        };
        shape.push(dimension);
        bytes = product;
    }
    if bytes == 0 {
        kind = None;
    }
    let [start, end] = entry.data_offsets;
    let span = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    let Some((start, end)) = span.filter(|&(start, end)| start <= end && end <= data) else {
        let problem = format!("are {start} and {end}, but the data has {data} bytes");
        return Err(wrong("data_offsets", problem));
    };
    if end - start != bytes {
        let problem = format!("hold {} bytes, but {} of {:?} has {bytes}", end - start, entry.dtype, entry.shape);
        return Err(wrong("data_offsets", problem));
    }
    Ok(Found { name, kind, raw: entry.dtype == "U8" && bytes > 0, shape, start, end })
}

/// Where a tensor's entry begins in the file, or the header when its name is written in an unusual way.
fn entry_offset(header: &[u8], name: &str) -> usize {
    let quoted = Value::from(name).to_string();
    LENGTH_BYTES + header.windows(quoted.len()).position(|window| window == quoted.as_bytes()).unwrap_or(0)
}

/// One tensor as the header describes it.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// The header's entries in its order; a name that comes twice is an error (a map would keep the last one silently).
struct Header(Vec<(String, Entry)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries).map(Self)
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, Entry)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one entry per tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(serde::de::Error::custom(format!("{} comes twice", shown(&name))));
            }
            if name == "__metadata__" {
                map.next_value::<HashMap<String, IgnoredAny>>()?;
            } else {
                entries.push((name, map.next_value()?));
            }
        }
        Ok(entries)
    }
}
