//! Whom a provider's word lets in, and as whom.

use thiserror::Error;

use crate::{Email, OrgId, Role, UserId};

/// Somebody for whom a provider vouches, and what is known of them here.
#[derive(Debug, Clone, Copy)]
pub struct Applicant<'a> {
    /// Whose the provider's subject is, if it was seen before.
    pub known: Option<UserId>,
    /// The address that the provider says.
    pub email: Option<&'a Email>,
    /// Whether it has made sure that the address is theirs.
    pub verified: bool,
    /// For which address the invitation is that they bring, if they bring one that holds.
    pub invited: Option<&'a Email>,
    /// Who has the address that the provider says, or where it says none, the address that is invited.
    pub account: Option<UserId>,
    /// Whether that account was linked to another subject of the same provider by the same address, verified: an address can be
    /// given to somebody else, a subject cannot.
    pub claimed: bool,
}

/// A domain of addresses whose people may join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedDomain {
    /// In lower case. What lies below it is another domain.
    pub domain: Box<str>,
    /// Which organisation they join.
    pub org: OrgId,
    /// As what.
    pub role: Role,
}

/// As whom somebody comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrance {
    /// As the one whose subject it is.
    Known(UserId),
    /// As the one whose address it is. That address was never proved before, so whoever could sign in by it until now cannot
    /// any more.
    Linked(UserId),
    /// As somebody new, with the address and into the organisation of the invitation, which is used up.
    Invited,
    /// As somebody new, into the organisation that their domain is listed for.
    Listed {
        /// Which organisation.
        org: OrgId,
        /// As what.
        role: Role,
    },
}

/// Why somebody for whom a provider vouches does not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoEntrance {
    /// Without an address nobody can be found or join.
    #[error("the provider does not say your e-mail address; ask whoever runs it to, or come with an invitation")]
    NoAddress,
    /// An address that anybody might have written down.
    #[error("the provider has not verified your e-mail address; verify it there, or come with an invitation")]
    NotVerified,
    /// The invitation is somebody else's.
    #[error("the invitation is for another e-mail address than the one that the provider says")]
    OtherAddress,
    /// Somebody has the address, and nothing shows that it is the same person.
    #[error(
        "somebody here has this e-mail address already, and the provider has not verified that it is yours; sign in as \
         before and accept the invitation there"
    )]
    Taken,
    /// The address has changed hands at the provider, or its owner has a second account there.
    #[error(
        "somebody who signs in here with another account of this provider has this e-mail address; if that was you, ask \
         whoever runs this service to unlink the former account"
    )]
    OtherSubject,
    /// Nobody has asked them in.
    #[error("nobody has invited you here; ask somebody who runs your organisation for an invitation")]
    NotInvited,
}

impl Applicant<'_> {
    /// As whom they come in.
    ///
    /// The subject is who somebody is; an address only finds or makes them the first time. An invitation shows by its token that
    /// they were asked, as it does for somebody with a password, so the address need not be verified; but it is for one address
    /// and joins nobody who is here already.
    pub fn enter(&self, domains: &[ListedDomain]) -> Result<Entrance, NoEntrance> {
        if let Some(user) = self.known {
            return Ok(Entrance::Known(user));
        }
        let verified = self.email.filter(|_| self.verified);
        if let (Some(_), Some(user)) = (verified, self.account) {
            return if self.claimed { Err(NoEntrance::OtherSubject) } else { Ok(Entrance::Linked(user)) };
        }
        if let Some(invited) = self.invited {
            return match self.email {
                Some(email) if email != invited => Err(NoEntrance::OtherAddress),
                _ if self.account.is_some() => Err(NoEntrance::Taken),
                _ => Ok(Entrance::Invited),
            };
        }
        let none = if self.email.is_some() { NoEntrance::NotVerified } else { NoEntrance::NoAddress };
        let email = verified.ok_or(none)?;
        let listed = domains.iter().find(|listed| &*listed.domain == email.domain());
        listed
            .map(|ListedDomain { org, role, .. }| Entrance::Listed { org: *org, role: *role })
            .ok_or(NoEntrance::NotInvited)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANN: UserId = UserId::from_bytes([1; 16]);
    const BEN: UserId = UserId::from_bytes([2; 16]);
    const ORG: OrgId = OrgId::from_bytes([3; 16]);

    fn domains() -> [ListedDomain; 2] {
        [("one.example", Role::Owner), ("two.example", Role::Viewer)].map(|(domain, role)| ListedDomain {
            domain: domain.into(),
            org: ORG,
            role,
        })
    }

    #[test]
    fn every_case_of_the_table() {
        const LISTED: Result<Entrance, NoEntrance> = Ok(Entrance::Listed { org: ORG, role: Role::Viewer });
        let (yes, no) = (true, false);
        let (ours, other, sub) = ("a@two.example", "a@three.example", "a@sub.two.example");
        // Known, address, verified, invited, account with the address: what follows.
        let table = [
            (Some(ANN), Some(ours), yes, Some(ours), Some(BEN), Ok(Entrance::Known(ANN))),
            (Some(ANN), None, no, None, None, Ok(Entrance::Known(ANN))),
            (None, Some(ours), yes, None, Some(BEN), Ok(Entrance::Linked(BEN))),
            (None, Some(other), yes, None, Some(BEN), Ok(Entrance::Linked(BEN))),
            (None, Some(other), yes, Some(ours), Some(BEN), Ok(Entrance::Linked(BEN))),
            (None, Some(ours), no, None, Some(BEN), Err(NoEntrance::NotVerified)),
            (None, Some(ours), no, Some(ours), Some(BEN), Err(NoEntrance::Taken)),
            (None, None, no, Some(ours), Some(BEN), Err(NoEntrance::Taken)),
            (None, None, yes, Some(ours), Some(BEN), Err(NoEntrance::Taken)),
            (None, Some(other), yes, Some(other), None, Ok(Entrance::Invited)),
            (None, Some(other), no, Some(other), None, Ok(Entrance::Invited)),
            (None, None, no, Some(other), None, Ok(Entrance::Invited)),
            (None, Some(other), yes, Some(ours), None, Err(NoEntrance::OtherAddress)),
            (None, Some(other), no, Some(ours), None, Err(NoEntrance::OtherAddress)),
            (None, Some(ours), yes, None, None, LISTED),
            (None, Some(ours), no, None, None, Err(NoEntrance::NotVerified)),
            (None, Some(sub), yes, None, None, Err(NoEntrance::NotInvited)),
            (None, Some(other), yes, None, None, Err(NoEntrance::NotInvited)),
            (None, None, no, None, None, Err(NoEntrance::NoAddress)),
            (None, None, yes, None, None, Err(NoEntrance::NoAddress)),
        ];
        for (known, email, verified, invited, account, expect) in table {
            let parse = |text: &str| Email::parse(text).unwrap();
            let (email, invited) = (email.map(parse), invited.map(parse));
            let applicant = Applicant {
                known,
                email: email.as_ref(),
                verified,
                invited: invited.as_ref(),
                account,
                claimed: false,
            };
            assert_eq!(applicant.enter(&domains()), expect, "{applicant:?}");
            // Where the account was another subject's, the one thing that changes is that nobody else is linked to it.
            let expect = if matches!(expect, Ok(Entrance::Linked(_))) { Err(NoEntrance::OtherSubject) } else { expect };
            assert_eq!(Applicant { claimed: true, ..applicant }.enter(&domains()), expect, "{applicant:?}");
        }
    }

    proptest! {
        /// What must hold whatever else is the case, told apart from how it is decided.
        #[test]
        fn nobody_becomes_somebody_else_or_joins_unasked(
            known in prop::option::of(Just(ANN)),
            account in prop::option::of(Just(BEN)),
            verified: bool,
            email in prop::option::of(prop::sample::select(vec!["a@one.example", "b@two.example", "c@three.example"])),
            invited in prop::option::of(prop::sample::select(vec!["a@one.example", "c@three.example"])),
            listed: bool,
            claimed: bool,
        ) {
            let parse = |text: &str| Email::parse(text).unwrap();
            let (email, invited) = (email.map(parse), invited.map(parse));
            let applicant = Applicant { known, email: email.as_ref(), verified, invited: invited.as_ref(), account, claimed };
            let domains = if listed { domains().to_vec() } else { Vec::new() };
            let entered = applicant.enter(&domains);
            if known.is_some() {
                prop_assert_eq!(entered, Ok(Entrance::Known(ANN)));
            }
            match entered {
                Ok(Entrance::Known(user)) => prop_assert_eq!(Some(user), known),
                Ok(Entrance::Linked(user)) => {
                    prop_assert!(verified && email.is_some() && !claimed);
                    prop_assert_eq!(Some(user), account);
                }
                Ok(Entrance::Invited) => {
                    prop_assert!(account.is_none() && invited.is_some());
                    prop_assert!(email.is_none() || email == invited);
                }
                Ok(Entrance::Listed { .. }) => prop_assert!(listed && verified && email.is_some() && account.is_none()),
                Err(_) => {}
            }
        }
    }
}
