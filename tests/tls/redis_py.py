"""redis-py over TLS, with a certificate of its own: small and large values, pipelines, both ways."""

import sys

import redis

client = redis.Redis(
    host="localhost", port=int(sys.argv[1]), ssl=True, ssl_ca_certs="ca.crt",
    ssl_certfile="client.crt", ssl_keyfile="client.key", socket_timeout=60,
)
assert client.set("key", "value")
assert client.get("key") == b"value"
large = bytes(range(256)) * 20_000
assert client.set("large", large)
assert client.get("large") == large
pipe = client.pipeline(transaction=False)
for number in range(2000):
    pipe.set(f"k{number}", "x" * 500)
    pipe.get(f"k{number}")
replies = pipe.execute()
assert replies == [True, b"x" * 500] * 2000
try:
    redis.Redis(host="localhost", port=int(sys.argv[1]), ssl=True, ssl_ca_certs="ca.crt").ping()
except redis.exceptions.ConnectionError:
    pass
else:
    raise AssertionError("a client without a certificate was let in")
