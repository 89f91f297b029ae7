//! Claims about the Lua module, over a database that only writes down what it is told.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::config::{World, load};
use crate::{builtin, fiber};

/// One file whose text the test changes.
struct OneFile(String);

impl World for OneFile {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn read(&self, _: &str) -> Result<String, String> {
        Ok(self.0.clone())
    }

    fn glob(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

/// Stands for the modules and the database that other folders give. `told` is what was asked of
/// them; `write(text)` changes the configuration file.
const STAGE: &str = r#"
    told = {}
    local function tell(...) table.insert(told, table.concat({...}, ' ')) end
    box = {
        cfg = function(options)
            box.cfg = setmetatable({}, {__call = function(_, changed)
                for name, value in pairs(changed) do tell('cfg', name, tostring(value)) end
            end})
            first = options
        end,
        broadcast = function() end,
        watch = function() end,
        info = {ro = false},
        error = {},
    }
    package.loaded['internal.config_credentials'] = {
        add_sharding_role = function() end,
        apply = function(_, wanted)
            for _, user in ipairs(wanted.users) do
                tell('user', user.name, user.password, unpack(user.roles))
            end
        end,
        settle = function() end,
    }
    package.loaded.console = {listen = function(uri) tell('listen', uri) end}
    package.loaded.compat = {}
    package.loaded.log = {error = function() end, warn = function() end}
    package.loaded.log.new = function() return package.loaded.log end
    package.loaded.app = nil
    package.preload.app = function() tell('app') return {} end
"#;

const BASE: &str = "groups: {g: {replicasets: {r: {instances: {i: {}}}}}}\napp: {module: app, \
                    cfg: {a: {b: 5}}}\nprocess: {pid_file: i.pid, work_dir: WORK}\n";

fn lua_write(cx: Context<'_>) -> Result<usize> {
    let folder = std::env::temp_dir().join("lycosa-config-test");
    let text = format!("{BASE}{}", cx.check_text(1)?).replace("WORK", &folder.to_string_lossy());
    set_loader(Rc::new(move || load(&OneFile(text.clone()), "i", Some("config.yaml"))));
    Ok(0)
}

fn passes(source: &'static str) {
    let thread = std::thread::spawn(move || {
        let outcome = Rc::new(RefCell::new(None));
        let seen = outcome.clone();
        fiber::run("main", move || {
            let result = lua::open().and_then(|()| lua::with_main(builtin::open)).and_then(|()| {
                lua::enter(|cx| {
                    lua::push_function(cx, lua_write);
                    cx.set_global("write");
                    cx.load(STAGE.as_bytes(), "=stage")?;
                    cx.call(0, 0)?;
                    cx.load(source.as_bytes(), "=test")?;
                    cx.call(0, 0)
                })
            });
            seen.replace(result.err());
            fiber::stop();
        })
        .expect("the loop runs");
        outcome.take()
    });
    if let Some(error) = thread.join().expect("no panic") {
        panic!("{error}");
    }
}

#[test]
fn start_applies_everything_and_runs_the_application() {
    passes(
        r#"
        write('memtx: {memory: 1GiB}\ncredentials: {users: {web: {password: p, roles: [super]}}}')
        local config = require('config')
        local ok, err = pcall(config.get, config, 'wal.mode')
        assert(not ok and err == 'config:get(): no instance config available yet', err)
        config:_startup()
        assert(first.memtx_memory == 2^30 and first.wal_mode == 'write', 'box.cfg')
        assert(first.instance_name == 'i' and first.read_only == false)
        local all = table.concat(told, '\n')
        assert(all:find('listen unix/:', 1, true), all)
        assert(all:find('user web p super\napp', 1, true), all)
        assert(config:info().status == 'ready')
        assert(config:info('v2').hierarchy.instance == 'i')
        assert(config:get('app.cfg.a.b') == 5)
        assert(config:get({'app', 'cfg', 'a'}).b == 5)
        assert(config:get('iproto.listen') == nil)
        ok, err = pcall(config.get, config, 'wal.moed')
        assert(err == '[instance_config] wal.moed: No such field in the schema', err)
        assert(config:instances().i.replicaset_name == 'r')
        assert(config:jsonschema().properties.wal ~= nil)
        assert(not pcall(config.get, nil))
    "#,
    );
}

#[test]
fn reload_applies_what_is_live_and_warns_of_the_rest() {
    passes(
        r#"
        local config = require('config')
        write('log: {level: info}')
        config:_startup()
        told = {}
        write('log: {level: debug}\nwal: {mode: none}')
        config:reload()
        assert(told[1] == 'cfg log_level debug', told[1])
        local info = config:info()
        assert(info.status == 'check_warnings', info.status)
        assert(info.alerts[1].message == 'box_cfg.apply: non-dynamic option wal_mode will not be ' ..
            'set until the instance is restarted')
        assert(config:get('wal.mode') == 'none')
        write('')
        config:reload()
        assert(config:info().status == 'ready')
    "#,
    );
}

#[test]
fn broken_file_leaves_the_configuration_and_raises_an_alert() {
    passes(
        r#"
        local config = require('config')
        write('log: {level: info}')
        config:_startup()
        write('log: {level: loud}')
        local ok, err = pcall(config.reload, config)
        assert(not ok and err:find('^config.yaml:%d+:%d+: %[cluster_config%] log.level: Got loud'),
            err)
        local info = config:info()
        assert(info.status == 'check_errors' and info.alerts[1].type == 'error')
        assert(info.alerts[1].message == err)
        assert(config:get('log.level') == 'info')
        write('log: {level: warn}')
        config:reload()
        assert(config:info().status == 'ready' and config:get('log.level') == 'warn')
    "#,
    );
}

#[test]
fn alerts_of_the_application_change_the_status() {
    passes(
        r#"
        local config = require('config')
        write('')
        config:_startup()
        local alerts = config:new_alerts_namespace('app')
        alerts:set('disk', {message = 'full'})
        assert(alerts:get('disk').message == 'full')
        assert(#config:info().alerts == 1 and config:info().alerts[1]._namespace == nil)
        config._status = 'check_warnings'
        alerts:unset('disk')
        assert(config:info().status == 'ready')
    "#,
    );
}
