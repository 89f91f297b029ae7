"""The Python client `tarantool` over TLS, with a certificate of its own."""

import sys

import tarantool

port = int(sys.argv[1])
FILES = {"ssl_key_file": "client.key", "ssl_cert_file": "client.crt", "ssl_ca_file": "ca.crt"}


def connect(**options):
    return tarantool.Connection(
        "127.0.0.1", port, user="alice", password="secret", transport="ssl", **options
    )


connection = connect(**FILES)
assert connection.ping() > 0
assert list(connection.eval("return box.session.user()")) == ["alice"]
text = "x" * 10_000_000
assert connection.eval("return #..., ...", text)[1] == text
try:
    connect(ssl_ca_file="ca.crt").ping()
except tarantool.Error:
    pass
else:
    raise AssertionError("a client without a certificate was let in")
try:
    connection.eval("os.exit(0)")
except tarantool.Error:
    pass
