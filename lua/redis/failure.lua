-- failure: the error replies that many commands share. Raise one with `error(failure.syntax)`,
-- or return it.

local resp = require('resp')

return {
    syntax = resp.error('ERR syntax error'),
    wrong_type = resp.error('WRONGTYPE Operation against a key holding the wrong kind of value'),
    not_integer = resp.error('ERR value is not an integer or out of range'),
    int_range = resp.error('ERR value is out of range, value must between -2147483648 and 2147483647'),
    not_float = resp.error('ERR value is not a valid float'),
    no_key = resp.error('ERR no such key'),
    same_object = resp.error('ERR source and destination objects are the same'),
    db_range = resp.error('ERR DB index is out of range'),
    too_large = resp.error('ERR string exceeds maximum allowed size (memtx.max_tuple_size)'),
    too_long = resp.error('ERR string exceeds maximum allowed size (proto-max-bulk-len)'),
    too_many = resp.error('ERR too many arguments'),
    no_auth = resp.error('NOAUTH Authentication required.'),
    no_access = resp.error('NOPERM this user has no permissions'),
}
