// The Node client `tarantool-driver`: schema, data, calls, errors, rights.
const assert = require('assert');
const Tarantool = require('tarantool-driver');

async function fails(expected, promise) {
    await assert.rejects(promise, (error) => error.message.includes(expected) ||
        assert.fail(error.message));
}

async function main() {
    const port = Number(process.argv[2]);
    const client = new Tarantool({ host: '127.0.0.1', port, username: 'alice', password: 'secret',
        lazyConnect: true });
    await client.connect();
    assert.ok(await client.ping());
    assert.deepStrictEqual(await client.insert('test', [1, 'a']), [[1, 'a']]);
    assert.deepStrictEqual(await client.replace('test', [2, 'b']), [[2, 'b']]);
    assert.deepStrictEqual(await client.select('test', 'primary', 10, 0, 'eq', [1]), [[1, 'a']]);
    assert.deepStrictEqual(await client.select('test', 'text', 10, 0, 'eq', ['b']), [[2, 'b']]);
    assert.deepStrictEqual(await client.update('test', 'primary', [1], [['=', 1, 'c']]),
        [[1, 'c']]);
    await client.upsert('test', [['=', 1, 'y']], [3, 'x']);
    await client.upsert('test', [['=', 1, 'y']], [3, 'x']);
    assert.deepStrictEqual(await client.delete('test', 'primary', [3]), [[3, 'y']]);
    // It calls in the manner of 1.6, where each result is a tuple.
    assert.deepStrictEqual(await client.call('add', 1, 2), [[3]]);
    assert.deepStrictEqual(await client.eval('return ...', 1, 'x'), [1, 'x']);
    await fails('Duplicate key exists', client.insert('test', [1, 'a']));
    await fails('failed', client.call('fail'));
    await fails('is not defined', client.call('nothing'));
    const values = await Promise.all(
        Array.from({ length: 200 }, (_, i) => client.call('echo', i)));
    assert.deepStrictEqual(values.map((value) => value[0][0]), Array.from(values.keys()));
    client.disconnect();

    const wrong = new Tarantool({
        host: '127.0.0.1', port, username: 'alice', password: 'wrong', lazyConnect: true,
        retryStrategy: null,
    });
    wrong.on('error', () => {});
    await assert.rejects(wrong.connect());
    console.log('done');
    process.exit(0);
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
