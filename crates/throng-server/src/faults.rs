//! Faults that are planted on purpose, one at a time, so that the tests can be proved to catch them.
//!
//! Test-only: without the feature `planted-faults` every question here is a constant `false` and
//! the fault is not in the binary; with it, the build refuses to be one without debug assertions.
//! `cargo test` switches the feature on, `cargo build` and `cargo run` do not. A child process is
//! told which fault to have by `THRONG_PLANTED_FAULT`. Neighbours: the one place of each fault asks
//! `planted`; `crates/throng/tests` and the power cuts show that each is caught.

#[cfg(all(feature = "planted-faults", not(debug_assertions)))]
compile_error!("planted-faults are for tests alone; this is a build without debug assertions");

/// Where the child process reads which fault it has.
pub const VARIABLE: &str = "THRONG_PLANTED_FAULT";

/// What can be wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Commits of the log and of the accounts are not synced. Caught by the power cuts.
    NoSync,
    /// The sender hears *durable* before the commit. Caught by kill −9.
    AckBeforeCommit,
    /// Receivers hear an event before the commit. Caught by kill −9.
    TellBeforeCommit,
    /// What a full outbox cannot hold is dropped, and the connection goes on. Caught by a slow reader.
    DropWhenFull,
    /// A resume begins one event too late. Caught by one who comes back.
    ResumeOffByOne,
    /// A repeat after a lost ack is another message. Caught by one who tries again.
    ForgetOrigins,
}

impl Fault {
    /// All of them: each must be caught by a test.
    pub const ALL: [Self; 6] = [
        Self::NoSync,
        Self::AckBeforeCommit,
        Self::TellBeforeCommit,
        Self::DropWhenFull,
        Self::ResumeOffByOne,
        Self::ForgetOrigins,
    ];

    /// As the variable names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoSync => "no_sync",
            Self::AckBeforeCommit => "ack_before_commit",
            Self::TellBeforeCommit => "tell_before_commit",
            Self::DropWhenFull => "drop_when_full",
            Self::ResumeOffByOne => "resume_off_by_one",
            Self::ForgetOrigins => "forget_origins",
        }
    }
}

/// Whether this process has this fault.
#[cfg(feature = "planted-faults")]
pub fn planted(fault: Fault) -> bool {
    static PLANTED: std::sync::LazyLock<Option<Fault>> = std::sync::LazyLock::new(|| {
        let name = std::env::var(VARIABLE).ok()?;
        let known = Fault::ALL.into_iter().find(|fault| fault.name() == name);
        let fault = known.unwrap_or_else(|| panic!("there is no fault named {name}"));
        tracing::error!(fault = fault.name(), "this server is wrong on purpose");
        Some(fault)
    });
    *PLANTED == Some(fault)
}

/// Never: this build has no faults.
#[cfg(not(feature = "planted-faults"))]
pub const fn planted(_: Fault) -> bool {
    false
}
