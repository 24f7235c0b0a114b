//! Who is signed in, what they are where, and which project is whose: in memory, looked up without waiting.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use account::{KeyedHash, OrgId, Person, ProjectId, Role, Session, Timestamp, UserId};
use store::Change;

/// The use of a session is written down when it is so much later than what was written, in milliseconds.
const NOTED_EVERY: i64 = 60_000;

/// People, their sessions, and projects: what the rows say, as far as sessions need it.
#[derive(Default)]
pub(crate) struct People {
    persons: HashMap<UserId, Arc<Person>>,
    sessions: HashMap<KeyedHash, Live>,
    projects: HashMap<ProjectId, OrgId>,
}

/// A session and when it was last used, in milliseconds since 1970.
struct Live {
    session: Session,
    seen: AtomicI64,
    noted: AtomicI64,
}

impl People {
    pub(crate) fn add_person(&mut self, person: Person) {
        self.persons.insert(person.id, Arc::new(person));
    }

    /// A session that has begun. Of too many of one person the oldest goes, and so does what is over.
    pub(crate) fn add_session(&mut self, session: Session) {
        let now = session.begun;
        self.sessions.retain(|_, live| !live.now().is_over(now));
        let mut theirs: Vec<_> = self.sessions.values().map(|live| live.session).collect();
        theirs.retain(|other| other.user == session.user);
        theirs.sort_by_key(|other| (other.begun, other.hash));
        let spare = theirs.len().saturating_sub(Session::MOST - 1);
        for oldest in &theirs[..spare] {
            self.sessions.remove(&oldest.hash);
        }
        let seen = session.seen.as_millis();
        self.sessions.insert(session.hash, Live { session, seen: seen.into(), noted: seen.into() });
    }

    pub(crate) fn add_project(&mut self, project: ProjectId, org: OrgId) {
        self.projects.insert(project, org);
    }

    /// Takes over a change that is durable.
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::AddProject(project) => self.add_project(project.id, project.org),
            Change::AddUser(user) => {
                self.add_person(Person { id: user.id, operator: user.operator, roles: Default::default() });
            }
            Change::ChangeUser(user) => {
                self.change(user.id, |person| person.operator = user.operator);
                self.end_all(user.id);
            }
            Change::RemoveUser(user) => {
                self.persons.remove(user);
                self.end_all(*user);
            }
            Change::AddMember { org, user, role } => self.set_role(*org, *user, Some(*role)),
            Change::SetMember { org, user, role } => self.set_role(*org, *user, *role),
            Change::SetPassword { user, .. } | Change::DropPassword(user) | Change::UnlinkIdentity { user, .. } => {
                self.end_all(*user);
            }
            Change::AddSession(session) => self.add_session(*session),
            Change::EndSession(session) => {
                self.sessions.remove(&session.hash);
            }
            _ => {}
        }
    }

    /// Whose session this is, if it holds; it is used now.
    pub(crate) fn session(&self, hash: &KeyedHash, now: Timestamp) -> Option<(Arc<Person>, Session)> {
        let live = self.sessions.get(hash)?;
        if live.now().is_over(now) {
            return None;
        }
        live.seen.fetch_max(now.as_millis(), Ordering::Relaxed);
        Some((Arc::clone(self.persons.get(&live.session.user)?), live.now()))
    }

    /// Whether there is this session still.
    pub(crate) fn has_session(&self, hash: &KeyedHash) -> bool {
        self.sessions.contains_key(hash)
    }

    /// Whose project this is.
    pub(crate) fn organisation_of(&self, project: ProjectId) -> Option<OrgId> {
        self.projects.get(&project).copied()
    }

    /// When sessions were last used, of those that were since that was last asked.
    pub(crate) fn take_seen(&self) -> Vec<(KeyedHash, Timestamp)> {
        let news = |live: &Live| {
            let seen = live.seen.load(Ordering::Relaxed);
            let is_news = seen - live.noted.load(Ordering::Relaxed) >= NOTED_EVERY;
            is_news.then(|| live.noted.store(seen, Ordering::Relaxed)).map(|()| Timestamp::from_millis(seen))
        };
        self.sessions.iter().filter_map(|(hash, live)| Some((*hash, news(live)?))).collect()
    }

    /// Who was something and is something else loses their sessions, as in the rows.
    fn set_role(&mut self, org: OrgId, user: UserId, role: Option<Role>) {
        let mut before = None;
        self.change(user, |person| {
            before = match role {
                Some(role) => person.roles.insert(org, role),
                None => person.roles.remove(&org),
            };
        });
        if before.is_some_and(|before| role != Some(before)) {
            self.end_all(user);
        }
    }

    fn change(&mut self, user: UserId, change: impl FnOnce(&mut Person)) {
        if let Some(person) = self.persons.get_mut(&user) {
            change(Arc::make_mut(person));
        }
    }

    fn end_all(&mut self, user: UserId) {
        self.sessions.retain(|_, live| live.session.user != user);
    }
}

impl Live {
    fn now(&self) -> Session {
        Session { seen: Timestamp::from_millis(self.seen.load(Ordering::Relaxed)), ..self.session }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use account::{IdentityId, PasswordHash};
    use store::User;

    use super::*;

    const ORG: OrgId = OrgId::from_bytes([1; 16]);
    const ANN: UserId = UserId::from_bytes([2; 16]);
    const BEN: UserId = UserId::from_bytes([3; 16]);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(0).after(Duration::from_secs(seconds))
    }

    fn session(number: u8, user: UserId, begun: Timestamp) -> Session {
        Session { hash: KeyedHash::from_bytes([number; 32]), user, begun, seen: begun }
    }

    fn people() -> People {
        let mut people = People::default();
        for (id, name) in [(ANN, "ann"), (BEN, "ben")] {
            people.apply(&Change::AddUser(User { id, email: name.into(), operator: false }));
            people.apply(&Change::AddMember { org: ORG, user: id, role: Role::Member });
        }
        people.apply(&Change::AddSession(session(1, ANN, at(0))));
        people.apply(&Change::AddSession(session(2, BEN, at(0))));
        people
    }

    fn live(people: &People, number: u8, now: Timestamp) -> bool {
        people.session(&KeyedHash::from_bytes([number; 32]), now).is_some()
    }

    #[test]
    fn a_session_is_looked_up_and_its_use_lengthens_it() {
        let people = people();
        let half = Session::IDLE.as_secs() / 2;
        for number in 1..=3 {
            assert!(live(&people, 1, at(number * half)));
        }
        assert!(!live(&people, 2, at(3 * half)), "nobody used it");
        assert!(!live(&people, 3, at(1)));
        let (person, seen) = people.session(&KeyedHash::from_bytes([1; 32]), at(3 * half)).unwrap();
        assert_eq!((person.id, person.roles[&ORG], seen.seen), (ANN, Role::Member, at(3 * half)));
        let noted = people.take_seen();
        assert_eq!(noted, [(KeyedHash::from_bytes([1; 32]), at(3 * half))]);
        assert!(live(&people, 1, at(3 * half + 59)) && people.take_seen().is_empty());
    }

    #[test]
    fn what_changes_who_somebody_is_ends_their_sessions_and_nobody_elses() {
        let ends = [
            Change::SetPassword { user: ANN, hash: PasswordHash::new("x") },
            Change::SetMember { org: ORG, user: ANN, role: Some(Role::Viewer) },
            Change::SetMember { org: ORG, user: ANN, role: Some(Role::Owner) },
            Change::SetMember { org: ORG, user: ANN, role: None },
            Change::ChangeUser(User { id: ANN, email: "ann".into(), operator: true }),
            Change::RemoveUser(ANN),
            Change::DropPassword(ANN),
            Change::UnlinkIdentity { user: ANN, identity: IdentityId::from_bytes([4; 16]) },
            Change::EndSession(session(1, ANN, at(0))),
        ];
        for change in ends {
            let mut people = people();
            people.apply(&change);
            assert!(!live(&people, 1, at(1)) && live(&people, 2, at(1)), "{change:?}");
        }
        let elsewhere = OrgId::from_bytes([9; 16]);
        for change in [
            Change::AddMember { org: elsewhere, user: ANN, role: Role::Owner },
            Change::SetMember { org: ORG, user: ANN, role: Some(Role::Member) },
        ] {
            let mut people = people();
            people.apply(&change);
            assert!(live(&people, 1, at(1)), "{change:?}");
        }
    }

    #[test]
    fn of_too_many_sessions_of_a_person_the_oldest_ends_and_what_is_over_takes_no_room() {
        let mut people = people();
        for number in 0..Session::MOST as u8 {
            people.apply(&Change::AddSession(session(100 + number, ANN, at(10 + u64::from(number)))));
        }
        assert!(!live(&people, 1, at(60)) && live(&people, 2, at(60)));
        assert!((0..Session::MOST as u8).all(|number| live(&people, 100 + number, at(60))));
        people.apply(&Change::AddSession(session(3, BEN, at(60).after(Session::IDLE))));
        assert_eq!(people.sessions.len(), 1);
    }
}
