//! Whether a wait could ever end: the graph of who waits for whom, followed from one request.
//!
//! An owner that waits is blocked by whoever holds what it waits for. A circle can only be closed by a request (who is
//! granted a lock runs), so each request that has to queue looks once, after it has queued: of all members of a circle the
//! last one to queue sees the others.
//!
//! The graph moves while it is followed, as one mutex is held at a time. But a circle does not: its members all wait. So
//! what was found is looked at a second time. If every wait has kept its ticket and every hold its fence, all of them stood
//! at one instant in between, and the circle is real. Checks come one after the other, so that of two requests that
//! close one circle together only one is refused.

use crate::ids::{Fence, Link, LockId, OwnerId};
use crate::queue::Ticket;
use crate::table::LockTable;

/// What blocks an owner: the wait, and the hold that it waits for the end of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Edge {
    pub(crate) waiter: OwnerId,
    pub(crate) lock: LockId,
    pub(crate) ticket: Ticket,
    pub(crate) holder: OwnerId,
    pub(crate) fence: Fence,
    pub(crate) since: std::time::Instant,
}

/// The circle that a wait closes, as links that begin with the waiter; none if there is none. The caller keeps checks
/// apart from each other.
pub(crate) fn circle(table: &LockTable, waiter: OwnerId, lock: LockId, ticket: Ticket) -> Option<Vec<Link>> {
    let first = table.edge(waiter, lock, ticket)?;
    let path = path_back(table, first)?;
    let stands = path.iter().all(|edge| table.edge(edge.waiter, edge.lock, edge.ticket) == Some(*edge));
    stands.then(|| links(&path))
}

/// A way along edges from the first one back to its waiter, depth first.
fn path_back(table: &LockTable, first: Edge) -> Option<Vec<Edge>> {
    let mut seen = vec![first.waiter];
    let mut path = vec![first];
    // For each edge of the path, the edges out of its holder that are still to be tried.
    let mut untried = vec![table.edges(first.holder)];
    loop {
        if path.last()?.holder == first.waiter {
            return Some(path);
        }
        match untried.last_mut()?.pop() {
            Some(next) if next.holder == first.waiter || !seen.contains(&next.holder) => {
                seen.push(next.waiter);
                path.push(next);
                untried.push(if next.holder == first.waiter { Vec::new() } else { table.edges(next.holder) });
            }
            Some(_) => {}
            None => {
                untried.pop();
                path.pop();
            }
        }
    }
}

fn links(path: &[Edge]) -> Vec<Link> {
    let before = path.iter().cycle().skip(path.len() - 1);
    path.iter()
        .zip(before)
        .map(|(edge, before)| Link {
            owner: edge.waiter,
            holds: before.lock,
            since: before.since,
            waits_for: edge.lock,
        })
        .collect()
}
