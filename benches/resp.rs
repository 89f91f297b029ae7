//! The RESP codec beside the crate redis-protocol: a pipeline of 16 GETs and one of 16 SETs with
//! values of 32 bytes, and their replies.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lycosa::net::resp::reply::{Version, Writer};
use lycosa::net::resp::request::{Limits, Parser};
use redis_protocol::resp2::decode::{decode, decode_range};
use redis_protocol::resp2::encode::encode;
use redis_protocol::resp2::types::OwnedFrame;

const COUNT: u64 = 16;

fn pipeline(command: impl Fn(u64) -> Vec<String>) -> Vec<u8> {
    let mut stream = Vec::new();
    for number in 0..COUNT {
        let words = command(number);
        stream.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            stream.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
    }
    stream
}

fn ours(stream: &[u8], parser: &mut Parser) -> usize {
    let (mut start, mut total) = (0, 0);
    while let Ok(Some(size)) = parser.parse(&stream[start..]) {
        for index in 0..parser.count() {
            total += parser.argument(&stream[start..], index).len();
        }
        start += size;
    }
    total
}

fn requests(criterion: &mut Criterion) {
    let get = pipeline(|n| vec!["GET".into(), format!("key:{n:012}")]);
    let set = pipeline(|n| vec!["SET".into(), format!("key:{n:012}"), "x".repeat(32)]);
    for (name, stream) in [("GET", get), ("SET", set)] {
        let mut group = criterion.benchmark_group(format!("16 requests {name}"));
        group.throughput(Throughput::Elements(COUNT));
        let mut parser = Parser::new(Limits::default());
        group.bench_function("lycosa", |b| b.iter(|| ours(black_box(&stream), &mut parser)));
        group.bench_function("redis-protocol, owned", |b| {
            b.iter(|| {
                let mut start = 0;
                while let Ok(Some((frame, size))) = decode(black_box(&stream[start..])) {
                    black_box(frame);
                    start += size;
                }
            });
        });
        group.bench_function("redis-protocol, ranges", |b| {
            b.iter(|| {
                let mut start = 0;
                while let Ok(Some((frame, size))) = decode_range(black_box(&stream[start..])) {
                    black_box(frame);
                    start += size;
                }
            });
        });
        group.finish();
    }
}

fn replies(criterion: &mut Criterion) {
    let value = [b'x'; 32];
    let mut group = criterion.benchmark_group("16 replies");
    group.throughput(Throughput::Elements(COUNT));
    let mut out = Vec::with_capacity(4096);
    group.bench_function("lycosa", |b| {
        b.iter(|| {
            out.clear();
            for _ in 0..COUNT {
                Writer::new(&mut out, Version::Resp2).bulk(black_box(&value));
            }
        });
    });
    let mut buffer = vec![0; 4096];
    group.bench_function("redis-protocol", |b| {
        b.iter(|| {
            let mut start = 0;
            for _ in 0..COUNT {
                let frame = OwnedFrame::BulkString(black_box(&value).to_vec());
                start += encode(&mut buffer[start..], &frame, false).unwrap_or(0);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, requests, replies);
criterion_main!(benches);
