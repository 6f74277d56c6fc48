//! What `[lock.NAME]` says, made into a lock or another primitive.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use lockkeeper_locks::{AfterDeath, Delivery, LockConfig, Parties, QueueConfig, SemaphoreKind};
use serde::Deserialize;
use toml::Spanned;

use super::{Manifest, ManifestError, Size, Time};
use crate::job::{LockKind, LockSpec, check_max_hold};
use crate::scope::LockScope;

/// A queue of which nothing else is said.
pub const QUEUE_DEFAULT: QueueConfig =
    QueueConfig { items_max: 1_000, bytes_max: 16 << 20, delivery: Delivery::AtMostOnce };

/// How many items one process may have unfinished, if nothing else is said.
const UNFINISHED_DEFAULT: u32 = 64;

/// `[lock.NAME]`: the keys of all kinds, of which each kind takes its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct LockTable {
    kind: Option<Spanned<KindName>>,
    fair: Option<Spanned<FairName>>,
    /// How long a running process may go first; `0s` is strict order.
    barge_bound: Option<Spanned<Time>>,
    after_death: Option<Spanned<AfterDeathName>>,
    max_hold: Option<Spanned<Time>>,
    scope: Option<Spanned<ScopeName>>,
    /// The lock file, in machine scope.
    file: Option<Spanned<PathBuf>>,
    allow_remote: Option<Spanned<bool>>,
    permits: Option<Spanned<u32>>,
    permits_are: Option<Spanned<PermitsAreName>>,
    maximum: Option<Spanned<u32>>,
    lock: Option<Spanned<String>>,
    parties: Option<Spanned<u32>>,
    parties_are: Option<Spanned<PartiesAreName>>,
    count: Option<Spanned<u32>>,
    items: Option<Spanned<u32>>,
    bytes: Option<Spanned<Size>>,
    acknowledge: Option<Spanned<bool>>,
    unfinished: Option<Spanned<u32>>,
}

/// The kinds, as they are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum KindName {
    #[default]
    Mutex,
    RLock,
    RwLock,
    Semaphore,
    Once,
    Condition,
    Event,
    Barrier,
    Latch,
    Queue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FairName {
    Strict,
    Bounded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ScopeName {
    Process,
    Machine,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum AfterDeathName {
    Flag,
    Poison,
    Ignore,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PermitsAreName {
    Owned,
    Signal,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PartiesAreName {
    Waiting,
    Registered,
}

impl fmt::Display for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mutex => "mutex",
            Self::RLock => "rlock",
            Self::RwLock => "rwlock",
            Self::Semaphore => "semaphore",
            Self::Once => "once",
            Self::Condition => "condition",
            Self::Event => "event",
            Self::Barrier => "barrier",
            Self::Latch => "latch",
            Self::Queue => "queue",
        })
    }
}

use KindName::{Barrier, Condition, Latch, Mutex, Once, Queue, RLock, RwLock, Semaphore};

impl KindName {
    /// With the article that it takes.
    pub(super) fn with_article(self) -> String {
        let article = if matches!(self, Self::Event | Self::RLock) { "an" } else { "a" };
        format!("{article} {self}")
    }

    /// Whether somebody can hold it alone.
    pub(super) fn is_exclusive(self) -> bool {
        matches!(self, Mutex | RLock | RwLock)
    }
}

/// A key that only some kinds have, where it stands if it is there, and which those are.
type OwnKey = (&'static str, Option<Range<usize>>, &'static [KindName]);

fn place<T>(key: &Option<Spanned<T>>) -> Option<Range<usize>> {
    key.as_ref().map(Spanned::span)
}

impl LockTable {
    pub(super) fn kind(&self) -> KindName {
        self.kind.as_ref().map(|kind| *kind.get_ref()).unwrap_or_default()
    }

    fn own_keys(&self) -> [OwnKey; 18] {
        const HELD: &[KindName] = &[Mutex, RLock, RwLock, Semaphore, Once];
        [
            ("fair", place(&self.fair), HELD),
            ("barge-bound", place(&self.barge_bound), HELD),
            ("after-death", place(&self.after_death), &[Mutex, RLock, RwLock]),
            ("max-hold", place(&self.max_hold), HELD),
            ("scope", place(&self.scope), &[Mutex, RLock, RwLock]),
            ("file", place(&self.file), &[Mutex, RLock, RwLock]),
            ("allow-remote", place(&self.allow_remote), &[Mutex, RLock, RwLock]),
            ("permits", place(&self.permits), &[Semaphore]),
            ("permits-are", place(&self.permits_are), &[Semaphore]),
            ("maximum", place(&self.maximum), &[Semaphore]),
            ("lock", place(&self.lock), &[Condition]),
            ("parties", place(&self.parties), &[Barrier]),
            ("parties-are", place(&self.parties_are), &[Barrier]),
            ("count", place(&self.count), &[Latch]),
            ("items", place(&self.items), &[Queue]),
            ("bytes", place(&self.bytes), &[Queue]),
            ("acknowledge", place(&self.acknowledge), &[Queue]),
            ("unfinished", place(&self.unfinished), &[Queue]),
        ]
    }

    /// The lock that the table describes.
    pub(super) fn plan(&self, manifest: &Manifest, name: &Spanned<String>) -> Result<LockSpec, ManifestError> {
        let kind = self.kind();
        for (key, span, kinds) in self.own_keys() {
            if let Some(span) = span.filter(|_| !kinds.contains(&kind)) {
                return manifest.wrong(span, foreign(key, kinds, kind));
            }
        }
        Ok(LockSpec {
            name: name.get_ref().clone(),
            kind: self.planned_kind(manifest, name)?,
            scope: self.planned_scope(manifest)?,
            config: self.config(manifest)?,
            max_hold: match &self.max_hold {
                None => None,
                Some(time) => match check_max_hold(time.get_ref().0) {
                    Ok(time) => Some(time),
                    Err(message) => return manifest.wrong(time.span(), message),
                },
            },
        })
    }

    fn planned_scope(&self, manifest: &Manifest) -> Result<LockScope, ManifestError> {
        let scope = self.scope.as_ref().map_or(ScopeName::Process, |scope| *scope.get_ref());
        if scope == ScopeName::Machine {
            return Ok(LockScope::Machine {
                file: self.file.as_ref().map(|file| manifest.resolve(file.get_ref())),
                allow_remote: self.allow_remote.as_ref().is_some_and(|allow| *allow.get_ref()),
            });
        }
        for (key, span) in [("file", place(&self.file)), ("allow-remote", place(&self.allow_remote))] {
            if let Some(span) = span {
                let message = format!(
                    "`{key}` belongs to a lock that other hosts have too: write scope = \"machine\", or take `{key}` away"
                );
                return manifest.wrong(span, message);
            }
        }
        Ok(LockScope::Process)
    }

    fn config(&self, manifest: &Manifest) -> Result<LockConfig, ManifestError> {
        let fair = self.fair.as_ref().map_or(FairName::Bounded, |fair| *fair.get_ref());
        let mut config = match (fair, &self.barge_bound) {
            (FairName::Strict, Some(bound)) => {
                let message = "fair = \"strict\" lets nobody go first; take `barge-bound` away, or `fair`";
                return manifest.wrong(bound.span(), message);
            }
            (FairName::Strict, None) => LockConfig::strict(),
            (FairName::Bounded, Some(bound)) => LockConfig::bounded(bound.get_ref().0),
            (FairName::Bounded, None) => LockConfig::default(),
        };
        config.after_death = match self.after_death.as_ref().map(Spanned::get_ref) {
            None | Some(AfterDeathName::Flag) => AfterDeath::Flag,
            Some(AfterDeathName::Poison) => AfterDeath::Poison,
            Some(AfterDeathName::Ignore) => AfterDeath::Ignore,
        };
        Ok(config)
    }

    fn planned_kind(&self, manifest: &Manifest, name: &Spanned<String>) -> Result<LockKind, ManifestError> {
        // What is missing is missed where the kind stands that wants it.
        let kind = self.kind.as_ref().map_or(name.span(), Spanned::span);
        Ok(match self.kind() {
            KindName::Mutex => LockKind::Mutex,
            KindName::RLock => LockKind::RLock,
            KindName::RwLock => LockKind::RwLock,
            KindName::Once => LockKind::Once,
            KindName::Event => LockKind::Event,
            KindName::Semaphore => LockKind::Semaphore(self.semaphore(manifest, kind)?),
            KindName::Condition => match &self.lock {
                None => return manifest.wrong(kind, "a condition waits with a lock let go: add lock = \"NAME\""),
                Some(lock) => {
                    let known = manifest.known("lock", lock, manifest.lock.keys())?;
                    let of = manifest.lock.iter().find(|(name, _)| **name.get_ref() == known);
                    match of.map(|(_, table)| table.kind()) {
                        None | Some(KindName::Mutex | KindName::RLock) => LockKind::Condition { lock: known },
                        Some(other) => {
                            let message = format!(
                                "`{known}` is {}; a condition waits with a mutex or an rlock let go: name one",
                                other.with_article()
                            );
                            return manifest.wrong(lock.span(), &message);
                        }
                    }
                }
            },
            KindName::Barrier => match &self.parties {
                None => {
                    return manifest
                        .wrong(kind, "a barrier waits for a number of processes: add parties = 8, or how many");
                }
                Some(parties) if *parties.get_ref() == 0 => {
                    return manifest.wrong(parties.span(), "a barrier of 0 parties never opens; give it at least 1");
                }
                Some(parties) => LockKind::Barrier {
                    parties: *parties.get_ref(),
                    parties_are: match self.parties_are.as_ref().map(Spanned::get_ref) {
                        None | Some(PartiesAreName::Waiting) => Parties::Waiting,
                        Some(PartiesAreName::Registered) => Parties::Registered,
                    },
                },
            },
            KindName::Latch => match &self.count {
                None => {
                    return manifest.wrong(kind, "a latch is counted down to zero: add count = 8, or where it starts");
                }
                Some(count) => LockKind::Latch { count: *count.get_ref() },
            },
            KindName::Queue => LockKind::Queue(self.queue(manifest)?),
        })
    }

    fn semaphore(&self, manifest: &Manifest, kind: Range<usize>) -> Result<SemaphoreKind, ManifestError> {
        let Some(permits) = &self.permits else {
            return manifest.wrong(kind, "a semaphore has permits: add permits = 4, or how many");
        };
        let (count, span) = (*permits.get_ref(), permits.span());
        match self.permits_are.as_ref().map(Spanned::get_ref) {
            None | Some(PermitsAreName::Owned) => {
                if let Some(maximum) = &self.maximum {
                    let message = "`maximum` belongs to permits that anyone may add; owned ones are never more than \
                                   `permits`: take `maximum` away, or write permits-are = \"signal\"";
                    return manifest.wrong(maximum.span(), message);
                }
                if count == 0 {
                    let message = "nobody could ever take one of 0 owned permits; give it at least 1, or write \
                                   permits-are = \"signal\"";
                    return manifest.wrong(span, message);
                }
                Ok(SemaphoreKind::Owned { permits: count })
            }
            Some(PermitsAreName::Signal) => {
                if let Some(max_hold) = &self.max_hold {
                    let message = "`max-hold` belongs to permits that somebody owns; take it away, or write \
                                   permits-are = \"owned\"";
                    return manifest.wrong(max_hold.span(), message);
                }
                let maximum = match &self.maximum {
                    Some(maximum) if *maximum.get_ref() < count.max(1) => {
                        let message =
                            format!("maximum = {} is too little; write {} or more", maximum.get_ref(), count.max(1));
                        return manifest.wrong(maximum.span(), message);
                    }
                    maximum => maximum.as_ref().map(|maximum| *maximum.get_ref()),
                };
                Ok(SemaphoreKind::Signal { permits: count, maximum })
            }
        }
    }

    fn queue(&self, manifest: &Manifest) -> Result<QueueConfig, ManifestError> {
        let items_max = match &self.items {
            Some(items) if *items.get_ref() == 0 => {
                return manifest.wrong(items.span(), "a queue of 0 items takes none; give it at least 1");
            }
            items => items.as_ref().map_or(QUEUE_DEFAULT.items_max, |items| *items.get_ref()),
        };
        let bytes_max = match &self.bytes {
            Some(bytes) if bytes.get_ref().0.0 == 0 => {
                return manifest
                    .wrong(bytes.span(), "a queue of 0 bytes takes no item; give it more, such as \"1MiB\"");
            }
            bytes => bytes.as_ref().map_or(QUEUE_DEFAULT.bytes_max, |bytes| bytes.get_ref().0.0),
        };
        let acknowledge = self.acknowledge.as_ref().is_some_and(|acknowledge| *acknowledge.get_ref());
        let delivery = match (&self.unfinished, acknowledge) {
            (Some(unfinished), false) => {
                let message = "`unfinished` belongs to a queue whose items are acknowledged: write acknowledge = true, \
                               or take `unfinished` away";
                return manifest.wrong(unfinished.span(), message);
            }
            (Some(unfinished), true) if *unfinished.get_ref() == 0 => {
                return manifest
                    .wrong(unfinished.span(), "with 0 unfinished items nobody could get one; give it at least 1");
            }
            (None, false) => Delivery::AtMostOnce,
            (unfinished, true) => Delivery::Acknowledged {
                unfinished_max: unfinished.as_ref().map_or(UNFINISHED_DEFAULT, |max| *max.get_ref()),
            },
        };
        Ok(QueueConfig { items_max, bytes_max, delivery })
    }
}

/// Says whose key that is, and what to do about it.
fn foreign(key: &str, kinds: &[KindName], kind: KindName) -> String {
    let this = kind.with_article();
    match kinds {
        [one] => {
            let owner = one.with_article();
            format!("`{key}` belongs to {owner}; this is {this}: take `{key}` away, or write kind = \"{one}\"")
        }
        kinds => {
            let (last, others) = kinds.split_last().expect("a key belongs to some kind");
            let others: Vec<String> = others.iter().map(|kind| kind.with_article()).collect();
            let owners = format!("{} or {}", others.join(", "), last.with_article());
            format!("`{key}` belongs to {owners}; this is {this}: take `{key}` away")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use std::path::Path;

    use lockkeeper_locks::{Limits, Scalar, ScalarKind, Scalars};

    use crate::job::ValueContent;

    use super::*;

    /// The plan of a manifest that has these tables.
    fn plan(tables: &str) -> super::super::PlannedJob {
        let text = format!("version = 1\n{tables}\n[[process]]\nname = \"p\"\nprogram = \"p.wasm\"\n");
        let manifest = Manifest::parse(text.clone(), Path::new("job.toml"));
        let planned = manifest.and_then(|manifest| manifest.plan("a test"));
        planned.unwrap_or_else(|error| panic!("{error} in\n{text}"))
    }

    fn lock(lines: &str) -> LockSpec {
        plan(&format!("[lock.l]\n{lines}\n[lock.other]")).job.locks.swap_remove(0)
    }

    #[test]
    fn a_lock_of_which_nothing_is_said_is_the_default_one() {
        let LockSpec { name, kind, scope, config, max_hold } = lock("");
        assert_eq!(scope, LockScope::Process);
        assert_eq!((name.as_str(), kind, config, max_hold), ("l", LockKind::Mutex, LockConfig::default(), None));
    }

    #[test]
    fn every_kind_and_its_keys_become_what_they_say() {
        let kinds: [(&str, LockKind); 15] = [
            ("kind = \"mutex\"", LockKind::Mutex),
            ("kind = \"rlock\"", LockKind::RLock),
            ("kind = \"rwlock\"", LockKind::RwLock),
            ("kind = \"once\"", LockKind::Once),
            ("kind = \"event\"", LockKind::Event),
            ("kind = \"semaphore\"\npermits = 4", LockKind::Semaphore(SemaphoreKind::Owned { permits: 4 })),
            (
                "kind = \"semaphore\"\npermits = 0\npermits-are = \"signal\"",
                LockKind::Semaphore(SemaphoreKind::Signal { permits: 0, maximum: None }),
            ),
            (
                "kind = \"semaphore\"\npermits = 4\npermits-are = \"signal\"\nmaximum = 4",
                LockKind::Semaphore(SemaphoreKind::Signal { permits: 4, maximum: Some(4) }),
            ),
            ("kind = \"condition\"\nlock = \"other\"", LockKind::Condition { lock: "other".to_owned() }),
            ("kind = \"barrier\"\nparties = 8", LockKind::Barrier { parties: 8, parties_are: Parties::Waiting }),
            (
                "kind = \"barrier\"\nparties = 8\nparties-are = \"registered\"",
                LockKind::Barrier { parties: 8, parties_are: Parties::Registered },
            ),
            ("kind = \"latch\"\ncount = 8", LockKind::Latch { count: 8 }),
            ("kind = \"queue\"", LockKind::Queue(QUEUE_DEFAULT)),
            (
                "kind = \"queue\"\nitems = 100\nbytes = \"1MiB\"\nacknowledge = true",
                LockKind::Queue(QueueConfig {
                    items_max: 100,
                    bytes_max: 1 << 20,
                    delivery: Delivery::Acknowledged { unfinished_max: 64 },
                }),
            ),
            (
                "kind = \"queue\"\nacknowledge = true\nunfinished = 16",
                LockKind::Queue(QueueConfig {
                    delivery: Delivery::Acknowledged { unfinished_max: 16 },
                    ..QUEUE_DEFAULT
                }),
            ),
        ];
        for (lines, kind) in kinds {
            assert_eq!(lock(lines).kind, kind, "{lines}");
        }
    }

    #[test]
    fn what_is_said_of_a_lock_is_how_it_behaves() {
        let second = Duration::from_secs(1);
        assert_eq!(lock("fair = \"strict\"").config, LockConfig::strict());
        assert_eq!(lock("fair = \"bounded\"").config, LockConfig::default());
        assert_eq!(lock("barge-bound = \"1s\"").config, LockConfig::bounded(second));
        assert_eq!(lock("after-death = \"poison\"").config.after_death, AfterDeath::Poison);
        let strict = lock("kind = \"rwlock\"\nfair = \"strict\"\nafter-death = \"ignore\"\nmax-hold = \"1s\"");
        assert_eq!(strict.config, LockConfig { after_death: AfterDeath::Ignore, ..LockConfig::strict() });
        assert_eq!(strict.max_hold, Some(second));
        assert_eq!(lock("kind = \"semaphore\"\npermits = 1\nmax-hold = \"1s\"").max_hold, Some(second));
    }

    #[test]
    fn a_lock_of_the_machine_has_a_file_of_its_name_or_the_one_that_is_said() {
        let machine = |file, allow_remote| LockScope::Machine { file, allow_remote };
        assert_eq!(lock("scope = \"process\"").scope, LockScope::Process);
        assert_eq!(lock("scope = \"machine\"").scope, machine(None, false));
        let said = lock("kind = \"rwlock\"\nscope = \"machine\"\nfile = \"/run/x.lock\"\nallow-remote = true");
        assert_eq!(said.scope, machine(Some("/run/x.lock".into()), true));
    }

    #[test]
    fn what_is_said_of_a_lock_of_the_machine_is_refused_elsewhere_with_what_to_do() {
        for (lines, says) in [
            ("file = \"x.lock\"", "write scope = \"machine\""),
            ("scope = \"process\"\nallow-remote = true", "write scope = \"machine\""),
            ("kind = \"event\"\nscope = \"machine\"", "`scope` belongs to a mutex, an rlock or a rwlock"),
            ("scope = \"galaxy\"", "galaxy"),
        ] {
            let text = format!("version = 1\n[lock.l]\n{lines}\n[[process]]\nname = \"p\"\nprogram = \"p.wasm\"\n");
            let planned = Manifest::parse(text, Path::new("job.toml")).and_then(|manifest| manifest.plan("a test"));
            let error = planned.expect_err("it is wrong").to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn values_and_arrays_start_with_what_is_said() {
        let content = |lines: &str| plan(&format!("[value.v]\n{lines}")).job.values.swap_remove(0).content;
        let single = |initial, bytes_max| ValueContent::Value { initial, bytes_max };
        assert_eq!(content(""), single(Scalar::Signed(0), 0));
        assert_eq!(content("type = \"i64\"\ninitial = -9223372036854775808"), single(Scalar::Signed(i64::MIN), 0));
        assert_eq!(content("type = \"u64\"\ninitial = 7"), single(Scalar::Unsigned(7), 0));
        assert_eq!(content("type = \"f64\"\ninitial = 2"), single(Scalar::Float(2.0), 0));
        assert_eq!(content("type = \"f64\"\ninitial = 2.5"), single(Scalar::Float(2.5), 0));
        assert_eq!(content("type = \"bytes\""), single(Scalar::Bytes(Vec::new()), super::super::VALUE_BYTES_DEFAULT));
        let bytes = "type = \"bytes\"\ninitial = \"seven\"\nmax-bytes = \"1KiB\"";
        assert_eq!(content(bytes), single(Scalar::Bytes(b"seven".to_vec()), 1 << 10));
        let array = ValueContent::Array(Scalars::zeroed(ScalarKind::Float, 650));
        assert_eq!(content("type = \"f64\"\nlength = 650"), array);
    }

    #[test]
    fn grants_of_values_locks_that_are_required_and_limits_reach_the_plan() {
        let text = "version = 1\n[limits]\nholds = 3\nwaiters = 5\n[lock.l]\nkind = \"rwlock\"\n\
                    [value.v]\nrequires-lock = \"l\"\n\
                    [[process]]\nname = \"p\"\nprogram = \"p.wasm\"\ngrants = { lock = [\"l\"], value = [\"v\"] }\n";
        let manifest = Manifest::parse(text.to_owned(), Path::new("job.toml")).expect("it is right");
        let planned = manifest.plan("a test").expect("it is right");
        assert_eq!(planned.lock_limits, Limits { waiters_per_lock_max: 5, holds_per_owner_max: 3 });
        assert_eq!(planned.job.values[0].requires_lock.as_deref(), Some("l"));
        assert_eq!(
            (&planned.processes[0].spec.locks[..], &planned.processes[0].spec.values[..]),
            (&["l".to_owned()][..], &["v".to_owned()][..])
        );
    }
}
