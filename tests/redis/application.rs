//! What is ours: FCALL, CACHE and SESSIONS, scanning, expiry, reloading.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::server::Server;

#[test]
fn fcall_reaches_what_is_exported() {
    let server = Server::start();
    let mut client = server.connect();
    let call = |client: &mut crate::server::Connection, words: &[&str]| client.call(words);
    let set = ["FCALL", "CACHE:Set", "0", "\"key\"", "\"value\"", "60"];
    assert_eq!(call(&mut client, &set), ":1");
    assert_eq!(client.command("GET key"), "\"value\"");
    assert_eq!(client.command("TTL key"), ":60");
    assert_eq!(client.command("FCALL_RO CACHE:Get 0 key"), "\"value\"");
    assert_eq!(client.command("FCALL CACHE:Get 1 routed key"), "\"value\"");
    assert_eq!(client.command("FCALL CACHE:Add 0 key other"), ":0");
    assert_eq!(client.command("FCALL CACHE:Update 0 missing x"), ":0");
    assert_eq!(call(&mut client, &["FCALL", "CACHE:Set", "0", "t", "{\"a\":[1,2]}"]), ":1");
    assert_eq!(client.command("FCALL CACHE:Get 0 t"), "[\"a\", [:1, :2]]");
    assert_eq!(client.command("GET t"), "\"{\\\"a\\\":[1,2]}\"");
    assert_eq!(client.command("FCALL CACHE:GetList 0 [\"key\",\"none\"]"), "[\"value\", nil]");
    assert_eq!(client.command("FCALL CACHE:Delete 0 key"), ":1");
    assert_eq!(client.command("FCALL SESSIONS:Add 0 s1 {\"user\":1} 60"), ":1");
    assert_eq!(client.command("FCALL SESSIONS:Add 0 s1 {\"user\":2} 60"), ":0");
    assert_eq!(client.command("FCALL SESSIONS:Touch 0 s1"), ":1");
    assert_eq!(client.command("FCALL SESSIONS:Get 0 s1"), "[\"user\", :1]");
    assert_eq!(client.command("FCALL SESSIONS:Delete 0 s1"), ":1");
    assert_eq!(
        client.command("FCALL_RO CACHE:Delete 0 t"),
        "-ERR Can not execute a script with write flag using *_ro command."
    );
    let many = "-ERR Number of keys can't be greater than number of args";
    assert_eq!(client.command("FCALL CACHE:Get 2 key"), many);
    assert_eq!(client.command("FCALL CACHE:Get -1 key"), "-ERR Number of keys can't be negative");
    assert_eq!(client.command("FCALL CACHE:Get x key"), "-ERR Bad number of keys provided");
}

#[test]
fn fcall_reaches_nothing_else() {
    let server = Server::start();
    let mut client = server.connect();
    for name in [
        "os.execute",
        "os:execute",
        "io:popen",
        "_G.os",
        "_G:print",
        "print",
        "loadstring",
        "dofile",
        "require",
        "export",
        "box:cfg",
        "box.cfg",
        "string:rep",
        "debug:getregistry",
        "CACHE",
        "CACHE:",
        ":Get",
        ":",
        "",
        "CACHE:GC",
        "CACHE:Init",
        "CACHE:ForkForTableSpace",
        "CACHE:__index",
        "CACHE:__gc",
        "CACHE:space_name",
        "CACHE:forks",
        "CACHE:Get:x",
        "CACHE.Get",
        "cache:get",
        "CACHE:stop_collector",
        "EXPORT:x",
        "package:loaded",
    ] {
        let reply = client.call(&["FCALL", name, "0", "ls"]);
        assert_eq!(reply, "-ERR Function not found", "{name}");
    }
}

#[test]
fn expired_keys_are_gone() {
    let server = Server::start();
    let mut client = server.connect();
    assert_eq!(client.command("SET a 1 PX 1"), "+OK");
    assert_eq!(client.command("SET b 1"), "+OK");
    while client.command("GET a") != "nil" {
        std::thread::yield_now();
    }
    for command in ["EXISTS a", "STRLEN a", "DEL a", "EXPIRE a 10"] {
        assert_eq!(client.command(command), ":0", "{command}");
    }
    assert_eq!(client.command("KEYS *"), "[\"b\"]");
    assert_eq!(client.command("RANDOMKEY"), "\"b\"");
    assert_eq!(client.command("FCALL CACHE:Get 0 a"), "nil");
    // The collector takes it away, and nothing else.
    while client.command("DBSIZE") != ":1" {
        std::thread::yield_now();
    }
}

/// Every key that is there during the whole scan is found, while others come and go.
#[test]
fn scan_finds_what_stays() {
    let server = Server::start();
    let mut client = server.connect();
    let stays: BTreeSet<String> = (0..500).map(|number| format!("stay:{number}")).collect();
    for key in &stays {
        client.command(&format!("SET {key} 1"));
    }
    let mut found = BTreeSet::new();
    let mut cursor = "0".to_owned();
    let mut round = 0;
    loop {
        let reply = client.command(&format!("SCAN {cursor} COUNT 7"));
        let (next, keys) = reply.trim_matches(['[', ']']).split_once(", [").expect("two parts");
        found.extend(keys.split(", ").map(|key| key.trim_matches('"').to_owned()));
        round += 1;
        client.command(&format!("SET a{round} 1"));
        client.command(&format!("SET stay:{round}x 1"));
        client.command(&format!("DEL stay:{}x", round - 1));
        cursor = next.trim_matches('"').to_owned();
        if cursor == "0" {
            break;
        }
        // Cursors that were never given out do not end the scan of others.
        client.command("SCAN 123456789");
    }
    assert!(stays.is_subset(&found), "lost: {:?}", stays.difference(&found).collect::<Vec<_>>());
}

#[test]
fn a_transaction_is_all_or_nothing_for_others() {
    let server = Server::start();
    let (mut first, mut second) = (server.connect(), server.connect());
    first.command("SET a 1");
    first.command("WATCH a");
    assert_eq!(second.command("FCALL CACHE:Set 0 a 2"), ":1");
    first.command("MULTI");
    first.command("SET a 3");
    assert_eq!(first.command("EXEC"), "nil-list");
    assert_eq!(first.command("GET a"), "\"2\"");
}

#[test]
fn the_emulation_serves_alone() {
    let server = Server::start_file("lua/init-redis-emu.lua", "", "");
    let mut client = server.connect();
    assert_eq!(client.command("SET a 1"), "+OK");
    assert_eq!(client.command("GET a"), "\"1\"");
    let not_found = "-ERR Function not found";
    assert_eq!(client.command("FCALL CACHE:Get 0 a"), not_found);
}

/// Adds a command to the running server's file, and returns the file's path and text.
fn add_command(server: &Server, command: &str) -> (PathBuf, String) {
    server.wait_for_log("take effect when they are saved");
    let path = server.folder.path().join("lua/init-redis-emu.lua");
    let old = std::fs::read_to_string(&path).expect("the file");
    let place = "local M = {commands = commands}";
    let new = old.replacen(place, &format!("{command}\n\n{place}"), 1);
    std::fs::write(&path, &new).expect("a saved file");
    server.wait_for_log("init-redis-emu.lua: reloaded");
    (path, new)
}

/// `resp.FIELD`, a tuple and the number of a field are the field's text, in a transaction as well.
#[test]
fn a_field_of_a_tuple_is_a_reply() {
    let server = Server::start();
    let mut client = server.connect();
    add_command(
        &server,
        "function commands.FIELD(_, number)
             return resp.FIELD, box.tuple.new({'first', 2, 'third'}), tonumber(number)
         end

         function commands.ALONE()
             return resp.FIELD, 'not a tuple', 1
         end",
    );
    assert_eq!(client.command("FIELD 1"), "\"first\"");
    assert_eq!(client.command("FIELD 3"), "\"third\"");
    let refusal = "-ERR resp.FIELD stands before a tuple and the number of a string field";
    for wrong in ["FIELD 2", "FIELD 4", "FIELD 0", "FIELD -1", "FIELD none", "ALONE"] {
        assert_eq!(client.command(wrong), refusal, "{wrong}");
    }
    client.command("MULTI");
    client.command("FIELD 3");
    client.command("GET none");
    assert_eq!(client.command("EXEC"), "[\"third\", nil]");
}

/// A variant for lent arguments is called with exactly so many, which are empty afterwards; in
/// every other case the handler gets strings.
#[test]
fn arguments_are_lent() {
    let server = Server::start();
    let mut client = server.connect();
    add_command(
        &server,
        "local kept
         local function kind_of(_, value, other)
             kept = value
             return ('%s %s %s'):format(type(value), tostring(value), tostring(other))
         end
         commands.KIND = resp.lend(function(_, ...)
             return type(...) .. ' of ' .. select('#', ...)
         end, kind_of)

         function commands.KEPT()
             return #kept .. ' ' .. tostring(kept) .. ' ' .. tostring(kept == '')
         end

         commands.FAIL = resp.lend(tostring, function(_, value) error(resp.error('ERR ' .. value)) end)

         function commands.EXCHANGE()
             commands.KIND = function(_, value) return 'new ' .. type(value) end
             return resp.OK
         end

         function commands.WRONG(_, what)
             local function fixed(client, a, b, c, d, e) return client, a, b, c, d, e end
             local variants = {none = nil, any = print, open = function(...) return ... end,
                 zero = function(client) return client end, five = fixed}
             local ok, problem = pcall(resp.lend, tostring, variants[what])
             return resp.error('ERR ' .. tostring(ok) .. ' ' .. problem:match('resp.lend.*'))
         end",
    );
    assert_eq!(client.command("KIND first second"), "\"cdata first second\"");
    assert_eq!(client.command("KEPT"), "\"0  true\"");
    assert_eq!(client.command("kind FIRST SECOND"), "\"cdata FIRST SECOND\"");
    assert_eq!(client.command("KIND first"), "\"string of 1\"");
    assert_eq!(client.command("KIND first second third"), "\"string of 3\"");
    assert_eq!(client.command("FAIL why"), "-ERR why");
    client.command("MULTI");
    client.command("KIND first second");
    assert_eq!(client.command("EXEC"), "[\"string of 2\"]");
    client.command("EXCHANGE");
    assert_eq!(client.command("KIND first second"), "\"new string\"");
    let refusal =
        "-ERR false resp.lend takes a handler and a function with a fixed number of parameters";
    for wrong in ["none", "any", "open"] {
        assert_eq!(client.command(&format!("WRONG {wrong}")), refusal, "{wrong}");
    }
    for wrong in ["zero", "five"] {
        let refusal = "-ERR false resp.lend: from 1 to 4 arguments can be lent";
        assert_eq!(client.command(&format!("WRONG {wrong}")), refusal, "{wrong}");
    }
}

/// Saving a file changes the running server and drops no connection.
#[test]
fn a_saved_file_is_loaded() {
    let server = Server::start();
    let mut client = server.connect();
    assert_eq!(client.command("SET a 1"), "+OK");
    let command = "function commands.GREET(_, name) return 'Hello, ' .. name end";
    let (path, new) = add_command(&server, command);
    assert_eq!(client.command("GREET you"), "\"Hello, you\"");
    assert_eq!(client.command("GET a"), "\"1\"");
    std::fs::write(&path, format!("{new}\nthis is not Lua")).expect("a saved file");
    let line = server.wait_for_log("not reloaded");
    let number = new.lines().count() + 2;
    assert!(line.contains(&format!("init-redis-emu.lua:{number}:")), "{line}");
    assert_eq!(client.command("GREET you"), "\"Hello, you\"");
}

/// A changed address is listened at, and connections stay; one that is taken is an alert.
#[test]
fn the_server_moves_to_another_address() {
    let server = Server::start();
    let mut client = server.connect();
    let port_of = |line: String| line.rsplit(':').next().and_then(|port| port.parse().ok());
    server.reconfigure(|text| text.replace("redis: {", "redis: {host: 127.0.0.2, "));
    let port: u16 = port_of(server.wait_for_log("Redis protocol on 127.0.0.2:")).expect("a port");
    let mut other = crate::server::Connection::to_address("127.0.0.2", port);
    assert_eq!(other.command("PING"), "+PONG");
    assert_eq!(client.command("CONFIG GET bind"), "[\"bind\", \"127.0.0.2\"]");
    assert!(std::net::TcpStream::connect(("127.0.0.1", server.port)).is_err());

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").port();
    server.reconfigure(|text| {
        text.replace("127.0.0.2", "127.0.0.1").replace("port: 0", &format!("port: {taken}"))
    });
    let alerts = server.evaluate("require('config'):info().alerts");
    let alert = format!("cannot listen on 127.0.0.1:{taken}, still on 127.0.0.2:{port}:");
    assert!(alerts.contains(&alert), "{alerts}");
    assert_eq!(other.command("PING"), "+PONG");
}

/// What CONFIG SET has changed outlives a saved file; CONFIG RESETSTAT sets all counters to zero.
#[test]
fn settings_and_counters_can_be_changed() {
    let server = Server::start();
    let mut client = server.connect();
    assert_eq!(client.command("CONFIG SET maxclients 77"), "+OK");
    add_command(&server, "");
    assert_eq!(client.command("CONFIG GET maxclients"), "[\"maxclients\", \"77\"]");
    for _ in 0..50 {
        client.command("GET a");
    }
    assert_eq!(client.command("CONFIG RESETSTAT"), "+OK");
    let info = client.command("INFO stats");
    for field in
        ["total_commands_processed:1\\r", "total_connections_received:0\\r", "keyspace_misses:0\\r"]
    {
        assert!(info.contains(field), "{field} in {info}");
    }
}

/// What redis-cli makes hints of, and cluster clients the keys; the structure is redis-server's.
#[test]
fn arguments_and_keys_of_commands_are_told() {
    let server = Server::start();
    let mut client = server.connect();
    let docs = client.command("COMMAND DOCS BITCOUNT");
    let unit = ["BYTE", "BIT"].map(|token| {
        let name = token.to_lowercase();
        format!("[\"name\", \"{name}\", \"type\", \"pure-token\", \"token\", \"{token}\"]")
    });
    let number = |name: &str| {
        format!("[\"name\", \"{name}\", \"type\", \"integer\", \"display_text\", \"{name}\"]")
    };
    let expected = format!(
        "\"arguments\", [[\"name\", \"key\", \"type\", \"key\", \"display_text\", \"key\", \
         \"key_spec_index\", :0], [\"name\", \"range\", \"type\", \"block\", \"flags\", [+optional], \
         \"arguments\", [{}, {}, [\"name\", \"unit\", \"type\", \"oneof\", \"flags\", [+optional], \
         \"arguments\", [{}]]]]]",
        number("start"),
        number("end"),
        unit.join(", ")
    );
    assert!(docs.contains(&expected), "{expected}\n{docs}");
    // Every command can be told.
    let docs = client.command("COMMAND DOCS");
    assert!(docs.starts_with('[') && docs.contains("\"config|get\""), "{docs}");
    let info = client.command("COMMAND INFO COPY OBJECT|FREQ");
    let place = |index| format!("[\"type\", \"index\", \"spec\", [\"index\", :{index}]]");
    assert!(info.contains(&place(1)) && info.contains(&place(2)), "{info}");
    assert!(info.contains("\"object|freq\", :3, [+readonly], :2, :2, :1"), "{info}");
}

/// Rows that were replaced may be held by Lua's garbage, but not until memory runs out.
#[test]
fn replaced_values_take_no_memory() {
    let server = Server::start_with("", "memtx: {memory: 32MiB}");
    let mut client = server.connect();
    let value = "x".repeat(1_000_000);
    for number in 0..200 {
        let key = format!("key{}", number % 3);
        assert_eq!(client.call(&["SET", &key, &value]), "+OK", "{number}");
    }
}

/// Clients know what to do by the first word of an error.
#[test]
fn full_memory_is_answered_as_redis_does() {
    let server = Server::start_with("", "memtx: {memory: 32MiB}");
    let mut client = server.connect();
    let value = "x".repeat(500_000);
    let full = "-OOM command not allowed when used memory > 'maxmemory'.";
    let mut count = 0;
    loop {
        let key = format!("key{count}");
        match &*client.call(&["SET", &key, &value]) {
            "+OK" => count += 1,
            reply => break assert_eq!(reply, full),
        }
    }
    client.command("MULTI");
    client.call(&["SET", "more", &value]);
    assert_eq!(client.command("EXEC"), format!("[{full}]"));
    assert_eq!(client.command("STRLEN key0"), ":500000");
    // What clients can cause at will does not fill the log.
    for _ in 0..50 {
        assert_eq!(client.call(&["SET", "more", &value]), full);
    }
    assert_eq!(client.command("FLUSHALL"), "+OK");
    assert_eq!(client.call(&["SET", "more", &value]), "+OK");
    let lines = server.log_so_far();
    let failures = lines.iter().filter(|line| line.contains("Failed to allocate")).count();
    assert!((1..30).contains(&failures), "{failures} lines");
}

#[test]
fn arguments_of_fcall_are_json_or_text() {
    let server = Server::start();
    let mut client = server.connect();
    let texts = [
        "nan",
        "inf",
        "-inf",
        "Infinity",
        "0x10",
        "007",
        "+5",
        ".5",
        "[1",
        "\"a",
        "123e4567",
        "12345678901234567890123456789012",
    ];
    for text in texts {
        assert_eq!(client.call(&["FCALL", "CACHE:Set", "0", text, "1"]), ":1", "{text}");
        assert_eq!(client.call(&["EXISTS", text]), ":1", "{text}");
        assert_eq!(client.call(&["FCALL", "SESSIONS:Add", "0", text, "1"]), ":1", "{text}");
    }
    assert_eq!(client.command("FCALL SESSIONS:Add 0 42 {\"user\":1}"), ":1");
    assert_eq!(client.command("FCALL SESSIONS:Get 0 \"42\""), "[\"user\", :1]");
    // What is wrong with an argument is said without a place in our files.
    let wrong = "-ERR a key must be a string or a number";
    assert_eq!(client.command("FCALL CACHE:Get 0"), wrong);
    assert_eq!(client.command("FCALL CACHE:Get 0 {}"), wrong);
    assert_eq!(client.command("FCALL CACHE:Set 0 k v x"), "-ERR ttl must be a number of seconds");
    assert_eq!(client.command("FCALL SESSIONS:Get 0 \"\""), "-ERR a session id must not be empty");
}

/// A process that is killed at its first start may leave a space without its indexes.
#[test]
fn a_half_made_space_is_completed() {
    let server = Server::start();
    let mut client = server.connect();
    server.wait_for_log("take effect when they are saved");
    let path = server.folder.path().join("lua/init-sessions.lua");
    let old = std::fs::read_to_string(&path).expect("the file");
    let head = "local broken = box.space.sessions.index.ttl
if broken ~= nil then broken:drop() end
function has_ttl() return box.space.sessions.index.ttl ~= nil end
export('has_ttl', 'read')
";
    std::fs::write(&path, format!("{head}{old}")).expect("a saved file");
    server.wait_for_log("init-sessions.lua: reloaded");
    assert_eq!(client.command("FCALL has_ttl 0"), ":1");
}

/// The fields that monitoring reads.
#[test]
fn info_has_the_fields_of_tools() {
    let server = Server::start();
    let mut client = server.connect();
    client.command("SET gone 1 PX 1");
    while client.command("DBSIZE") != ":0" {
        std::thread::yield_now();
    }
    client.command("MULTI");
    client.command("SET a 1");
    for command in ["INFO", "LASTSAVE", "BGSAVE", "COMMAND", "CLIENT LIST", "MEMORY USAGE a"] {
        assert_eq!(client.command(command), "+QUEUED");
    }
    let info = client.command("EXEC");
    assert_eq!(client.command("GET a"), "\"1\"");
    let number = |name: &str| {
        let rest = info.split_once(&format!("\\n{name}:")).map(|(_, rest)| rest);
        let digits = rest.and_then(|rest| rest.split_once("\\r")).map(|(digits, _)| digits);
        digits.and_then(|digits| digits.parse::<f64>().ok())
    };
    for name in [
        "redis_version",
        "process_id",
        "uptime_in_seconds",
        "connected_clients",
        "maxclients",
        "blocked_clients",
        "used_memory",
        "used_memory_rss",
        "used_memory_peak",
        "used_memory_lua",
        "maxmemory",
        "mem_fragmentation_ratio",
        "loading",
        "rdb_changes_since_last_save",
        "rdb_bgsave_in_progress",
        "rdb_last_save_time",
        "aof_enabled",
        "total_connections_received",
        "total_commands_processed",
        "instantaneous_ops_per_sec",
        "total_net_input_bytes",
        "total_net_output_bytes",
        "rejected_connections",
        "expired_keys",
        "evicted_keys",
        "keyspace_hits",
        "keyspace_misses",
        "connected_slaves",
        "master_repl_offset",
        "used_cpu_sys",
        "used_cpu_user",
        "cluster_enabled",
    ] {
        let is_text = name == "redis_version";
        assert!(is_text || number(name).is_some(), "{name} in {info}");
    }
    assert_eq!(number("expired_keys"), Some(1.0));
    assert!(number("used_memory_rss") > Some(1e6) && number("used_cpu_user") >= Some(0.0));
    assert!(info.contains("db0:keys=1,expires=0"), "{info}");
}
