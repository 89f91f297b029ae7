//! A cluster of a few instances that know of each other by one configuration, and a script on one
//! of them that talks to all (`clients/cluster.lua`).

use std::process::{Child, Command, Stdio};

use crate::server::root;

const CONFIGURATION: &str = "\
credentials:
  users:
    peer: {password: secret, roles: [super]}
    guest: {roles: [super]}
iproto:
  listen: [{uri: 'unix/:./{{ instance_name }}.iproto'}]
  advertise: {peer: {login: peer}, sharding: {login: peer}}
log: {to: file}
groups:
  one:
    labels: {place: here}
    replicasets:
      r1: {instances: {i1: {}}}
      r2: {instances: {i2: {labels: {kind: old}}}}
  two:
    labels: {place: there}
    replicasets:
      r3: {instances: {i3: {}}}
      r4: {instances: {gone: {}}}
";

struct Instance(Child);

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn instance(folder: &std::path::Path, name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lycosa"));
    command
        .args(["--name", name, "--config", "config.yaml"])
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

#[test]
fn instances_find_each_other_by_their_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("config.yaml"), CONFIGURATION).expect("a file");
    let start = |name| Instance(instance(folder.path(), name).spawn().expect("an instance"));
    let mut others = vec![start("i2"), start("i3")];
    let script = root().join("tests/iproto/clients/cluster.lua");
    let output = instance(folder.path(), "i1")
        .env("TT_APP_FILE", script)
        .env("TT_LOG_TO", "stderr")
        .output()
        .expect("an instance");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("the script is done"), "{said}\n{errors}");
    // The script ends the others.
    for mut other in others.drain(..) {
        assert!(other.0.wait().expect("its end").success());
    }
}
