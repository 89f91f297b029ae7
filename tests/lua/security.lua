-- What is asked of those who log in: strong and new passwords, patience, a name at all.
local fiber = require('fiber')
local net_box = require('net.box')
local tap = require('tap')

local test = tap.test('security')
test:plan(45)

local function message(run, ...)
    local ok, err = pcall(run, ...)
    return ok and 'done' or tostring(err)
end

local function login(user, password, options)
    options = options or {}
    options.user, options.password = user, password
    local connection = net_box.connect(box.info.listen, options)
    local err = connection.error
    connection:close()
    return err or 'in'
end

for name, value in pairs({auth_delay = -1, password_min_length = -5}) do
    test:is(message(box.cfg, {[name] = value}), ("Incorrect value for option '%s': "):format(name)
        .. 'must be greater than or equal to 0', name)
end
test:is(message(box.cfg, {auth_type = 'md5'}), "Incorrect value for option 'auth_type': md5",
    'auth_type')
box.cfg{listen = '127.0.0.1:0'}
local user = box.schema.user

--
-- Strength
--

box.cfg{password_min_length = 4, password_enforce_uppercase = true,
    password_enforce_lowercase = true, password_enforce_digits = true,
    password_enforce_specialchars = true}
local weak = "Password doesn't meet security requirements: password "
test:is(message(user.create, 'alice', {password = 'a'}),
    weak .. 'length should be at least 4 characters', 'too short')
test:is(message(user.create, 'alice', {password = 'aaaa'}),
    weak .. 'should contain uppercase letters', 'no uppercase letter')
test:is(user.exists('alice'), false, 'there is no user with a weak password')
user.create('alice', {password = 'Aa1!'})
test:is(message(user.passwd, 'alice', 'AAA!'), weak .. 'should contain lowercase letters',
    'no lowercase letter')
test:is(message(user.passwd, 'alice', 'AaA!'), weak .. 'should contain digits', 'no digit')
test:is(message(user.passwd, 'alice', 'AaA1'), weak .. 'should contain special characters',
    'no special character')
test:is(login('alice', 'Aa1!'), 'in', 'a strong password is one')
user.grant('alice', 'execute', 'lua_eval')
local alice = net_box.connect(box.info.listen, {user = 'alice', password = 'Aa1!'})
test:is(message(alice.eval, alice, 'box.schema.user.passwd("weak")'), weak
    .. 'should contain uppercase letters', 'by the user, too')
user.create('nobody')
test:is(user.exists('nobody'), true, 'a user without a password has no weak one')
box.cfg{password_min_length = 0, password_enforce_uppercase = false,
    password_enforce_lowercase = false, password_enforce_digits = false,
    password_enforce_specialchars = false}

--
-- History
--

local old = 'Password must differ from last 2 passwords'
box.cfg{password_history_length = 2}
test:is(message(user.passwd, 'alice', 'Aa1!'), old, 'the present password')
user.passwd('alice', 'second')
test:is(message(user.passwd, 'alice', 'Aa1!'), old, 'the one before')
test:is(message(alice.eval, alice, 'box.schema.user.passwd("second")'), old,
    'by the user, too')
user.passwd('nobody', 'hidden')
test:is(message(alice.eval, alice, 'box.schema.user.passwd("nobody", "hidden")'),
    "User 'nobody' is not found", 'others are not guessed')
user.grant('alice', 'read', 'space', '_user')
test:is(message(alice.eval, alice, 'box.schema.user.passwd("nobody", "hidden")'),
    "Write access to space '_user' is denied for user 'alice'", 'nor by who may read')
user.revoke('alice', 'read', 'space', '_user')
alice:close()
user.passwd('alice', 'third')
test:is(#box.space._user.index.name:get('alice').auth_history, 2, 'two are kept')
test:is(message(user.passwd, 'alice', 'Aa1!'), 'done', 'an older one may be used again')
box.cfg{password_history_length = 0}
user.passwd('alice', 'Aa1!')
test:is(#box.space._user.index.name:get('alice').auth_history, 0, 'none is kept')

--
-- Age
--

local function age(days)
    box.space._user.index.name:update('alice', {{'=', 'last_modified',
        math.floor(fiber.time()) - days * 86400 - 10}})
end
age(3)
test:is(login('alice', 'Aa1!'), 'in', 'passwords do not expire')
box.cfg{password_lifetime_days = 3}
test:is(login('alice', 'Aa1!'), 'Password expired', 'unless that is asked for')
test:is(login('alice', 'wrong'), 'User not found or supplied credentials are invalid',
    'which only its owner is told')
age(2)
test:is(login('alice', 'Aa1!'), 'in', 'a younger one is good')
age(3)
user.passwd('alice', 'Aa1!')
test:is(login('alice', 'Aa1!'), 'in', 'a new one is young')
box.cfg{password_lifetime_days = 0}

--
-- Pauses
--

local mismatch = 'User not found or supplied credentials are invalid'
local many = 'Too many authentication attempts'
local seen = {}
box.session.on_auth(function(name, is_in) table.insert(seen, name .. ':' .. tostring(is_in)) end)
box.cfg{auth_delay = 3600}
test:is(login('alice', 'wrong'), mismatch, 'a wrong password')
test:is(login('alice', 'Aa1!'), many, 'and the right one must wait')
test:is(login('ghost', 'x'), mismatch, 'a user that is not there')
test:is(login('ghost', 'x'), many, 'is treated alike')
test:is_deeply(seen, {'alice:false', 'ghost:false'}, 'triggers see attempts that were looked at')
box.cfg{auth_retries = 2}
test:is(login('alice', 'wrong'), mismatch, 'retries are allowed')
test:is(login('alice', 'Aa1!'), 'in', 'the last may be right')
for _ = 1, 3 do
    login('alice', 'wrong')
end
test:is(login('alice', 'Aa1!'), many, 'after too many there is a pause')
box.cfg{auth_delay = 0.001}
fiber.sleep(0.002)
test:is(login('alice', 'Aa1!'), 'in', 'which ends')
box.cfg{auth_delay = 0, auth_retries = 0}

--
-- Guests
--

local guest = net_box.connect(box.info.listen)
box.schema.user.grant('guest', 'execute', 'universe')
test:is(guest:eval('return 1'), 1, 'guests may do what they may')
box.cfg{disable_guest = true}
test:is(message(guest.eval, guest, 'return 1'), 'Authentication required', 'unless disabled')
test:is(message(guest.watch_once, guest, 'key'), 'Authentication required', 'whatever they ask')
test:is(guest:ping(), true, 'but a ping')
test:is(login(nil, nil, {fetch_schema = false}), 'in', 'they may connect')
test:is(login(nil, nil), 'Authentication required', 'but not learn the schema')
test:is(login('alice', 'Aa1!'), 'in', 'users may')
box.cfg{disable_guest = false}
test:is(guest:eval('return 1'), 1, 'guests may again')
guest:close()

--
-- The password itself as proof
--

box.cfg{auth_type = 'pap-sha256'}
user.create('bob', {password = 'secret'})
local auth = box.space._user.index.name:get('bob').auth['pap-sha256']
test:is_deeply({#auth, #auth[1], #auth[2]}, {2, 28, 44}, 'salt and hash are kept')
test:is(login('bob', 'secret'), "Authentication method 'pap-sha256' does not support "
    .. 'unencrypted connection', 'it is not sent in the clear')
test:is(login('bob', 'secret', {auth_type = 'chap-sha1'}), mismatch, 'the other proof is none')

os.exit(test:check() and 0 or 1)
