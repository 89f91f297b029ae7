"""redis-py against the server at the port in the first argument: both protocols, pipelines,
transactions, scanning, expiry, pools."""

import sys
import threading

import redis

port = int(sys.argv[1])
for protocol in (2, 3):
    client = redis.Redis(port=port, protocol=protocol)
    assert client.flushall()
    assert client.ping() is True
    value = bytes(range(256))
    assert client.set(b"k\x00\xff", value) is True
    assert client.get(b"k\x00\xff") == value
    assert client.set("n", 1, nx=True, ex=100) is True
    assert client.set("n", 2, nx=True) is None
    assert 0 < client.ttl("n") <= 100
    assert client.incrby("n", 41) == 42
    assert client.incrbyfloat("f", 0.1) == 0.1
    assert client.mset({"a": 1, "b": 2}) is True
    assert client.mget(["a", "missing", "b"]) == [b"1", None, b"2"]
    assert client.getrange("a", 0, -1) == b"1"
    assert client.expire("a", 50, gt=True) is False
    assert client.expire("a", 50) is True
    assert client.persist("a") is True
    assert client.setbit("bits", 7, 1) == 0 and client.bitcount("bits") == 1
    assert client.exists("a", "b", "c") == 2
    assert client.type("a") == b"string"
    assert client.rename("a", "c") is True
    assert sorted(client.scan_iter(match="[bc]", count=1)) == [b"b", b"c"]
    with client.pipeline(transaction=False) as pipe:
        for i in range(1000):
            pipe.set(f"p{i}", i).get(f"p{i}")
        replies = pipe.execute()
    assert replies[1::2] == [str(i).encode() for i in range(1000)]
    with client.pipeline() as pipe:
        pipe.watch("b")
        client.set("b", 3)
        pipe.multi()
        pipe.set("b", 4)
        try:
            pipe.execute()
            raise AssertionError("the watched key has changed")
        except redis.WatchError:
            pass
    assert client.get("b") == b"3"

    def add(pipe):
        current = int(pipe.get("counter") or 0)
        pipe.multi()
        pipe.set("counter", current + 1)

    threads = [threading.Thread(target=client.transaction, args=(add, "counter"))
               for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.get("counter") == b"8"
    assert client.object("encoding", "b") == "int" or client.object("encoding", "b") == b"int"
    assert client.lcs("b", "b") == b"3"
    assert client.info("server")["redis_mode"] == "standalone"
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert client.client_setname("me") and client.client_getname() in ("me", b"me")
    assert any(line["name"] == "me" for line in client.client_list())
    assert client.client_id() > 0
    assert "get" in client.command()
    assert client.time()[0] > 0
    assert client.execute_command("FCALL", "CACHE:Set", 0, "x", "[1,2]") in (1, True)
    assert client.fcall("CACHE:Get", 0, "x") == [1, 2]
    try:
        client.execute_command("GET")
        raise AssertionError("GET needs a key")
    except redis.ResponseError as error:
        assert str(error) == "wrong number of arguments for 'get' command"
    client.close()
print("ok")
