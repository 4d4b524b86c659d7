//! What a decode takes in memory for each byte received, of every served request at every version, and the bound on it.
//!
//! The table in `docs/memory-amplification.md` is written from here. No body of these is one that a client sends: each
//! fills one of the request's arrays, or its tagged fields, with as many of the smallest elements as the guard lets pass.

use std::fmt::Write;
use std::ops::RangeInclusive;

use allocation_counter::measure;
use bytes::BytesMut;

use super::tests::{guarded, served};
use super::*;
use crate::api_key::ApiKey;
use crate::guard::shape::{FieldShape, Kind, Shape};
use crate::messages::field::write_varint;
use crate::messages::output::Output;

/// Bytes of a body. The table says so.
const BODY_BYTES: usize = 32 << 10;
/// Elements whose memory is measured to know how many of them pass.
const SAMPLED_ELEMENTS: usize = 64;
/// The bound is the guard's budget, and this much for what has a fixed size.
const SLACK_BYTES: usize = 2 << 10;

/// Set to write the table instead of comparing with it.
const WRITE_VARIABLE: &str = "WRITE_MEMORY_AMPLIFICATION";
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/memory-amplification.md");
const TABLE_HEAD: &str =
    "| Request | Version | Ordinary | Held | Allocated | By |\n| --- | --- | --- | --- | --- | --- |\n";

/// The fields from a request to one of its arrays.
type ArrayPath = Vec<&'static str>;

/// What a body is filled with.
#[derive(Clone, Debug)]
enum Filling {
    /// The last array of the path with many elements, the others before it with one.
    Innermost(ArrayPath),
    /// The first array of the path with many elements, the others with one in each.
    Outermost(ArrayPath),
    /// The first array of the path with many elements, each with a tagged field that nobody knows.
    TagEach(ArrayPath),
    /// Tagged fields of the request itself that nobody knows.
    Tags,
}

impl Filling {
    fn path(&self) -> &[&'static str] {
        match self {
            Filling::Innermost(path) | Filling::Outermost(path) | Filling::TagEach(path) => path,
            Filling::Tags => &[],
        }
    }

    fn is_repeated(&self, depth: usize) -> bool {
        match self {
            Filling::Innermost(path) => depth + 1 == path.len(),
            Filling::Outermost(_) | Filling::TagEach(_) => depth == 0,
            Filling::Tags => false,
        }
    }
}

impl std::fmt::Display for Filling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.path().join(".");
        match self {
            Filling::Innermost(_) => write!(f, "{path}"),
            Filling::Outermost(_) => write!(f, "{path}, one each"),
            Filling::TagEach(_) => write!(f, "{path}, a tagged field each"),
            Filling::Tags => f.write_str("tagged fields"),
        }
    }
}

/// Writes a body by a shape, as small as it can be but for its filling.
struct Filler<'a> {
    version: i16,
    flexible: bool,
    filling: &'a Filling,
    count: usize,
    text: &'a [u8],
    out: BytesMut,
}

impl Filler<'_> {
    fn struct_of(&mut self, shape: &Shape, on_path: Option<usize>) {
        let version = self.version;
        for field in shape
            .fields
            .iter()
            .filter(|field| field.tag.is_none() && field.is_at(version))
        {
            self.field(field, on_path);
        }
        if self.flexible {
            self.tagged_of(shape, on_path);
        }
    }

    fn field(&mut self, field: &FieldShape, on_path: Option<usize>) {
        let depth = on_path.filter(|depth| self.filling.path().get(*depth) == Some(&field.name));
        match (&field.kind, depth) {
            (Kind::Array(element), Some(depth)) => {
                let count = if self.filling.is_repeated(depth) {
                    self.count
                } else {
                    1
                };
                self.length(4, count);
                for _ in 0..count {
                    self.value(element, Some(depth + 1));
                }
            }
            (Kind::Struct(_) | Kind::NullableStruct(_), Some(depth)) => {
                self.value(&field.kind, Some(depth + 1))
            }
            (kind, _) => self.value(kind, None),
        }
    }

    fn value(&mut self, kind: &Kind, on_path: Option<usize>) {
        match kind {
            Kind::Fixed(bytes) => self.out.put_slice(&[0; 16][..*bytes]),
            Kind::Struct(shape) => self.struct_of(shape, on_path),
            Kind::NullableStruct(shape) => {
                self.out.put_slice(&[1]);
                self.struct_of(shape, on_path);
            }
            Kind::Text => {
                self.length(2, self.text.len());
                self.out.put_slice(self.text);
            }
            Kind::Bytes | Kind::Array(_) => self.length(4, 0),
        }
    }

    fn tagged_of(&mut self, shape: &Shape, on_path: Option<usize>) {
        let unknown = match self.filling {
            Filling::Tags if on_path == Some(0) => self.count,
            Filling::TagEach(_) if on_path == Some(1) => 1,
            _ => 0,
        };
        let version = self.version;
        let path = self.filling.path();
        let wanted = shape.fields.iter().find(|field| {
            let is_next = on_path.is_some_and(|depth| path.get(depth) == Some(&field.name));
            is_next && field.tag.is_some() && field.is_at(version)
        });
        write_varint(&mut self.out, (unknown + usize::from(wanted.is_some())) as u32);
        if let Some(field) = wanted {
            let outside = std::mem::take(&mut self.out);
            self.field(field, on_path);
            let content = std::mem::replace(&mut self.out, outside);
            write_varint(&mut self.out, field.tag.expect("it is tagged"));
            write_varint(&mut self.out, content.len() as u32);
            self.out.put_slice(&content);
        }
        for number in 0..unknown {
            write_varint(&mut self.out, 100 + number as u32);
            write_varint(&mut self.out, 0);
        }
    }

    fn length(&mut self, plain_bytes: usize, length: usize) {
        match (self.flexible, plain_bytes) {
            (true, _) => write_varint(&mut self.out, length as u32 + 1),
            (false, 2) => self.out.put_slice(&(length as u16).to_be_bytes()),
            (false, _) => self.out.put_slice(&(length as u32).to_be_bytes()),
        }
    }
}

fn body(shape: &Shape, version: i16, filling: &Filling, count: usize, text: &[u8]) -> BytesMut {
    let mut filler = Filler {
        version,
        flexible: version >= shape.first_flexible,
        filling,
        count,
        text,
        out: BytesMut::new(),
    };
    filler.struct_of(shape, Some(0));
    filler.out
}

/// A body with about as many elements as fit into so many bytes and as the guard lets pass, filled up with bytes that a
/// decode ignores.
fn largest(key: ApiKey, version: i16, shape: &Shape, filling: &Filling, text: &[u8]) -> Bytes {
    let of = |count| body(shape, version, filling, count, text);
    let (few, more) = (of(SAMPLED_ELEMENTS), of(2 * SAMPLED_ELEMENTS));
    let held = |body: &BytesMut| {
        let body = Bytes::copy_from_slice(body);
        measure(|| assert_eq!(guarded(key, version, body), Ok(()))).bytes_max as usize
    };
    let by_size = (BODY_BYTES - few.len()) * SAMPLED_ELEMENTS / (more.len() - few.len());
    let each = held(&more).saturating_sub(held(&few)).max(1);
    let by_memory = guard::budget_bytes(BODY_BYTES) * SAMPLED_ELEMENTS / each;
    let mut count = by_size.min(by_memory);
    loop {
        let mut body = of(count);
        body.resize(body.len().max(BODY_BYTES), 0);
        if body.len() <= BODY_BYTES && guard::check(shape, version, &body).is_ok() {
            return body.freeze();
        }
        count -= count.div_ceil(100);
        assert!(count > 0, "{key:?} v{version}: no element of {filling} passes");
    }
}

fn paths(shape: &Shape, version: i16) -> Vec<ArrayPath> {
    let mut found = Vec::new();
    for field in shape.fields.iter().filter(|field| field.is_at(version)) {
        let (is_array, inner) = match field.kind {
            Kind::Array(&Kind::Struct(inner)) => (true, Some(inner)),
            Kind::Array(_) => (true, None),
            Kind::Struct(inner) | Kind::NullableStruct(inner) => (false, Some(inner)),
            _ => (false, None),
        };
        if is_array {
            found.push(vec![field.name]);
        }
        for below in inner.into_iter().flat_map(|inner| paths(inner, version)) {
            found.push([vec![field.name], below].concat());
        }
    }
    found
}

fn fillings(shape: &Shape, version: i16) -> Vec<Filling> {
    let mut found = Vec::new();
    let flexible = version >= shape.first_flexible;
    for path in paths(shape, version) {
        found.push(Filling::Innermost(path.clone()));
        if path.len() > 1 {
            found.push(Filling::Outermost(path));
        } else if flexible {
            found.push(Filling::TagEach(path));
        }
    }
    if flexible {
        found.push(Filling::Tags);
    }
    found
}

/// Bytes for each byte received, in tenths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Row {
    /// Held at one time, of what clients send: names of 16 characters in the array that takes most.
    ordinary: u64,
    /// Held at one time, at worst.
    held: u64,
    /// Allocated one after the other, at worst.
    allocated: u64,
    /// What the worst body is filled with.
    filling: String,
}

fn tenths(bytes: u64) -> u64 {
    (bytes * 10).div_ceil(BODY_BYTES as u64)
}

/// Measures a request, and asserts the bound of each of its bodies; `with_ordinary` those of clients as well.
fn measured(key: ApiKey, version: i16, shape: &Shape, with_ordinary: bool) -> Row {
    let mut row = Row::default();
    for filling in fillings(shape, version) {
        let decoded = |text: &[u8]| {
            let body = largest(key, version, shape, &filling, text);
            let used = measure(|| {
                assert_eq!(
                    guarded(key, version, body),
                    Ok(()),
                    "{key:?} v{version} {filling}"
                )
            });
            let limit = guard::budget_bytes(BODY_BYTES) + SLACK_BYTES;
            assert!(
                used.bytes_max <= limit as u64,
                "{key:?} v{version} holds {} with {filling}",
                used.bytes_max
            );
            assert!(
                used.bytes_total <= 2 * limit as u64,
                "{key:?} v{version} allocates {} with {filling}",
                used.bytes_total
            );
            used
        };
        if with_ordinary && matches!(filling, Filling::Innermost(_)) {
            row.ordinary = row.ordinary.max(tenths(decoded(b"a-name-of-a-size").bytes_max));
        }
        let worst = decoded(b"");
        if tenths(worst.bytes_max) > row.held {
            row.held = tenths(worst.bytes_max);
            row.filling = filling.to_string();
        }
        row.allocated = row.allocated.max(tenths(worst.bytes_total));
    }
    row
}

/// The table, with one line for versions that follow each other and are equal.
fn table() -> String {
    let mut rows: Vec<(&str, i16, Row)> = served()
        .map(|(key, version, shape)| (key.name(), version, measured(key, version, shape, true)))
        .collect();
    rows.sort_by_key(|(name, version, _)| (*name, *version));
    let mut lines: Vec<(&str, i16, i16, Row)> = Vec::new();
    for (name, version, row) in rows {
        match lines.last_mut() {
            Some((before, _, last, same)) if *before == name && *same == row => *last = version,
            _ => lines.push((name, version, version, row)),
        }
    }
    let mut text = TABLE_HEAD.to_owned();
    for (name, first, last, row) in lines {
        let versions = if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        };
        let number = |tenths: u64| format!("{}.{}", tenths / 10, tenths % 10);
        let (ordinary, held, allocated) = (number(row.ordinary), number(row.held), number(row.allocated));
        writeln!(
            text,
            "| {name} | {versions} | {ordinary} | {held} | {allocated} | {} |",
            row.filling
        )
        .expect("text takes it");
    }
    text
}

/// A line of the document's table.
struct Documented {
    name: String,
    versions: RangeInclusive<i16>,
    /// In tenths.
    held: u64,
    /// In tenths.
    allocated: u64,
}

fn documented(text: &str) -> Vec<Documented> {
    let rows = text.split_once(TABLE_HEAD).map_or("", |(_, rows)| rows);
    let lines = rows.lines().take_while(|line| line.starts_with("| "));
    let number = |cell: &str| {
        cell.replace('.', "")
            .parse()
            .expect("a number with one digit behind the point")
    };
    lines
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let (first, last) = cells[1].split_once('-').unwrap_or((cells[1], cells[1]));
            Documented {
                name: cells[0].to_owned(),
                versions: first.parse().expect("a version")..=last.parse().expect("a version"),
                held: number(cells[3]),
                allocated: number(cells[4]),
            }
        })
        .collect()
}

fn write_table(text: &str) {
    let (before, rest) = text.split_once(TABLE_HEAD).expect("the head of the table");
    let behind = rest.lines().skip_while(|line| line.starts_with("| "));
    let behind: String = behind.map(|line| format!("{line}\n")).collect();
    std::fs::write(DOCUMENT, format!("{before}{}{behind}", table())).expect("it is written");
}

#[test]
fn no_request_takes_more_memory_for_a_byte_than_its_bound_and_the_table_says_how_much() {
    let text = std::fs::read_to_string(DOCUMENT).expect("the document");
    if std::env::var_os(WRITE_VARIABLE).is_some() {
        return write_table(&text);
    }
    let documented = documented(&text);
    for (key, version, shape) in served() {
        let is_of = |row: &&Documented| row.name == key.name() && row.versions.contains(&version);
        let said = documented.iter().find(is_of);
        let said =
            said.unwrap_or_else(|| panic!("{key:?} version {version} is missing: write the table anew"));
        // Versions of one line have the same fields; that they are equal was measured when the line was written.
        if *said.versions.start() != version {
            continue;
        }
        let row = measured(key, version, shape, false);
        // Compilers lay structs out in their own way.
        assert!(
            row.held <= said.held + said.held / 10 + 1
                && row.allocated <= said.allocated + said.allocated / 10 + 1,
            "{key:?} version {version} takes {row:?}: write the table anew if that is right"
        );
    }
}
