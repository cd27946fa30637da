//! Behaviour on one thread, a torture of two, and (under `--cfg loom`) every interleaving of a few operations.

#[cfg(not(loom))]
mod threads {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::newest;

    /// Counts how often it is dropped.
    #[derive(Debug)]
    struct Counted(u64, Arc<AtomicUsize>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn reader_takes_the_newest_once() {
        let (mut writer, mut reader) = newest();
        assert!(!reader.is_fresh());
        assert_eq!(reader.take(), None);
        assert_eq!(writer.publish(1), None);
        assert!(reader.is_fresh());
        assert_eq!(writer.publish(2), Some(1));
        assert_eq!(writer.publish(3), Some(2));
        assert_eq!(reader.take(), Some(3));
        assert_eq!(reader.take(), None);
        assert_eq!(writer.publish(4), None, "3 was taken");
        assert_eq!(reader.take(), Some(4));
    }

    #[test]
    fn every_value_is_dropped_once_whoever_goes_first() {
        for writer_first in [true, false] {
            let drops = Arc::new(AtomicUsize::new(0));
            let (mut writer, reader) = newest();
            for n in 0..5 {
                drop(writer.publish(Counted(n, Arc::clone(&drops))));
            }
            assert_eq!(drops.load(Ordering::Relaxed), 4, "the displaced ones");
            if writer_first {
                drop(writer);
                let mut reader = reader;
                assert_eq!(reader.take().map(|value| value.0), Some(4), "survives its writer");
            } else {
                drop(reader);
                drop(writer);
            }
            assert_eq!(drops.load(Ordering::Relaxed), 5);
        }
    }

    #[test]
    fn values_arrive_whole_in_order_and_none_is_lost_track_of() {
        const COUNT: u64 = 100_000;
        let (mut writer, mut reader) = newest::<Box<[u64; 4]>>();
        let displaced = std::thread::spawn(move || {
            let mut displaced = 0;
            for n in 1..=COUNT {
                displaced += u64::from(writer.publish(Box::new([n; 4])).is_some());
                if n % 64 == 0 {
                    std::thread::yield_now();
                }
            }
            displaced
        });
        let (mut last, mut taken) = (0, 0);
        while last < COUNT {
            let Some(value) = reader.take() else {
                std::thread::yield_now();
                continue;
            };
            assert!(value.iter().all(|&n| n == value[0]), "torn: {value:?}");
            assert!(value[0] > last, "{} after {last}", value[0]);
            last = value[0];
            taken += 1;
        }
        assert_eq!(displaced.join().expect("the writer does not panic") + taken, COUNT);
    }
}

#[cfg(loom)]
mod model {
    use loom::thread;

    use super::super::newest;

    #[test]
    fn every_interleaving_keeps_values_whole_ordered_and_accounted_for() {
        loom::model(|| {
            let (mut writer, mut reader) = newest::<Box<u8>>();
            let publishing = thread::spawn(move || (1..=3).filter_map(|n| writer.publish(Box::new(n))).map(|n| *n).collect::<Vec<_>>());
            let mut taken: Vec<u8> = (0..2).filter_map(|_| reader.take()).map(|n| *n).collect();
            let displaced = publishing.join().expect("the writer does not panic");
            taken.extend(reader.take().map(|n| *n));
            assert!(taken.is_sorted_by(|a, b| a < b), "{taken:?}");
            assert_eq!(taken.last(), Some(&3), "the newest is never lost");
            let mut all = [taken, displaced].concat();
            all.sort_unstable();
            assert_eq!(all, [1, 2, 3], "each came out once");
        });
    }

    #[test]
    fn a_value_left_inside_is_dropped_by_the_last_end() {
        loom::model(|| {
            // Loom's `Arc` fails the model when it leaks.
            let value = loom::sync::Arc::new(());
            let (mut writer, reader) = newest();
            let publishing = thread::spawn({
                let value = loom::sync::Arc::clone(&value);
                move || drop(writer.publish(value))
            });
            drop(reader);
            publishing.join().expect("the writer does not panic");
            assert_eq!(loom::sync::Arc::strong_count(&value), 1);
        });
    }
}
