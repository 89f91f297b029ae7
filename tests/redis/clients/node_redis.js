// node-redis against the server at the port in the first argument, in both protocols.
const assert = require('assert');
const { createClient, WatchError } = require('redis');

async function run(RESP) {
  const options = { RESP, socket: { port: Number(process.argv[2]), host: '127.0.0.1' } };
  const client = await createClient(options).connect();
  await client.flushAll();
  assert.strictEqual(await client.set('a', '1', { EX: 100 }), 'OK');
  assert.strictEqual(await client.get('a'), '1');
  assert.strictEqual(await client.get('none'), null);
  assert.strictEqual(await client.incrBy('n', 41), 41);
  assert.deepStrictEqual(await client.mGet(['a', 'none']), ['1', null]);
  const replies = await Promise.all(Array.from({ length: 500 }, (_, i) => client.set(`k${i}`, `${i}`)));
  assert.ok(replies.every((reply) => reply === 'OK'));
  const found = new Set();
  for await (const keys of client.scanIterator({ MATCH: 'k*', COUNT: 10 })) {
    for (const key of [keys].flat()) found.add(key);
  }
  assert.strictEqual(found.size, 500);
  assert.deepStrictEqual(await client.multi().set('m', 'v').get('m').exec(), ['OK', 'v']);
  await client.watch('a');
  await client.sendCommand(['SET', 'a', '2']);
  await assert.rejects(client.multi().set('a', '3').exec(), WatchError);
  assert.strictEqual(await client.sendCommand(['FCALL', 'CACHE:Get', '0', 'a']), '2');
  assert.strictEqual(Object.entries(await client.configGet('maxmemory-policy'))[0][1], 'noeviction');
  await client.close();
}

run(2).then(() => run(3)).catch((error) => { console.error(error); process.exit(1); });
