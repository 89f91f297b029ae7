// ioredis against the server at the port in the first argument.
const assert = require('assert');
const Redis = require('ioredis');

async function main() {
  const redis = new Redis(Number(process.argv[2]), '127.0.0.1');
  await redis.flushall();
  assert.strictEqual(await redis.set('a', '1'), 'OK');
  assert.strictEqual(await redis.get('a'), '1');
  assert.strictEqual(await redis.set('a', '2', 'NX'), null);
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  await redis.set('bytes', bytes);
  assert.deepStrictEqual(await redis.getBuffer('bytes'), bytes);
  assert.deepStrictEqual(await redis.mget('a', 'none'), ['1', null]);
  await redis.set('ttl', 'x', 'EX', 100);
  assert.ok((await redis.ttl('ttl')) > 0);
  const piped = await redis.pipeline().incr('n').incr('n').get('n').exec();
  assert.deepStrictEqual(piped, [[null, 1], [null, 2], [null, '2']]);
  const multi = await redis.multi().set('m', 'v').get('m').exec();
  assert.deepStrictEqual(multi, [[null, 'OK'], [null, 'v']]);
  const found = [];
  for await (const keys of redis.scanStream({ match: '*', count: 1 })) found.push(...keys);
  assert.deepStrictEqual(found.sort(), ['a', 'bytes', 'm', 'n', 'ttl']);
  await assert.rejects(redis.call('NOTHING'), /unknown command/);
  assert.strictEqual(await redis.call('FCALL', 'CACHE:Get', '0', 'a'), '1');
  assert.match(await redis.info(), /redis_version:7\.4/);
  await redis.select(3);
  assert.strictEqual(await redis.get('a'), null);
  assert.strictEqual(await redis.quit(), 'OK');
}

main().catch((error) => { console.error(error); process.exit(1); });
