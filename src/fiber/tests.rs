//! Claims about fibers, without Lua.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::*;

fn in_loop(main: impl FnOnce() + 'static) {
    let done = Rc::new(Cell::new(false));
    let seen = done.clone();
    run("main", move || {
        main();
        done.set(true);
        stop();
    })
    .expect("the loop starts");
    assert!(seen.get(), "the main fiber came to its end");
}

#[test]
fn fibers_take_turns_in_order() {
    in_loop(|| {
        let log = Rc::new(RefCell::new(Vec::new()));
        let fibers: Vec<Fiber> = (0..3)
            .map(|number| {
                let log = log.clone();
                spawn("worker", move || {
                    for _ in 0..2 {
                        log.borrow_mut().push(number);
                        yield_now();
                    }
                })
            })
            .collect();
        fibers.iter().for_each(Fiber::join);
        assert_eq!(*log.borrow(), [0, 1, 2, 0, 1, 2]);
    });
}

#[test]
fn sleeper_does_not_wait_for_all_that_are_busy() {
    const BUSY_COUNT: usize = 64;
    in_loop(|| {
        let deadline = Instant::now() + Duration::from_millis(20);
        let runs = Rc::new(Cell::new(0));
        let is_over = Rc::new(Cell::new(false));
        for _ in 0..BUSY_COUNT {
            let (runs, is_over) = (runs.clone(), is_over.clone());
            spawn("busy", move || {
                while !is_over.get() {
                    let start = Instant::now();
                    if start > deadline {
                        runs.set(runs.get() + 1);
                    }
                    while start.elapsed() < Duration::from_millis(1) {}
                    yield_now();
                }
            });
        }
        suspend_until(Some(deadline));
        is_over.set(true);
        assert!(runs.get() <= BUSY_COUNT / 4, "{} came first", runs.get());
    });
}

#[test]
fn busy_fibers_have_every_second_turn_beside_those_that_are_due() {
    let mut ready = ready::Ready::default();
    in_loop(move || {
        let own = current();
        let fiber = |name: &str| {
            let fiber = spawn(name, || {});
            fiber.set_name(name);
            fiber
        };
        for name in ["a", "b", "c"] {
            ready.push(fiber(name));
            ready.push_due(fiber(&name.to_uppercase()));
        }
        ready.push_at_once(own.clone());
        ready.push_at_once(fiber("first"));
        let order: Vec<String> = std::iter::from_fn(|| ready.pop()).map(|it| it.name()).collect();
        assert_eq!(order, ["first", "main", "A", "a", "B", "b", "C", "c"]);
        assert!(ready.is_empty());
    });
}

#[test]
fn started_fiber_runs_before_its_creator_goes_on() {
    in_loop(|| {
        let seen = Rc::new(Cell::new(false));
        let inner = seen.clone();
        start("worker", move || inner.set(true));
        assert!(seen.get());
    });
}

#[test]
fn future_completed_on_another_thread_wakes_its_fiber() {
    in_loop(|| {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || sender.send(7));
        assert_eq!(wait(receiver), Ok(7));
        thread.join().expect("it ended").expect("the receiver was there");
        assert_eq!(blocking(|| 6 * 7), 42);
    });
}

#[test]
fn sleep_lasts_at_least_its_time_and_ends_early_on_wakeup() {
    in_loop(|| {
        let begun = Instant::now();
        sleep(Duration::from_millis(3)).expect("not cancelled");
        assert!(begun.elapsed() >= Duration::from_millis(3));
        let sleeper = start("sleeper", || sleep(Duration::from_secs(3600)).expect("woken"));
        sleeper.wakeup();
        sleeper.join();
    });
}

#[test]
fn cancelled_fiber_fails_its_wait() {
    in_loop(|| {
        let failed = Rc::new(Cell::new(false));
        let inner = failed.clone();
        let fiber = start("waiter", move || {
            let never = std::future::pending::<()>();
            inner.set(wait_or_cancel(never).is_err());
        });
        fiber.cancel();
        fiber.join();
        assert!(failed.get());
    });
}

#[test]
fn cond_wakes_in_order_and_times_out() {
    in_loop(|| {
        let cond = Rc::new(Cond::new());
        assert!(!cond.wait_timeout(Duration::from_millis(1)));
        let inner = cond.clone();
        let fiber = start("waiter", move || assert!(inner.wait()));
        cond.signal();
        fiber.join();
        assert_eq!(cond.waiting_count(), 0);
    });
}

#[test]
fn channel_of_no_capacity_hands_over() {
    in_loop(|| {
        let channel = Rc::new(Channel::new(0));
        let inner = channel.clone();
        let writer = start("writer", move || {
            for number in 0..3 {
                inner.put(number, None).expect("open");
            }
            inner.close();
        });
        let mut taken = Vec::new();
        while let Ok(number) = channel.get(None) {
            taken.push(number);
        }
        writer.join();
        assert_eq!(taken, [0, 1, 2]);
        assert_eq!(channel.put(9, None), Err((ChannelError::Closed, 9)));
    });
}

#[test]
fn channel_wait_ends_at_its_deadline() {
    in_loop(|| {
        let channel = Channel::<i32>::new(1);
        let deadline = Some(Instant::now() + Duration::from_millis(1));
        assert_eq!(channel.get(deadline), Err(ChannelError::TimedOut));
        channel.put(1, None).expect("room");
        assert_eq!(channel.put(2, deadline), Err((ChannelError::TimedOut, 2)));
    });
}

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let mut frame = [depth; 64];
    std::hint::black_box(&mut frame);
    if depth == u64::MAX { frame[0] } else { recurse(depth + 1) + frame[1] }
}

#[test]
fn native_stack_overflow_ends_the_fiber_only() {
    in_loop(|| {
        for _ in 0..3 {
            let fiber = spawn("deep", || {
                recurse(0);
            });
            fiber.join();
            assert!(fiber.overflowed());
        }
        let fine = spawn("shallow", || ());
        fine.join();
        assert!(!fine.overflowed());
    });
}

#[test]
fn no_yield_section_panics_on_switch() {
    in_loop(|| {
        let result = std::panic::catch_unwind(|| {
            let _section = no_yield();
            yield_now();
        });
        assert!(result.is_err());
    });
}

#[test]
fn many_fibers_share_few_stacks() {
    in_loop(|| {
        for _ in 0..1000 {
            let fibers: Vec<Fiber> = (0..50).map(|_| spawn("short", yield_now)).collect();
            fibers.iter().for_each(Fiber::join);
        }
        assert_eq!(live_count(), 1);
    });
}
