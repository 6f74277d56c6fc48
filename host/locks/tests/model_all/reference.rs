//! What a table of every primitive does, in the plainest words: lists that are searched from end to end.

use lockkeeper_locks::{
    AcquireError, AfterDeath, Ask, BrokenCause, EndCause, Kind, LockId, Mode, OwnerId, Previous, ReleaseError,
    SemaphoreKind,
};

use crate::stuck::{Scene, Shape, stuck};

pub(crate) const WAITERS_MAX: usize = 4;
pub(crate) const HOLDS_MAX: usize = 5;
pub(crate) const UNFINISHED_MAX: usize = 2;

/// A wait, numbered by the script.
pub(crate) type WaitId = usize;
pub(crate) type Answer = Result<Got, AcquireError>;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Got {
    Lock(u64, Previous),
    Busy,
    Queued,
    Done,
    Index(u32),
    Item(u64, u32, usize),
    Stored(u64),
}

pub(crate) struct Reference {
    pub(crate) objects: Vec<Object>,
    ended: Vec<OwnerId>,
    /// Holds that were taken away from owners that do not know, with the wait that went with them.
    lost: Vec<(OwnerId, usize, EndCause, Option<WaitId>)>,
    shut_down: bool,
}

pub(crate) struct Object {
    pub(crate) id: LockId,
    pub(crate) kind: Kind,
    pub(crate) after_death: AfterDeath,
    bound_us: u64,
    latest_us: u64,
    /// Those who wait; of a queue, those who put.
    pub(crate) queue: Vec<Waiting>,
    pub(crate) getters: Vec<Waiting>,
    pub(crate) joiners: Vec<Waiting>,
    /// Those who wait no more, with what they are to be told.
    told: Vec<(WaitId, Answer)>,
    /// Waits that the shut-down ended. If the owner loses what it has of the same lock before it comes, it is told that.
    cut_off: Vec<(OwnerId, WaitId)>,
    // Of a lock.
    pub(crate) holds: Vec<Hold>,
    pub(crate) flight: Option<Flight>,
    next_fence: u64,
    previous: Previous,
    health: Health,
    pub(crate) done: bool,
    /// The permits of a signal that are there.
    pub(crate) signal: u32,
    // Of the others.
    pub(crate) set: bool,
    pub(crate) left: u32,
    pub(crate) broken: Option<BrokenCause>,
    registered: Vec<OwnerId>,
    pub(crate) items: Vec<(u64, u32, usize)>,
    pub(crate) out: Vec<(OwnerId, (u64, u32, usize))>,
    next_item: u64,
    pub(crate) unfinished: u64,
    pub(crate) closed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Sound,
    Inconsistent,
    Ruined,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    pub(crate) owner: OwnerId,
    pub(crate) mode: Mode,
    pub(crate) count: u32,
    pub(crate) fence: u64,
    pub(crate) revoked: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    wait: WaitId,
    ask: Ask,
    pub(crate) hold: Hold,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) wait: WaitId,
    pub(crate) owner: OwnerId,
    pub(crate) ask: Ask,
    since_us: u64,
    bytes: usize,
}

/// A hold that was taken away.
pub(crate) type Taken = (usize, OwnerId, u64);

fn out_of(list: &mut Vec<Waiting>, wait: WaitId) -> Option<usize> {
    let place = list.iter().position(|waiting| waiting.wait == wait)?;
    list.remove(place);
    Some(place)
}

impl Object {
    pub(crate) fn new(id: LockId, kind: Kind, bound_us: u64, after_death: AfterDeath) -> Self {
        Self {
            id,
            kind,
            after_death,
            bound_us,
            latest_us: 0,
            queue: Vec::new(),
            getters: Vec::new(),
            joiners: Vec::new(),
            told: Vec::new(),
            cut_off: Vec::new(),
            holds: Vec::new(),
            flight: None,
            next_fence: 1,
            previous: Previous::Clean,
            health: Health::Sound,
            done: false,
            signal: if let Kind::Semaphore(SemaphoreKind::Signal { permits, .. }) = kind { permits } else { 0 },
            set: false,
            left: if let Kind::Latch { count } = kind { count } else { 0 },
            broken: None,
            registered: Vec::new(),
            items: Vec::new(),
            out: Vec::new(),
            next_item: 1,
            unfinished: 0,
            closed: false,
        }
    }

    pub(crate) fn is_lock(&self) -> bool {
        use Kind::{Mutex, Once, RLock, RwLock, Semaphore};
        matches!(self.kind, Mutex | RLock { .. } | RwLock { .. } | Semaphore(_) | Once)
    }

    fn is_signal(&self) -> bool {
        matches!(self.kind, Kind::Semaphore(SemaphoreKind::Signal { .. }))
    }

    pub(crate) fn live(&self, owner: OwnerId) -> Option<&Hold> {
        self.holds.iter().find(|hold| hold.owner == owner && !hold.revoked)
    }

    /// Whether the owner, which does not wait, has anything here that others may wait for.
    pub(crate) fn is_tied_to(&self, owner: OwnerId) -> bool {
        self.live(owner).is_some() || self.registered.contains(&owner) || self.out.iter().any(|(who, _)| *who == owner)
    }

    fn writes(&self, owner: OwnerId) -> bool {
        self.live(owner).is_some_and(|hold| hold.mode == Mode::Exclusive)
    }

    /// How many permits are there.
    pub(crate) fn free(&self) -> u32 {
        match self.kind {
            Kind::Semaphore(SemaphoreKind::Owned { permits }) => {
                let held: u32 = self.holds.iter().map(|hold| hold.count).sum();
                permits - held - self.flight.map_or(0, |flight| flight.hold.count)
            }
            _ => self.signal,
        }
    }

    fn fits(&self, owner: OwnerId, ask: Ask) -> bool {
        if self.flight.is_some() || self.holds.iter().any(|hold| hold.owner == owner && hold.revoked) {
            return false;
        }
        match ask {
            Ask::Permits(count) => self.free() >= count,
            Ask::Shared => self.holds.iter().all(|hold| hold.mode == Mode::Shared),
            Ask::Upgrade => self.holds.len() == 1 && self.live(owner).is_some(),
            Ask::Exclusive => self.holds.is_empty(),
        }
    }

    fn beyond_its_bound(&self, waiting: &Waiting) -> bool {
        self.latest_us - waiting.since_us >= self.bound_us
    }

    fn grant(&mut self, owner: OwnerId, ask: Ask) -> Hold {
        let fence = self.next_fence;
        self.next_fence += 1;
        let count = if let Ask::Permits(count) = ask { count } else { 1 };
        if self.is_signal() {
            self.signal -= count;
        }
        Hold { owner, mode: ask.mode(), count, fence, revoked: false }
    }

    /// The owner learns of a grant.
    fn tell(&mut self, hold: Hold) -> Answer {
        let mut fence = hold.fence;
        if !self.is_signal() {
            match self.holds.iter_mut().find(|held| held.owner == hold.owner) {
                Some(held) if held.mode == Mode::Permits => {
                    held.count += hold.count;
                    fence = held.fence;
                }
                Some(held) => *held = hold,
                None => self.holds.push(hold),
            }
        }
        self.settle();
        Ok(Got::Lock(fence, self.previous))
    }

    /// Something has moved: whoever is first and beyond its bound has the lock from here on.
    fn settle(&mut self) {
        let Some(front) = self.queue.first().copied() else { return };
        if self.health == Health::Ruined || !self.fits(front.owner, front.ask) || !self.beyond_its_bound(&front) {
            return;
        }
        self.queue.remove(0);
        let hold = self.grant(front.owner, front.ask);
        self.flight = Some(Flight { wait: front.wait, ask: front.ask, hold });
    }

    fn withdraw(&mut self) {
        let flight = self.flight.take().expect("in flight");
        if let (Kind::Semaphore(SemaphoreKind::Signal { maximum, .. }), Ask::Permits(count)) = (self.kind, flight.ask) {
            self.signal = self.signal.saturating_add(count).min(maximum.unwrap_or(u32::MAX));
        }
    }

    /// An exclusive owner lets go of what it was told that it had.
    fn leave_behind(&mut self) {
        if self.health == Health::Inconsistent {
            self.health = Health::Ruined;
        } else {
            self.previous = Previous::Clean;
        }
    }

    fn in_flight_to(&self, wait: WaitId) -> bool {
        self.flight.is_some_and(|flight| flight.wait == wait && !flight.hold.revoked)
    }

    pub(crate) fn lists(&self) -> [&Vec<Waiting>; 3] {
        [&self.queue, &self.getters, &self.joiners]
    }

    pub(crate) fn waits(&self, wait: WaitId) -> bool {
        self.lists().iter().any(|list| list.iter().any(|waiting| waiting.wait == wait))
    }

    // ---- queues of items ----

    fn bytes(&self) -> usize {
        self.items.iter().chain(self.out.iter().map(|(_, item)| item)).map(|item| item.2).sum()
    }

    fn has_room(&self, bytes: usize) -> bool {
        let Kind::Queue(config) = self.kind else { panic!("a queue") };
        self.items.len() < config.items_max as usize && self.bytes() + bytes <= config.bytes_max as usize
    }

    fn acknowledged(&self) -> bool {
        let Kind::Queue(config) = self.kind else { return false };
        config.delivery != lockkeeper_locks::Delivery::AtMostOnce
    }

    fn store(&mut self, bytes: usize) -> Answer {
        self.items.push((self.next_item, 0, bytes));
        self.next_item += 1;
        self.unfinished += 1;
        Ok(Got::Stored(self.next_item - 1))
    }

    fn fetch(&mut self, owner: OwnerId) -> Answer {
        let item = self.items.remove(0);
        if self.acknowledged() {
            self.out.push((owner, item));
        }
        self.sweep();
        Ok(Got::Item(item.0, item.1, item.2))
    }

    fn is_over(&self) -> bool {
        self.closed && self.items.is_empty() && self.out.is_empty()
    }

    fn sweep(&mut self) {
        if self.is_over() {
            self.told.extend(self.getters.drain(..).map(|waiting| (waiting.wait, Err(AcquireError::Closed))));
        }
    }

    /// Everyone who waits is told the same.
    fn tell_all(&mut self, answer: &Answer) {
        self.told.extend(self.queue.drain(..).map(|waiting| (waiting.wait, answer.clone())));
    }

    fn break_up(&mut self, cause: BrokenCause) {
        self.broken.get_or_insert(cause);
        self.tell_all(&Err(AcquireError::Broken { cause }));
    }

    fn pass_on(&mut self) {
        if !self.queue.is_empty() {
            let next = self.queue.remove(0);
            self.told.push((next.wait, Ok(Got::Done)));
        }
    }
}

impl Reference {
    pub(crate) fn new(objects: Vec<Object>) -> Self {
        Self { objects, ended: Vec::new(), lost: Vec::new(), shut_down: false }
    }

    fn has_to_do_with(&self, owner: OwnerId, at: usize) -> bool {
        self.objects[at].is_tied_to(owner) || self.lost.iter().any(|lost| (lost.0, lost.1) == (owner, at))
    }

    fn admit(&mut self, owner: OwnerId, at: usize) -> Result<(), AcquireError> {
        if self.shut_down || self.ended.contains(&owner) {
            return Err(AcquireError::Cancelled);
        }
        if let Some(place) = self.lost.iter().position(|lost| (lost.0, lost.1) == (owner, at)) {
            return Err(AcquireError::Lost { how: self.lost.remove(place).2 });
        }
        let others = (0..self.objects.len()).filter(|at| self.has_to_do_with(owner, *at)).count();
        if !self.has_to_do_with(owner, at) && others >= HOLDS_MAX {
            return Err(AcquireError::HoldsExceeded { owner, max: HOLDS_MAX as u32 });
        }
        Ok(())
    }

    fn queue_full(&self, at: usize) -> AcquireError {
        AcquireError::WaitersExceeded { lock: self.objects[at].id, max: WAITERS_MAX as u32 }
    }

    // ---- locks ----

    /// `wait` is the number of the wait if the owner is ready to wait.
    pub(crate) fn ask(&mut self, owner: OwnerId, at: usize, ask: Ask, now_us: u64, wait: Option<WaitId>) -> Answer {
        self.admit(owner, at)?;
        let object = &mut self.objects[at];
        object.latest_us = now_us;
        let lock = object.id;
        if object.health == Health::Ruined {
            return Err(AcquireError::NotRecoverable { lock });
        }
        if object.done {
            return Ok(if wait.is_some() { Got::Done } else { Got::Busy });
        }
        let most = match object.kind {
            Kind::Semaphore(SemaphoreKind::Owned { permits }) => Some(permits),
            Kind::Semaphore(SemaphoreKind::Signal { maximum, .. }) => maximum,
            _ => None,
        };
        if matches!((ask, most), (Ask::Permits(count), Some(most)) if count > most) {
            return Err(AcquireError::PermitsExceeded { lock });
        }
        match (object.live(owner).copied(), object.kind, ask) {
            (Some(hold), Kind::RLock { depth_max }, _)
            | (Some(hold @ Hold { mode: Mode::Shared, .. }), Kind::RwLock { depth_max }, Ask::Shared) => {
                if hold.count == depth_max {
                    return Err(AcquireError::DepthExceeded { lock });
                }
                object.holds.iter_mut().find(|hold| hold.owner == owner).expect("held").count += 1;
                return Ok(Got::Lock(hold.fence, object.previous));
            }
            (None, _, Ask::Upgrade) => return Err(AcquireError::NotHeld { lock }),
            (Some(Hold { mode: Mode::Shared, count: 1, .. }), _, Ask::Upgrade) | (_, Kind::Semaphore(_), _) => {}
            (Some(_), _, Ask::Upgrade) => return Err(AcquireError::Unfit { lock }),
            (Some(_), ..) if wait.is_none() => return Ok(Got::Busy),
            (Some(_), ..) => return Err(AcquireError::Deadlock { circle: Vec::new() }),
            (None, ..) => {}
        }
        let may_go_ahead = match (ask, object.queue.first()) {
            (_, None) | (Ask::Upgrade, _) => true,
            (Ask::Shared, _) => false,
            (_, Some(front)) => !object.beyond_its_bound(front),
        };
        if may_go_ahead && object.fits(owner, ask) {
            let hold = object.grant(owner, ask);
            return object.tell(hold);
        }
        let Some(wait) = wait else { return Ok(Got::Busy) };
        if object.queue.len() >= WAITERS_MAX {
            return Err(self.queue_full(at));
        }
        let place = if ask == Ask::Upgrade { 0 } else { object.queue.len() };
        object.queue.insert(place, Waiting { wait, owner, ask, since_us: now_us, bytes: 0 });
        if stuck(&self.scenes()).contains(&owner) {
            self.objects[at].queue.remove(place);
            if place == 0 {
                self.objects[at].settle();
            }
            return Err(AcquireError::Deadlock { circle: Vec::new() });
        }
        Ok(Got::Queued)
    }

    /// The locks that make circles. What is on its way to somebody, or being taken away, is in nobody's way for ever.
    pub(crate) fn scenes(&self) -> Vec<Scene> {
        let locks = self.objects.iter().filter(|object| object.is_lock() && !object.is_signal());
        locks
            .map(|object| Scene {
                id: object.id,
                shape: match object.kind {
                    Kind::RwLock { .. } => Shape::ReadersOrWriter,
                    Kind::Semaphore(SemaphoreKind::Owned { permits }) => Shape::Permits(permits),
                    _ => Shape::Alone,
                },
                holds: object
                    .holds
                    .iter()
                    .filter(|hold| !hold.revoked)
                    .map(|hold| (hold.owner, hold.mode, hold.count))
                    .collect(),
                queue: object.queue.iter().map(|waiting| (waiting.owner, waiting.ask)).collect(),
            })
            .collect()
    }

    fn told_of_its_loss(&mut self, owner: OwnerId, at: usize) -> Result<(), ReleaseError> {
        let place = self.lost.iter().position(|lost| (lost.0, lost.1) == (owner, at));
        place.map_or(Ok(()), |place| Err(ReleaseError::Lost { how: self.lost.remove(place).2 }))
    }

    fn not_held(&self, owner: OwnerId, at: usize, counts: impl Fn(&Hold) -> bool) -> ReleaseError {
        let object = &self.objects[at];
        let flight = object.flight.iter().map(|flight| &flight.hold);
        let others = object.holds.iter().chain(flight).filter(|hold| !hold.revoked && hold.owner != owner);
        let lock = object.id;
        match others.filter(|hold| counts(hold)).map(|hold| hold.owner).next() {
            Some(owner) => ReleaseError::NotOwner { lock, owner },
            None => ReleaseError::NotHeld { lock },
        }
    }

    pub(crate) fn release(
        &mut self,
        owner: OwnerId,
        at: usize,
        levels: u32,
        touched: bool,
        now_us: u64,
    ) -> Result<(), ReleaseError> {
        self.told_of_its_loss(owner, at)?;
        self.objects[at].latest_us = now_us;
        let is_owned = matches!(self.objects[at].kind, Kind::Semaphore(SemaphoreKind::Owned { .. }));
        let lock = self.objects[at].id;
        if let Kind::Semaphore(SemaphoreKind::Signal { maximum, .. }) = self.objects[at].kind {
            let object = &mut self.objects[at];
            match object.signal.checked_add(levels).filter(|sum| *sum <= maximum.unwrap_or(u32::MAX)) {
                Some(sum) => object.signal = sum,
                None => return Err(ReleaseError::OverRelease { lock }),
            }
            object.settle();
            return Ok(());
        }
        let Some(hold) = self.objects[at].live(owner).copied() else {
            return Err(if is_owned { ReleaseError::NotHeld { lock } } else { self.not_held(owner, at, |_| true) });
        };
        if hold.count < levels {
            return Err(ReleaseError::OverRelease { lock });
        }
        let object = &mut self.objects[at];
        let held = object.holds.iter_mut().find(|hold| hold.owner == owner).expect("held");
        held.count -= levels;
        let is_over = held.count == 0;
        object.holds.retain(|hold| hold.count > 0);
        if is_over && touched && hold.mode == Mode::Exclusive {
            object.leave_behind();
        }
        if is_over || is_owned {
            object.settle();
        }
        Ok(())
    }

    pub(crate) fn downgrade(&mut self, owner: OwnerId, at: usize, now_us: u64) -> Result<Got, ReleaseError> {
        self.told_of_its_loss(owner, at)?;
        self.objects[at].latest_us = now_us;
        if !self.objects[at].writes(owner) {
            let mut refused = self.not_held(owner, at, |hold| hold.mode == Mode::Exclusive);
            let flight = self.objects[at].flight;
            if matches!(refused, ReleaseError::NotOwner { owner, .. } if flight.is_some_and(|flight| flight.hold.owner == owner))
            {
                refused = ReleaseError::NotHeld { lock: self.objects[at].id };
            }
            return Err(refused);
        }
        let object = &mut self.objects[at];
        let hold = object.holds.iter_mut().find(|hold| hold.owner == owner).expect("held");
        hold.mode = Mode::Shared;
        let fence = hold.fence;
        object.leave_behind();
        object.settle();
        Ok(Got::Lock(fence, object.previous))
    }

    pub(crate) fn mark_consistent(&mut self, owner: OwnerId, at: usize) -> Result<(), ReleaseError> {
        self.told_of_its_loss(owner, at)?;
        let lock = self.objects[at].id;
        if !self.objects[at].writes(owner) {
            let others = self.objects[at].holds.iter().find(|hold| !hold.revoked && hold.mode == Mode::Exclusive);
            return Err(others
                .map_or(ReleaseError::NotHeld { lock }, |hold| ReleaseError::NotOwner { lock, owner: hold.owner }));
        }
        let object = &mut self.objects[at];
        if object.health == Health::Inconsistent {
            object.health = Health::Sound;
            object.previous = Previous::Clean;
        }
        Ok(())
    }

    pub(crate) fn complete(&mut self, owner: OwnerId, at: usize, now_us: u64) -> Result<(), ReleaseError> {
        self.release(owner, at, 1, true, now_us)?;
        let object = &mut self.objects[at];
        object.done = true;
        if let Some(flight) = object.flight.take() {
            object.told.push((flight.wait, Ok(Got::Done)));
        }
        object.tell_all(&Ok(Got::Done));
        Ok(())
    }

    // ---- what is waited at ----

    pub(crate) fn wait_at(&mut self, owner: OwnerId, at: usize, now_us: u64, wait: WaitId) -> Answer {
        self.admit(owner, at)?;
        let object = &mut self.objects[at];
        if let Some(cause) = object.broken {
            return Err(AcquireError::Broken { cause });
        }
        let full = object.queue.len() >= WAITERS_MAX;
        match object.kind {
            Kind::Event if object.set => return Ok(Got::Done),
            Kind::Latch { .. } if object.left == 0 => return Ok(Got::Done),
            Kind::Barrier { parties, parties_are } => {
                let last = object.queue.len() + 1 == parties as usize;
                if full && !last {
                    return Err(self.queue_full(at));
                }
                if parties_are == lockkeeper_locks::Parties::Registered && !object.registered.contains(&owner) {
                    object.registered.push(owner);
                }
                if last {
                    let waiting: Vec<_> = object.queue.drain(..).collect();
                    let indices = waiting.iter().zip(0..).map(|(waiting, index)| (waiting.wait, Ok(Got::Index(index))));
                    object.told.extend(indices);
                    return Ok(Got::Index(parties - 1));
                }
            }
            _ => {}
        }
        if full {
            return Err(self.queue_full(at));
        }
        object.queue.push(Waiting { wait, owner, ask: Ask::Exclusive, since_us: now_us, bytes: 0 });
        Ok(Got::Queued)
    }

    /// How deep the lock was held that is let go.
    pub(crate) fn wait_condition(
        &mut self,
        owner: OwnerId,
        at: usize,
        lock: usize,
        now_us: u64,
        wait: WaitId,
    ) -> Result<u32, Result<ReleaseError, AcquireError>> {
        self.may_notify(owner, lock).map_err(Ok)?;
        self.wait_at(owner, at, now_us, wait).map_err(Err)?;
        let depth = self.objects[lock].live(owner).expect("held").count;
        self.release(owner, lock, depth, true, now_us).map_err(Ok)?;
        Ok(depth)
    }

    fn may_notify(&mut self, owner: OwnerId, lock: usize) -> Result<(), ReleaseError> {
        self.told_of_its_loss(owner, lock)?;
        if self.objects[lock].writes(owner) { Ok(()) } else { Err(self.not_held(owner, lock, |_| true)) }
    }

    pub(crate) fn notify(&mut self, owner: OwnerId, at: usize, lock: usize, count: u32) -> Result<u32, ReleaseError> {
        self.may_notify(owner, lock)?;
        let object = &mut self.objects[at];
        let count = (count as usize).min(object.queue.len());
        (0..count).for_each(|_| object.pass_on());
        Ok(count as u32)
    }

    pub(crate) fn pass_on(&mut self, at: usize) {
        self.objects[at].pass_on();
    }

    pub(crate) fn restore_depth(&mut self, owner: OwnerId, at: usize, depth: u32) {
        if let Some(hold) = self.objects[at].holds.iter_mut().find(|hold| hold.owner == owner && !hold.revoked) {
            hold.count = depth;
        }
    }

    pub(crate) fn set(&mut self, at: usize, set: bool) {
        self.objects[at].set = set;
        if set {
            self.objects[at].tell_all(&Ok(Got::Done));
        }
    }

    pub(crate) fn count_down(&mut self, at: usize, count: u32) -> Result<u32, u32> {
        let object = &mut self.objects[at];
        object.left = object.left.checked_sub(count).ok_or(object.left)?;
        if object.left == 0 {
            object.tell_all(&Ok(Got::Done));
        }
        Ok(object.left)
    }

    pub(crate) fn reset(&mut self, at: usize) {
        self.objects[at].broken = None;
        self.objects[at].tell_all(&Err(AcquireError::Broken { cause: BrokenCause::Reset }));
    }

    pub(crate) fn abort(&mut self, at: usize) {
        self.objects[at].break_up(BrokenCause::Aborted);
    }

    pub(crate) fn put(&mut self, owner: OwnerId, at: usize, bytes: usize, now_us: u64, wait: WaitId) -> Answer {
        self.admit(owner, at)?;
        let object = &mut self.objects[at];
        let Kind::Queue(config) = object.kind else { panic!("a queue") };
        if object.closed {
            return Err(AcquireError::Closed);
        }
        if bytes as u64 > config.bytes_max {
            return Err(AcquireError::QueueExceeded { queue: object.id });
        }
        if object.queue.is_empty() && object.has_room(bytes) {
            return object.store(bytes);
        }
        if object.queue.len() >= WAITERS_MAX {
            return Err(self.queue_full(at));
        }
        object.queue.push(Waiting { wait, owner, ask: Ask::Exclusive, since_us: now_us, bytes });
        Ok(Got::Queued)
    }

    pub(crate) fn get(&mut self, owner: OwnerId, at: usize, now_us: u64, wait: WaitId) -> Answer {
        self.admit(owner, at)?;
        let object = &mut self.objects[at];
        let has = object.out.iter().filter(|(who, _)| *who == owner).count();
        if has >= UNFINISHED_MAX {
            return Err(AcquireError::QueueExceeded { queue: object.id });
        }
        if object.items.len() > object.getters.len() {
            return object.fetch(owner);
        }
        if object.is_over() {
            return Err(AcquireError::Closed);
        }
        if object.getters.len() >= WAITERS_MAX {
            return Err(self.queue_full(at));
        }
        object.getters.push(Waiting { wait, owner, ask: Ask::Exclusive, since_us: now_us, bytes: 0 });
        Ok(Got::Queued)
    }

    pub(crate) fn join(&mut self, owner: OwnerId, at: usize, now_us: u64, wait: WaitId) -> Answer {
        self.admit(owner, at)?;
        let object = &mut self.objects[at];
        if object.unfinished == 0 {
            return Ok(Got::Done);
        }
        if object.joiners.len() >= WAITERS_MAX {
            return Err(self.queue_full(at));
        }
        object.joiners.push(Waiting { wait, owner, ask: Ask::Exclusive, since_us: now_us, bytes: 0 });
        Ok(Got::Queued)
    }

    /// Whether the item is finished by this.
    pub(crate) fn task_done(&mut self, owner: OwnerId, at: usize, number: u64) -> bool {
        let object = &mut self.objects[at];
        if object.acknowledged() {
            let Some(place) = object.out.iter().position(|(who, item)| *who == owner && item.0 == number) else {
                return false;
            };
            object.out.remove(place);
        }
        if object.unfinished == 0 {
            return false;
        }
        object.unfinished -= 1;
        if object.unfinished == 0 {
            object.told.extend(object.joiners.drain(..).map(|waiting| (waiting.wait, Ok(Got::Done))));
        }
        object.sweep();
        true
    }

    pub(crate) fn close(&mut self, at: usize) {
        let object = &mut self.objects[at];
        object.closed = true;
        object.tell_all(&Err(AcquireError::Closed));
        object.sweep();
    }

    // ---- waits ----

    /// Whether this wait would get an answer if it polled now.
    pub(crate) fn would_answer(&self, owner: OwnerId, at: usize, wait: WaitId) -> bool {
        let object = &self.objects[at];
        if !object.waits(wait) || self.ended.contains(&owner) || self.shut_down {
            return true;
        }
        let first = |list: &[Waiting]| list.first().is_some_and(|waiting| waiting.wait == wait);
        match object.kind {
            Kind::Queue(_) => {
                first(&object.queue) && object.has_room(object.queue[0].bytes)
                    || first(&object.getters) && !object.items.is_empty()
            }
            _ if object.is_lock() => {
                // Of a ruined lock the first is woken, and each wakes the next.
                first(&object.queue)
                    && (object.health == Health::Ruined || object.fits(object.queue[0].owner, object.queue[0].ask))
            }
            _ => false,
        }
    }

    /// `None` if the wait goes on.
    pub(crate) fn poll(&mut self, owner: OwnerId, at: usize, wait: WaitId) -> Option<Answer> {
        let is_ended = self.ended.contains(&owner);
        let object = &mut self.objects[at];
        if object.in_flight_to(wait) {
            let flight = object.flight.take().expect("in flight");
            return Some(object.tell(flight.hold));
        }
        if object.waits(wait) {
            return self.poll_waiting(at, wait);
        }
        object.cut_off.retain(|cut_off| cut_off.1 != wait);
        let told = object.told.iter().position(|told| told.0 == wait).map(|place| object.told.remove(place).1);
        if let Some(answer) = told.filter(|_| !is_ended && !self.shut_down) {
            return Some(answer);
        }
        let how = self.forget_loss(owner, at, wait).filter(|_| !is_ended);
        Some(Err(how.map_or(AcquireError::Cancelled, |how| AcquireError::Lost { how })))
    }

    fn poll_waiting(&mut self, at: usize, wait: WaitId) -> Option<Answer> {
        let object = &mut self.objects[at];
        let first = |list: &[Waiting]| list.first().copied().filter(|waiting| waiting.wait == wait);
        if let Kind::Queue(_) = object.kind {
            if let Some(putter) = first(&object.queue).filter(|putter| object.has_room(putter.bytes)) {
                object.queue.remove(0);
                return Some(object.store(putter.bytes));
            }
            if let Some(getter) = first(&object.getters).filter(|_| !object.items.is_empty()) {
                object.getters.remove(0);
                return Some(object.fetch(getter.owner));
            }
            return None;
        }
        if !object.is_lock() {
            return None;
        }
        if object.health == Health::Ruined {
            out_of(&mut object.queue, wait);
            return Some(Err(AcquireError::NotRecoverable { lock: object.id }));
        }
        let front = first(&object.queue).filter(|front| object.fits(front.owner, front.ask))?;
        object.queue.remove(0);
        let hold = object.grant(front.owner, front.ask);
        Some(object.tell(hold))
    }

    pub(crate) fn expire(&mut self, owner: OwnerId, at: usize, wait: WaitId, now_us: u64) -> Answer {
        self.objects[at].latest_us = now_us;
        if let Some(answer) = self.poll(owner, at, wait) {
            return answer;
        }
        self.leave(at, wait, BrokenCause::TimedOut);
        self.forget_loss(owner, at, wait);
        Err(AcquireError::TimedOut)
    }

    pub(crate) fn drop_wait(&mut self, owner: OwnerId, at: usize, wait: WaitId) {
        self.objects[at].cut_off.retain(|cut_off| cut_off.1 != wait);
        if self.ended.contains(&owner) || self.shut_down && !self.objects[at].is_lock() {
            self.objects[at].told.retain(|told| told.0 != wait);
            self.forget_loss(owner, at, wait);
            return;
        }
        let object = &mut self.objects[at];
        if object.in_flight_to(wait) {
            object.withdraw();
            object.settle();
        } else if object.told.iter().any(|told| told.0 == wait) {
            object.told.retain(|told| told.0 != wait);
            if let Kind::Condition { .. } = object.kind {
                object.pass_on();
            }
        } else {
            self.leave(at, wait, BrokenCause::PartyEnded);
        }
        self.forget_loss(owner, at, wait);
    }

    /// A waiter leaves the queue, which breaks a barrier.
    fn leave(&mut self, at: usize, wait: WaitId, cause: BrokenCause) {
        let object = &mut self.objects[at];
        let place = out_of(&mut object.queue, wait);
        out_of(&mut object.getters, wait);
        out_of(&mut object.joiners, wait);
        if let Kind::Barrier { .. } = object.kind
            && place.is_some()
        {
            object.break_up(cause);
        }
        if object.is_lock() && place == Some(0) {
            object.settle();
        }
    }

    fn forget_loss(&mut self, owner: OwnerId, at: usize, wait: WaitId) -> Option<EndCause> {
        let place = self.lost.iter().position(|lost| (lost.0, lost.1, lost.3) == (owner, at, Some(wait)))?;
        Some(self.lost.remove(place).2)
    }

    // ---- the end of holds ----

    /// Fences of holds that could be taken away.
    pub(crate) fn revocable(&self, at: usize) -> Vec<u64> {
        let object = &self.objects[at];
        let flight = object.flight.filter(|flight| !object.is_signal() && object.live(flight.hold.owner).is_none());
        let flight = flight.map(|flight| flight.hold);
        object.holds.iter().chain(&flight).filter(|hold| !hold.revoked).map(|hold| hold.fence).collect()
    }

    pub(crate) fn begin_revoke(&mut self, at: usize, fence: u64, how: EndCause) -> Option<Taken> {
        let object = &mut self.objects[at];
        if let Some(flight) = object.flight.as_mut().filter(|flight| flight.hold.fence == fence && !flight.hold.revoked)
        {
            let owner = flight.hold.owner;
            if object.holds.iter().any(|hold| hold.owner == owner) || object.is_signal() {
                return None;
            }
            let flight = object.flight.as_mut().expect("in flight");
            flight.hold.revoked = true;
            let wait = flight.wait;
            self.lost.push((owner, at, how, Some(wait)));
            return Some((at, owner, fence));
        }
        let hold = object.holds.iter_mut().find(|hold| hold.fence == fence && !hold.revoked)?;
        hold.revoked = true;
        let (owner, mode) = (hold.owner, hold.mode);
        if mode == Mode::Exclusive && object.after_death != AfterDeath::Ignore {
            object.previous = Previous::Abandoned { how, who: owner };
            if object.after_death == AfterDeath::Poison {
                object.health = Health::Inconsistent;
            }
        }
        let mut wait = None;
        if let Some(flight) = object.flight.filter(|flight| flight.hold.owner == owner) {
            wait = Some(flight.wait);
            object.withdraw();
        }
        if let Some(waiting) = object.queue.iter().find(|waiting| waiting.owner == owner).copied() {
            wait = Some(waiting.wait);
            out_of(&mut object.queue, waiting.wait);
        }
        let cut_off = object.cut_off.iter().find(|cut_off| cut_off.0 == owner).map(|cut_off| cut_off.1);
        object.settle();
        self.lost.push((owner, at, how, wait.or(cut_off)));
        Some((at, owner, fence))
    }

    pub(crate) fn finish_revoke(&mut self, (at, owner, fence): Taken, now_us: u64) {
        let object = &mut self.objects[at];
        object.latest_us = now_us;
        let before = object.holds.len();
        object.holds.retain(|hold| !(hold.revoked && hold.owner == owner && hold.fence == fence));
        if object.holds.len() == before {
            let flight = object.flight.take().expect("taken away and not given on");
            assert!(flight.hold.revoked && flight.hold.owner == owner && flight.hold.fence == fence);
        }
        object.settle();
    }

    pub(crate) fn begin_end(&mut self, owner: OwnerId, how: EndCause) -> Vec<Taken> {
        let mut taken = Vec::new();
        for at in 0..self.objects.len() {
            if self.objects[at].is_lock() {
                taken.extend(self.end_at_lock(owner, at, how));
            } else {
                self.end_elsewhere(owner, at);
            }
        }
        self.ended.push(owner);
        taken
    }

    fn end_at_lock(&mut self, owner: OwnerId, at: usize, how: EndCause) -> Option<Taken> {
        let object = &mut self.objects[at];
        let flight = object.flight.filter(|flight| flight.hold.owner == owner && !flight.hold.revoked);
        if flight.is_some() && object.is_signal() {
            object.withdraw();
            object.settle();
            return None;
        }
        if let Some(hold) = object.live(owner).copied() {
            return self.begin_revoke(at, hold.fence, how);
        }
        if let Some(flight) = flight {
            let taken = self.begin_revoke(at, flight.hold.fence, how);
            // Nobody is to be told: it never knew.
            self.lost.pop();
            return taken;
        }
        if let Some(waiting) = object.queue.iter().find(|waiting| waiting.owner == owner).copied() {
            self.leave(at, waiting.wait, BrokenCause::PartyEnded);
        }
        None
    }

    fn end_elsewhere(&mut self, owner: OwnerId, at: usize) {
        let object = &mut self.objects[at];
        let mut back: Vec<_> = object.out.iter().filter(|(who, _)| *who == owner).map(|(_, item)| *item).collect();
        back.sort_unstable();
        object.out.retain(|(who, _)| *who != owner);
        let back = back.into_iter().map(|(number, returned, bytes)| (number, returned + 1, bytes));
        object.items.splice(0..0, back);
        let waits: Vec<_> =
            object.lists().into_iter().flatten().filter(|waiting| waiting.owner == owner).map(|w| w.wait).collect();
        for wait in waits {
            self.leave(at, wait, BrokenCause::PartyEnded);
        }
        let object = &mut self.objects[at];
        if object.registered.contains(&owner) {
            object.registered.retain(|party| *party != owner);
            object.break_up(BrokenCause::PartyEnded);
        }
        object.sweep();
    }

    /// An owner that had been notified and did not come for it has ended.
    pub(crate) fn ended_with(&mut self, at: usize, wait: WaitId) {
        let object = &mut self.objects[at];
        let notified = object.told.iter().position(|told| told.0 == wait);
        if let (Some(place), Kind::Condition { .. }) = (notified, object.kind) {
            drop(object.told.remove(place));
            object.pass_on();
        }
    }

    pub(crate) fn shut_down(&mut self) {
        self.shut_down = true;
        for object in &mut self.objects {
            if let Some(flight) = object.flight.filter(|flight| !flight.hold.revoked) {
                object.cut_off.push((flight.hold.owner, flight.wait));
                object.withdraw();
            }
            object.cut_off.extend(object.queue.iter().map(|waiting| (waiting.owner, waiting.wait)));
            object.queue.clear();
            object.getters.clear();
            object.joiners.clear();
            object.closed |= matches!(object.kind, Kind::Queue(_));
        }
    }
}
