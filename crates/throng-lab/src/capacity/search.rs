//! Where a server's limit is, as a state machine: it says what to try next and is told what came of
//! it. It climbs until something gives way, backs off by halving what is left, and believes a size
//! only when it has held three times more, after it was found.
//!
//! Neighbours: `capacity` runs each step. Nothing here runs, waits or rolls dice: the tests give it
//! servers with a known knee.

/// Times that a size must hold after the search has found it.
pub const CONFIRMATIONS: u32 = 3;
/// Larger than this above the last that held is one step when climbing.
const CLIMB: f64 = 2.0;
/// The search ends when what holds and what does not are this near.
const NEAR: f64 = 1.05;
/// Backed off by this when a size that held once does not hold again.
const BACK_OFF: f64 = 0.95;
/// Steps after which it ends with what it has.
const STEPS_MAX: usize = 40;
/// Sizes that were tried in vain to be confirmed, after which it ends.
const UNSTEADY_MAX: u32 = 6;

/// What came of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Every bound was kept.
    Held,
    /// A bound was broken, or a promise.
    Broke,
    /// The generator was the bottleneck: nothing is known of the server.
    GeneratorBound,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// Run this size.
    Try(f64),
    /// That was all.
    Done(End),
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// It holds, three times over, and the smallest size that did not is known.
    Found {
        /// The largest that was confirmed.
        holds: f64,
        /// The smallest that gave way.
        breaks: f64,
    },
    /// It holds, three times over; above it the generator or the scenario's own bound ends first.
    AtLeast {
        /// The largest that was confirmed.
        holds: f64,
        /// Whether the generator ended it; else the largest size allowed.
        generator: bool,
    },
    /// Not even the smallest size held.
    Nothing,
    /// No size held three times in a row: the machine or the server is not steady.
    Unsteady,
    /// It was ended before it came to an end of its own.
    Cut,
}

/// The search.
#[derive(Clone, Debug)]
pub struct Search {
    smallest: f64,
    largest: f64,
    whole: bool,
    state: State,
    /// The largest that held at least once.
    held: Option<f64>,
    /// The smallest that did not, and whether only the generator was to blame.
    ceiling: Option<(f64, bool)>,
    steps: usize,
    unsteady: u32,
    /// A confirmed size was once tried above, so that one bad step does not decide.
    looked_above: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Climbing(f64),
    Halving(f64),
    Confirming {
        at: f64,
        held: u32,
    },
    /// The smallest size that broke, once more: it may have been a bad moment.
    LookingAbove {
        confirmed: f64,
        at: f64,
    },
    Done(End),
}

impl Search {
    /// Begins at `start`; never below `smallest` nor above `largest`. `whole`: sizes are whole numbers.
    pub fn new(start: f64, smallest: f64, largest: f64, whole: bool) -> Self {
        let mut search = Self {
            smallest,
            largest,
            whole,
            state: State::Climbing(start),
            held: None,
            ceiling: None,
            steps: 0,
            unsteady: 0,
            looked_above: false,
        };
        search.state = State::Climbing(search.size(start));
        search
    }

    fn size(&self, size: f64) -> f64 {
        let size = size.clamp(self.smallest, self.largest);
        if self.whole { size.round() } else { size }
    }

    /// What to do now.
    pub fn next(&self) -> Next {
        match self.state {
            State::Climbing(at)
            | State::Halving(at)
            | State::Confirming { at, .. }
            | State::LookingAbove { at, .. } => Next::Try(at),
            State::Done(end) => Next::Done(end),
        }
    }

    /// For a person: why this size is tried.
    pub fn says(&self) -> String {
        match self.state {
            State::Climbing(_) => "climb".to_owned(),
            State::Halving(_) => "between".to_owned(),
            State::Confirming { held, .. } => format!("confirm {} of {CONFIRMATIONS}", held + 1),
            State::LookingAbove { .. } => "look above once more".to_owned(),
            State::Done(_) => "done".to_owned(),
        }
    }

    /// What came of it.
    pub fn came(&mut self, step: Step) {
        self.steps += 1;
        let held = step == Step::Held;
        match self.state {
            State::Climbing(at) | State::Halving(at) => {
                self.learn(at, step);
                self.narrow();
            }
            State::Confirming { at, held: before } if held => {
                if before + 1 == CONFIRMATIONS {
                    self.confirmed(at);
                } else {
                    self.state = State::Confirming { at, held: before + 1 };
                }
            }
            State::Confirming { at, .. } => {
                self.unsteady += 1;
                self.lower(at, step);
            }
            State::LookingAbove { confirmed, at } => {
                if held {
                    (self.held, self.ceiling) = (Some(at), None);
                    self.narrow();
                } else {
                    self.finish(confirmed);
                }
            }
            State::Done(_) => {}
        }
        if self.steps >= STEPS_MAX && !matches!(self.state, State::Done(_)) {
            self.state = State::Done(End::Unsteady);
        }
    }

    fn learn(&mut self, at: f64, step: Step) {
        if step == Step::Held {
            self.held = Some(self.held.map_or(at, |held| held.max(at)));
        } else if self.ceiling.is_none_or(|(ceiling, _)| at < ceiling) {
            self.ceiling = Some((at, step == Step::GeneratorBound));
        }
    }

    /// Between what held and what did not; up while nothing gave way, down while nothing held.
    fn narrow(&mut self) {
        self.state = match (self.held, self.ceiling) {
            (Some(held), None) if held >= self.largest => State::Confirming { at: held, held: 0 },
            (Some(held), None) => State::Climbing(self.size(held * CLIMB)),
            (None, Some((ceiling, _))) if ceiling <= self.smallest => State::Done(End::Nothing),
            (None, Some((ceiling, _))) => State::Halving(self.size(ceiling / CLIMB)),
            (Some(held), Some((ceiling, _))) => {
                let between = self.size((held * ceiling).sqrt());
                let near = ceiling <= held * NEAR || between <= held || between >= ceiling;
                // That it held while searching made it the one that is looked at: it is no confirmation.
                if near { State::Confirming { at: held, held: 0 } } else { State::Halving(between) }
            }
            (None, None) => self.state,
        };
    }

    /// A size that had held did not hold again.
    fn lower(&mut self, at: f64, step: Step) {
        self.ceiling = Some((at, step == Step::GeneratorBound));
        let lower = self.size((at * BACK_OFF).min(at - if self.whole { 1.0 } else { 0.0 }));
        let end = self.unsteady >= UNSTEADY_MAX;
        self.state = if at <= self.smallest {
            State::Done(End::Nothing)
        } else if end {
            State::Done(End::Unsteady)
        } else {
            State::Confirming { at: lower, held: 0 }
        };
        self.held = Some(lower);
    }

    fn confirmed(&mut self, at: f64) {
        match self.ceiling {
            Some((ceiling, _)) if !self.looked_above && self.unsteady == 0 => {
                self.looked_above = true;
                self.state = State::LookingAbove { confirmed: at, at: ceiling };
            }
            _ => self.finish(at),
        }
    }

    fn finish(&mut self, holds: f64) {
        self.state = State::Done(match self.ceiling {
            Some((breaks, false)) => End::Found { holds, breaks },
            Some((_, true)) => End::AtLeast { holds, generator: true },
            None => End::AtLeast { holds, generator: false },
        });
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    /// Runs a search against a server; what was found and how many steps it took.
    fn search(mut search: Search, mut server: impl FnMut(f64) -> Step) -> (End, usize) {
        for step in 0..=STEPS_MAX {
            match search.next() {
                Next::Try(size) => search.came(server(size)),
                Next::Done(end) => return (end, step),
            }
        }
        panic!("it does not end: {search:?}");
    }

    fn held(holds: bool) -> Step {
        if holds { Step::Held } else { Step::Broke }
    }

    #[test]
    fn a_steady_knee_is_found_within_a_twentieth_wherever_it_is_and_wherever_one_begins() {
        for knee in [7.0, 130.0, 999.0, 1_000.0, 1_777.0, 9_999.0] {
            for start in [1.0, 100.0, 5_000.0] {
                let of = Search::new(start, 1.0, 1e6, true);
                let (end, steps) = search(of, |size| held(size <= knee));
                let End::Found { holds, breaks } = end else { panic!("{end:?}") };
                assert!(holds <= knee && knee < breaks, "{holds} {knee} {breaks}");
                assert!(breaks <= (holds * NEAR).max(holds + 1.0) + 1.0, "{holds} {breaks}");
                assert!(steps <= 30, "{steps} steps for {knee} from {start}");
            }
        }
    }

    #[test]
    fn what_is_told_has_held_three_times_in_a_row_after_it_was_found() {
        let mut tried = Vec::new();
        let (end, _) = search(Search::new(10.0, 1.0, 1e6, true), |size| {
            tried.push(size as u32);
            held(size <= 333.0)
        });
        let End::Found { holds, .. } = end else { panic!("{end:?}") };
        let times = tried.iter().filter(|it| **it == holds as u32).count();
        assert_eq!(times, 1 + CONFIRMATIONS as usize);
    }

    /// It held while it was looked for, and twice more: that is not enough.
    #[test]
    fn a_size_that_gives_way_at_its_third_confirmation_is_lowered() {
        let mut at_333 = 0;
        let (end, _) = search(Search::new(333.0, 1.0, 333.0, true), |size| {
            at_333 += u32::from(size > 332.0);
            held(size < 332.0 || at_333 < 4)
        });
        let End::Found { holds, breaks } = end else { panic!("{end:?}") };
        assert!(holds < 332.0 && breaks > 332.0, "{holds} {breaks}");
        assert_eq!(at_333, 4);
    }

    /// Near its knee the server is a coin: below it holds more often, above it breaks more often.
    #[test]
    fn a_noisy_knee_is_found_within_a_fifth_nineteen_times_in_twenty() {
        let knee = 1_000.0;
        let mut near = 0;
        let seeds = 200;
        for seed in 0..seeds {
            let mut chance = StdRng::seed_from_u64(seed);
            let (end, _) = search(Search::new(100.0, 1.0, 1e6, true), |size| {
                let noise = 1.0 + 0.1 * (chance.random::<f64>() - 0.5);
                held(size * noise <= knee)
            });
            let holds = match end {
                End::Found { holds, .. } | End::AtLeast { holds, .. } => holds,
                End::Nothing | End::Unsteady | End::Cut => 0.0,
            };
            near += u32::from((0.8..=1.1).contains(&(holds / knee)));
        }
        assert!(near >= 190, "{near} of {seeds}");
    }

    /// A compiler runs beside one step: the size that broke then is looked at once more.
    #[test]
    fn one_bad_moment_while_climbing_does_not_decide() {
        let mut calls = 0;
        let (end, _) = search(Search::new(100.0, 1.0, 1e6, true), |size| {
            calls += 1;
            held(size <= 3_000.0 && calls != 3)
        });
        let End::Found { holds, .. } = end else { panic!("{end:?}") };
        assert!(holds > 2_800.0, "{holds}");
    }

    #[test]
    fn a_generator_that_ends_first_is_told_and_is_not_the_servers_limit() {
        let server = |size: f64| {
            if size > 600.0 { Step::GeneratorBound } else { Step::Held }
        };
        let (end, _) = search(Search::new(50.0, 1.0, 1e6, true), server);
        let End::AtLeast { holds, generator: true } = end else { panic!("{end:?}") };
        assert!((550.0..=600.0).contains(&holds));
    }

    #[test]
    fn the_largest_size_allowed_is_confirmed_too() {
        let mut calls = 0;
        let (end, _) = search(Search::new(50.0, 1.0, 400.0, true), |_| {
            calls += 1;
            Step::Held
        });
        assert_eq!(end, End::AtLeast { holds: 400.0, generator: false });
        assert_eq!(calls, 4 + 3);
    }

    #[test]
    fn a_server_that_never_holds_gives_nothing_and_a_coin_is_not_believed() {
        let (end, _) = search(Search::new(64.0, 1.0, 1e6, true), |_| Step::Broke);
        assert_eq!(end, End::Nothing);
        let mut turn = 0;
        let (end, steps) = search(Search::new(64.0, 1.0, 1e6, true), |_| {
            turn += 1;
            held(turn % 2 == 0)
        });
        assert!(matches!(end, End::Unsteady | End::Nothing), "{end:?} after {steps}");
    }

    #[test]
    fn rates_need_not_be_whole() {
        let (end, _) = search(Search::new(0.5, 0.01, 1e6, false), |size| held(size <= 0.3));
        let End::Found { holds, breaks } = end else { panic!("{end:?}") };
        assert!(holds <= 0.3 && 0.3 < breaks && breaks / holds < 1.06);
    }
}
