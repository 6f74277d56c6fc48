//! What a table of mutexes does, in the plainest words: lists that are searched from end to end.

use lockkeeper_locks::{
    AcquireError, ClaimError, Counters, EndCause, Fence, LockId, LockState, OwnerId, Previous, ReleaseError,
};

pub(crate) const WAITERS_MAX: u32 = 3;
pub(crate) const HOLDS_MAX: u32 = 2;

/// A wait, numbered by the script.
pub(crate) type WaitId = usize;

pub(crate) struct Reference {
    pub(crate) locks: Vec<Lock>,
    ended: Vec<OwnerId>,
    /// Holds that were taken away from owners that do not know yet, with the wait by which they got them.
    lost: Vec<(OwnerId, LockId, EndCause, Option<WaitId>)>,
    shut_down: bool,
}

pub(crate) struct Lock {
    id: LockId,
    bound_us: u64,
    pub(crate) fences: Vec<u64>,
    newest: u64,
    pub(crate) hold: Option<Hold>,
    pub(crate) queue: Vec<Waiting>,
    previous: Previous,
    latest_us: u64,
    pub(crate) counters: Counters,
}

#[derive(Clone, Copy)]
pub(crate) struct Hold {
    pub(crate) owner: OwnerId,
    pub(crate) fence: u64,
    pub(crate) since_us: u64,
    told: bool,
    revoked: bool,
    wait: Option<WaitId>,
}

#[derive(Clone, Copy)]
pub(crate) struct Waiting {
    wait: WaitId,
    pub(crate) owner: OwnerId,
    pub(crate) since_us: u64,
}

/// What a request came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    Granted(u64, Previous),
    Busy,
    Queued,
    Refused(AcquireError),
    Deadlock(Circle),
}

/// Who holds what, since when, and waits for what.
pub(crate) type Circle = Vec<(OwnerId, LockId, u64, LockId)>;

/// A hold that was taken away.
pub(crate) type Taken = (LockId, OwnerId, u64);

impl Lock {
    pub(crate) fn new(id: LockId, bound_us: u64, first: u64, fences: u64) -> Self {
        Self {
            id,
            bound_us,
            fences: (first..first + fences).collect(),
            newest: first - 1,
            hold: None,
            queue: Vec::new(),
            previous: Previous::Clean,
            latest_us: 0,
            counters: Counters::default(),
        }
    }

    pub(crate) fn state(&self) -> LockState {
        match self.hold {
            None if self.queue.is_empty() => LockState::Free,
            None => LockState::HeadWoken,
            Some(hold) if hold.revoked => LockState::Revoking,
            Some(hold) if hold.told => LockState::Held,
            Some(_) => LockState::InFlight,
        }
    }

    fn head_is_beyond_its_bound(&self) -> bool {
        !self.queue.is_empty() && self.latest_us - self.queue[0].since_us >= self.bound_us
    }

    fn can_be_taken(&self) -> bool {
        self.hold.is_none() && !self.head_is_beyond_its_bound()
    }

    fn grant(&mut self, owner: OwnerId, wait: Option<WaitId>, told: bool) -> Answer {
        if self.fences.is_empty() {
            return Answer::Refused(AcquireError::FencesExhausted { lock: self.id });
        }
        self.newest = self.fences.remove(0);
        self.hold = Some(Hold { owner, fence: self.newest, since_us: self.latest_us, told, revoked: false, wait });
        self.counters.acquired += u64::from(told);
        Answer::Granted(self.newest, self.previous)
    }

    /// If the lock is free and its head has waited its bound, the lock goes to it.
    fn hand_over(&mut self) {
        if self.hold.is_none() && self.head_is_beyond_its_bound() && !self.fences.is_empty() {
            let head = self.queue.remove(0);
            self.grant(head.owner, Some(head.wait), false);
            self.counters.handed_over += 1;
        }
    }

    /// Something moved at the front of the queue only if the one who left stood there.
    fn leave(&mut self, wait: WaitId) -> bool {
        let Some(place) = self.queue.iter().position(|waiting| waiting.wait == wait) else { return false };
        self.queue.remove(place);
        if place == 0 {
            self.hand_over();
        }
        true
    }

    fn in_flight_to(&self, wait: WaitId) -> bool {
        self.hold.is_some_and(|hold| !hold.told && !hold.revoked && hold.wait == Some(wait))
    }

    /// Whether this wait would get an answer if it polled now.
    pub(crate) fn would_answer(&self, wait: WaitId) -> bool {
        let place = self.queue.iter().position(|waiting| waiting.wait == wait);
        self.in_flight_to(wait) || place.is_none() || (self.hold.is_none() && place == Some(0))
    }

    pub(crate) fn live_fence(&self, owner: OwnerId) -> Option<u64> {
        self.hold.filter(|hold| hold.owner == owner && hold.told && !hold.revoked).map(|hold| hold.fence)
    }

    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    pub(crate) fn claim(&self, owner: OwnerId, claim: Fence) -> Result<(), ClaimError> {
        let current = Fence::new(self.newest);
        if claim > current {
            Err(ClaimError::NeverIssued { claim })
        } else if claim < current {
            Err(ClaimError::Fenced { current })
        } else if self.live_fence(owner) == Some(claim.get()) {
            Ok(())
        } else {
            let somebody_has_it = self.hold.is_some_and(|hold| !hold.revoked);
            let taken_from_caller = matches!(self.previous, Previous::Abandoned { who, .. } if who == owner);
            if taken_from_caller && !somebody_has_it {
                Err(ClaimError::Fenced { current })
            } else {
                Err(ClaimError::LockRequired)
            }
        }
    }
}

impl Reference {
    pub(crate) fn new(locks: Vec<Lock>) -> Self {
        Self { locks, ended: Vec::new(), lost: Vec::new(), shut_down: false }
    }

    fn asked_for(&self, owner: OwnerId, lock: &Lock) -> bool {
        lock.hold.is_some_and(|hold| hold.owner == owner && !hold.revoked)
            || lock.queue.iter().any(|waiting| waiting.owner == owner)
    }

    /// `wait` is the number of the wait if the owner is ready to wait.
    pub(crate) fn acquire(&mut self, owner: OwnerId, at: usize, now_us: u64, wait: Option<WaitId>) -> Answer {
        let id = self.locks[at].id;
        if self.shut_down || self.ended.contains(&owner) {
            return Answer::Refused(AcquireError::Cancelled);
        }
        if let Some(place) = self.lost.iter().position(|lost| (lost.0, lost.1) == (owner, id)) {
            return Answer::Refused(AcquireError::Lost { how: self.lost.remove(place).2 });
        }
        if self.asked_for(owner, &self.locks[at]) {
            if wait.is_none() {
                return Answer::Busy;
            }
            let lock = &mut self.locks[at];
            lock.counters.deadlocks += 1;
            let held = lock.hold.filter(|hold| hold.owner == owner).map(|hold| hold.since_us);
            let queued = lock.queue.iter().find(|waiting| waiting.owner == owner).map(|waiting| waiting.since_us);
            let since_us = held.or(queued).expect("it was asked for");
            return Answer::Deadlock(vec![(owner, id, since_us, id)]);
        }
        let lost = self.lost.iter().filter(|lost| lost.0 == owner).count();
        let asked = self.locks.iter().filter(|lock| self.asked_for(owner, lock)).count();
        if lost + asked >= HOLDS_MAX as usize {
            return Answer::Refused(AcquireError::HoldsExceeded { owner, max: HOLDS_MAX });
        }
        let lock = &mut self.locks[at];
        lock.latest_us = now_us;
        if lock.can_be_taken() {
            let answer = lock.grant(owner, None, true);
            if matches!(answer, Answer::Granted(..)) && !lock.queue.is_empty() {
                lock.counters.barged += 1;
            }
            return answer;
        }
        let Some(wait) = wait else { return Answer::Busy };
        if lock.queue.len() == WAITERS_MAX as usize {
            return Answer::Refused(AcquireError::WaitersExceeded { lock: id, max: WAITERS_MAX });
        }
        lock.counters.contended += 1;
        if let Some(circle) = self.circle(owner, at) {
            self.locks[at].counters.deadlocks += 1;
            return Answer::Deadlock(circle);
        }
        self.locks[at].queue.push(Waiting { wait, owner, since_us: now_us });
        Answer::Queued
    }

    /// From the lock to its holder, from the holder to what it waits for, until nobody waits or the owner comes again.
    fn circle(&self, owner: OwnerId, at: usize) -> Option<Circle> {
        let mut members = Vec::new();
        let (mut waiter, mut lock) = (owner, &self.locks[at]);
        while members.len() <= self.locks.len() {
            let hold = lock.hold.filter(|hold| hold.told && !hold.revoked)?;
            members.push((waiter, lock.id, hold));
            if hold.owner == owner {
                let before = members.iter().cycle().skip(members.len() - 1);
                let links = members.iter().zip(before);
                let link = |((waiter, waits_for, _), (_, holds, hold)): (&_, &(OwnerId, LockId, Hold))| {
                    (*waiter, *holds, hold.since_us, *waits_for)
                };
                return Some(links.map(link).collect());
            }
            waiter = hold.owner;
            lock = self.locks.iter().find(|lock| lock.queue.iter().any(|waiting| waiting.owner == waiter))?;
        }
        None
    }

    /// `None` if the wait goes on.
    pub(crate) fn poll(&mut self, owner: OwnerId, at: usize, wait: WaitId) -> Option<Answer> {
        let lock = &mut self.locks[at];
        if lock.in_flight_to(wait) {
            let hold = lock.hold.as_mut().expect("in flight");
            hold.told = true;
            lock.counters.acquired += 1;
            return Some(Answer::Granted(hold.fence, lock.previous));
        }
        if !lock.queue.iter().any(|waiting| waiting.wait == wait) {
            let how = self.forget_loss(owner, at, wait).filter(|_| !self.ended.contains(&owner));
            let refused = how.map_or(AcquireError::Cancelled, |how| AcquireError::Lost { how });
            return Some(Answer::Refused(refused));
        }
        if lock.hold.is_some() || lock.queue[0].wait != wait {
            return None;
        }
        lock.queue.remove(0);
        let answer = lock.grant(owner, Some(wait), true);
        lock.hand_over();
        Some(answer)
    }

    pub(crate) fn expire(&mut self, owner: OwnerId, at: usize, wait: WaitId, now_us: u64) -> Answer {
        self.locks[at].latest_us = now_us;
        self.poll(owner, at, wait).unwrap_or_else(|| {
            self.locks[at].leave(wait);
            self.locks[at].counters.timeouts += 1;
            Answer::Refused(AcquireError::TimedOut)
        })
    }

    pub(crate) fn drop_wait(&mut self, owner: OwnerId, at: usize, wait: WaitId) {
        let lock = &mut self.locks[at];
        if lock.in_flight_to(wait) {
            lock.hold = None;
            lock.counters.passed_on += 1;
            lock.hand_over();
        } else {
            lock.leave(wait);
        }
        self.forget_loss(owner, at, wait);
    }

    fn forget_loss(&mut self, owner: OwnerId, at: usize, wait: WaitId) -> Option<EndCause> {
        let key = (owner, self.locks[at].id, Some(wait));
        let place = self.lost.iter().position(|lost| (lost.0, lost.1, lost.3) == key)?;
        Some(self.lost.remove(place).2)
    }

    pub(crate) fn release(&mut self, owner: OwnerId, at: usize, now_us: u64) -> Result<(), ReleaseError> {
        let lock = &mut self.locks[at];
        if let Some(place) = self.lost.iter().position(|lost| (lost.0, lost.1) == (owner, lock.id)) {
            return Err(ReleaseError::Lost { how: self.lost.remove(place).2 });
        }
        lock.latest_us = now_us;
        match lock.hold.filter(|hold| !hold.revoked) {
            Some(hold) if hold.owner != owner => Err(ReleaseError::NotOwner { lock: lock.id, owner: hold.owner }),
            Some(hold) if hold.told => {
                lock.hold = None;
                lock.previous = Previous::Clean;
                lock.hand_over();
                Ok(())
            }
            Some(_) | None => Err(ReleaseError::NotHeld { lock: lock.id }),
        }
    }

    pub(crate) fn begin_revoke(&mut self, at: usize, expect: Option<u64>, how: EndCause) -> Option<Taken> {
        let lock = &mut self.locks[at];
        let hold = lock.hold.as_mut().filter(|hold| !hold.revoked)?;
        if expect.is_some_and(|expect| expect != hold.fence) {
            return None;
        }
        hold.revoked = true;
        if hold.told {
            lock.previous = Previous::Abandoned { how, who: hold.owner };
            lock.counters.abandoned += 1;
        } else {
            lock.counters.passed_on += 1;
        }
        self.lost.push((hold.owner, lock.id, how, hold.wait));
        Some((lock.id, hold.owner, hold.fence))
    }

    pub(crate) fn finish_revoke(&mut self, (id, owner, fence): Taken, now_us: u64) {
        let lock = self.locks.iter_mut().find(|lock| lock.id == id).expect("known");
        let hold = lock.hold.take().expect("taken away and not given on");
        assert!(hold.revoked && hold.owner == owner && hold.fence == fence);
        lock.latest_us = now_us;
        lock.hand_over();
    }

    pub(crate) fn begin_end(&mut self, owner: OwnerId, how: EndCause) -> Vec<Taken> {
        let mut taken = Vec::new();
        for at in 0..self.locks.len() {
            let hold = self.locks[at].hold.filter(|hold| hold.owner == owner && !hold.revoked);
            if let Some(hold) = hold {
                taken.extend(self.begin_revoke(at, None, how));
                if !hold.told {
                    self.lost.pop();
                }
            }
            let lock = &mut self.locks[at];
            if let Some(waiting) = lock.queue.iter().find(|waiting| waiting.owner == owner) {
                lock.leave(waiting.wait);
                lock.counters.cancelled += 1;
            }
        }
        self.ended.push(owner);
        taken
    }

    pub(crate) fn shut_down(&mut self) {
        if self.shut_down {
            return;
        }
        self.shut_down = true;
        for lock in &mut self.locks {
            if lock.state() == LockState::InFlight {
                lock.hold = None;
                lock.counters.passed_on += 1;
                lock.counters.cancelled += 1;
            }
            lock.counters.cancelled += lock.queue.len() as u64;
            lock.queue.clear();
        }
    }

    pub(crate) fn add_fences(&mut self, at: usize, first: u64, count: u64) {
        self.locks[at].fences.extend(first..first + count);
    }
}
