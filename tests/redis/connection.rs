//! Framing, limits and the life of connections.

use crate::server::Server;

#[test]
fn a_line_is_a_command() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(b"SET user1 John\r\nGET user1\n\r\nset k \"a \\x41\"\r\nget k\r\n");
    let replies: Vec<String> = (0..4).map(|_| client.reply()).collect();
    assert_eq!(replies, ["+OK", "\"John\"", "+OK", "\"a A\""]);
}

#[test]
fn a_broken_request_is_answered_and_closed() {
    let server = Server::start();
    for (stream, expected) in [
        (&b"*x\r\n"[..], "-ERR Protocol error: invalid multibulk length"),
        (b"*1\r\n+PING\r\n", "-ERR Protocol error: expected '$', got '+'"),
        (b"*1\r\n$-5\r\n", "-ERR Protocol error: invalid bulk length"),
        (b"SET \"a\r\n", "-ERR Protocol error: unbalanced quotes in request"),
    ] {
        let mut client = server.connect();
        client.send(b"PING\r\n");
        client.send(stream);
        assert_eq!(client.reply(), "+PONG");
        assert_eq!(client.reply(), expected);
        assert_eq!(client.reply(), "closed");
    }
}

#[test]
fn a_pipeline_is_answered_in_order() {
    let server = Server::start();
    let mut client = server.connect();
    for number in 0..2000 {
        client.request(&["SET".to_owned(), format!("k{number}"), number.to_string()]);
        client.request(&["GET".to_owned(), format!("k{number}")]);
    }
    for number in 0..2000 {
        assert_eq!(client.reply(), "+OK");
        assert_eq!(client.reply(), format!("\"{number}\""));
    }
}

#[test]
fn requests_may_be_long() {
    let server = Server::start();
    let mut client = server.connect();
    let mut command = vec!["MSET".to_owned()];
    for number in 0..20_000 {
        command.push(format!("key{number}"));
        command.push(number.to_string());
    }
    assert_eq!(client.call(&command), "+OK");
    assert_eq!(client.command("DBSIZE"), ":20000");
    let keys = (0..20_000).map(|number| format!("key{number}"));
    let delete: Vec<String> = std::iter::once("DEL".to_owned()).chain(keys).collect();
    assert_eq!(client.call(&delete), ":20000");
    // In a transaction, too; one that cannot be queued fails it.
    assert_eq!(client.command("MULTI"), "+OK");
    assert_eq!(client.call(&command), "+QUEUED");
    assert_eq!(client.call(&delete), "+QUEUED");
    assert_eq!(client.command("EXEC"), "[+OK, :20000]");
    let mut long = vec!["COPY"; 6000];
    assert_eq!(client.command("MULTI"), "+OK");
    assert_eq!(client.call(&long), "-ERR too many arguments");
    let aborted = "-EXECABORT Transaction discarded because of previous errors.";
    assert_eq!(client.command("EXEC"), aborted);
    assert_eq!(client.command("MULTI"), "+OK");
    long[0] = "MSET";
    assert_eq!(client.call(&long), "+QUEUED");
    let odd = "[-ERR wrong number of arguments for 'mset' command]";
    assert_eq!(client.command("EXEC"), odd);
    let large = vec![b'x'; 5_000_000];
    assert_eq!(client.call(&[&b"SET"[..], b"large", &large]), "+OK");
    assert_eq!(client.command("STRLEN large"), ":5000000");
}

#[test]
fn limits_have_clear_errors() {
    let server = Server::start_with(
        "clients_max: 2, bulk_size_max: 1048576, request_size_max: 2097152, \
         argument_count_max: 100, output_size_max: 3000000",
        "",
    );
    let mut first = server.connect();
    assert_eq!(first.command("PING"), "+PONG");
    let mut second = server.connect();
    assert_eq!(second.command("PING"), "+PONG");
    let mut third = server.connect();
    assert_eq!(third.reply(), "-ERR max number of clients reached");
    assert_eq!(third.reply(), "closed");
    second.send(b"*101\r\n");
    assert_eq!(second.reply(), "-ERR Protocol error: invalid multibulk length");
    assert_eq!(second.reply(), "closed");
    assert_eq!(first.command("CONFIG SET maxclients 10"), "+OK");
    let mut bulk = server.connect();
    bulk.send(b"*2\r\n$3\r\nGET\r\n$1048577\r\n");
    assert_eq!(bulk.reply(), "-ERR Protocol error: invalid bulk length");
    let mut request = server.connect();
    let value = vec![b'x'; 1_000_000];
    request.request(&[&b"MSET"[..], b"a", &value, b"b", &value, b"c", &value]);
    assert_eq!(request.reply(), "-ERR Protocol error: too big request");
    assert_eq!(first.call(&[&b"SET"[..], b"a", &value]), "+OK");
    first.command("MGET a a a a");
    assert_eq!(first.reply(), "closed");
}

#[test]
fn silent_connections_are_closed() {
    let server = Server::start_with("idle_timeout: 1", "");
    let mut client = server.connect();
    assert_eq!(client.command("PING"), "+PONG");
    assert_eq!(client.reply(), "closed");
}

#[test]
fn replies_can_be_switched_off() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(b"CLIENT REPLY SKIP\r\nPING a\r\nPING b\r\n");
    assert_eq!(client.reply(), "\"b\"");
    client.send(b"CLIENT REPLY OFF\r\nPING c\r\nCLIENT REPLY ON\r\nPING d\r\n");
    assert_eq!(client.reply(), "+OK");
    assert_eq!(client.reply(), "\"d\"");
}

#[test]
fn a_connection_can_kill_another() {
    let server = Server::start();
    let (mut killer, mut victim) = (server.connect(), server.connect());
    let id = victim.command("CLIENT ID");
    assert_eq!(killer.command(&format!("CLIENT KILL ID {}", &id[1..])), ":1");
    assert_eq!(victim.reply(), "closed");
    assert_eq!(killer.command("CLIENT KILL TYPE normal SKIPME no"), ":1");
    assert_eq!(killer.reply(), "closed");
}

#[test]
fn a_pause_holds_writes_back() {
    let server = Server::start();
    let (mut first, mut second) = (server.connect(), server.connect());
    assert_eq!(first.command("CLIENT PAUSE 60000 WRITE"), "+OK");
    assert_eq!(second.command("GET a"), "nil");
    second.request(&["SET", "a", "1"]);
    assert_eq!(first.command("GET a"), "nil");
    assert_eq!(first.command("CLIENT UNPAUSE"), "+OK");
    assert_eq!(second.reply(), "+OK");
    assert_eq!(first.command("GET a"), "\"1\"");
}

#[test]
fn a_password_is_asked_for() {
    let server = Server::start_with("", "credentials: {users: {guest: {password: secret}}}");
    let mut client = server.connect();
    assert_eq!(client.command("GET a"), "-NOAUTH Authentication required.");
    assert_eq!(client.command("FOO"), "-ERR unknown command 'FOO', with args beginning with: ");
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    assert_eq!(client.command("AUTH nothing"), wrong);
    assert_eq!(client.command("AUTH nobody secret"), wrong);
    client.send(b"*11\r\n");
    assert_eq!(client.reply(), "-ERR Protocol error: unauthenticated multibulk length");
    let mut client = server.connect();
    assert_eq!(client.command("AUTH secret"), "+OK");
    assert_eq!(client.command("GET a"), "nil");
    let mut client = server.connect();
    assert!(client.command("HELLO 3 AUTH default secret SETNAME me").starts_with('{'));
    assert_eq!(client.command("CLIENT GETNAME"), "\"me\"");
    assert_eq!(client.command("RESET"), "+RESET");
    assert_eq!(client.command("GET a"), "-NOAUTH Authentication required.");
}

#[test]
fn what_is_asked_of_those_who_log_in_is_asked_of_redis_clients() {
    let server = Server::start_with(
        "",
        "security: {auth_delay: 3600, auth_retries: 1, disable_guest: true}\n\
         credentials: {users: {guest: {password: g}, web: {password: w, roles: [super]}}}",
    );
    let mut client = server.connect();
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    let many = "-ERR Too many authentication attempts";
    assert_eq!(client.command("GET a"), "-NOAUTH Authentication required.");
    for name in ["web", "ghost"] {
        assert_eq!(client.command(&format!("AUTH {name} x")), wrong);
        assert_eq!(client.command(&format!("AUTH {name} x")), wrong);
        assert_eq!(client.command(&format!("AUTH {name} w")), many);
    }
    // Guests are nobody, whatever their password.
    assert_eq!(client.command("AUTH g"), wrong);
    assert_eq!(client.command("AUTH default g"), wrong);
    assert_eq!(client.command("AUTH g"), many);
    assert_eq!(client.command("GET a"), "-NOAUTH Authentication required.");
}

#[test]
fn guests_that_are_connected_are_disabled_like_others() {
    let server = Server::start_with(
        "",
        "credentials: {users: {web: {password: w, privileges: \
         [{permissions: [read, write], spaces: [cache]}]}}}",
    );
    let (mut guest, mut web, mut queueing) = (server.connect(), server.connect(), server.connect());
    assert_eq!(guest.command("SET a 1"), "+OK");
    assert_eq!(web.command("AUTH web w"), "+OK");
    assert_eq!(queueing.command("MULTI"), "+OK");
    assert_eq!(queueing.command("SET a 2"), "+QUEUED");
    let disable = "security: {disable_guest: true}\n";
    server.reconfigure(|text| format!("{disable}{text}"));
    let refusal = "-NOAUTH Authentication required.";
    assert_eq!(guest.command("GET a"), refusal);
    assert_eq!(queueing.command("EXEC"), refusal);
    assert_eq!(web.command("GET a"), "\"1\"");
    assert_eq!(guest.command("AUTH web w"), "+OK");
    assert_eq!(guest.command("GET a"), "\"1\"");
    assert_eq!(guest.command("RESET"), "+RESET");
    assert_eq!(guest.command("GET a"), refusal);
    server.reconfigure(|text| text.replace(disable, ""));
    assert_eq!(guest.command("GET a"), "\"1\"");
    assert_eq!(web.command("GET a"), "\"1\"");
}

#[test]
fn commands_run_with_the_rights_of_their_user() {
    let server = Server::start_with(
        "",
        "credentials: {users: {web: {password: w, roles: [super]}, \
         reader: {password: r, privileges: [{permissions: [read], spaces: [cache]}]}}}",
    );
    let mut client = server.connect();
    assert_eq!(client.command("SET a 1"), "+OK");
    assert_eq!(
        client.command("AUTH reader w"),
        "-WRONGPASS invalid username-password pair or \
         user is disabled."
    );
    assert_eq!(client.command("SET a 2"), "+OK");
    assert_eq!(client.command("AUTH reader r"), "+OK");
    assert_eq!(client.command("GET a"), "\"2\"");
    let denied = "-NOPERM Write access to space 'cache' is denied for user 'reader'";
    assert_eq!(client.command("SET a 3"), denied);
    assert_eq!(client.command("FCALL CACHE:Set 0 a 3"), denied);
    let no_lua = "-NOPERM Execute access to universe '' is denied for user 'reader'";
    for command in ["SHUTDOWN", "CONFIG GET *", "SAVE", "client list", "SLOWLOG RESET"] {
        assert_eq!(client.command(command), no_lua, "{command}");
    }
    assert_eq!(client.command("CLIENT GETNAME"), "nil");
    assert_eq!(client.command("AUTH web w"), "+OK");
    assert_eq!(client.command("SET a 4"), "+OK");
    assert_eq!(
        client.command("CONFIG GET port x"),
        "[\"port\", \"PORT\"]".replace("PORT", &server.port.to_string())
    );
    assert_eq!(client.command("AUTH reader r"), "+OK");
    assert_eq!(client.command("RESET"), "+RESET");
    assert_eq!(client.command("SET a 5"), "+OK");
    let mut client = server.connect();
    assert!(client.command("HELLO 3 AUTH reader r").starts_with('{'));
    assert_eq!(client.command("SET a 6"), denied);
}

/// What is wrong with the words is recorded from redis-server.
#[test]
fn shutdown_ends_the_server() {
    let mut server = Server::start();
    let mut client = server.connect();
    for wrong in ["SHUTDOWN x", "SHUTDOWN SAVE NOSAVE", "SHUTDOWN NOW ABORT", "SHUTDOWN NOW x"] {
        assert_eq!(client.command(wrong), "-ERR syntax error", "{wrong}");
    }
    assert_eq!(client.command("SHUTDOWN ABORT"), "-ERR No shutdown in progress.");
    assert_eq!(client.command("MULTI"), "+OK");
    let refusal = "-ERR Command not allowed inside a transaction";
    assert_eq!(client.command("SHUTDOWN"), refusal);
    assert_eq!(client.command("DISCARD"), "+OK");
    assert_eq!(client.command("SET a 1"), "+OK");
    assert_eq!(client.command("shutdown save now force"), "closed");
    assert!(server.wait_for_end().success());
    let data = server.folder.path().join("var/lib/i");
    let snapshots = std::fs::read_dir(data).expect("the data directory");
    let is_snapshot = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with(".snap");
    assert_eq!(snapshots.flatten().filter(|file| is_snapshot(&file.file_name())).count(), 2);
}

#[test]
fn hello_is_answered_in_its_own_version() {
    let server = Server::start();
    let mut client = server.connect();
    assert!(client.command("HELLO 3").starts_with("{\"server\": \"redis\", "));
    assert_eq!(client.command("GET missing"), "nil");
    assert!(client.command("HELLO 2").starts_with("[\"server\", \"redis\", "));
}
