//! The database of this process: one value, owned by the tx thread, reached by [`Database::get`].
//!
//! # Invariants
//! - Small cells instead of one big borrow: nothing is borrowed while a trigger or handler runs.
//!
//! # Yields
//! never, the files that extend it say where they do

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::base::error::Result;
use crate::client_error;
use crate::fiber;
use crate::value::uuid::Uuid;
use crate::wal::Journal;

use super::commit::{Commits, JournalListener};
use super::context;
use super::function::Functions;
use super::options::Options;
use super::schema::Schema;
use super::sequence::Sequences;
use super::space::Space;
use super::statistics::Statistics;
use super::system_space;
use super::transaction::Transaction;
use super::trigger::Host;
use super::user::Users;

/// How far starting has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Bootstrap writes the system spaces.
    Bootstrap,
    /// The snapshot is being read.
    InitialRecovery,
    /// The log after the snapshot is being read.
    FinalRecovery,
    /// Up.
    Running,
}

/// Who this instance is.
#[derive(Clone, Debug, Default)]
pub struct Instance {
    /// Its number in the replica set; 0 until it is registered.
    pub id: u32,
    /// Its UUID.
    pub uuid: Uuid,
    /// The replica set's UUID.
    pub replicaset_uuid: Uuid,
    /// Its name, empty for none.
    pub name: String,
    /// The replica set's name.
    pub replicaset_name: String,
    /// The cluster's name.
    pub cluster_name: String,
}

/// A row of `_cluster`.
#[derive(Clone, Debug, PartialEq)]
pub struct Replica {
    /// Number in the replica set.
    pub id: u32,
    /// UUID.
    pub uuid: Uuid,
    /// Name, empty for none.
    pub name: String,
}

/// Most transactions kept for reuse.
const POOL_SIZE_MAX: usize = 64;

struct SilentHost;

impl Host for SilentHost {}

/// The database.
pub struct Database {
    schema: Schema,
    users: Users,
    functions: Functions,
    sequences: Sequences,
    statistics: Statistics,
    commits: Commits,
    journal: RefCell<Option<Rc<dyn Journal>>>,
    host: RefCell<Rc<dyn Host>>,
    phase: Cell<Phase>,
    is_configured: Cell<bool>,
    is_read_only: Cell<bool>,
    instance: RefCell<Instance>,
    replicas: RefCell<Vec<Replica>>,
    options: RefCell<Options>,
    pool: RefCell<Vec<Rc<Transaction>>>,
    next_transaction_id: Cell<u64>,
    pub(crate) checkpoints: super::checkpoint::Checkpoints,
    pub(crate) vinyl: super::vinyl::Slot,
    /// Alterations of spaces under way, whose rows no checkpoint may see.
    alterations: Cell<usize>,
    alterations_ended: fiber::Cond,
    /// Locks the data directory as long as it lives.
    pub(crate) directory_lock: RefCell<Option<crate::wal::DirectoryLock>>,
}

thread_local! {
    static DATABASE: Cell<Option<&'static Database>> = const { Cell::new(None) };
}

impl Database {
    /// The database of this thread.
    ///
    /// # Panics
    /// before [`Database::create`].
    #[inline]
    pub fn current() -> &'static Database {
        DATABASE.get().expect("the database is created before it is used")
    }

    /// The database of this thread, unless it was not created yet.
    #[inline]
    pub fn find() -> Option<&'static Database> {
        DATABASE.get()
    }

    /// Makes the database of this thread, empty: no system spaces yet. It lives as long as the
    /// process.
    pub fn create(options: Options) -> &'static Database {
        assert!(DATABASE.get().is_none(), "a thread has one database");
        crate::tuple::arena::set_limit(options.memory);
        crate::tuple::arena::set_tuple_size_max(options.max_tuple_size);
        crate::tuple::arena::set_reclaim(super::index::reclaim_some);
        fiber::on_yield(context::on_yield);
        let database = Box::leak(Box::new(Database {
            schema: Schema::default(),
            users: Users::default(),
            functions: Functions::default(),
            sequences: Sequences::default(),
            statistics: Statistics::default(),
            commits: Commits::default(),
            journal: RefCell::new(None),
            host: RefCell::new(Rc::new(SilentHost)),
            phase: Cell::new(Phase::Bootstrap),
            is_configured: Cell::new(false),
            is_read_only: Cell::new(options.read_only),
            instance: RefCell::default(),
            replicas: RefCell::default(),
            options: RefCell::new(options),
            pool: RefCell::default(),
            next_transaction_id: Cell::new(1),
            checkpoints: super::checkpoint::Checkpoints::default(),
            vinyl: super::vinyl::Slot::default(),
            alterations: Cell::new(0),
            alterations_ended: fiber::Cond::default(),
            directory_lock: RefCell::new(None),
        }));
        DATABASE.set(Some(database));
        database
    }

    /// The spaces.
    #[inline]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The space with this id.
    #[inline]
    pub fn space(&self, id: u32) -> Option<Rc<Space>> {
        self.schema.space(id)
    }

    /// Users and roles.
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// Functions.
    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    /// Sequences.
    pub fn sequences(&self) -> &Sequences {
        &self.sequences
    }

    /// Counters.
    #[inline]
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    #[inline]
    pub(crate) fn commits(&self) -> &Commits {
        &self.commits
    }

    pub(crate) fn alteration_begun(&self) {
        self.alterations.set(self.alterations.get() + 1);
    }

    pub(crate) fn alteration_ended(&self) {
        self.alterations.set(self.alterations.get() - 1);
        if self.alterations.get() == 0 {
            self.alterations_ended.broadcast();
        }
    }

    /// Waits until no space is being altered. Yields.
    pub(crate) fn wait_for_alterations(&self) {
        while self.alterations.get() > 0 {
            self.alterations_ended.wait();
        }
    }

    /// The layer above.
    pub fn host(&self) -> Rc<dyn Host> {
        self.host.borrow().clone()
    }

    /// Sets the layer above.
    pub fn set_host(&self, host: Rc<dyn Host>) {
        *self.host.borrow_mut() = host;
    }

    /// The journal. Panics before it is set, when nothing is logged.
    #[inline]
    pub(crate) fn journal(&self) -> Rc<dyn Journal> {
        self.journal.borrow().clone().expect("asked only when logging")
    }

    /// Sets where committed transactions are logged.
    pub fn set_journal(&self, journal: Rc<dyn Journal>) {
        journal.set_completion(Rc::new(JournalListener));
        *self.journal.borrow_mut() = Some(journal);
    }

    /// Whether commits go to the journal: not while recovery reads it.
    #[inline]
    pub(crate) fn is_logging(&self) -> bool {
        self.phase.get() == Phase::Running && self.journal.borrow().is_some()
    }

    /// How far starting has come.
    #[inline]
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.set(phase);
        self.host().status_changed();
    }

    /// Whether `box.cfg` has finished.
    pub fn is_configured(&self) -> bool {
        self.is_configured.get()
    }

    pub(crate) fn set_configured(&self) {
        self.is_configured.set(true);
        self.host().status_changed();
    }

    /// The options.
    pub fn options(&self) -> Options {
        self.options.borrow().clone()
    }

    /// How long a transaction waits for room in vinyl.
    pub(crate) fn vinyl_timeout(&self) -> std::time::Duration {
        self.options.borrow().vinyl_timeout
    }

    /// When a commit counts as done.
    pub(crate) fn wal_mode(&self) -> super::options::WalMode {
        self.options.borrow().wal_mode
    }

    /// Most bytes of a tuple in vinyl.
    pub(crate) fn vinyl_tuple_size_max(&self) -> usize {
        self.options.borrow().vinyl_max_tuple_size
    }

    /// The isolation level of transactions that name none.
    pub(crate) fn isolation(&self) -> super::transaction::Isolation {
        self.options.borrow().isolation
    }

    /// Changes options that can change while running.
    pub fn update_options(&self, change: impl FnOnce(&mut Options)) {
        change(&mut self.options.borrow_mut());
        let options = self.options.borrow();
        crate::tuple::arena::set_limit(options.memory);
        crate::tuple::arena::set_tuple_size_max(options.max_tuple_size);
        self.is_read_only.set(options.read_only);
        let limits =
            (options.wal_max_size, options.wal_queue_max_size, options.checkpoint_wal_threshold);
        if let Some(engine) = self.find_vinyl() {
            engine.store().set_limits(options.vinyl_memory, options.vinyl_cache);
        }
        drop(options);
        if let Some(writer) = self.writer() {
            writer.configure(limits.0, limits.1, limits.2);
        }
        self.checkpoint_options_changed();
        self.host().status_changed();
    }

    /// Who this instance is.
    pub fn instance(&self) -> Instance {
        self.instance.borrow().clone()
    }

    pub(crate) fn update_instance(&self, change: impl FnOnce(&mut Instance)) {
        change(&mut self.instance.borrow_mut());
    }

    /// The registered instances by id.
    pub fn replicas(&self) -> Vec<Replica> {
        self.replicas.borrow().clone()
    }

    pub(crate) fn add_replica(&self, replica: Replica) {
        let mut replicas = self.replicas.borrow_mut();
        replicas.retain(|known| known.id != replica.id);
        replicas.push(replica);
        replicas.sort_by_key(|known| known.id);
    }

    pub(crate) fn remove_replica(&self, id: u32) {
        self.replicas.borrow_mut().retain(|known| known.id != id);
    }

    /// Whether changes are refused (`box.cfg.read_only`).
    pub fn is_read_only(&self) -> bool {
        self.is_read_only.get()
    }

    /// Refuses when changes are not allowed now.
    pub(crate) fn check_writable(&self) -> Result<()> {
        if self.is_read_only.get() && self.phase.get() == Phase::Running {
            return Err(readonly_error());
        }
        Ok(())
    }

    /// Refuses when changes of this space's data are not allowed now.
    #[inline]
    pub(crate) fn check_may_write(&self, space: &Space) -> Result<()> {
        if !self.is_read_only.get() {
            return Ok(());
        }
        let definition = space.definition();
        let asks_itself = matches!(
            space.id(),
            system_space::SPACE | system_space::INDEX | system_space::TRUNCATE
        );
        if definition.is_data_temporary() || definition.is_local() || asks_itself {
            // Temporary spaces may be made on a read-only instance: their handlers decide.
            return Ok(());
        }
        self.check_writable()
    }

    /// Bytes that the statements of each undecided transaction take: of this fiber's (others have
    /// none, a yield would have aborted it) and of those that wait for the journal.
    pub fn transaction_sizes(&self) -> Vec<usize> {
        let mut sizes = self.commits.sizes();
        sizes.extend(self.transaction().map(|transaction| transaction.size()));
        sizes
    }

    /// A transaction with nothing in it.
    #[inline]
    pub(crate) fn new_transaction(&self) -> Rc<Transaction> {
        let id = self.next_transaction_id.get();
        self.next_transaction_id.set(id + 1);
        let transaction = self.pool.borrow_mut().pop().unwrap_or_default();
        transaction.renew(id);
        transaction
    }

    /// Keeps a decided transaction's buffers for the next one.
    #[inline]
    pub(crate) fn recycle(&self, transaction: Rc<Transaction>) {
        if Rc::strong_count(&transaction) > 1 {
            return;
        }
        let mut pool = self.pool.borrow_mut();
        if pool.len() < POOL_SIZE_MAX {
            pool.push(transaction);
        }
    }

    /// Drops a transaction whose statements were taken back.
    pub(crate) fn forget_transaction(&self, transaction: Rc<Transaction>) {
        self.rollback_detached(transaction);
    }
}

fn readonly_error() -> crate::base::Error {
    use crate::base::error::{Builder, Type, Value};
    use crate::base::error_code::ER_READONLY;
    let message = "Can't modify data on a read-only instance - box.cfg.read_only is true";
    Builder::new(Type::Client, message.to_owned())
        .code(ER_READONLY.number)
        .fields(vec![
            ("reason".into(), Value::String("config".into())),
            ("state".into(), Value::String("read_only".into())),
        ])
        .place(file!(), line!())
        .build()
}

/// `ER_LOADING`: asked for data before there is any.
pub fn loading_error() -> crate::base::Error {
    client_error!(ER_LOADING)
}
