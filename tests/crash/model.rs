//! What the data has to be: the same operations on maps.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::random::Random;

/// The spaces, by the names that `child.lua` makes them under.
pub const SPACES: [&str; 2] = ["a", "b"];

/// One row: `[id, group, code, text]`. `id` is the primary key, `code` is unique as well.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    group: u64,
    code: u64,
    text: Option<String>,
}

#[derive(Clone, Debug)]
enum Statement {
    Insert(usize, u64, Row),
    Replace(usize, u64, Row),
    Upsert(usize, u64, Row, u64),
    /// Adds to the group and sets the code.
    Update(usize, u64, u64, u64),
    Delete(usize, u64),
    Savepoint,
    /// Back to the savepoint with this number.
    RollbackTo(usize),
}

/// What is done in one go: a single statement, or a transaction.
#[derive(Clone, Debug)]
pub struct Step {
    statements: Vec<Statement>,
    is_committed: bool,
}

/// The content of the spaces, as far as it belongs to one writer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    spaces: [BTreeMap<u64, Row>; 2],
}

/// Ids and codes of writer number `writer` of `writers` have that remainder, so that writers never
/// get in each other's way.
#[derive(Clone, Copy)]
pub struct Share {
    pub writer: u64,
    pub writers: u64,
}

impl Share {
    fn number(self, random: &mut Random, range: u64) -> u64 {
        random.below(range) * self.writers + self.writer
    }

    pub fn has(self, id: u64) -> bool {
        id % self.writers == self.writer
    }
}

impl Row {
    fn random(random: &mut Random, share: Share) -> Row {
        let is_null = random.below(4) == 0;
        // Some are worth compressing, and some blocks are longer than others.
        let size = if random.below(50) == 0 { 5000 } else { random.below(30) };
        let text = (0..size).map(|_| char::from(b'a' + random.below(26) as u8)).collect();
        Row {
            group: random.below(5),
            code: share.number(random, 300),
            text: (!is_null).then_some(text),
        }
    }

    fn json(&self, id: u64) -> Value {
        json!([id, self.group, self.code, self.text])
    }
}

impl Statement {
    fn random(random: &mut Random, share: Share) -> Statement {
        let space = random.below(2) as usize;
        let id = share.number(random, 60);
        match random.below(10) {
            0..=2 => Statement::Insert(space, id, Row::random(random, share)),
            3..=4 => Statement::Replace(space, id, Row::random(random, share)),
            5 => Statement::Upsert(space, id, Row::random(random, share), random.below(3)),
            6..=7 => Statement::Update(space, id, random.below(3), share.number(random, 300)),
            _ => Statement::Delete(space, id),
        }
    }

    fn json(&self) -> Value {
        match self {
            Statement::Insert(space, id, row) => json!(["insert", SPACES[*space], row.json(*id)]),
            Statement::Replace(space, id, row) => {
                json!(["replace", SPACES[*space], row.json(*id)])
            }
            Statement::Upsert(space, id, row, growth) => {
                json!(["upsert", SPACES[*space], row.json(*id), [["+", 2, growth]]])
            }
            Statement::Update(space, id, growth, code) => {
                json!(["update", SPACES[*space], id, [["+", 2, growth], ["=", 3, code]]])
            }
            Statement::Delete(space, id) => json!(["delete", SPACES[*space], id]),
            Statement::Savepoint => json!(["savepoint"]),
            Statement::RollbackTo(number) => json!(["rollback_to", number + 1]),
        }
    }
}

impl Step {
    pub fn random(random: &mut Random, share: Share) -> Step {
        if random.below(2) == 0 {
            let statements = vec![Statement::random(random, share)];
            return Step { statements, is_committed: true };
        }
        let mut statements = Vec::new();
        let mut savepoints = 0;
        for _ in 0..2 + random.below(8) {
            match random.below(8) {
                0 => {
                    savepoints += 1;
                    statements.push(Statement::Savepoint);
                }
                1 if savepoints > 0 => {
                    let number = random.below(savepoints) as usize;
                    // What comes after the savepoint is released; it itself can be used again.
                    savepoints = number as u64 + 1;
                    statements.push(Statement::RollbackTo(number));
                }
                _ => statements.push(Statement::random(random, share)),
            }
        }
        Step { statements, is_committed: random.below(8) > 0 }
    }

    /// The line that tells `child.lua` what to do.
    pub fn line(&self) -> String {
        let statements: Vec<Value> = self.statements.iter().map(Statement::json).collect();
        let is_transaction = self.statements.len() > 1 || !self.is_committed;
        json!({ "statements": statements, "transaction": is_transaction,
                "commit": self.is_committed })
        .to_string()
    }
}

impl Model {
    /// Does a step; returns which statements succeed, `+` or `-` for each.
    pub fn apply(&mut self, step: &Step) -> String {
        let before = self.clone();
        let mut savepoints = Vec::new();
        let mut outcome = String::new();
        for statement in &step.statements {
            let is_done = match statement {
                Statement::Savepoint => {
                    savepoints.push(self.clone());
                    true
                }
                Statement::RollbackTo(number) => {
                    savepoints.truncate(number + 1);
                    *self = savepoints[*number].clone();
                    true
                }
                _ => self.execute(statement),
            };
            outcome.push(if is_done { '+' } else { '-' });
        }
        if !step.is_committed {
            *self = before;
        }
        outcome
    }

    fn execute(&mut self, statement: &Statement) -> bool {
        match statement {
            Statement::Insert(space, id, row) => {
                !self.spaces[*space].contains_key(id) && self.put(*space, *id, row.clone())
            }
            Statement::Replace(space, id, row) => self.put(*space, *id, row.clone()),
            Statement::Upsert(space, id, row, growth) => match self.spaces[*space].get_mut(id) {
                Some(known) => {
                    known.group += growth;
                    true
                }
                None => self.put(*space, *id, row.clone()),
            },
            Statement::Update(space, id, growth, code) => {
                let Some(known) = self.spaces[*space].get(id) else { return true };
                let row = Row { group: known.group + growth, code: *code, ..known.clone() };
                self.put(*space, *id, row)
            }
            Statement::Delete(space, id) => {
                self.spaces[*space].remove(id);
                true
            }
            Statement::Savepoint | Statement::RollbackTo(_) => true,
        }
    }

    fn put(&mut self, space: usize, id: u64, row: Row) -> bool {
        let space = &mut self.spaces[space];
        let is_taken = space.iter().any(|(other, known)| *other != id && known.code == row.code);
        if !is_taken {
            space.insert(id, row);
        }
        !is_taken
    }

    /// The rows as `child.lua` shows them, in order.
    pub fn dump(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (space, name) in self.spaces.iter().zip(SPACES) {
            lines.extend(space.iter().map(|(id, row)| format!("row {name} {}", row.json(*id))));
        }
        lines
    }
}
