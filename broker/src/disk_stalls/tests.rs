//! Stalls as the watchdog sees them, its clock and its threads in the test's hand; and a runtime whose workers are all held.

use std::cell::Cell;
use std::sync::mpsc;
use std::time::Instant;

use super::slots::Doing;
use super::watchdog::{Found, Watch};
use super::*;

const FIRST: &str = "/first";
const SECOND: &str = "/second";
/// Nothing here takes a hundredth of it, where it goes on at all.
const LONG: Duration = Duration::from_secs(20);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn stalls(workers: usize) -> Arc<DiskStalls> {
    DiskStalls::of(
        Clock::real(),
        Slots::new(workers, 0, 8),
        &[FIRST.into(), SECOND.into()],
    )
}

fn index(stalls: &DiskStalls, path: &str) -> DirectoryIndex {
    stalls.directory(Path::new(path)).expect("a watched directory")
}

/// A watchdog that looks when the test says so.
struct Hand {
    stalls: Arc<DiskStalls>,
    watch: Watch,
    now: Duration,
    doing: Cell<Doing>,
}

impl Hand {
    fn new(stalls: &Arc<DiskStalls>) -> Hand {
        Hand {
            stalls: stalls.clone(),
            watch: Watch::default(),
            now: ms(7_000),
            doing: Cell::new(Doing::WaitsForDisk),
        }
    }

    fn after(&mut self, passed: u64) -> Found {
        self.now += ms(passed);
        self.watch.look(&self.stalls, self.now, |_| self.doing.get())
    }

    fn are_stalling(&self) -> [bool; 2] {
        let all = [FIRST, SECOND].map(|path| index(&self.stalls, path));
        all.map(|directory| self.stalls.stalling_among([Some(directory)]) == [directory])
    }
}

#[test]
fn a_call_of_ten_milliseconds_marks_its_directory_and_lets_a_spare_worker_out() {
    let stalls = stalls(1);
    let mut hand = Hand::new(&stalls);
    let call = stalls.enter(Some(index(&stalls, SECOND)));
    hand.after(0);
    assert_eq!(hand.after(9).out, 0);
    assert_eq!(hand.are_stalling(), [false, false]);
    assert_eq!(hand.after(1).out, 1);
    assert_eq!(hand.are_stalling(), [false, true]);
    assert_eq!(hand.after(2_000).out, 1);
    drop(call);
    // A worker comes back, and the spare one stays a while, and the mark longer.
    assert_eq!(hand.after(5).out, 1);
    assert_eq!(hand.after(100).out, 0);
    assert_eq!(hand.are_stalling(), [false, true]);
    hand.after(300);
    assert_eq!(hand.are_stalling(), [false, false]);
    assert_eq!(stalls.marks(), 1);
}

#[test]
fn quick_calls_and_a_thread_without_a_processor_are_no_stall() {
    let stalls = stalls(1);
    let mut hand = Hand::new(&stalls);
    let directory = Some(index(&stalls, FIRST));
    for _ in 0..10 {
        let call = stalls.enter(directory);
        assert_eq!(hand.after(9).out, 0);
        drop(call);
    }
    let _call = stalls.enter(directory);
    hand.doing.set(Doing::Runs);
    assert_eq!(hand.after(0).out, 0);
    assert_eq!(hand.after(40).out, 0);
    // Another thread has what it wants, and no processor.
    hand.doing.set(Doing::Waits);
    assert_eq!(hand.after(5).out, 0);
    assert_eq!(hand.are_stalling(), [false, false]);
    hand.doing.set(Doing::WaitsForDisk);
    assert_eq!(hand.after(0).out, 1);
    assert_eq!(hand.are_stalling(), [true, false]);
}

#[test]
fn one_of_two_workers_is_held_for_longer_before_its_directory_is_marked() {
    let stalls = stalls(2);
    let mut hand = Hand::new(&stalls);
    let _call = stalls.enter(Some(index(&stalls, FIRST)));
    hand.after(0);
    assert_eq!(hand.after(10).out, 1);
    assert_eq!(hand.after(39).out, 1);
    assert_eq!(hand.are_stalling(), [false, false]);
    hand.after(1);
    assert_eq!(hand.are_stalling(), [true, false]);
}

#[test]
fn whoever_waits_for_a_thread_that_a_disk_holds_is_held_too() {
    let stalls = stalls(2);
    let mut hand = Hand::new(&stalls);
    let _call = stalls.enter(Some(index(&stalls, FIRST)));
    hand.doing.set(Doing::Waits);
    hand.after(0);
    assert_eq!(hand.after(15).out, 0);
    stalls.mark(index(&stalls, FIRST), hand.now);
    assert_eq!(hand.after(0).out, 1);
}

#[test]
fn a_call_within_another_counts_for_its_own_directory() {
    let stalls = stalls(1);
    let mut hand = Hand::new(&stalls);
    let outer = stalls.enter(None);
    {
        let _inner = stalls.enter(Some(index(&stalls, FIRST)));
        hand.after(0);
        assert_eq!(hand.after(20).out, 1);
        assert_eq!(hand.are_stalling(), [true, false]);
    }
    hand.after(0);
    hand.after(2_000);
    // Still inside, of a directory that is not known: nothing can be marked.
    assert_eq!((hand.after(20).out, hand.are_stalling()), (1, [false, false]));
    drop(outer);
    hand.after(0);
    assert_eq!(hand.after(100).out, 0);
}

#[test]
fn a_slow_call_aside_keeps_the_mark_while_it_lasts_and_a_while_longer() {
    let stalls = stalls(1);
    let directory = index(&stalls, FIRST);
    let state = stalls.get(directory).expect("it is watched");
    stalls.mark(directory, ms(1_000));
    state.call_begins(ms(1_100));
    stalls.unmark_the_calm(ms(9_000));
    assert_eq!(stalls.stalling(), 1);
    state.call_ended(ms(1_100), ms(9_100));
    stalls.unmark_the_calm(ms(9_399));
    assert_eq!(stalls.stalling(), 1);
    // A quick one changes nothing.
    state.call_begins(ms(9_399));
    state.call_ended(ms(9_399), ms(9_400));
    stalls.unmark_the_calm(ms(9_400));
    assert_eq!(stalls.stalling(), 0);
}

#[test]
fn what_is_not_known_may_lie_in_any_directory_that_stalls() {
    let stalls = stalls(1);
    let (first, second) = (index(&stalls, FIRST), index(&stalls, SECOND));
    assert_eq!(stalls.directory(Path::new("/third")), None);
    assert!(stalls.stalling_among([None, Some(first)]).is_empty());
    stalls.mark(second, ms(1));
    stalls.mark(second, ms(2));
    assert!(stalls.stalling_among([Some(first)]).is_empty());
    assert_eq!(stalls.stalling_among([Some(second), Some(first), None]), [second]);
    stalls.mark(first, ms(3));
    assert_eq!(stalls.stalling_among([Some(second), None]), [first, second]);
    assert_eq!((stalls.stalling(), stalls.marks()), (2, 2));
}

#[test]
fn the_watchdog_rests_while_little_happens_and_the_last_worker_that_goes_inside_wakes_it() {
    let stalls = stalls(2);
    let mut hand = Hand::new(&stalls);
    drop(stalls.enter(None));
    let looks = (0..100).take_while(|_| !hand.after(5).may_rest).count();
    assert!((10..50).contains(&looks), "{looks}");
    drop(stalls.enter(None));
    assert!(hand.after(100).may_rest);
    (0..10).for_each(|_| drop(stalls.enter(None)));
    assert!(!hand.after(100).may_rest);
    while !hand.after(5).may_rest {}
    stalls.rests.store(true, Ordering::Release);
    let _first = stalls.enter(None);
    assert!(
        stalls.rests.load(Ordering::Acquire),
        "one worker is left, and nobody pays for a look"
    );
    std::thread::scope(|scope| {
        let other = scope.spawn(|| drop(stalls.enter(None)));
        other.join().expect("it only goes inside");
    });
    assert!(!stalls.rests.load(Ordering::Acquire));
    assert!(!hand.after(5).may_rest);
}

#[test]
fn a_worker_that_is_held_alone_ends_the_rest() {
    let stalls = stalls(2);
    let mut hand = Hand::new(&stalls);
    while !hand.after(5).may_rest {}
    let _call = stalls.enter(Some(index(&stalls, FIRST)));
    assert!(!hand.after(100).may_rest);
    assert_eq!(hand.after(10).out, 1);
}

#[test]
fn an_unwatched_node_writes_nothing_down() {
    let stalls = DiskStalls::unwatched();
    assert!(!stalls.enter(None).is_written_down());
    assert!(stalls.stalling_among([None]).is_empty());
}

/// Runs `held` on as many workers as there are, and then looks whether something else still runs.
fn hold_all_workers(runtime: &NodeRuntime, workers: usize) -> (Vec<mpsc::Sender<()>>, bool) {
    let stalls = runtime.disk_stalls().clone();
    let directory = stalls.directory(Path::new(FIRST));
    let (begun, begins) = mpsc::channel();
    let mut gates = Vec::new();
    for _ in 0..workers {
        let (gate, opens) = mpsc::channel::<()>();
        gates.push(gate);
        let (stalls, begun) = (stalls.clone(), begun.clone());
        runtime.spawn(async move {
            let _call = stalls.enter(directory);
            begun.send(()).ok();
            // Whoever waits for a disk waits so: on the thread.
            opens.recv().ok();
        });
    }
    for _ in 0..workers {
        begins.recv_timeout(LONG).expect("a worker takes it");
    }
    let (done, is_done) = mpsc::channel();
    runtime.spawn(async move {
        tokio::time::sleep(ms(1)).await;
        done.send(()).ok();
    });
    (gates, is_done.recv_timeout(LONG).is_ok())
}

#[test]
fn a_runtime_goes_on_while_a_disk_holds_all_its_workers() {
    for workers in [1, 2, 3] {
        let runtime = NodeRuntime::with_workers(workers, &[FIRST.into()]).expect("threads");
        let (gates, goes_on) = hold_all_workers(&runtime, workers);
        assert!(goes_on, "{workers} workers");
        assert_eq!(runtime.disk_stalls().stalling(), 1);
        drop(gates);
    }
}

#[test]
fn a_runtime_goes_on_while_a_disk_holds_the_worker_that_polls_the_sockets() {
    let runtime = NodeRuntime::with_workers(2, &[FIRST.into()]).expect("threads");
    let stalls = runtime.disk_stalls().clone();
    let began = Instant::now();
    while !stalls.rests.load(Ordering::Acquire) {
        assert!(began.elapsed() < LONG, "the watchdog does not rest");
        std::thread::yield_now();
    }
    let (gates, goes_on) = hold_all_workers(&runtime, 1);
    assert!(goes_on);
    drop(gates);
}

#[test]
fn spare_workers_are_kept_back_again_and_come_out_again() {
    let runtime = NodeRuntime::with_workers(2, &[FIRST.into()]).expect("threads");
    for _ in 0..3 {
        let (gates, goes_on) = hold_all_workers(&runtime, 2);
        assert!(goes_on);
        drop(gates);
        let began = Instant::now();
        while runtime.kept_back() < 2 {
            assert!(began.elapsed() < LONG, "the spare workers are still out");
            std::thread::yield_now();
        }
    }
}

#[test]
fn tasks_that_let_others_go_first_go_on_while_workers_are_kept_back_and_come_out() {
    let runtime = NodeRuntime::with_workers(2, &[FIRST.into()]).expect("threads");
    let stop = Arc::new(AtomicBool::new(false));
    let tasks = (0..8).map(|_| {
        let stop = stop.clone();
        let stalls = runtime.disk_stalls().clone();
        runtime.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let inside = stalls.enter(None);
                assert!(
                    inside.is_written_down_for_this_thread(),
                    "nobody watches this thread"
                );
                drop(inside);
                tokio::task::yield_now().await;
            }
        })
    });
    let tasks: Vec<_> = tasks.collect();
    for _ in 0..200 {
        runtime.let_out(2);
        std::thread::sleep(ms(1));
        runtime.let_out(0);
        std::thread::sleep(ms(1));
    }
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        let ended = runtime.block_on(async { tokio::time::timeout(LONG, task).await });
        ended.expect("it goes on").expect("it ends");
    }
    let began = Instant::now();
    while most_at_a_time(&runtime) > 2 {
        assert!(began.elapsed() < LONG, "the spare workers stay out");
    }
}

/// How many of eight tasks that hold their workers run at the same time at most.
fn most_at_a_time(runtime: &NodeRuntime) -> usize {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (running, most) = (running.clone(), most.clone());
            runtime.spawn(async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(ms(5));
                running.fetch_sub(1, Ordering::SeqCst);
            })
        })
        .collect();
    for task in tasks {
        runtime.block_on(task).expect("it ends");
    }
    most.load(Ordering::SeqCst)
}

#[test]
fn a_directory_that_stalls_holds_no_more_threads_than_its_bound() {
    let runtime = NodeRuntime::with_workers(2, &[FIRST.into()]).expect("threads");
    let stalls = runtime.disk_stalls().clone();
    let first = index(&stalls, FIRST);
    stalls.mark(first, stalls.clock.monotonic());
    let (begun, begins) = mpsc::channel();
    let gate = Arc::new(parking_lot::Mutex::new(()));
    let closed = gate.lock();
    let calls = directory::CALLS_ASIDE + 20;
    let mut answers = Vec::new();
    for call in 0..calls {
        let (stalls, gate, begun) = (stalls.clone(), gate.clone(), begun.clone());
        let aside = async move {
            let touched = stalls.stalling_among([Some(first)]);
            let work = move || {
                begun.send(()).ok();
                drop(gate.lock());
                call
            };
            stalls.aside(touched, work).await
        };
        answers.push(runtime.spawn(aside));
    }
    for _ in 0..directory::CALLS_ASIDE {
        begins.recv_timeout(LONG).expect("within the bound");
    }
    // The workers are free, and the next call waits for one of those to end.
    let turn = async { tokio::spawn(tokio::time::sleep(ms(20))).await };
    runtime.block_on(turn).expect("a worker has time");
    assert!(begins.try_recv().is_err());
    drop(closed);
    for (call, answer) in answers.into_iter().enumerate() {
        assert_eq!(runtime.block_on(answer).expect("it was done"), call);
    }
}
