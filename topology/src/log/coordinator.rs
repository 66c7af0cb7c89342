//! Who owns which shard: the membership of one group, inside one process.
//!
//! # Invariants
//! A shard has at most one owner. It moves only after its owner released it, left, or was
//! evicted; what an evicted member still tries to commit is refused. Shares differ by one shard
//! at most, and only as many shards move as that needs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::log::Ownership;
use crate::types::Shard;

/// A seat in the group; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MemberId(pub(crate) u64);

#[derive(Debug, Default, Clone, Copy)]
struct Seat {
    owner: Option<MemberId>,
    target: Option<MemberId>,
    revocation_told: Told,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Told {
    #[default]
    No,
    Yes,
}

/// The membership of one group.
#[derive(Debug)]
pub(crate) struct Coordinator {
    seats: Vec<Seat>,
    members: BTreeSet<MemberId>,
    lost: BTreeMap<MemberId, Vec<Shard>>,
}

impl Coordinator {
    pub(crate) fn new(partitions: u32) -> Self {
        Self {
            seats: (0..partitions).map(|_| Seat::default()).collect(),
            members: BTreeSet::new(),
            lost: BTreeMap::new(),
        }
    }

    pub(crate) fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    /// The member at a place in the order of their joining.
    pub(crate) fn member_at(&self, place: usize) -> Option<MemberId> {
        self.members.iter().nth(place).copied()
    }

    pub(crate) fn join(&mut self, member: MemberId) {
        self.members.insert(member);
        self.balance();
    }

    /// The member is gone, with or without a word: its shards are free at once.
    pub(crate) fn leave(&mut self, member: MemberId) {
        self.members.remove(&member);
        self.lost.remove(&member);
        for seat in &mut self.seats {
            if seat.owner == Some(member) {
                seat.owner = None;
            }
        }
        self.balance();
    }

    /// The member has been silent for too long: its shards are taken, and it is told when it
    /// wakes up. It stays out of the group.
    pub(crate) fn evict(&mut self, member: MemberId) {
        let shards = self.owned_by(member);
        self.leave(member);
        self.lost.insert(member, shards);
    }

    pub(crate) fn owned_by(&self, member: MemberId) -> Vec<Shard> {
        self.shards()
            .filter(|(_, seat)| seat.owner == Some(member))
            .map(|(shard, _)| shard)
            .collect()
    }

    pub(crate) fn owns(&self, member: MemberId, shard: Shard) -> bool {
        self.seats
            .get(shard.0 as usize)
            .is_some_and(|seat| seat.owner == Some(member))
    }

    pub(crate) fn release(&mut self, member: MemberId, shard: Shard) {
        if let Some(seat) = self.seats.get_mut(shard.0 as usize)
            && seat.owner == Some(member)
        {
            seat.owner = None;
        }
    }

    /// What changed for a member since it last asked.
    pub(crate) fn changes(&mut self, member: MemberId) -> Vec<Ownership> {
        let mut changes: Vec<_> = self
            .lost
            .remove(&member)
            .into_iter()
            .flatten()
            .map(Ownership::Lost)
            .collect();
        for (shard, seat) in (0_u32..).map(Shard).zip(&mut self.seats) {
            if seat.owner == Some(member) && seat.target != Some(member) {
                if seat.revocation_told == Told::No {
                    seat.revocation_told = Told::Yes;
                    changes.push(Ownership::Revoked(shard));
                }
            } else if seat.owner.is_none() && seat.target == Some(member) {
                seat.owner = Some(member);
                seat.revocation_told = Told::No;
                changes.push(Ownership::Assigned(shard));
            }
        }
        changes
    }

    fn shards(&self) -> impl Iterator<Item = (Shard, &Seat)> {
        (0_u32..).map(Shard).zip(&self.seats)
    }

    /// Aims at equal shares; a shard stays with its owner where it can.
    fn balance(&mut self) {
        // whoever has most keeps the shards that do not divide: nothing moves without need
        let mut members: Vec<_> = self.members.iter().copied().collect();
        members.sort_by_key(|member| (Reverse(self.owned_by(*member).len()), *member));
        if members.is_empty() {
            self.seats.iter_mut().for_each(|seat| seat.target = None);
            return;
        }
        let (share, rest) = (
            self.seats.len() / members.len(),
            self.seats.len() % members.len(),
        );
        let mut room: BTreeMap<_, _> = members
            .iter()
            .enumerate()
            .map(|(place, member)| (*member, share + usize::from(place < rest)))
            .collect();
        for seat in &mut self.seats {
            seat.target = seat.owner.filter(|owner| match room.get_mut(owner) {
                Some(left) if *left > 0 => {
                    *left -= 1;
                    true
                }
                _ => false,
            });
            if seat.target.is_some() {
                seat.revocation_told = Told::No;
            }
        }
        for seat in self.seats.iter_mut().filter(|seat| seat.target.is_none()) {
            seat.target = room
                .iter_mut()
                .find(|(_, left)| **left > 0)
                .map(|(member, left)| {
                    *left -= 1;
                    *member
                });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// Lets every member do as it is told until nothing changes; how many shards moved.
    fn settle(group: &mut Coordinator, members: &[MemberId]) -> usize {
        let mut moved = 0;
        loop {
            let mut quiet = true;
            for member in members {
                for change in group.changes(*member) {
                    quiet = false;
                    match change {
                        Ownership::Revoked(shard) => group.release(*member, shard),
                        Ownership::Assigned(_) => moved += 1,
                        Ownership::Lost(_) => {}
                    }
                }
            }
            if quiet {
                return moved;
            }
        }
    }

    fn shares(group: &Coordinator, members: &[MemberId]) -> Vec<usize> {
        members
            .iter()
            .map(|member| group.owned_by(*member).len())
            .collect()
    }

    const A: MemberId = MemberId(1);
    const B: MemberId = MemberId(2);
    const C: MemberId = MemberId(3);

    fn joined(partitions: u32, members: &[MemberId]) -> Coordinator {
        let mut group = Coordinator::new(partitions);
        for member in members {
            group.join(*member);
            settle(&mut group, members);
        }
        group
    }

    #[test]
    fn a_joiner_takes_its_share_and_nothing_else_moves() {
        let mut group = joined(8, &[A, B]);
        assert_eq!(shares(&group, &[A, B]), [4, 4]);
        group.join(C);
        assert_eq!(settle(&mut group, &[A, B, C]), 2);
        assert_eq!(shares(&group, &[A, B, C]), [3, 3, 2]);
    }

    #[test]
    fn what_does_not_divide_stays_where_it_is() {
        let mut group = joined(3, &[A, B, C]);
        group.leave(A);
        settle(&mut group, &[B, C]);
        group.join(A);
        let before = group.owned_by(B).len() + group.owned_by(C).len();
        assert_eq!(before, 3);
        assert_eq!(settle(&mut group, &[A, B, C]), 1);
    }

    #[test]
    fn a_shard_has_its_old_owner_until_it_is_released() {
        let mut group = joined(2, &[A]);
        group.join(B);
        assert_eq!(group.changes(B), []);
        let revoked = group.changes(A);
        assert_eq!(revoked.len(), 1);
        assert_eq!(group.changes(B), [], "A has not released it");
        let Some(Ownership::Revoked(shard)) = revoked.first() else {
            return assert_eq!(revoked, []);
        };
        group.release(A, *shard);
        assert_eq!(group.changes(B), [Ownership::Assigned(*shard)]);
    }

    #[test]
    fn a_revocation_is_told_once() {
        let mut group = joined(2, &[A]);
        group.join(B);
        assert_eq!(group.changes(A).len(), 1);
        assert_eq!(group.changes(A), []);
    }

    #[test]
    fn a_shard_comes_back_when_the_one_who_wanted_it_leaves() {
        let mut group = joined(2, &[A]);
        group.join(B);
        let revoked = group.changes(A);
        group.leave(B);
        for change in revoked {
            if let Ownership::Revoked(shard) = change {
                group.release(A, shard);
            }
        }
        settle(&mut group, &[A]);
        assert_eq!(shares(&group, &[A]), [2]);
    }

    #[test]
    fn an_evicted_member_owns_nothing_and_is_told_so_once() {
        let mut group = joined(2, &[A, B]);
        let owned = group.owned_by(A);
        group.evict(A);
        assert!(owned.iter().all(|shard| !group.owns(A, *shard)));
        settle(&mut group, &[B]);
        assert_eq!(shares(&group, &[B]), [2]);
        let lost: Vec<_> = owned.into_iter().map(Ownership::Lost).collect();
        assert_eq!(group.changes(A), lost);
        assert_eq!(group.changes(A), []);
    }
}
