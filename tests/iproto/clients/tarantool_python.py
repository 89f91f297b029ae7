"""The Python client `tarantool`: schema, data, calls, errors, rights, reconnect."""

import sys

import tarantool

port = int(sys.argv[1])


def fails(expected, run, *arguments):
    try:
        run(*arguments)
    except tarantool.DatabaseError as error:
        assert expected in str(error), str(error)
        return error
    raise AssertionError(f"expected the error {expected}")


connection = tarantool.Connection("127.0.0.1", port)
assert connection.ping() > 0
space = connection.space("test")
assert space.insert((1, "a"))[0] == [1, "a"]
assert space.replace((2, "b", [1, {"k": None}]))[0] == [2, "b", [1, {"k": None}]]
assert space.select(1)[0] == [1, "a"]
assert len(space.select()) == 2
assert space.select("b", index="text")[0][0] == 2
assert space.select((), iterator=tarantool.const.ITERATOR_GE, limit=1, offset=1)[0][0] == 2
assert space.update(1, [("=", 1, "c")])[0] == [1, "c"]
space.upsert((3, "x"), [("=", 1, "y")])
space.upsert((3, "x"), [("=", 1, "y")])
assert space.select(3)[0] == [3, "y"]
assert space.delete(3)[0] == [3, "y"]
assert list(space.select(3)) == []
error = fails("Duplicate key exists", space.insert, (1, "a"))
assert error.args[0] == 3, error.args
assert list(connection.call("add", 1, 2)) == [3]
assert list(connection.eval("return ...", 1, "x", None)) == [1, "x", None]
assert fails("failed", connection.call, "fail").args[0] == 1234
fails("is not defined", connection.call, "nothing")
pushed = []
assert list(connection.call("push", 2, on_push=lambda value, _: pushed.append(value))) == [2]
assert [value[0] for value in pushed] == [[1], [2]], pushed
fails("denied", connection.call, "box.cfg")

alice = tarantool.Connection("127.0.0.1", port, user="alice", password="secret")
assert list(alice.call("whoami"))[:2] == ["alice", "binary"]
assert list(alice.call("stored", 4)) == [8]
# Extensions: decimal, uuid, datetime come and go.
import decimal
import uuid

value = decimal.Decimal("1.50")
assert list(alice.call("echo", value)) == [value]
name = uuid.uuid4()
assert list(alice.call("echo", name)) == [name]
moment = tarantool.Datetime(year=2024, month=2, day=29, hour=13)
assert list(alice.call("echo", moment)) == [moment]
try:
    tarantool.Connection("127.0.0.1", port, user="alice", password="wrong")
    raise AssertionError("a wrong password was accepted")
except tarantool.DatabaseError as error:
    assert "supplied credentials are invalid" in str(error)

# An error object among the results of a call is an extension for clients that know it.
returned = alice.call("stored_error")[0]
assert returned.message == "as a value", returned

alice.close()
assert list(alice.call("whoami"))[0] == "alice"  # It connects again by itself.
print("done")
