//! Bodies of rows that drive elections and synchronous replication.
//!
//! # Yields
//! never

use crate::base::Result;
use crate::value::msgpack as mp;

use super::iproto::{key, kind, raft_key};
use super::{Row, Vclock, invalid_msgpack};

/// `RAFT_CONFIRM`, `RAFT_ROLLBACK`, `RAFT_PROMOTE` or `RAFT_DEMOTE`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Synchro {
    /// Which of the four, see [`kind`].
    pub kind: u16,
    /// The instance whose queue of synchronous transactions this is about.
    pub queue_owner_id: u32,
    /// The newest transaction confirmed, or the oldest rolled back.
    pub lsn: i64,
    /// The election term, of `PROMOTE` and `DEMOTE`.
    pub term: u64,
    /// What the new owner has confirmed for every instance, of `PROMOTE` and `DEMOTE`.
    pub confirmed_vclock: Option<Vclock>,
}

impl Synchro {
    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let is_promote = matches!(self.kind, kind::RAFT_PROMOTE | kind::RAFT_DEMOTE);
        let vclock = self.confirmed_vclock.filter(|_| is_promote);
        let count = 2 + u32::from(is_promote) + u32::from(vclock.is_some());
        mp::write_map_len(out, count);
        put(out, key::REPLICA_ID, u64::from(self.queue_owner_id));
        put(out, key::LSN, self.lsn as u64);
        if is_promote {
            put(out, key::TERM, self.term);
        }
        if let Some(vclock) = vclock {
            out.push(key::VCLOCK);
            vclock.encode_without_local(out);
        }
    }

    /// Reads the body of a row, which [`Row::decode`] has checked to be well formed.
    pub fn decode(row: &Row<'_>) -> Result<Synchro> {
        let bad = || invalid_msgpack("request body");
        let kind = row.header.request_type().filter(|kind| kind::is_synchro(*kind));
        let mut synchro = Synchro {
            kind: kind.ok_or_else(bad)?,
            queue_owner_id: 0,
            lsn: 0,
            term: 0,
            confirmed_vclock: None,
        };
        synchro.decode_body(row.body).ok_or_else(bad)?;
        Ok(synchro)
    }

    fn decode_body(&mut self, body: &[u8]) -> Option<()> {
        let mut reader = mp::Reader::new(body);
        for _ in 0..reader.read_map_len()? {
            if reader.kind()? != mp::Kind::Uint {
                reader.skip_many(2)?;
                continue;
            }
            let key = reader.read_uint()?;
            if !key::expected(key).accepts(*reader.rest().first()?) {
                return None;
            }
            match u8::try_from(key).unwrap_or(u8::MAX) {
                key::REPLICA_ID => self.queue_owner_id = reader.read_uint()? as u32,
                key::LSN => self.lsn = reader.read_uint()? as i64,
                key::TERM => self.term = reader.read_uint()?,
                key::VCLOCK => {
                    let vclock = Vclock::decode(&mut reader).ok()?;
                    self.confirmed_vclock = Some(vclock.without_local());
                }
                _ => {
                    reader.skip()?;
                }
            }
        }
        Some(())
    }
}

/// `RAFT`: what an instance knows and wants in elections. Zero means absent, save for the term.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Raft {
    /// The election term.
    pub term: u64,
    /// Whom the instance voted for.
    pub vote: u32,
    /// Follower 1, candidate 2, leader 3.
    pub state: u64,
    /// The leader that the instance knows.
    pub leader_id: u32,
    /// Whether it has a connection to the leader.
    pub is_leader_seen: bool,
    /// What the candidate knows.
    pub vclock: Option<Vclock>,
}

impl Raft {
    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let fields = [
            (raft_key::VOTE, u64::from(self.vote)),
            (raft_key::STATE, self.state),
            (raft_key::LEADER_ID, u64::from(self.leader_id)),
        ];
        let present = fields.iter().filter(|(_, value)| *value != 0).count() as u32;
        let count = 1 + present + u32::from(self.is_leader_seen) + u32::from(self.vclock.is_some());
        mp::write_map_len(out, count);
        put(out, raft_key::TERM, self.term);
        for (key, value) in fields.into_iter().filter(|(_, value)| *value != 0) {
            put(out, key, value);
        }
        if self.is_leader_seen {
            out.push(raft_key::IS_LEADER_SEEN);
            mp::write_bool(out, true);
        }
        if let Some(vclock) = self.vclock {
            out.push(raft_key::VCLOCK);
            vclock.encode_without_local(out);
        }
    }

    /// Reads the body of a row, which [`Row::decode`] has checked to be well formed.
    pub fn decode(row: &Row<'_>) -> Result<Raft> {
        let bad = || invalid_msgpack("raft body");
        if row.header.kind != u32::from(kind::RAFT) {
            return Err(bad());
        }
        if row.body.is_empty() {
            return Err(invalid_msgpack("malformed raft request"));
        }
        Raft::decode_body(row.body).ok_or_else(bad)
    }

    fn decode_body(body: &[u8]) -> Option<Raft> {
        let mut raft = Raft::default();
        let mut reader = mp::Reader::new(body);
        for _ in 0..reader.read_map_len()? {
            match u8::try_from(reader.read_uint()?).unwrap_or(u8::MAX) {
                raft_key::TERM => raft.term = reader.read_uint()?,
                raft_key::VOTE => raft.vote = reader.read_uint()? as u32,
                raft_key::STATE => raft.state = reader.read_uint()?,
                raft_key::LEADER_ID => raft.leader_id = reader.read_uint()? as u32,
                raft_key::IS_LEADER_SEEN => raft.is_leader_seen = reader.read_bool()?,
                raft_key::VCLOCK => {
                    let vclock = Vclock::decode(&mut reader).ok()?;
                    raft.vclock = Some(vclock.without_local());
                }
                _ => {
                    reader.skip()?;
                }
            }
        }
        Some(raft)
    }
}

fn put(out: &mut Vec<u8>, key: u8, value: u64) {
    out.push(key);
    mp::write_uint(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xrow::Header;

    #[test]
    fn synchro_bodies_are_read_back() {
        let mut vclock = Vclock::new();
        vclock.set(2, 9);
        for (kind, term, confirmed_vclock) in [
            (kind::RAFT_CONFIRM, 0, None),
            (kind::RAFT_ROLLBACK, 0, None),
            (kind::RAFT_PROMOTE, 4, None),
            (kind::RAFT_DEMOTE, 5, Some(vclock)),
        ] {
            let synchro = Synchro { kind, queue_owner_id: 1, lsn: 300, term, confirmed_vclock };
            let mut body = Vec::new();
            synchro.encode(&mut body);
            let row = Row { header: Header::new(kind), body: &body };
            assert_eq!(Synchro::decode(&row).unwrap(), synchro);
        }
    }

    #[test]
    fn raft_bodies_are_read_back() {
        let mut vclock = Vclock::new();
        vclock.set(1, 7);
        let raft = Raft {
            term: 3,
            vote: 2,
            state: 3,
            leader_id: 2,
            is_leader_seen: true,
            vclock: Some(vclock),
        };
        for raft in [raft, Raft { term: 1, ..Raft::default() }] {
            let mut body = Vec::new();
            raft.encode(&mut body);
            let row = Row { header: Header::new(kind::RAFT), body: &body };
            assert_eq!(Raft::decode(&row).unwrap(), raft);
        }
    }
}
