//! Whether a wait could ever end: the graph of who waits for whom, followed from one request.
//!
//! An owner is stuck if what it waits for could not be granted even if everyone who is not stuck ran to the end and gave all
//! back. With exclusive locks that is a circle; with readers and permits, of which several owners have some, it is worked
//! out by taking away, again and again, whoever could go on.
//!
//! Only a request can make anybody stuck (who is granted a lock runs), and only together with whoever asks. So each request
//! that has to queue looks once, after it has queued: of all members of a circle the last one to queue sees the others.
//!
//! The graph moves while it is followed, as one mutex is held at a time. But those who are stuck do not: they all wait. So it is
//! looked at twice. Waits that have kept their places and holds that have kept their fences in both looks stood at one instant
//! in between, and if they alone make the owner stuck, it is. Checks come one after the other, so that of two requests that
//! close one circle together only one is refused.

use std::collections::{HashMap, HashSet};

use crate::ids::{Ask, Holder, Link, LockId, Mode, OwnerId};
use crate::lock::Block;
use crate::queue::Ticket;
use crate::table::LockTable;

/// How often the graph is looked at anew when it has changed between two looks.
const LOOKS: usize = 1_000;

/// One wait, and who could block it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Waits {
    pub(crate) lock: LockId,
    pub(crate) ticket: Ticket,
    pub(crate) block: Block,
    pub(crate) holders: Vec<Holder>,
}

/// Everyone who waits, as far as it can matter for one owner.
pub(crate) struct Look(HashMap<OwnerId, Vec<Waits>>);

impl Look {
    pub(crate) fn from(table: &LockTable, start: OwnerId) -> Self {
        let mut seen = HashMap::new();
        let mut next = vec![start];
        while let Some(owner) = next.pop() {
            if seen.contains_key(&owner) {
                continue;
            }
            let waits = table.waits_of(owner);
            next.extend(waits.iter().flat_map(|waits| &waits.holders).map(|holder| holder.owner));
            seen.insert(owner, waits);
        }
        seen.retain(|_, waits| !waits.is_empty());
        Self(seen)
    }

    pub(crate) fn is_stuck(&self, owner: OwnerId) -> bool {
        self.stuck().contains(&owner)
    }

    /// Those who wait, without those who could go on, again and again.
    fn stuck(&self) -> HashSet<OwnerId> {
        let mut stuck: HashSet<_> = self.0.keys().copied().collect();
        loop {
            let free = |owner: &OwnerId| !self.0[owner].iter().any(|waits| is_blocked(*owner, waits, &stuck));
            let free: Vec<_> = stuck.iter().copied().filter(free).collect();
            if free.is_empty() {
                return stuck;
            }
            free.iter().for_each(|owner| _ = stuck.remove(owner));
        }
    }

    /// What both looks saw.
    fn and(&self, later: &Self) -> Self {
        let mut both = HashMap::new();
        for (owner, waits) in &self.0 {
            let Some(later) = later.0.get(owner) else { continue };
            let kept = waits.iter().filter_map(|waits| {
                let same = |other: &&Waits| {
                    (other.lock, other.ticket, &other.block) == (waits.lock, waits.ticket, &waits.block)
                };
                let later = later.iter().find(same)?;
                let holders = waits.holders.iter().filter(|holder| later.holders.contains(holder)).copied().collect();
                Some(Waits { holders, ..waits.clone() })
            });
            both.insert(*owner, kept.collect::<Vec<_>>());
        }
        Self(both)
    }

    /// A circle through the owner, as links that begin with it.
    fn circle(&self, start: OwnerId) -> Vec<Link> {
        let stuck = &self.stuck();
        let blockers = |owner: OwnerId| {
            self.0[&owner].iter().filter(move |waits| is_blocked(owner, waits, stuck)).flat_map(move |waits| {
                let counts =
                    move |holder: &&Holder| stuck.contains(&holder.owner) && matters(waits.block.ask, holder.mode);
                waits.holders.iter().filter(counts).map(move |holder| (waits, *holder))
            })
        };
        // Breadth first, so that the circle is a short one.
        let mut came_by: HashMap<OwnerId, (OwnerId, &Waits, Holder)> = HashMap::new();
        let mut next = std::collections::VecDeque::from([start]);
        let mut own = None;
        while let Some(owner) = next.pop_front() {
            for (waits, holder) in blockers(owner) {
                // Its own permits block it too, but they make no circle with another.
                if holder.owner == owner {
                    own = own.or((owner == start).then_some((owner, waits, holder)));
                    continue;
                }
                if came_by.contains_key(&holder.owner) {
                    continue;
                }
                came_by.insert(holder.owner, (owner, waits, holder));
                next.push_back(holder.owner);
            }
            if came_by.contains_key(&start) {
                break;
            }
        }
        if let Some(own) = own {
            came_by.entry(start).or_insert(own);
        }
        let mut steps = Vec::new();
        let mut at = start;
        while let Some((from, waits, holder)) = came_by.get(&at) {
            steps.push((*from, *waits, *holder));
            at = *from;
            if at == start {
                break;
            }
        }
        steps.reverse();
        let before = steps.iter().cycle().skip(steps.len().saturating_sub(1));
        let link =
            |((owner, waits, _), (_, held, hold)): (&(OwnerId, &Waits, Holder), &(OwnerId, &Waits, Holder))| Link {
                owner: *owner,
                holds: held.lock,
                held_as: hold.mode,
                since: hold.since,
                waits_for: waits.lock,
                asks_as: waits.block.own,
            };
        steps.iter().zip(before).map(link).collect()
    }
}

/// The circle that an owner's wait closes, as links that begin with that owner; none if there is none. The caller keeps
/// checks apart from each other.
pub(crate) fn circle(table: &LockTable, owner: OwnerId) -> Option<Vec<Link>> {
    let mut look = Look::from(table, owner);
    for _ in 0..LOOKS {
        if !look.is_stuck(owner) {
            return None;
        }
        let later = Look::from(table, owner);
        let both = look.and(&later);
        if both.is_stuck(owner) {
            // Who is stuck behind a circle of others is not in one, and nothing that it gives up would open theirs.
            return Some(both.circle(owner)).filter(|circle| !circle.is_empty());
        }
        look = later;
    }
    None
}

/// Whether a wait could not be granted while these owners keep what they have.
fn is_blocked(owner: OwnerId, waits: &Waits, stuck: &HashSet<OwnerId>) -> bool {
    let kept = || waits.holders.iter().filter(|holder| stuck.contains(&holder.owner));
    match waits.block.ask {
        Ask::Exclusive | Ask::Upgrade => kept().any(|holder| holder.owner != owner),
        Ask::Shared => kept().any(|holder| holder.owner != owner && holder.mode == Mode::Exclusive),
        Ask::Permits(count) => {
            let kept: u64 = kept().map(|holder| u64::from(holder.count)).sum();
            kept + u64::from(count) > u64::from(waits.block.permits)
        }
    }
}

/// Whether a hold of this mode can be what a request waits for.
fn matters(ask: Ask, held: Mode) -> bool {
    match ask {
        Ask::Shared => held == Mode::Exclusive,
        Ask::Exclusive | Ask::Upgrade | Ask::Permits(_) => true,
    }
}
