//! Fuzzers of everything that reads untrusted bytes: one test for each decoder.
//!
//! Each decoder has an entry `fuzz*` beside it, which feeds it and asserts what must hold of the
//! result; here are the inputs. A corpus of well-formed inputs is mutated by a small seeded
//! generator, so a run is repeated by its seed and needs no nightly compiler:
//!
//! ```text
//! cargo test --test fuzz                                          a brief run, the same inputs always
//! LYCOSA_FUZZ_SECONDS=600 LYCOSA_FUZZ_SEED=7 cargo test --test fuzz msgpack
//! ```
//!
//! A failure prints the input as a Rust byte string: make a test of it beside the decoder.

use std::time::{Duration, Instant};

use lycosa::base::version;
use lycosa::value::msgpack as mp;
use lycosa::xrow::{Header, Row, iproto};
use lycosa::{config, net, tuple, value, wal, xrow};

/// Mutated inputs of a brief run, for each decoder; fewer of a slow one on a slow machine.
const ITERATIONS: u64 = 20_000;
const BRIEF_RUN_MAX: Duration = Duration::from_secs(10);
/// Longest input.
const SIZE_MAX: usize = 4096;

/// Xorshift: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`; 0 when there is none.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound.max(1)
    }

    fn range(&mut self, size: usize) -> std::ops::Range<usize> {
        let start = self.below(size + 1);
        start..start + self.below(size - start + 1).min(64)
    }
}

/// Bytes that decoders treat specially: limits of MessagePack's formats, text delimiters.
const BYTES: &[u8] =
    b"\x00\x01\x1f\x20\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc4\xc7\xca\xcb\xcf\xd3\xd4\xd8\xd9\xdb\xdc\xdd\xde\xdf\xe0\xff\r\n\t \"'\\*$:{}[](),.-+0189eE#&|!";

/// Changes an input at a few places.
fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        let position = random.below(input.len());
        match random.below(8) {
            0 if !input.is_empty() => input[position] ^= 1 << random.below(8),
            1 if !input.is_empty() => input[position] = BYTES[random.below(BYTES.len())],
            2 => input.insert(position, BYTES[random.below(BYTES.len())]),
            3 => drop(input.drain(random.range(input.len()))),
            4 => {
                let piece = input[random.range(input.len())].to_vec();
                input.splice(position..position, piece);
            }
            5 => {
                let other = &corpus[random.below(corpus.len())];
                let piece = other[random.range(other.len())].to_vec();
                let replaced = random.range(input.len());
                input.splice(replaced, piece);
            }
            6 => {
                let bytes = (random.next() >> random.below(64)).to_be_bytes();
                let piece = &bytes[8 - (1 << random.below(4))..];
                let end = (position + piece.len()).min(input.len());
                input.splice(position..end, piece.iter().copied());
            }
            _ => input.truncate(random.below(input.len() + 1).max(input.len() / 2)),
        }
    }
    input.truncate(SIZE_MAX);
}

/// Prints the input under which a decoder panicked.
struct Witness<'a> {
    input: &'a [u8],
    seed: u64,
}

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}, input: b\"{}\"", self.seed, self.input.escape_ascii());
        }
    }
}

fn environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Runs a decoder on the corpus and on what mutation makes of it.
fn run(decoder: fn(&[u8]), corpus: &[Vec<u8>]) {
    let seed = environment("LYCOSA_FUZZ_SEED").unwrap_or(20_260_101).max(1);
    let seconds = environment("LYCOSA_FUZZ_SECONDS").map(Duration::from_secs);
    let until = Instant::now() + seconds.unwrap_or(BRIEF_RUN_MAX);
    let iterations = if seconds.is_some() { u64::MAX } else { ITERATIONS };
    let mut random = Random(seed);
    let call = |input: &[u8]| {
        let _witness = Witness { input, seed };
        decoder(input);
    };
    corpus.iter().for_each(|input| call(input));
    for _ in 0..iterations {
        if Instant::now() >= until {
            break;
        }
        let mut input = corpus[random.below(corpus.len())].clone();
        mutate(&mut input, corpus, &mut random);
        call(&input);
    }
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Puts a byte before each input, for decoders that read a choice from the first one.
fn prefixed(choice: u8, corpus: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    corpus.into_iter().map(|input| [vec![choice], input].concat()).collect()
}

/// MessagePack of every type.
fn values() -> Vec<Vec<u8>> {
    let mut extensions = Vec::new();
    mp::write_array_len(&mut extensions, 4);
    mp::write_ext(&mut extensions, 1, b"\x02\x12\x34\x5c");
    mp::write_ext(&mut extensions, 2, &[7; 16]);
    mp::write_ext(&mut extensions, 4, &1_700_000_000u64.to_le_bytes());
    mp::write_ext(&mut extensions, 6, b"\x02\x00\x01\x05\x02");
    let json = [
        "[1, 127, 128, 255, 65535, 65536, 4294967296, -1, -33, -129, -32769, -2147483649]",
        r#"{"a": [null, true, false, 1.5, 1e300], "b": {"c": "text", "": []}}"#,
        r##"[["=", 2, "x"], ["+", 3, 1], ["!", "a.b", [1]], ["#", 1, 2], [":", 4, 1, 1, "s"]]"##,
    ];
    let mut corpus: Vec<Vec<u8>> = json.iter().map(|text| msgpack(text)).collect();
    corpus.push(extensions);
    corpus
}

fn msgpack(json: &str) -> Vec<u8> {
    let options = value::json::Options::default();
    value::json::to_msgpack(json.as_bytes(), &options).expect("well-formed JSON")
}

/// Rows of a log: changes, a transaction of two, a no-op.
fn rows() -> Vec<Vec<u8>> {
    let bodies = [
        (iproto::kind::INSERT, "{\"16\": 512, \"33\": [1, \"a\"]}"),
        (iproto::kind::UPDATE, "{\"16\": 512, \"32\": [1], \"33\": [[\"=\", 2, 3]]}"),
        (iproto::kind::DELETE, "{\"16\": 512, \"17\": 0, \"32\": [1]}"),
        (iproto::kind::UPSERT, "{\"16\": 512, \"33\": [1], \"40\": [[\"+\", 1, 1]]}"),
        (iproto::kind::NOP, "{}"),
    ];
    let mut lsn = 0;
    let row = |(kind, json): (u16, &str)| {
        lsn += 1;
        let body = with_integer_keys(&msgpack(json));
        let header =
            Header { replica_id: 1, lsn, tsn: lsn, timestamp: 1.5, flags: 1, ..Header::new(kind) };
        let mut out = Vec::new();
        Row { header, body: &body }.encode(0, &mut out);
        out
    };
    bodies.into_iter().map(row).collect()
}

/// A map of JSON has keys of digits; iproto's are numbers.
fn with_integer_keys(map: &[u8]) -> Vec<u8> {
    let mut reader = mp::Reader::new(map);
    let count = reader.read_map_len().expect("a map");
    let mut out = Vec::new();
    mp::write_map_len(&mut out, count);
    for _ in 0..count {
        let key = reader.read_str().expect("a key");
        let number = std::str::from_utf8(key).expect("digits").parse().expect("digits");
        mp::write_uint(&mut out, number);
        out.extend_from_slice(reader.skip().expect("a value"));
    }
    out
}

/// A log file around these rows: mutating a finished file mostly meets the checksum.
fn log_file(rows: &[u8]) -> Vec<u8> {
    let mut file = format!("XLOG\n0.13\nVersion: {}\n", version::TARANTOOL).into_bytes();
    file.extend_from_slice(b"Instance: 123e4567-e89b-42d3-a456-426614174000\nVClock: {}\n\n");
    file.extend_from_slice(b"\xd5\xba\x0b\xab");
    let start = file.len();
    for number in [rows.len() as u64, 0, u64::from(crc32c::crc32c(rows))] {
        mp::write_uint(&mut file, number);
    }
    let padding = 15 - (file.len() - start);
    if padding > 0 {
        mp::write_str(&mut file, &vec![0; padding - 1]);
    }
    file.extend_from_slice(rows);
    file.extend_from_slice(b"\xd5\x10\xad\xed");
    file
}

/// A world of one file.
struct OneFile(String);

impl config::World for OneFile {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn read(&self, path: &str) -> Result<String, String> {
        if path == "config.yaml" { Ok(self.0.clone()) } else { Err("no such file".into()) }
    }

    fn glob(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

fn load_configuration(bytes: &[u8]) {
    let world = OneFile(String::from_utf8_lossy(bytes).into_owned());
    if let Err(problems) = config::load(&world, "instance-001", Some("config.yaml")) {
        assert!(!problems.to_string().is_empty(), "a refusal says why");
    }
    let _ = config::instance_names(&world.0, "instances.yml");
}

#[test]
fn msgpack_is_checked() {
    run(mp::fuzz, &values());
}

#[test]
fn json_is_parsed() {
    let corpus = [
        r#"{"a": [1, -2.5e10, true, null], "b": "\u00e9\ud83d\ude00\n", "c": {}}"#,
        "[18446744073709551615, -9223372036854775808, 1e308, 0.1, nan, inf]",
        "  \"text\\\\\"  ",
    ];
    run(value::json::fuzz, &texts(&corpus));
}

#[test]
fn rows_are_decoded() {
    run(xrow::fuzz_decode, &[rows(), values()].concat());
}

#[test]
fn log_files_are_read() {
    let rows = rows().concat();
    run(wal::fuzz_read, &[log_file(&rows), log_file(&[]), log_file(&rows.repeat(3))]);
}

#[test]
fn blocks_of_log_files_are_read() {
    let read = |rows: &[u8]| wal::fuzz_read(&log_file(rows));
    run(read, &[rows().concat(), values().concat()]);
}

#[test]
fn redis_requests_are_parsed() {
    let corpus = [
        "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\n\r\n\r\n*1\r\n$4\r\nPING\r\n",
        "SET user1 \"John \\x41\" 'it''s'\r\n\r\nGET user1\n",
        "*-1\r\n*0\r\n*1\r\n$0\r\n\r\n*1048577\r\n",
    ];
    run(net::resp::request::fuzz, &prefixed(7, texts(&corpus)));
}

#[test]
fn packets_of_the_binary_protocol_are_read() {
    let packets = rows().into_iter().map(|row| [vec![row.len() as u8], row].concat());
    let mut corpus: Vec<Vec<u8>> = packets.collect();
    corpus.push(corpus.concat());
    corpus.push(b"\xce\x00\x00\x00\x05\x82\x00\x40\x01\x07".to_vec());
    let uuid = "123e4567-e89b-42d3-a456-426614174000";
    corpus.push(net::iproto::greeting::encode("3.8.0", uuid, "c2FsdA==").to_vec());
    run(net::iproto::frame::fuzz, &corpus);
}

#[test]
fn configurations_are_loaded() {
    let bundled = include_str!("../config.yaml");
    let corpus = [
        bundled,
        "credentials: {users: {a: {password: '{{ context.p }}', roles: [super]}}}\n\
         config: {context: {p: {from: env, env: P}}}\n\
         groups: {g: {replicasets: {r: {instances: {instance-001: {wal: {mode: fsync}}}}}}}\n",
        "conditional: [{if: tarantool_version >= 3.0.0, log: {level: &x 5}}]\nx: *x\n<<: {}\n",
    ];
    run(load_configuration, &texts(&corpus));
}

#[test]
fn tuple_paths_are_followed() {
    let value = msgpack(r#"{"a": [1, {"b c": [2, 3]}], "d": "e"}"#);
    let paths = ["a[2][\"b c\"][*].x", "[1].a['b']", "d", "a[2].ключ"];
    let input = |path: &&str| [vec![path.len() as u8], path.as_bytes().to_vec(), value.clone()];
    run(tuple::json_path::fuzz, &paths.iter().map(|path| input(path).concat()).collect::<Vec<_>>());
}

#[test]
fn updates_are_applied() {
    let tuple = msgpack(r#"[1, "text", 2.5, {"a": {"b": [1, 2, 3]}}, [1, [2]]]"#);
    let operations = [
        r##"[["=", 2, "x"], ["+", 1, 1], ["-", 3, 0.5], ["!", 3, [1]], ["#", 1, 2]]"##,
        r#"[[":", 2, 2, 1, "abc"], ["=", -1, null], ["|", 1, 6], ["&", 1, 3], ["^", 1, 1]]"#,
        r##"[["=", "[4].a.b[2]", 7], ["!", "[5][1]", 0], ["#", "[4].a", 1]]"##,
    ];
    let input = |json: &&str| [vec![tuple.len() as u8], tuple.clone(), msgpack(json)].concat();
    run(tuple::update::fuzz, &operations.iter().map(input).collect::<Vec<_>>());
}

#[test]
fn decimals_are_parsed_and_unpacked() {
    let corpus = texts(&["123.456", "-0.000000001e-10", "99999999999999999999999999999999999999"]);
    run(value::decimal::fuzz, &[corpus, vec![b"\x02\x12\x34\x5c".to_vec()]].concat());
}

#[test]
fn uuids_are_parsed() {
    run(value::uuid::fuzz, &texts(&["123e4567-e89b-42d3-a456-426614174000"]));
}

#[test]
fn datetimes_are_parsed_and_unpacked() {
    let iso =
        ["2026-01-31T23:59:60.123456789+03:00", "20260131T2359Z", "2026-W05-6", "-0044-03-15"];
    run(value::iso8601::fuzz, &texts(&iso));
    let other = ["Sat Jan 31 23:59:59 2026 +0300", "2026-01-31 23:59:59.5Z", "1769903999"];
    run(value::strptime::fuzz, &texts(&other));
    run(value::datetime::fuzz, &[vec![1; 8], vec![1; 16]]);
    run(value::interval::fuzz, &[b"\x02\x00\x01\x05\x02".to_vec()]);
}
