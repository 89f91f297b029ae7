"""The Python client `asynctnt`: schema, data, calls, errors, streams, many requests at a time."""

import asyncio
import sys

import asynctnt
from asynctnt.exceptions import TarantoolDatabaseError

port = int(sys.argv[1])


async def fails(expected, awaitable):
    try:
        await awaitable
    except TarantoolDatabaseError as error:
        assert expected in error.message, error.message
        return error
    raise AssertionError(f"expected the error {expected}")


async def main():
    connection = asynctnt.Connection(
        host="127.0.0.1", port=port, username="alice", password="secret", reconnect_timeout=0.01
    )
    await connection.connect()
    assert connection.features.streams
    row = (await connection.insert("test", [1, "a"])).body[0]
    assert row["text"] == "a", row
    await connection.replace("test", {"id": 2, "text": "b"})
    assert [row["id"] for row in (await connection.select("test")).body] == [1, 2]
    await connection.update("test", [1], [("=", "text", "c")])
    await connection.upsert("test", [3, "x"], [("=", 1, "y")])
    assert (await connection.select("test", ["c"], index="text")).body[0]["id"] == 1
    assert (await connection.delete("test", [3])).body[0]["id"] == 3
    error = await fails("Duplicate key exists", connection.insert("test", [1]))
    assert error.code == 3
    assert (await connection.call("add", [1, 2])).body == [3]
    assert (await connection.eval("return ...", [1, {"a": 2}])).body == [1, {"a": 2}]
    error = await fails("failed", connection.call("fail"))
    assert error.code == 1234

    # Requests in flight at the same time, in whatever order they are answered.
    slow = asyncio.ensure_future(connection.call("wait_for", ["async"]))
    values = await asyncio.gather(*(connection.call("echo", [i]) for i in range(500)))
    assert [value.body[0] for value in values] == list(range(500))
    await connection.call("open", ["async"])
    assert (await slow).body == ["async"]

    stream = connection.stream()
    await stream.begin()
    assert (await stream.select("test", [1])).body[0]["id"] == 1
    await stream.commit()
    await stream.begin()
    await stream.insert("test", [50])
    # Without the MVCC engine nobody may see what is not committed.
    assert list((await connection.select("test", [50])).body) == []
    await fails("aborted by a fiber yield", stream.commit())
    await stream.begin()
    await stream.insert("test", [51])
    await stream.rollback()
    assert list((await connection.select("test", [51])).body) == []
    await stream.insert("test", [52])
    assert len((await connection.select("test", [52])).body) == 1

    # Pages.
    for i in range(60, 65):
        await connection.insert("test", [i])
    seen, options = [], {}
    while True:
        reply = await connection.select("test", [60], iterator="GE", limit=2)
        break
    assert [row["id"] for row in reply.body] == [60, 61]

    iterator = connection.push_iterator if hasattr(connection, "push_iterator") else None
    future = connection.call("push", [3], push_subscribe=True)
    iterator = asynctnt.PushIterator(future)
    pushed = [value async for value in iterator]
    assert pushed == [[[1]], [[2]], [[3]]], pushed
    await future

    await connection.disconnect()
    await connection.connect()
    assert (await connection.call("whoami")).body[0] == "alice"
    await connection.disconnect()


asyncio.run(main())
print("done")
