//! The header of a GGUF file: version, metadata and the description of every tensor, all checked against the file.
//!
//! Format: `docs/gguf.md` of the ggml project. The limits that it leaves open are constants below.

use std::collections::{BTreeMap, HashMap, btree_map::Entry};

use super::cursor::Cursor;
use crate::{
    error::{Defect, InField, Problem, defect, shown},
    metadata::{Array, Metadata, Value},
    tensor_type::TensorType,
};

pub(crate) const MAGIC: &[u8; 4] = b"GGUF";

/// Longest key or tensor name in bytes: the specification's limit for keys.
const MOST_NAME_BYTES: usize = 65_535;
/// Arrays within arrays; no known file has more than two levels.
const MOST_ARRAY_DEPTH: usize = 4;
/// Dimensions of a tensor (`GGML_MAX_DIMS`).
const MOST_DIMENSIONS: u32 = 4;
/// Largest alignment of tensor data in bytes; the default is 32.
const MOST_ALIGNMENT: u64 = 1 << 20;
const DEFAULT_ALIGNMENT: u64 = 32;
const ALIGNMENT_KEY: &str = "general.alignment";

/// Fewest bytes of a key-value pair: key length, one byte of key, type, one byte of value.
const LEAST_PAIR: usize = 8 + 1 + 4 + 1;
/// Fewest bytes of a tensor's description: name length, one byte of name, dimensions, type, offset.
const LEAST_TENSOR: usize = 8 + 1 + 4 + 4 + 8;

/// What one file says, checked.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) metadata: Metadata,
    pub(super) tensors: Vec<TensorInfo>,
}

/// One tensor's description. Its bytes are inside the file.
#[derive(Debug)]
pub(super) struct TensorInfo {
    pub(super) name: String,
    pub(super) kind: TensorType,
    /// Outermost dimension first.
    pub(super) shape: Vec<usize>,
    /// Bytes from the beginning of the file.
    pub(super) start: usize,
    pub(super) length: usize,
}

/// A description whose offset has not been checked yet: the data section begins behind the last description.
struct Pending {
    info: TensorInfo,
    /// Bytes from the beginning of the data section, as the file says.
    offset: u64,
    /// Where it says so.
    offset_at: usize,
}

/// Parses and checks a whole file.
pub(super) fn parse(bytes: &[u8]) -> Result<Header, Defect> {
    let mut cursor = Cursor::new(bytes);
    version(&mut cursor)?;
    let tensor_count = cursor.count(LEAST_TENSOR).field(|| "tensor count")?;
    let pair_count = cursor.count(LEAST_PAIR).field(|| "metadata count")?;

    let mut pairs = BTreeMap::new();
    let mut alignment = DEFAULT_ALIGNMENT;
    for index in 0..pair_count {
        let at = cursor.position();
        let key = name(&mut cursor).field(|| format!("key {index} of the metadata"))?;
        let type_at = cursor.position();
        let value = value(&mut cursor, key)?;
        if key == ALIGNMENT_KEY {
            alignment = checked_alignment(&value, type_at)?;
        }
        match pairs.entry(key.to_owned()) {
            Entry::Vacant(vacant) => vacant.insert(value),
            Entry::Occupied(_) => {
                let field = format!("key {index} of the metadata");
                return Err(defect(field, at, format!("is {} for the second time", shown(key))));
            }
        };
    }

    let mut pending = Vec::new();
    let mut seen = HashMap::new();
    for index in 0..tensor_count {
        let at = cursor.position();
        let tensor = description(&mut cursor, index)?;
        if let Some(first) = seen.insert(tensor.info.name.clone(), index) {
            let field = format!("name of tensor {index}");
            return Err(defect(field, at, format!("is {}, as of tensor {first}", shown(&tensor.info.name))));
        }
        pending.push(tensor);
    }
    drop(seen);
    let tensors = placed(pending, cursor.position(), alignment, bytes.len())?;
    Ok(Header { metadata: Metadata(pairs), tensors })
}

fn version(cursor: &mut Cursor<'_>) -> Result<(), Defect> {
    let magic = cursor.take(MAGIC.len()).field(|| "magic")?;
    if magic != MAGIC {
        return Err(defect("magic", 0, format!("is \"{}\", a GGUF file begins with \"GGUF\"", magic.escape_ascii())));
    }
    let at = cursor.position();
    match cursor.u32().field(|| "version")? {
        2 | 3 => Ok(()),
        1 => Err(defect("version", at, "is 1; versions 2 and 3 are read: convert the model again with a current tool")),
        // A small number with its bytes the other way round.
        other if other & 0xffff == 0 && other != 0 => {
            Err(defect("version", at, "is big endian; only little-endian files are read: convert the model again"))
        }
        other => Err(defect("version", at, format!("is {other}; versions 2 and 3 are read"))),
    }
}

/// A key or a tensor's name.
fn name<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Problem> {
    let start = cursor.position();
    let name = cursor.string()?;
    if name.is_empty() || name.len() > MOST_NAME_BYTES {
        let text = format!("has {} bytes, a name has 1 to {MOST_NAME_BYTES}", name.len());
        return Err(Problem { offset: start, text });
    }
    Ok(name)
}

fn value(cursor: &mut Cursor<'_>, key: &str) -> Result<Value, Defect> {
    let field = || format!("value of {}", shown(key));
    let at = cursor.position();
    let number = cursor.u32().field(|| format!("type of {}", shown(key)))?;
    Ok(match number {
        0 => Value::U8(cursor.u8().field(field)?),
        1 => Value::I8(cursor.u8().field(field)?.cast_signed()),
        2 => Value::U16(single(cursor, u16::from_le_bytes).field(field)?),
        3 => Value::I16(single(cursor, i16::from_le_bytes).field(field)?),
        4 => Value::U32(cursor.u32().field(field)?),
        5 => Value::I32(cursor.u32().field(field)?.cast_signed()),
        6 => Value::F32(single(cursor, f32::from_le_bytes).field(field)?),
        7 => Value::Bool(cursor.bool().field(field)?),
        8 => Value::Str(cursor.string().field(field)?.to_owned()),
        9 => Value::Array(array(cursor, 1).field(field)?),
        10 => Value::U64(cursor.u64().field(field)?),
        11 => Value::I64(cursor.u64().field(field)?.cast_signed()),
        12 => Value::F64(single(cursor, f64::from_le_bytes).field(field)?),
        other => return Err(defect(format!("type of {}", shown(key)), at, no_such_type(other))),
    })
}

fn single<T, const N: usize>(cursor: &mut Cursor<'_>, number: impl Fn([u8; N]) -> T) -> Result<T, Problem> {
    let mut bytes = [0; N];
    bytes.copy_from_slice(cursor.take(N)?);
    Ok(number(bytes))
}

fn array(cursor: &mut Cursor<'_>, depth: usize) -> Result<Array, Problem> {
    if depth > MOST_ARRAY_DEPTH {
        return Err(cursor.problem(format!("has arrays nested more than {MOST_ARRAY_DEPTH} deep")));
    }
    let kind = cursor.clone();
    let number = cursor.u32()?;
    // The fewest bytes of an element: an array has a type and a count, a string a length.
    let least = match number {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        8 | 10..=12 => 8,
        9 => 12,
        other => return Err(kind.problem(format!("has elements of a type that {}", no_such_type(other)))),
    };
    let count =
        cursor.count(least).map_err(|problem| Problem { text: format!("length {}", problem.text), ..problem })?;
    Ok(match number {
        0 => Array::U8(cursor.take(count)?.to_vec()),
        1 => Array::I8(cursor.numbers(count, i8::from_le_bytes)?),
        2 => Array::U16(cursor.numbers(count, u16::from_le_bytes)?),
        3 => Array::I16(cursor.numbers(count, i16::from_le_bytes)?),
        4 => Array::U32(cursor.numbers(count, u32::from_le_bytes)?),
        5 => Array::I32(cursor.numbers(count, i32::from_le_bytes)?),
        6 => Array::F32(cursor.numbers(count, f32::from_le_bytes)?),
        7 => Array::Bool((0..count).map(|_| cursor.bool()).collect::<Result<_, _>>()?),
        8 => Array::Str((0..count).map(|_| cursor.string().map(str::to_owned)).collect::<Result<_, _>>()?),
        10 => Array::U64(cursor.numbers(count, u64::from_le_bytes)?),
        11 => Array::I64(cursor.numbers(count, i64::from_le_bytes)?),
        12 => Array::F64(cursor.numbers(count, f64::from_le_bytes)?),
        _ => Array::Array((0..count).map(|_| array(cursor, depth + 1)).collect::<Result<_, _>>()?),
    })
}

fn no_such_type(number: u32) -> String {
    format!("is {number}; values have the types 0 to 12")
}

fn checked_alignment(value: &Value, type_at: usize) -> Result<u64, Defect> {
    let &Value::U32(alignment) = value else {
        return Err(defect(format!("type of {ALIGNMENT_KEY:?}"), type_at, "is not u32"));
    };
    let alignment = u64::from(alignment);
    if !alignment.is_power_of_two() || !(8..=MOST_ALIGNMENT).contains(&alignment) {
        let problem = format!("is {alignment}, an alignment is a power of two from 8 to {MOST_ALIGNMENT}");
        return Err(defect(format!("value of {ALIGNMENT_KEY:?}"), type_at + 4, problem));
    }
    Ok(alignment)
}

/// One tensor's name, dimensions, type and offset.
fn description(cursor: &mut Cursor<'_>, index: usize) -> Result<Pending, Defect> {
    let name = name(cursor).field(|| format!("name of tensor {index}"))?;
    let of = |field: &str| format!("{field} of tensor {}", shown(name));

    let at = cursor.position();
    let dimensions = cursor.u32().field(|| of("dimension count"))?;
    if dimensions > MOST_DIMENSIONS {
        return Err(defect(of("dimension count"), at, format!("is {dimensions}, at most {MOST_DIMENSIONS} are read")));
    }
    let mut shape = Vec::new();
    let mut values: usize = 1;
    let shape_at = cursor.position();
    for dimension in 0..dimensions {
        let at = cursor.position();
        let field = || of(&format!("dimension {dimension}"));
        let size = cursor.u64().field(field)?;
        let product = usize::try_from(size).ok().and_then(|size| Some((size, values.checked_mul(size)?)));
        match product {
            Some((0, _)) => return Err(defect(field(), at, "is zero")),
            Some((size, product)) => {
                shape.push(size);
                values = product;
            }
            None => {
                let problem = format!("is {size}, which makes the tensor too large for this machine");
                return Err(defect(field(), at, problem));
            }
        }
    }
    // The file has the innermost dimension first.
    shape.reverse();

    let at = cursor.position();
    let number = cursor.u32().field(|| of("type"))?;
    let Some(kind) = TensorType::from_ggml(number) else {
        let problem = format!("is ggml type {number}, which is not supported; known are {}", TensorType::known());
        return Err(defect(of("type"), at, problem));
    };
    let (block_values, block_bytes) = kind.block();
    let columns = shape.last().copied().unwrap_or(1);
    if columns % block_values != 0 {
        let problem = format!("is {columns}, not a whole number of {} blocks of {block_values}", kind.name());
        return Err(defect(of("dimension 0"), shape_at, problem));
    }
    let Some(length) = (values / block_values).checked_mul(block_bytes) else {
        let problem = format!("makes {values} values of {} too large for this machine", kind.name());
        return Err(defect(of("type"), at, problem));
    };

    let offset_at = cursor.position();
    let offset = cursor.u64().field(|| of("offset"))?;
    let info = TensorInfo { name: name.to_owned(), kind, shape, start: 0, length };
    Ok(Pending { info, offset, offset_at })
}

/// Places the tensors in the file: aligned, inside it, none over another.
fn placed(pending: Vec<Pending>, header_end: usize, alignment: u64, size: usize) -> Result<Vec<TensorInfo>, Defect> {
    let data_start = (header_end as u64).next_multiple_of(alignment);
    let mut tensors = Vec::with_capacity(pending.len());
    let mut spans = Vec::with_capacity(pending.len());
    for (index, Pending { mut info, offset, offset_at }) in pending.into_iter().enumerate() {
        let field = || format!("offset of tensor {}", shown(&info.name));
        if offset % alignment != 0 {
            return Err(defect(
                field(),
                offset_at,
                format!("is {offset}, not a multiple of the alignment {alignment}"),
            ));
        }
        let start = data_start.checked_add(offset).and_then(|start| usize::try_from(start).ok());
        let span = start.and_then(|start| Some((start, start.checked_add(info.length)?)));
        let Some((start, end)) = span.filter(|&(_, end)| end <= size) else {
            let problem = format!(
                "is {offset}: the {} bytes of the tensor end behind the file, whose data section has {} bytes",
                info.length,
                (size as u64).saturating_sub(data_start)
            );
            return Err(defect(field(), offset_at, problem));
        };
        info.start = start;
        spans.push((start, end, index, offset_at));
        tensors.push(info);
    }
    spans.sort_unstable();
    for pair in spans.windows(2) {
        let [(_, end, first, _), (start, _, second, offset_at)] = [pair[0], pair[1]];
        if start < end {
            let field = format!("offset of tensor {}", shown(&tensors[second].name));
            let problem = format!("puts it over tensor {}", shown(&tensors[first].name));
            return Err(defect(field, offset_at, problem));
        }
    }
    Ok(tensors)
}
