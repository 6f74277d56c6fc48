//! `--lock` and `--value`: locks, other primitives and values in one word each.

use anyhow::{Context, bail};
use lockkeeper::manifest::{QUEUE_DEFAULT, VALUE_BYTES_DEFAULT, array, unknown_word};
use lockkeeper::{
    LockKind, LockSpec, Parties, QueueConfig, Scalar, ScalarKind, SemaphoreKind, ValueContent, ValueSpec,
};

const KINDS: [&str; 11] =
    ["mutex", "rlock", "rwlock", "semaphore", "signal", "once", "condition", "event", "barrier", "latch", "queue"];

const TYPES: [&str; 4] = ["i64", "u64", "f64", "bytes"];

/// Reads `NAME[:KIND[:ARG]]`.
pub(super) fn lock(text: &str) -> anyhow::Result<LockSpec> {
    let (name, rest) = text.split_once(':').unwrap_or((text, "mutex"));
    let (kind, argument) = match rest.split_once(':') {
        Some((kind, argument)) => (kind, Some(argument)),
        None => (rest, None),
    };
    let number = |what: &str, example: u32| -> anyhow::Result<u32> {
        let number = argument.and_then(|number| number.parse().ok());
        number.with_context(|| format!("--lock {text}: {what}; write --lock {name}:{kind}:{example}, or how many"))
    };
    let at_least_one = |what: &str, example: u32| match number(what, example)? {
        0 => bail!("--lock {text}: {what}, at least 1; write --lock {name}:{kind}:{example}, or how many"),
        number => Ok(number),
    };
    let bare = |parsed: LockKind| match argument {
        Some(_) => bail!("--lock {text}: nothing comes after `{kind}`; write --lock {name}:{kind}"),
        None => Ok(parsed),
    };
    let kind = match kind {
        "mutex" => bare(LockKind::Mutex)?,
        "rlock" => bare(LockKind::RLock)?,
        "rwlock" => bare(LockKind::RwLock)?,
        "once" => bare(LockKind::Once)?,
        "event" => bare(LockKind::Event)?,
        "semaphore" => {
            let permits = at_least_one("a semaphore has a number of permits, which processes own", 4)?;
            LockKind::Semaphore(SemaphoreKind::Owned { permits })
        }
        "signal" => {
            let permits = number("a semaphore of signals starts with a number of permits", 0)?;
            LockKind::Semaphore(SemaphoreKind::Signal { permits, maximum: None })
        }
        "condition" => match argument.filter(|lock| !lock.is_empty()) {
            Some(lock) => LockKind::Condition { lock: lock.to_owned() },
            None => bail!(
                "--lock {text}: a condition waits with a lock let go; write --lock {name}:condition:LOCK, and --lock LOCK"
            ),
        },
        "barrier" => {
            let parties = at_least_one("a barrier waits for a number of processes", 8)?;
            LockKind::Barrier { parties, parties_are: Parties::Waiting }
        }
        "latch" => LockKind::Latch { count: number("a latch is counted down from a number", 8)? },
        "queue" => LockKind::Queue(match argument {
            None => QUEUE_DEFAULT,
            Some(_) => {
                QueueConfig { items_max: at_least_one("a queue has room for a number of items", 100)?, ..QUEUE_DEFAULT }
            }
        }),
        other => {
            bail!("--lock {text}: {}; write --lock {name}:KIND with one of them", unknown_word("kind", other, &KINDS))
        }
    };
    Ok(LockSpec { name: name.to_owned(), kind, ..LockSpec::default() })
}

/// Whether somebody can hold it, so that a hold of it can last too long.
pub(super) fn is_held(kind: &LockKind) -> bool {
    match kind {
        LockKind::Mutex | LockKind::RLock | LockKind::RwLock | LockKind::Once => true,
        LockKind::Semaphore(kind) => matches!(kind, SemaphoreKind::Owned { .. }),
        LockKind::Condition { .. }
        | LockKind::Event
        | LockKind::Barrier { .. }
        | LockKind::Latch { .. }
        | LockKind::Queue(_) => false,
    }
}

/// Whether somebody can hold it alone, and die as its only owner.
pub(super) fn is_exclusive(kind: &LockKind) -> bool {
    matches!(kind, LockKind::Mutex | LockKind::RLock | LockKind::RwLock)
}

/// Reads `NAME[:TYPE[:LENGTH]][=N]`.
pub(super) fn value(text: &str) -> anyhow::Result<ValueSpec> {
    let (declared, initial) = match text.split_once('=') {
        Some((declared, initial)) => (declared, Some(initial)),
        None => (text, None),
    };
    let (name, rest) = declared.split_once(':').unwrap_or((declared, "i64"));
    let (word, length) = match rest.split_once(':') {
        Some((word, length)) => (word, Some(length)),
        None => (rest, None),
    };
    let kind = match word {
        "i64" => ScalarKind::Signed,
        "u64" => ScalarKind::Unsigned,
        "f64" => ScalarKind::Float,
        "bytes" => ScalarKind::Bytes,
        other => {
            bail!("--value {text}: {}; write --value {name}:TYPE with one of them", unknown_word("type", other, &TYPES))
        }
    };
    let content = match (length, initial) {
        (Some(_), Some(_)) => bail!("--value {text}: an array starts with zeros; write --value {declared}"),
        (Some(length), None) => {
            let wrong =
                || format!("--value {text}: `{length}` is no length; write --value {name}:{word}:100, or how many");
            let length = length.parse().ok().with_context(wrong)?;
            array(kind, length).map_err(|message| anyhow::anyhow!("--value {text}: {message}"))?
        }
        (None, initial) => {
            let scalar = match kind {
                ScalarKind::Signed => initial.unwrap_or("0").parse().ok().map(Scalar::Signed),
                ScalarKind::Unsigned => initial.unwrap_or("0").parse().ok().map(Scalar::Unsigned),
                ScalarKind::Float => initial.unwrap_or("0").parse().ok().map(Scalar::Float),
                ScalarKind::Bytes => Some(Scalar::Bytes(initial.unwrap_or_default().as_bytes().to_vec())),
            };
            let example = match kind {
                ScalarKind::Float => "1.5",
                _ => "1",
            };
            let initial = scalar.with_context(|| {
                let found = initial.unwrap_or_default();
                let hint = if word == "i64" && found.parse::<f64>().is_ok() { "f64" } else { word };
                let example = if hint == word { example } else { found };
                format!("--value {text}: `{found}` is no {word}; write --value {name}:{hint}={example}")
            })?;
            ValueContent::Value { initial, bytes_max: if kind == ScalarKind::Bytes { VALUE_BYTES_DEFAULT } else { 0 } }
        }
    };
    Ok(ValueSpec { name: name.to_owned(), content, requires_lock: None })
}

#[cfg(test)]
mod tests {
    use lockkeeper::Scalars;

    use super::*;

    fn kind(text: &str) -> LockKind {
        let spec = lock(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(spec.name, "x");
        spec.kind
    }

    #[test]
    fn every_kind_has_its_word() {
        assert_eq!(kind("x"), LockKind::Mutex);
        assert_eq!(kind("x:mutex"), LockKind::Mutex);
        assert_eq!(kind("x:rlock"), LockKind::RLock);
        assert_eq!(kind("x:rwlock"), LockKind::RwLock);
        assert_eq!(kind("x:once"), LockKind::Once);
        assert_eq!(kind("x:event"), LockKind::Event);
        assert_eq!(kind("x:semaphore:4"), LockKind::Semaphore(SemaphoreKind::Owned { permits: 4 }));
        assert_eq!(kind("x:signal:0"), LockKind::Semaphore(SemaphoreKind::Signal { permits: 0, maximum: None }));
        assert_eq!(kind("x:condition:l"), LockKind::Condition { lock: "l".to_owned() });
        assert_eq!(kind("x:barrier:8"), LockKind::Barrier { parties: 8, parties_are: Parties::Waiting });
        assert_eq!(kind("x:latch:3"), LockKind::Latch { count: 3 });
        assert_eq!(kind("x:queue"), LockKind::Queue(QUEUE_DEFAULT));
        assert_eq!(kind("x:queue:100"), LockKind::Queue(QueueConfig { items_max: 100, ..QUEUE_DEFAULT }));
    }

    #[test]
    fn a_value_starts_with_what_is_written_or_with_nothing() {
        let content = |text: &str| value(text).unwrap_or_else(|error| panic!("{text}: {error}")).content;
        let single = |initial, bytes_max| ValueContent::Value { initial, bytes_max };
        assert_eq!(content("x"), single(Scalar::Signed(0), 0));
        assert_eq!(content("x=-7"), single(Scalar::Signed(-7), 0));
        assert_eq!(content("x:u64=7"), single(Scalar::Unsigned(7), 0));
        assert_eq!(content("x:f64=1.5"), single(Scalar::Float(1.5), 0));
        assert_eq!(content("x:bytes=a=b"), single(Scalar::Bytes(b"a=b".to_vec()), VALUE_BYTES_DEFAULT));
        assert_eq!(content("x:f64:650"), ValueContent::Array(Scalars::zeroed(ScalarKind::Float, 650)));
    }
}
