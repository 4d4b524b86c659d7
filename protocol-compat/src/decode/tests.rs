//! Every served request at every version: what a client can send passes, what nobody sends takes no memory.
//!
//! Bodies are made from the shapes, and the codec reads them: a shape that differs from the codec's idea of the request
//! fails here.

use std::ops::RangeInclusive;

use allocation_counter::measure;
use bytes::BytesMut;
use kafka_protocol::protocol::{Decodable, Encodable, Message};

use super::*;
use crate::api_key::ApiKey;
use crate::guard::shape::{Kind, Shape};
use crate::messages::field::write_varint;
use crate::messages::output::Output;
use crate::shapes::{Visitor, request_shape, visit};

/// Decodes a body with the codec alone, and gives the length of what it encodes to.
struct CodecAlone {
    version: i16,
    body: Bytes,
}

impl Visitor for CodecAlone {
    type Output = Result<usize, String>;

    fn visit<R: Request + Shaped>(mut self) -> Self::Output {
        let message = R::decode(&mut self.body, self.version).map_err(|error| error.to_string())?;
        if !self.body.is_empty() {
            return Err(format!("{} bytes left", self.body.len()));
        }
        message
            .compute_size(self.version)
            .map_err(|error| error.to_string())
    }
}

/// Decodes a body as the broker does.
struct Guarded {
    version: i16,
    body: Bytes,
}

impl Visitor for Guarded {
    type Output = Result<(), DecodeError>;

    fn visit<R: Request + Shaped>(self) -> Self::Output {
        decode_request::<R>(self.version, self.body).map(drop)
    }
}

fn codec_alone(key: ApiKey, version: i16, body: Bytes) -> Result<usize, String> {
    visit(key, CodecAlone { version, body }).expect("a served request")
}

pub(super) fn guarded(key: ApiKey, version: i16, body: Bytes) -> Result<(), DecodeError> {
    visit(key, Guarded { version, body }).expect("a served request")
}

/// A small generator of pseudo-random numbers (xorshift), so that a failure names its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % bound
    }
}

/// Writes bodies that follow a shape.
struct Maker {
    random: Random,
    version: i16,
    flexible: bool,
    unknown_tags: bool,
    out: BytesMut,
}

impl Maker {
    fn body(shape: &Shape, version: i16, seed: u64, unknown_tags: bool) -> Bytes {
        let flexible = version >= shape.first_flexible;
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut maker = Maker {
            random,
            version,
            flexible,
            unknown_tags,
            out: BytesMut::new(),
        };
        maker.fields_of(shape);
        maker.out.freeze()
    }

    fn fields_of(&mut self, shape: &Shape) {
        let version = self.version;
        for field in shape
            .fields
            .iter()
            .filter(|field| field.tag.is_none() && field.is_at(version))
        {
            let null = field.is_nullable_at(self.version) && self.random.below(4) == 0;
            self.value(&field.kind, null);
        }
        if self.flexible {
            self.tagged_fields_of(shape);
        }
    }

    fn tagged_fields_of(&mut self, shape: &Shape) {
        let version = self.version;
        let tagged = shape
            .fields
            .iter()
            .filter(|field| field.tag.is_some() && field.is_at(version));
        let mut written = Vec::new();
        for field in tagged {
            let outside = std::mem::take(&mut self.out);
            match field.kind {
                // An empty one is the default, which is not written.
                Kind::Array(element) => {
                    self.length(4, Some(1));
                    self.value(element, false);
                }
                ref kind => self.value(kind, false),
            }
            written.push((field.tag.unwrap(), std::mem::replace(&mut self.out, outside)));
        }
        if self.unknown_tags {
            written.push((77, BytesMut::from(&b"later"[..])));
        }
        written.sort_by_key(|(tag, _)| *tag);
        write_varint(&mut self.out, u32::try_from(written.len()).unwrap());
        for (tag, content) in written {
            write_varint(&mut self.out, tag);
            write_varint(&mut self.out, u32::try_from(content.len()).unwrap());
            self.out.put_slice(&content);
        }
    }

    fn value(&mut self, kind: &Kind, null: bool) {
        match kind {
            Kind::Fixed(bytes) => {
                // Small positive numbers: no default of any tagged field, and 1 for every flag.
                self.out.put_slice(&vec![0; bytes - 1]);
                self.out.put_slice(&[1]);
            }
            Kind::Struct(shape) => self.fields_of(shape),
            Kind::NullableStruct(_) if null => self.out.put_slice(&[0xff]),
            Kind::NullableStruct(shape) => {
                self.out.put_slice(&[1]);
                self.fields_of(shape);
            }
            Kind::Text => self.text(2, null),
            Kind::Bytes => self.text(4, null),
            Kind::Array(_) if null => self.length(4, None),
            Kind::Array(element) => {
                let count = self.random.below(4);
                self.length(4, Some(count));
                for _ in 0..count {
                    self.value(element, false);
                }
            }
        }
    }

    fn text(&mut self, length_bytes: usize, null: bool) {
        let length = 1 + self.random.below(8);
        self.length(length_bytes, (!null).then_some(length));
        if !null {
            self.out.put_slice(&vec![b'a'; length]);
        }
    }

    fn length(&mut self, length_bytes: usize, length: Option<usize>) {
        let length = length.map_or(-1, |length| i32::try_from(length).unwrap());
        match (self.flexible, length_bytes) {
            (true, _) => write_varint(&mut self.out, u32::try_from(length + 1).unwrap()),
            (false, 2) => self.out.put_slice(&i16::try_from(length).unwrap().to_be_bytes()),
            (false, _) => self.out.put_slice(&length.to_be_bytes()),
        }
    }
}

/// Every served request: key, version, shape.
pub(super) fn served() -> impl Iterator<Item = (ApiKey, i16, &'static Shape)> {
    ApiKey::ALL.iter().flat_map(|&key| {
        let versions = key.served_versions().into_iter().flatten();
        versions.map(move |version| {
            (
                key,
                version,
                request_shape(key).expect("a served request has a shape"),
            )
        })
    })
}

#[test]
fn exactly_the_served_requests_have_a_shape() {
    for &key in ApiKey::ALL {
        assert_eq!(
            request_shape(key).is_some(),
            key.served_versions().is_some(),
            "{key:?}"
        );
    }
}

#[test]
fn shape_and_codec_agree_on_every_request_at_every_version() {
    for (key, version, shape) in served() {
        for seed in 0..40 {
            let body = Maker::body(shape, version, seed, false);
            let case = format!("{key:?} v{version} seed {seed}: {body:02x?}");
            assert_eq!(guard::check(shape, version, &body), Ok(body.len()), "{case}");
            assert_eq!(codec_alone(key, version, body.clone()), Ok(body.len()), "{case}");
        }
    }
}

/// Reads bodies of one of our own messages with the codec crate's idea of it, which must write the same bytes.
fn agrees_with_the_crate<T: Encodable + Decodable + Message>(shape: &Shape, versions: RangeInclusive<i16>) {
    for version in versions {
        for seed in 0..40 {
            let body = Maker::body(shape, version, seed, false);
            let case = format!("{} v{version} seed {seed}: {body:02x?}", shape.name);
            let mut left = body.clone();
            let message = T::decode(&mut left, version).unwrap_or_else(|error| panic!("{case}: {error}"));
            assert!(left.is_empty(), "{case}");
            let mut out = BytesMut::new();
            message.encode(&mut out, version).unwrap();
            assert_eq!(out, body, "{case}");
        }
    }
}

#[test]
fn our_own_messages_are_those_of_the_codec_crate_up_to_its_last_version() {
    use kafka_protocol::messages as theirs;

    use crate::messages as ours;

    agrees_with_the_crate::<theirs::ListOffsetsRequest>(&ours::ListOffsetsRequest::SHAPE, 1..=10);
    agrees_with_the_crate::<theirs::ListOffsetsResponse>(&ours::ListOffsetsResponse::SHAPE, 1..=10);
    agrees_with_the_crate::<theirs::OffsetCommitRequest>(&ours::OffsetCommitRequest::SHAPE, 2..=9);
    agrees_with_the_crate::<theirs::OffsetCommitResponse>(&ours::OffsetCommitResponse::SHAPE, 2..=10);
    agrees_with_the_crate::<theirs::OffsetFetchRequest>(&ours::OffsetFetchRequest::SHAPE, 1..=9);
    agrees_with_the_crate::<theirs::OffsetFetchResponse>(&ours::OffsetFetchResponse::SHAPE, 1..=10);
    agrees_with_the_crate::<theirs::DescribeLogDirsRequest>(&ours::DescribeLogDirsRequest::SHAPE, 1..=4);
    agrees_with_the_crate::<theirs::DescribeLogDirsResponse>(&ours::DescribeLogDirsResponse::SHAPE, 1..=4);
    agrees_with_the_crate::<theirs::FetchResponse>(&ours::FetchResponse::SHAPE, 4..=18);
}

/// Reads bodies of one of our own messages with it, which must write the same bytes.
fn agrees_with_itself<T: Encodable + Decodable>(shape: &Shape, versions: RangeInclusive<i16>) {
    for version in versions {
        for seed in 0..40 {
            let body = Maker::body(shape, version, seed, false);
            let message = T::decode(&mut body.clone(), version).unwrap();
            let mut out = BytesMut::new();
            message.encode(&mut out, version).unwrap();
            assert_eq!(out, body, "{} v{version} seed {seed}", shape.name);
            assert_eq!(
                message.compute_size(version).unwrap(),
                body.len(),
                "{} v{version}",
                shape.name
            );
        }
    }
}

#[test]
fn our_own_messages_write_what_they_read_at_every_version() {
    use crate::messages::{
        DescribeLogDirsRequest, DescribeLogDirsResponse, FetchResponse, ListOffsetsRequest,
        ListOffsetsResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest,
        OffsetFetchResponse,
    };

    agrees_with_itself::<ListOffsetsRequest>(&ListOffsetsRequest::SHAPE, 1..=11);
    agrees_with_itself::<ListOffsetsResponse>(&ListOffsetsResponse::SHAPE, 1..=11);
    agrees_with_itself::<OffsetCommitRequest>(&OffsetCommitRequest::SHAPE, 2..=10);
    agrees_with_itself::<OffsetCommitResponse>(&OffsetCommitResponse::SHAPE, 2..=10);
    agrees_with_itself::<OffsetFetchRequest>(&OffsetFetchRequest::SHAPE, 1..=10);
    agrees_with_itself::<OffsetFetchResponse>(&OffsetFetchResponse::SHAPE, 1..=10);
    agrees_with_itself::<DescribeLogDirsRequest>(&DescribeLogDirsRequest::SHAPE, 1..=5);
    agrees_with_itself::<DescribeLogDirsResponse>(&DescribeLogDirsResponse::SHAPE, 1..=5);
    agrees_with_itself::<FetchResponse>(&FetchResponse::SHAPE, 4..=18);
}

/// The versions of a request's answer.
struct AnswerVersions;

impl Visitor for AnswerVersions {
    type Output = RangeInclusive<i16>;

    fn visit<R: Request + Shaped>(self) -> Self::Output {
        R::Response::VERSIONS.min..=R::Response::VERSIONS.max
    }
}

#[test]
fn every_served_request_has_an_answer_at_each_of_its_versions() {
    for (key, version, _) in served() {
        let versions = visit(key, AnswerVersions).unwrap();
        assert!(
            versions.contains(&version),
            "{key:?} v{version}, answers {versions:?}"
        );
    }
}

#[test]
fn unknown_tagged_fields_and_bytes_after_the_message_are_let_pass() {
    for (key, version, shape) in served() {
        let body = Maker::body(shape, version, 1, true);
        let longer = Bytes::from([&body[..], b"tail"].concat());
        assert_eq!(
            guard::check(shape, version, &longer),
            Ok(body.len()),
            "{key:?} v{version}"
        );
        assert_eq!(guarded(key, version, longer), Ok(()), "{key:?} v{version}");
    }
}

#[test]
fn every_cut_of_a_body_is_refused() {
    for (key, version, shape) in served() {
        let body = Maker::body(shape, version, 3, true);
        for cut in 0..body.len() {
            assert!(
                guarded(key, version, body.slice(..cut)).is_err(),
                "{key:?} v{version} at {cut}"
            );
        }
    }
}

/// Bodies that announce much and carry little.
fn greedy_bodies() -> Vec<Bytes> {
    let huge: [&[u8]; 6] = [
        &[0x7f, 0xff, 0xff, 0xff],
        &[0x00, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0xff, 0xff, 0x07],
        &[0xff, 0xff, 0x7f],
    ];
    let mut bodies = Vec::new();
    for count in huge {
        for before in 0..40 {
            for filler in [0u8, 1, 2] {
                bodies.push(Bytes::from([&vec![filler; before][..], count].concat()));
                bodies.push(Bytes::from(
                    [&vec![filler; before][..], count, &[filler; 16]].concat(),
                ));
            }
        }
    }
    bodies.extend(
        (0..=40).flat_map(|length| [0u8, 1, 0x7f, 0x80, 0xff].map(|byte| Bytes::from(vec![byte; length]))),
    );
    bodies
}

#[test]
fn no_short_body_of_any_request_at_any_version_takes_memory_that_it_does_not_carry() {
    let bodies = greedy_bodies();
    for (key, version, _) in served() {
        for body in &bodies {
            let used = measure(|| drop(guarded(key, version, body.clone())));
            let allowed = 2048 + 160 * u64::try_from(body.len()).unwrap();
            assert!(
                used.bytes_max <= allowed,
                "{key:?} v{version} took {} for {body:02x?}",
                used.bytes_max
            );
        }
    }
}

#[test]
fn what_the_guard_lets_pass_decodes_within_its_budget_however_it_was_mangled() {
    let mut passed = 0;
    for (key, version, shape) in served() {
        for seed in 0..60 {
            let mut random = Random(seed * 7 + 1);
            let mut body = Maker::body(shape, version, seed, seed % 3 == 0).to_vec();
            for _ in 0..=random.below(3) {
                mangle(&mut body, &mut random);
            }
            let body = Bytes::from(body);
            let used = measure(|| {
                passed += usize::from(guarded(key, version, body.clone()).is_ok());
            });
            let allowed = (512 << 10) + 32 * u64::try_from(body.len()).unwrap();
            assert!(
                used.bytes_max <= allowed,
                "{key:?} v{version} took {}",
                used.bytes_max
            );
        }
    }
    assert!(
        passed > 1000,
        "only {passed} mangled bodies passed: the test proves little"
    );
}

fn mangle(body: &mut Vec<u8>, random: &mut Random) {
    if body.is_empty() {
        return body.push(0);
    }
    let at = random.below(body.len());
    match random.below(5) {
        0 => body[at] ^= 1 << random.below(8),
        1 => body[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
        2 => body.truncate(at),
        3 => body.insert(at, u8::try_from(random.below(256)).unwrap()),
        _ => drop(body.remove(at)),
    }
}

#[test]
fn a_body_of_the_smallest_elements_is_refused_where_it_would_take_too_much() {
    // Empty topic names: two bytes on the wire, a hundred in memory.
    let count: u32 = 400_000;
    let mut body = BytesMut::new();
    write_varint(&mut body, count + 1);
    body.put_slice(&[1, 0].repeat(count as usize));
    body.put_slice(&[0, 0, 0, 0, 0xff, 0]);
    let shape = request_shape(ApiKey::DescribeTopicPartitions).unwrap();
    assert!(matches!(
        guard::check(shape, 0, &body),
        Err(DecodeError::TooLarge { .. })
    ));
}
