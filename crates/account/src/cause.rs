//! How requests end, and who pays.

/// Why a request ended: every admitted request has exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The model ended its turn, or the work without a turn (tokens of a text, an embedding) is done.
    Finished,
    /// A stop string came.
    StopString,
    /// `max_tokens`, or the end of the context.
    Length,
    /// A budget, a balance or a limit on tokens had no more for it.
    Budget,
    /// The client hung up.
    CancelledByClient,
    /// The client took nothing of its answer for too long.
    SlowReader,
    /// The key was revoked while it ran.
    KeyRevoked,
    /// Whoever runs the installation ended it.
    CancelledByOperator,
    /// A failure of ours.
    FailedHere,
    /// A failure of somebody else's engine that was asked for us.
    FailedUpstream,
    /// Refused before there was work: a wrong parameter, a full queue, a limit.
    Refused,
    /// The service went away before the answer was whole.
    ShutDown,
    /// The process ended without a word; found at the next start.
    Crashed,
}

/// Who pays for what a request ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Payer {
    /// The caller's organisation, for what was counted until the end.
    Caller,
    /// Nobody: it is the installation's loss, or nothing ran.
    Nobody,
}

impl Cause {
    /// All there are.
    pub const ALL: [Self; 13] = [
        Self::Finished,
        Self::StopString,
        Self::Length,
        Self::Budget,
        Self::CancelledByClient,
        Self::SlowReader,
        Self::KeyRevoked,
        Self::CancelledByOperator,
        Self::FailedHere,
        Self::FailedUpstream,
        Self::Refused,
        Self::ShutDown,
        Self::Crashed,
    ];

    /// Who pays. What the caller or its organisation brought about is paid; what we brought about is not.
    pub fn payer(self) -> Payer {
        match self {
            Self::Finished | Self::StopString | Self::Length | Self::Budget => Payer::Caller,
            Self::CancelledByClient | Self::SlowReader | Self::KeyRevoked => Payer::Caller,
            Self::CancelledByOperator | Self::FailedHere | Self::FailedUpstream => Payer::Nobody,
            Self::Refused | Self::ShutDown | Self::Crashed => Payer::Nobody,
        }
    }

    /// The reason code in usage rows and ledger lines.
    pub fn code(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::StopString => "stop_string",
            Self::Length => "length",
            Self::Budget => "budget",
            Self::CancelledByClient => "cancelled_by_client",
            Self::SlowReader => "slow_reader",
            Self::KeyRevoked => "key_revoked",
            Self::CancelledByOperator => "cancelled_by_operator",
            Self::FailedHere => "failed_here",
            Self::FailedUpstream => "failed_upstream",
            Self::Refused => "refused",
            Self::ShutDown => "shut_down",
            Self::Crashed => "crashed",
        }
    }

    /// The cause of a code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table that customers read is the other copy of the rule.
    #[test]
    fn every_cause_has_its_own_code_and_the_payer_that_is_documented() {
        let table = include_str!("../../../docs/ledger.md");
        for cause in Cause::ALL {
            let payer = match cause.payer() {
                Payer::Caller => "what ran",
                Payer::Nobody => "nothing",
            };
            assert!(table.contains(&format!("| `{}` | {payer} |", cause.code())), "docs/ledger.md lacks {cause:?}");
            assert_eq!(Cause::from_code(cause.code()), Some(cause));
        }
        let rows = table.lines().filter(|line| line.ends_with("| what ran |") || line.ends_with("| nothing |"));
        assert_eq!(rows.count(), Cause::ALL.len());
    }

    #[test]
    fn all_is_all() {
        for (place, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, place);
        }
        // One arm for each: a new cause does not compile until it is counted here.
        let last = |cause| match cause {
            Cause::Finished | Cause::StopString | Cause::Length | Cause::Budget | Cause::CancelledByClient => false,
            Cause::SlowReader | Cause::KeyRevoked | Cause::CancelledByOperator | Cause::FailedHere => false,
            Cause::FailedUpstream | Cause::Refused | Cause::ShutDown => false,
            Cause::Crashed => true,
        };
        assert!(last(Cause::ALL[Cause::ALL.len() - 1]));
    }
}
