-- facts: what is known about each command: COMMAND tells it to clients, and the number of
-- arguments is checked by it.
--
-- {arity, flags, first key, last key, step, group, since, what it does, its arguments}. The arity
-- counts the name; a negative one is a minimum. A command without a row here takes any arguments.
-- syntax.lua says how arguments are written; they are for people: clients show them as hints.

local M = {}

M.commands = {
    -- connection
    HELLO = {-1, 'noscript loading stale fast no_auth allow_busy', 0, 0, 0, 'connection', '6.0.0',
        'Chooses the protocol version, authenticates and names the connection.',
        '[arguments: protover [AUTH (username_password: username password)] [SETNAME clientname]]'},
    AUTH = {-2, 'noscript loading stale fast no_auth allow_busy', 0, 0, 0, 'connection', '1.0.0',
        'Authenticates the connection.',
        '[username] password'},
    PING = {-1, 'fast', 0, 0, 0, 'connection', '1.0.0',
        'Answers PONG, or its argument.',
        '[message]'},
    ECHO = {2, 'loading stale fast', 0, 0, 0, 'connection', '1.0.0',
        'Answers its argument.',
        'message'},
    SELECT = {2, 'loading stale fast', 0, 0, 0, 'connection', '1.0.0',
        'Chooses the database of the connection.',
        'index'},
    QUIT = {-1, 'noscript loading stale fast no_auth allow_busy', 0, 0, 0, 'connection', '1.0.0',
        'Closes the connection.'},
    RESET = {1, 'noscript loading stale fast no_auth allow_busy', 0, 0, 0, 'connection', '6.2.0',
        'Puts the connection back into its first state.'},
    CLIENT = {-2, '', 0, 0, 0, 'connection', '2.4.0',
        'Commands about connections.'},

    -- server
    COMMAND = {-1, 'loading stale', 0, 0, 0, 'server', '2.8.13',
        'Facts about the commands.'},
    INFO = {-1, 'loading stale', 0, 0, 0, 'server', '1.0.0',
        'Facts and counters of the server.',
        '[section...]'},
    CONFIG = {-2, '', 0, 0, 0, 'server', '2.0.0',
        'Commands about the configuration.'},
    DBSIZE = {1, 'readonly fast', 0, 0, 0, 'server', '1.0.0',
        'The number of keys of the database.'},
    FLUSHDB = {-1, 'write', 0, 0, 0, 'server', '1.0.0',
        'Deletes all keys of the database.',
        '[flush-type: ASYNC|SYNC]'},
    FLUSHALL = {-1, 'write', 0, 0, 0, 'server', '1.0.0',
        'Deletes all keys of all databases.',
        '[flush-type: ASYNC|SYNC]'},
    SHUTDOWN = {-1, 'admin noscript loading stale no_multi allow_busy', 0, 0, 0, 'server', '1.0.0',
        'Stops the server.',
        '[save-selector: NOSAVE|SAVE] [NOW] [FORCE] [ABORT]'},
    TIME = {1, 'loading stale fast', 0, 0, 0, 'server', '2.6.0',
        'The time of the server.'},
    SWAPDB = {3, 'write fast', 0, 0, 0, 'server', '4.0.0',
        'Exchanges two databases.',
        'index1 index2'},
    DEBUG = {-2, 'admin noscript loading stale', 0, 0, 0, 'server', '1.0.0',
        'Commands for tests.',
        '(subcommand: SLEEP seconds|HELP)'},
    SAVE = {1, 'admin noscript no_async_loading no_multi', 0, 0, 0, 'server', '1.0.0',
        'Writes a snapshot and waits for it.'},
    BGSAVE = {-1, 'admin noscript no_async_loading', 0, 0, 0, 'server', '1.0.0',
        'Writes a snapshot in the background.',
        '[SCHEDULE]'},
    LASTSAVE = {1, 'loading stale fast', 0, 0, 0, 'server', '1.0.0',
        'When the last snapshot was written.'},
    MEMORY = {-2, '', 0, 0, 0, 'server', '4.0.0',
        'Commands about memory.'},
    SLOWLOG = {-2, '', 0, 0, 0, 'server', '2.2.12',
        'Commands about slow commands.'},

    -- generic
    OBJECT = {-2, '', 0, 0, 0, 'generic', '2.2.3',
        'Facts about values.'},
    WAIT = {3, 'noscript', 0, 0, 0, 'generic', '3.0.0',
        'Waits until replicas have the writes of the connection.',
        'numreplicas timeout'},

    -- string
    GET = {2, 'readonly fast', 1, 1, 1, 'string', '1.0.0',
        'The string value of a key.',
        'key'},
    SET = {-3, 'write denyoom', 1, 1, 1, 'string', '1.0.0',
        'Sets a key to a string.',
        'key value [condition: NX|XX] [GET] '
            .. '[expiration: EX seconds|PX milliseconds|EXAT unix-time-seconds|'
            .. 'PXAT unix-time-milliseconds|KEEPTTL]'},
    SETEX = {4, 'write denyoom', 1, 1, 1, 'string', '2.0.0',
        'Sets a key with a time to live in seconds.',
        'key seconds value'},
    PSETEX = {4, 'write denyoom', 1, 1, 1, 'string', '2.6.0',
        'Sets a key with a time to live in milliseconds.',
        'key milliseconds value'},
    SETNX = {3, 'write denyoom fast', 1, 1, 1, 'string', '1.0.0',
        'Sets a key if it is missing.',
        'key value'},
    GETSET = {3, 'write denyoom fast', 1, 1, 1, 'string', '1.0.0',
        'Sets a key and answers its old value.',
        'key value'},
    GETDEL = {2, 'write fast', 1, 1, 1, 'string', '6.2.0',
        'Deletes a key and answers its value.',
        'key'},
    GETEX = {-2, 'write fast', 1, 1, 1, 'string', '6.2.0',
        'The value of a key, with a new time to live.',
        'key [expiration: EX seconds|PX milliseconds|EXAT unix-time-seconds|'
            .. 'PXAT unix-time-milliseconds|PERSIST]'},
    MGET = {-2, 'readonly fast', 1, -1, 1, 'string', '1.0.0',
        'The values of several keys.',
        'key...'},
    MSET = {-3, 'write denyoom', 1, -1, 2, 'string', '1.0.1',
        'Sets several keys.',
        '(data: key value)...'},
    MSETNX = {-3, 'write denyoom', 1, -1, 2, 'string', '1.0.1',
        'Sets several keys if none of them exists.',
        '(data: key value)...'},
    APPEND = {3, 'write denyoom fast', 1, 1, 1, 'string', '2.0.0',
        'Appends to the value of a key.',
        'key value'},
    STRLEN = {2, 'readonly fast', 1, 1, 1, 'string', '2.2.0',
        'The length of the value of a key.',
        'key'},
    INCR = {2, 'write denyoom fast', 1, 1, 1, 'string', '1.0.0',
        'Adds one to the number of a key.',
        'key'},
    DECR = {2, 'write denyoom fast', 1, 1, 1, 'string', '1.0.0',
        'Takes one from the number of a key.',
        'key'},
    INCRBY = {3, 'write denyoom fast', 1, 1, 1, 'string', '1.0.0',
        'Adds to the number of a key.',
        'key increment'},
    DECRBY = {3, 'write denyoom fast', 1, 1, 1, 'string', '1.0.0',
        'Takes from the number of a key.',
        'key decrement'},
    INCRBYFLOAT = {3, 'write denyoom fast', 1, 1, 1, 'string', '2.6.0',
        'Adds a fraction to the number of a key.',
        'key increment<double>'},
    SETRANGE = {4, 'write denyoom', 1, 1, 1, 'string', '2.2.0',
        'Overwrites a part of the value of a key.',
        'key offset value'},
    GETRANGE = {4, 'readonly', 1, 1, 1, 'string', '2.4.0',
        'A part of the value of a key.',
        'key start end'},
    SUBSTR = {4, 'readonly', 1, 1, 1, 'string', '1.0.0',
        'An old name of GETRANGE.',
        'key start end'},
    LCS = {-3, 'readonly', 1, 2, 1, 'string', '7.0.0',
        'The longest common subsequence of two values.',
        'key1 key2 [LEN] [IDX] [MINMATCHLEN len<integer>] [WITHMATCHLEN]'},

    -- bitmap
    SETBIT = {4, 'write denyoom', 1, 1, 1, 'bitmap', '2.2.0',
        'Sets one bit of a value.',
        'key offset value<integer>'},
    GETBIT = {3, 'readonly fast', 1, 1, 1, 'bitmap', '2.2.0',
        'One bit of a value.',
        'key offset'},
    BITCOUNT = {-2, 'readonly', 1, 1, 1, 'bitmap', '2.6.0',
        'Counts the bits that are set.',
        'key [range: start end [unit: BYTE|BIT]]'},
    BITPOS = {-3, 'readonly', 1, 1, 1, 'bitmap', '2.8.7',
        'The place of the first bit that is set, or not set.',
        'key bit [range: start [end-unit-block: end [unit: BYTE|BIT]]]'},
    BITOP = {-4, 'write denyoom', 2, -1, 1, 'bitmap', '2.6.0',
        'Combines values bit by bit.',
        '(operation: AND|OR|XOR|NOT) destkey key...'},

    -- generic
    DEL = {-2, 'write', 1, -1, 1, 'generic', '1.0.0',
        'Deletes keys.',
        'key...'},
    UNLINK = {-2, 'write fast', 1, -1, 1, 'generic', '4.0.0',
        'Deletes keys.',
        'key...'},
    EXISTS = {-2, 'readonly fast', 1, -1, 1, 'generic', '1.0.0',
        'Counts which of the keys exist.',
        'key...'},
    TYPE = {2, 'readonly fast', 1, 1, 1, 'generic', '1.0.0',
        'The type of the value of a key.',
        'key'},
    KEYS = {2, 'readonly', 0, 0, 0, 'generic', '1.0.0',
        'All keys that match a pattern.',
        'pattern'},
    SCAN = {-2, 'readonly', 0, 0, 0, 'generic', '2.8.0',
        'Iterates over the keys, some at a time.',
        'cursor [MATCH pattern] [COUNT count] [TYPE type]'},
    EXPIRE = {-3, 'write fast', 1, 1, 1, 'generic', '1.0.0',
        'Sets the time to live of a key in seconds.',
        'key seconds [condition: NX|XX|GT|LT]'},
    PEXPIRE = {-3, 'write fast', 1, 1, 1, 'generic', '2.6.0',
        'Sets the time to live of a key in milliseconds.',
        'key milliseconds [condition: NX|XX|GT|LT]'},
    EXPIREAT = {-3, 'write fast', 1, 1, 1, 'generic', '1.2.0',
        'Sets when a key expires, in seconds.',
        'key unix-time-seconds [condition: NX|XX|GT|LT]'},
    PEXPIREAT = {-3, 'write fast', 1, 1, 1, 'generic', '2.6.0',
        'Sets when a key expires, in milliseconds.',
        'key unix-time-milliseconds [condition: NX|XX|GT|LT]'},
    TTL = {2, 'readonly fast', 1, 1, 1, 'generic', '1.0.0',
        'The time to live of a key in seconds.',
        'key'},
    PTTL = {2, 'readonly fast', 1, 1, 1, 'generic', '2.6.0',
        'The time to live of a key in milliseconds.',
        'key'},
    EXPIRETIME = {2, 'readonly fast', 1, 1, 1, 'generic', '7.0.0',
        'When a key expires, in seconds.',
        'key'},
    PEXPIRETIME = {2, 'readonly fast', 1, 1, 1, 'generic', '7.0.0',
        'When a key expires, in milliseconds.',
        'key'},
    PERSIST = {2, 'write fast', 1, 1, 1, 'generic', '2.2.0',
        'Makes a key live for ever.',
        'key'},
    RENAME = {3, 'write', 1, 2, 1, 'generic', '1.0.0',
        'Renames a key.',
        'key newkey'},
    RENAMENX = {3, 'write fast', 1, 2, 1, 'generic', '1.0.0',
        'Renames a key if the new name is free.',
        'key newkey'},
    RANDOMKEY = {1, 'readonly', 0, 0, 0, 'generic', '1.0.0',
        'Some key.'},
    TOUCH = {-2, 'readonly fast', 1, -1, 1, 'generic', '3.2.1',
        'Counts which of the keys exist.',
        'key...'},
    COPY = {-3, 'write denyoom', 1, 2, 1, 'generic', '6.2.0',
        'Copies a key.',
        'source destination [DB destination-db] [REPLACE]'},
    MOVE = {3, 'write fast', 1, 1, 1, 'generic', '1.0.0',
        'Moves a key to another database.',
        'key db'},

    -- transactions
    MULTI = {1, 'noscript loading stale fast allow_busy', 0, 0, 0, 'transactions', '1.2.0',
        'Starts a transaction.'},
    EXEC = {1, 'noscript loading stale skip_slowlog', 0, 0, 0, 'transactions', '1.2.0',
        'Executes a transaction.'},
    DISCARD = {1, 'noscript loading stale fast allow_busy', 0, 0, 0, 'transactions', '2.0.0',
        'Forgets a transaction.'},
    WATCH = {-2, 'noscript loading stale fast allow_busy', 1, -1, 1, 'transactions', '2.2.0',
        'Makes the next transaction fail if one of the keys changes.',
        'key...'},
    UNWATCH = {1, 'noscript loading stale fast allow_busy', 0, 0, 0, 'transactions', '2.2.0',
        'Forgets the watched keys.'},

    -- scripting
    FCALL = {-3, 'noscript stale skip_monitor no_mandatory_keys movablekeys', 0, 0, 0, 'scripting', '7.0.0',
        'Calls an exported function or method.',
        'function numkeys [key...] [arg...]'},
    FCALL_RO = {-3, 'readonly noscript stale skip_monitor no_mandatory_keys movablekeys', 0, 0, 0, 'scripting', '7.0.0',
        'Calls an exported function or method that only reads.',
        'function numkeys [key...] [arg...]'},
}

-- Of each command with subcommands: {arity, flags, arguments}; the arity counts both names.
M.subcommands = {
    CLIENT = {
        SETINFO = {4, 'noscript loading stale', '(attr: LIB-NAME libname|LIB-VER libver)'},
        SETNAME = {3, 'noscript loading stale', 'connection-name'},
        GETNAME = {2, 'noscript loading stale'},
        ID = {2, 'noscript loading stale'},
        INFO = {2, 'noscript loading stale'},
        LIST = {-2, 'admin noscript loading stale',
            '[TYPE (client-type: NORMAL|MASTER|REPLICA|PUBSUB)] [ID client-id...]'},
        KILL = {-3, 'admin noscript loading stale',
            '(filter: ip:port|(new-format: [ID client-id]|'
                .. '[TYPE (client-type: NORMAL|MASTER|SLAVE|REPLICA|PUBSUB)]|[USER username]|'
                .. '[ADDR ip:port]|[LADDR ip:port]|[SKIPME (skipme: YES|NO)]|[MAXAGE maxage])...)'},
        ['NO-EVICT'] = {3, 'admin noscript loading stale', '(enabled: ON|OFF)'},
        ['NO-TOUCH'] = {3, 'noscript loading stale', '(enabled: ON|OFF)'},
        REPLY = {3, 'noscript loading stale', '(action: ON|OFF|SKIP)'},
        UNPAUSE = {2, 'admin noscript loading stale'},
        PAUSE = {-3, 'admin noscript loading stale', 'timeout [mode: WRITE|ALL]'},
        HELP = {2, 'loading stale'},
    },
    COMMAND = {
        COUNT = {2, 'loading stale'},
        LIST = {-2, 'loading stale',
            '[FILTERBY (filterby: MODULE module-name|ACLCAT category|PATTERN pattern)]'},
        INFO = {-2, 'loading stale', '[command-name...]'},
        DOCS = {-2, 'loading stale', '[command-name...]'},
        HELP = {2, 'loading stale'},
    },
    CONFIG = {
        GET = {-3, 'admin noscript loading stale', 'parameter...'},
        SET = {-4, 'admin noscript loading stale', '(data: parameter value)...'},
        RESETSTAT = {2, 'admin noscript loading stale'},
        HELP = {2, 'loading stale'},
    },
    MEMORY = {
        USAGE = {-3, 'readonly', 'key [SAMPLES count]'},
        HELP = {2, 'loading stale'},
    },
    SLOWLOG = {
        GET = {-2, 'admin loading stale', '[count]'},
        LEN = {2, 'admin loading stale'},
        RESET = {2, 'admin loading stale'},
        HELP = {2, 'loading stale'},
    },
    OBJECT = {
        ENCODING = {3, 'readonly', 'key'},
        IDLETIME = {3, 'readonly', 'key'},
        FREQ = {3, 'readonly', 'key'},
        REFCOUNT = {3, 'readonly', 'key'},
        HELP = {2, 'loading stale'},
    },
}

-- The arities alone, for the server, which checks them before it calls a command.
M.arities = {}
for name, row in pairs(M.commands) do
    M.arities[name] = row[1]
end

-- The arity of a subcommand, nil if it is not known.
function M.arity_of_subcommand(name, subcommand)
    local row = (M.subcommands[name] or {})[subcommand]
    return row ~= nil and row[1] or nil
end

-- Whether a command, or a subcommand of it, has a flag.
function M.has_flag(name, flag, subcommand)
    local row
    if subcommand ~= nil then
        row = (M.subcommands[name] or {})[subcommand]
    else
        row = M.commands[name]
    end
    return row ~= nil and (' ' .. row[2] .. ' '):find(' ' .. flag .. ' ', 1, true) ~= nil
end

return M
