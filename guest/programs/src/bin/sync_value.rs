//! Values and arrays behave as those of CPython's tests do, and keep what the contract promises beyond. Argument: the
//! case, as in [`lockkeeper_guest_programs::sync`].

use lockkeeper_guest::{Array, Barrier, Error, Latch, Mutex, Value};
use lockkeeper_guest_programs::sync::Outcome;
use lockkeeper_guest_programs::sync_main;

sync_main! {
    "test_value" => value,
    "test_rawvalue" => raw_value,
    "test_getobj_getlock" => bound_value,
    "test_array" => array,
    "test_array_from_size" => array_from_size,
    "test_rawarray" => raw_array,
    "test_getobj_getlock_obj" => bound_array,
    "nothing_is_lost" => nothing_is_lost,
    "what_does_not_fit_is_refused" => misfits,
    "array_changes_in_one_step" => one_step,
}

/// What one process sets, the others see.
fn value(rank: u32) -> Outcome {
    let (signed, unsigned) = (Value::<i64>::open("i")?, Value::<u64>::open("u")?);
    let (float, bytes) = (Value::<f64>::open("f")?, Value::<Vec<u8>>::open("b")?);
    let both = Barrier::open("both")?;
    assert_eq!((signed.get(), unsigned.get(), float.get(), bytes.get()), (-7, 7, 3.25, b"seven".to_vec()));
    both.wait()?;
    if rank == 1 {
        assert_eq!(signed.set(i64::MIN)?, -7);
        assert_eq!(unsigned.set(u64::MAX)?, 7);
        assert_eq!(float.set(-1.5)?, 3.25);
        assert_eq!(bytes.set(b"\0\xff".to_vec())?, b"seven");
    }
    both.wait()?;
    assert_eq!((signed.get(), unsigned.get(), float.get()), (i64::MIN, u64::MAX, -1.5));
    assert_eq!(bytes.get(), b"\0\xff");
    Ok(())
}

/// Without any lock.
fn raw_value(_rank: u32) -> Outcome {
    let value = Value::<i64>::open("i")?;
    assert_eq!(value.set(5)?, -7);
    let refused = value.compare_exchange(4, 6)?;
    assert_eq!((refused.done, refused.previous, value.get()), (false, 5, 5));
    let done = value.compare_exchange(5, 6)?;
    assert_eq!((done.done, done.previous, value.get()), (true, 5, 6));
    assert_eq!(value.update(|old| old * 7)?, 6);
    assert_eq!((value.add(-50)?, value.get()), (42, -8));
    Ok(())
}

/// A value that is bound to a lock is changed only by its holder. Anybody may look.
fn bound_value(_rank: u32) -> Outcome {
    let (value, lock) = (Value::<i64>::open("bound")?, Mutex::open("l")?);
    let refused = Error::LockRequired("l".to_owned());
    assert_eq!(value.set(1), Err(refused.clone()));
    assert_eq!(value.add(1), Err(refused.clone()));
    assert_eq!(value.compare_exchange(0, 1), Err(refused.clone()));
    assert_eq!(value.get(), 0);
    let guard = lock.lock()?;
    value.set(1)?;
    value.add(1)?;
    guard.unlock()?;
    assert_eq!((value.get(), value.set(3)), (2, Err(refused)));
    Ok(())
}

fn array(rank: u32) -> Outcome {
    let (array, both) = (Array::<i64>::open("a")?, Barrier::open("both")?);
    assert_eq!(array.len(), 10);
    if rank == 0 {
        array.set_slice(0, &[680, 626, 934, 821, 150, 233, 548, 982, 714, 831])?;
    }
    both.wait()?;
    if rank == 1 {
        // Each the sum of those before it.
        for index in 1..array.len() {
            array.add(index, array.get(index - 1)?)?;
        }
    }
    both.wait()?;
    assert_eq!(array.get(9)?, 6_519);
    assert_eq!(array.slice(4, 3)?, [3_211, 3_444, 3_992]);
    assert_eq!(array.get(10), Err(Error::OutOfRange));
    assert_eq!(array.slice(8, 3), Err(Error::OutOfRange));
    assert_eq!(array.slice(u32::MAX, 2), Err(Error::OutOfRange));
    assert_eq!(array.set(10, 1), Err(Error::OutOfRange));
    Ok(())
}

/// Elements start at zero.
fn array_from_size(_rank: u32) -> Outcome {
    let (array, bytes) = (Array::<i64>::open("a")?, Array::<u8>::open("bytes")?);
    assert_eq!(array.slice(0, array.len())?, [0; 10]);
    assert_eq!(bytes.slice(0, bytes.len())?, [0; 16]);
    array.set_slice(0, &[1; 10])?;
    bytes.set(3, 0xff)?;
    assert_eq!((array.slice(0, 10)?, bytes.get(3)?), (vec![1; 10], 0xff));
    Ok(())
}

/// All types, without any lock.
fn raw_array(_rank: u32) -> Outcome {
    let (unsigned, float) = (Array::<u64>::open("u")?, Array::<f64>::open("f")?);
    unsigned.add_slice(1, &[1, 2, 3])?;
    unsigned.add(2, 5)?;
    assert_eq!(unsigned.slice(0, 4)?, [0, 1, 7, 3]);
    float.set_slice(0, &[0.5, f64::INFINITY, -0.0])?;
    float.add(0, 0.25)?;
    assert_eq!(float.slice(0, 3)?, [0.75, f64::INFINITY, 0.0]);
    Ok(())
}

fn bound_array(_rank: u32) -> Outcome {
    let (array, lock) = (Array::<i64>::open("bound-array")?, Mutex::open("l")?);
    let refused = Error::LockRequired("l".to_owned());
    assert_eq!(array.set(0, 1), Err(refused.clone()));
    assert_eq!(array.add(0, 1), Err(refused));
    assert_eq!(array.get(0)?, 0);
    lock.with_lock(|_| array.set(0, 1))?;
    assert_eq!(array.get(0)?, 1);
    Ok(())
}

/// What in CPython needs `get_lock()`: `add` and `update` lose nothing without a lock, and two calls lose nothing under
/// one.
fn nothing_is_lost(rank: u32) -> Outcome {
    const EACH: i64 = 500;
    let (added, updated) = (Value::<i64>::open("i")?, Value::<u64>::open("u")?);
    let (locked, lock) = (Value::<i64>::open("bound")?, Mutex::open("l")?);
    let (array, ended) = (Array::<i64>::open("a")?, Latch::open("ended")?);
    for _ in 0..EACH {
        added.add(1)?;
        updated.update(|old| old + 1)?;
        array.add_slice(0, &[1; 10])?;
        lock.with_lock(|_| locked.set(locked.get() + 1))?;
    }
    ended.count_down(1)?;
    if rank == 0 {
        ended.wait()?;
        assert_eq!((added.get(), updated.get()), (4 * EACH - 7, 4 * EACH as u64 + 7));
        assert_eq!((locked.get(), array.slice(0, 10)?), (4 * EACH, vec![4 * EACH; 10]));
    }
    Ok(())
}

fn misfits(_rank: u32) -> Outcome {
    assert!(matches!(Value::<u64>::open("i"), Err(Error::InvalidArgument(_))), "another type");
    assert!(matches!(Array::<f64>::open("a"), Err(Error::InvalidArgument(_))), "another type");
    assert_eq!(Value::<i64>::open("nothing-of-the-job").err(), Some(Error::Denied));

    let (signed, unsigned) = (Value::<i64>::open("i")?, Value::<u64>::open("u")?);
    signed.set(i64::MAX)?;
    assert_eq!((signed.add(1), signed.get()), (Err(Error::OutOfRange), i64::MAX));
    unsigned.set(u64::MAX - 1)?;
    assert_eq!((unsigned.add(2), unsigned.get()), (Err(Error::OutOfRange), u64::MAX - 1));

    let bytes = Value::<Vec<u8>>::open("b")?;
    bytes.set(vec![1; 8])?;
    assert_eq!(bytes.set(vec![2; 9]), Err(Error::OutOfRange));
    assert_eq!(bytes.get(), [1; 8]);

    // Compared by their bits.
    let float = Value::<f64>::open("f")?;
    float.set(f64::NAN)?;
    assert!(float.compare_exchange(f64::NAN, 0.0)?.done);
    assert!(!float.compare_exchange(-0.0, 1.0)?.done);

    // If one does not fit, none is changed.
    let array = Array::<i64>::open("a")?;
    array.set(1, i64::MAX)?;
    assert_eq!(array.add_slice(0, &[1, 1, 1]), Err(Error::OutOfRange));
    assert_eq!(array.set_slice(9, &[1, 1]), Err(Error::OutOfRange));
    assert_eq!(array.slice(0, 3)?, [0, i64::MAX, 0]);
    assert_eq!(array.get(9)?, 0);
    Ok(())
}

/// Whoever looks sees an array between two changes, never within one.
fn one_step(rank: u32) -> Outcome {
    let (array, ended) = (Array::<i64>::open("a")?, Latch::open("ended")?);
    if rank == 0 {
        while ended.remaining() > 0 {
            let seen = array.slice(0, 10)?;
            assert!(seen.iter().all(|element| *element == seen[0]), "{seen:?}");
        }
    } else {
        for round in 0..300 {
            if round % 2 == 0 {
                array.add_slice(0, &[i64::from(rank); 10])?;
            } else {
                array.set_slice(0, &[round; 10])?;
            }
        }
        ended.count_down(1)?;
    }
    Ok(())
}
