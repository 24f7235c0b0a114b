//! What an administrator can change.

use account::{
    CodeId, EventId, IdentityId, InviteId, Key, KeyedHash, Limits, Nano, OrgId, Owner, PasswordHash, PriceVersion,
    Role, Session, Timestamp, UserId, WebhookId,
};

use crate::{Correction, Credit, ExternalIdentity, Invite, Organisation, Project, Reset, Retention, User, Webhook};

/// Something that an administrator does.
#[derive(Debug, Clone)]
pub enum Change {
    /// A new organisation.
    AddOrganisation(Organisation),
    /// Another name of an organisation, or another way to pay. Its time zone stays, or its budgets would lose their days.
    ChangeOrganisation(Organisation),
    /// A new project.
    AddProject(Project),
    /// Another name of a project.
    ChangeProject(Project),
    /// A new person.
    AddUser(User),
    /// A person comes into an organisation.
    AddMember {
        /// Where.
        org: OrgId,
        /// Who.
        user: UserId,
        /// What they are.
        role: Role,
    },
    /// A person's role in an organisation; none takes them out of it.
    SetMember {
        /// Where.
        org: OrgId,
        /// Who.
        user: UserId,
        /// What they are from now on.
        role: Option<Role>,
    },
    /// Whether a person runs the installation. Their sessions end.
    ChangeUser(User),
    /// A person is taken out of every organisation, and is no more.
    RemoveUser(UserId),
    /// Another password, or the first. The person's sessions end.
    SetPassword {
        /// Whose.
        user: UserId,
        /// What is kept of it.
        hash: PasswordHash,
    },
    /// A person's password is none any more, nor is the right to set another one. Their sessions end.
    DropPassword(UserId),
    /// A person signs in by an account at a provider from now on.
    LinkIdentity(ExternalIdentity),
    /// They do no more. Their sessions end.
    UnlinkIdentity {
        /// Whose it is.
        user: UserId,
        /// Which.
        identity: IdentityId,
    },
    /// Somebody has come back from a provider. The same cannot come back again.
    UseSignIn {
        /// Who.
        user: UserId,
        /// What is kept of the secret that the browser had.
        hash: KeyedHash,
        /// Until when it could be sent again.
        expires: Timestamp,
    },
    /// Somebody has signed in.
    AddSession(Session),
    /// Somebody has signed out, or in anew.
    EndSession(Session),
    /// A new invitation.
    AddInvite(Invite),
    /// An invitation is taken back.
    RemoveInvite {
        /// Of which organisation.
        org: OrgId,
        /// Which.
        invite: InviteId,
    },
    /// An invitation is used up.
    AcceptInvite {
        /// Of which organisation.
        org: OrgId,
        /// Which.
        invite: InviteId,
        /// By whom.
        user: UserId,
    },
    /// The right to set a person's password once, in place of the one before.
    AddReset(Reset),
    /// It is used up.
    UseReset {
        /// Whose.
        user: UserId,
        /// What is kept of its secret.
        hash: KeyedHash,
    },
    /// A new key.
    AddKey(Key),
    /// Anything of a key but its organisation and project.
    ChangeKey(Key),
    /// All limits of an owner.
    SetLimits {
        /// To whom the owner belongs.
        org: OrgId,
        /// Whose limits.
        owner: Owner,
        /// What they are from now on.
        limits: Limits,
    },
    /// A new version of a model's price.
    AddPrice {
        /// The model's name.
        model: Box<str>,
        /// The version.
        version: PriceVersion,
    },
    /// Credit.
    AddCredit(Credit),
    /// A new code that is worth credit.
    AddCode(Code),
    /// A code's credit goes to whoever redeems it first.
    RedeemCode {
        /// To whom.
        org: OrgId,
        /// Which.
        code: CodeId,
        /// What it is worth.
        amount: Nano,
    },
    /// A correction in the ledger.
    Correct(Correction),
    /// How long request rows are kept.
    SetRetention(Retention),
    /// A new webhook.
    AddWebhook(Webhook),
    /// Anything of a webhook.
    ChangeWebhook(Webhook),
    /// A webhook is told nothing more.
    RemoveWebhook {
        /// Of which organisation.
        org: OrgId,
        /// Which.
        webhook: WebhookId,
    },
    /// A webhook is tried.
    PingWebhook {
        /// Of which organisation.
        org: OrgId,
        /// Which.
        webhook: WebhookId,
        /// What it is told.
        event: EventId,
    },
}

/// A code that is worth credit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// Its name.
    pub id: CodeId,
    /// What is kept of its secret.
    pub hash: KeyedHash,
    /// What it is worth.
    pub amount: Nano,
    /// From then on it is worth nothing.
    pub expires: Option<Timestamp>,
}

impl Change {
    /// Whose audit log it belongs to; none is the installation's.
    pub(crate) fn org(&self) -> Option<OrgId> {
        match self {
            Self::AddOrganisation(organisation) | Self::ChangeOrganisation(organisation) => Some(organisation.id),
            Self::AddProject(project) | Self::ChangeProject(project) => Some(project.org),
            Self::AddKey(key) | Self::ChangeKey(key) => Some(key.org),
            Self::AddMember { org, .. } | Self::SetMember { org, .. } => Some(*org),
            Self::SetLimits { org, .. } | Self::RedeemCode { org, .. } => Some(*org),
            Self::AddCredit(credit) => Some(credit.org),
            Self::Correct(correction) => Some(correction.org),
            Self::SetRetention(retention) => retention.org,
            Self::AddWebhook(webhook) | Self::ChangeWebhook(webhook) => Some(webhook.org),
            Self::RemoveWebhook { org, .. } | Self::PingWebhook { org, .. } => Some(*org),
            Self::AddInvite(invite) => Some(invite.org),
            Self::RemoveInvite { org, .. } | Self::AcceptInvite { org, .. } => Some(*org),
            Self::AddUser(_) | Self::ChangeUser(_) | Self::RemoveUser(_) | Self::SetPassword { .. } => None,
            Self::AddSession(_) | Self::EndSession(_) | Self::AddReset(_) | Self::UseReset { .. } => None,
            Self::DropPassword(_) | Self::LinkIdentity(_) | Self::UnlinkIdentity { .. } | Self::UseSignIn { .. } => {
                None
            }
            Self::AddPrice { .. } | Self::AddCode(_) => None,
        }
    }

    /// What the audit log calls it.
    pub(crate) fn action(&self) -> &'static str {
        match self {
            Self::AddOrganisation(_) => "organisation.add",
            Self::ChangeOrganisation(_) => "organisation.change",
            Self::AddProject(_) => "project.add",
            Self::ChangeProject(_) => "project.change",
            Self::AddUser(_) => "user.add",
            Self::AddMember { .. } => "member.add",
            Self::SetMember { .. } => "member.set",
            Self::ChangeUser(_) => "user.change",
            Self::RemoveUser(_) => "user.remove",
            Self::SetPassword { .. } => "password.set",
            Self::DropPassword(_) => "password.drop",
            Self::LinkIdentity(_) => "identity.link",
            Self::UnlinkIdentity { .. } => "identity.unlink",
            Self::UseSignIn { .. } => "identity.use",
            Self::AddSession(_) => "session.begin",
            Self::EndSession(_) => "session.end",
            Self::AddInvite(_) => "invite.add",
            Self::RemoveInvite { .. } => "invite.remove",
            Self::AcceptInvite { .. } => "invite.accept",
            Self::AddReset(_) => "reset.add",
            Self::UseReset { .. } => "reset.use",
            Self::AddKey(_) => "key.add",
            Self::ChangeKey(_) => "key.change",
            Self::SetLimits { .. } => "limits.set",
            Self::AddPrice { .. } => "price.add",
            Self::AddCredit(_) => "credit.add",
            Self::AddCode(_) => "code.add",
            Self::RedeemCode { .. } => "code.redeem",
            Self::Correct(_) => "ledger.correct",
            Self::SetRetention(_) => "retention.set",
            Self::AddWebhook(_) => "webhook.add",
            Self::ChangeWebhook(_) => "webhook.change",
            Self::RemoveWebhook { .. } => "webhook.remove",
            Self::PingWebhook { .. } => "webhook.ping",
        }
    }

    /// What it is done to.
    pub(crate) fn object(&self) -> String {
        match self {
            Self::AddOrganisation(organisation) | Self::ChangeOrganisation(organisation) => organisation.id.to_string(),
            Self::AddProject(project) | Self::ChangeProject(project) => project.id.to_string(),
            Self::AddUser(user) | Self::ChangeUser(user) => user.id.to_string(),
            Self::AddMember { user, .. } | Self::SetMember { user, .. } | Self::RemoveUser(user) => user.to_string(),
            Self::SetPassword { user, .. } | Self::UseReset { user, .. } => user.to_string(),
            Self::DropPassword(user) | Self::UseSignIn { user, .. } => user.to_string(),
            Self::LinkIdentity(identity) => identity.id.to_string(),
            Self::UnlinkIdentity { identity, .. } => identity.to_string(),
            // Which of their sessions is nobody's affair: its name would be its hash.
            Self::AddSession(session) | Self::EndSession(session) => session.user.to_string(),
            Self::AddInvite(invite) => invite.id.to_string(),
            Self::RemoveInvite { invite, .. } | Self::AcceptInvite { invite, .. } => invite.to_string(),
            Self::AddReset(reset) => reset.user.to_string(),
            Self::AddKey(key) | Self::ChangeKey(key) => key.id.to_string(),
            Self::SetLimits { owner, .. } => owner.to_string(),
            Self::AddPrice { model, version } => format!("{} of {model}", version.id),
            Self::AddCredit(credit) => credit.org.to_string(),
            Self::AddCode(code) => code.id.to_string(),
            Self::RedeemCode { code, .. } => code.to_string(),
            Self::Correct(correction) => format!("line {} of {}", correction.corrects, correction.org),
            Self::AddWebhook(webhook) | Self::ChangeWebhook(webhook) => webhook.id.to_string(),
            Self::RemoveWebhook { webhook, .. } | Self::PingWebhook { webhook, .. } => webhook.to_string(),
            Self::SetRetention(retention) => {
                retention.org.map_or_else(|| "installation".to_owned(), |org| org.to_string())
            }
        }
    }
}
