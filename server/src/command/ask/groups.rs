//! Groups and super groups: making them, their members, and who may do what.

use std::time::Duration;

use anser_client::RequestKind;
use clap::{Args, Subcommand, ValueEnum};
use protocol::client;

use super::Question;
use crate::command::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct Group {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Makes a group of the user and others, and prints its id.
    Create {
        /// What people read.
        name: String,
        /// Who is in it beside the user, up to 1000; others are let in with invite.
        members: Vec<String>,
        /// Its id; without it the server makes one.
        #[arg(long, value_name = "GROUP", default_value = "")]
        id: String,
        /// A super group's messages are written once, whatever its size.
        #[arg(long, value_enum, default_value_t = Kind::Group)]
        kind: Kind,
        #[command(flatten)]
        rules: Rules,
    },
    /// Lets users in.
    Invite(Named),
    /// Goes in, or asks to be let in.
    Join {
        /// Which.
        group: String,
        /// What admins read where they must approve.
        #[arg(long, default_value = "")]
        text: String,
    },
    /// Goes out.
    Leave(Only),
    /// Puts users out.
    Remove(Named),
    /// Ends a group; what was said can still be read.
    Dismiss(Only),
    /// Changes a group; what is not given stays.
    #[command(group = clap::ArgGroup::new("change").required(true).multiple(true)
        .args(["name", "kind", "join", "history", "avatar", "announcement"]))]
    Update {
        /// Which.
        group: String,
        /// What people read.
        #[arg(long)]
        name: Option<String>,
        /// Makes it a super group; it is never undone.
        #[arg(long, value_parser = ["super"])]
        kind: Option<String>,
        #[command(flatten)]
        rules: Rules,
    },
    /// Gives members a role.
    Role {
        /// Which.
        group: String,
        /// The role; owner hands the group over.
        #[arg(value_enum)]
        role: Role,
        /// To whom.
        #[arg(required = true)]
        users: Vec<String>,
    },
    /// Keeps members from writing, or everybody without a role where no user is named.
    Mute {
        /// Which.
        group: String,
        /// Whom.
        users: Vec<String>,
        /// For how long, such as 10m; without it until it is taken back.
        #[arg(long = "for", value_name = "TIME", value_parser = time, conflicts_with = "off")]
        time: Option<Duration>,
        /// Takes it back.
        #[arg(long)]
        off: bool,
    },
    /// Shows what a group is.
    Info(Only),
    /// Lists the members, a page.
    Members {
        /// Which.
        group: String,
        /// Where the page before said it goes on.
        #[arg(long, default_value = "")]
        cursor: String,
        /// How many at most; 0: the server's own limit.
        #[arg(long, default_value_t = 0)]
        limit: u32,
    },
    /// Lists who asks to be let in.
    Requests(Only),
    /// Answers who asks to be let in.
    #[command(group = clap::ArgGroup::new("answer").required(true).args(["accept", "refuse"]))]
    Answer {
        /// Which.
        group: String,
        /// Who asked.
        user: String,
        /// Lets the user in.
        #[arg(long)]
        accept: bool,
        /// Does not.
        #[arg(long)]
        refuse: bool,
    },
}

/// A group alone.
#[derive(Debug, Args)]
struct Only {
    /// Which.
    group: String,
}

/// A group and users.
#[derive(Debug, Args)]
struct Named {
    /// Which.
    group: String,
    /// Whom.
    #[arg(required = true)]
    users: Vec<String>,
}

/// How a group works and what people see of it.
#[derive(Debug, Args)]
struct Rules {
    /// Who may join without being let in.
    #[arg(long, value_parser = ["open", "approval", "closed"])]
    join: Option<String>,
    /// What members see from before they came.
    #[arg(long, value_parser = ["joined", "all"])]
    history: Option<String>,
    /// The url of a picture.
    #[arg(long, value_name = "URL")]
    avatar: Option<String>,
    /// What all members should read.
    #[arg(long, value_name = "WORDS")]
    announcement: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Group,
    Super,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    Owner,
    Admin,
    Member,
}

fn time(text: &str) -> Result<Duration, String> {
    match runtime::config::parse_duration(text) {
        Some(time) if time >= Duration::from_secs(1) => Ok(time),
        _ => Err("give a time of at least a second, such as 10m or 2h".to_owned()),
    }
}

impl Question for Group {
    fn request(self, _: &str) -> Result<RequestKind, Failure> {
        Ok(match self.action {
            Action::Create { name, members, id, kind, rules } => {
                let kind = match kind {
                    Kind::Group => "group",
                    Kind::Super => "super",
                };
                RequestKind::GroupCreate(client::GroupCreate {
                    name,
                    members,
                    kind: kind.to_owned(),
                    group: id,
                    join: rules.join.unwrap_or_default(),
                    history: rules.history.unwrap_or_default(),
                    avatar: rules.avatar.unwrap_or_default(),
                    announcement: rules.announcement.unwrap_or_default(),
                })
            }
            Action::Update { group, name, kind, rules } => {
                let Rules { join, history, avatar, announcement } = rules;
                let update = client::GroupUpdate { group, name, avatar, announcement, join, history, kind };
                RequestKind::GroupUpdate(update)
            }
            Action::Role { group, role, users } => {
                let role = match role {
                    Role::Owner => "owner",
                    Role::Admin => "admin",
                    Role::Member => "member",
                };
                RequestKind::GroupRole(client::GroupRole { group, users, role: role.to_owned() })
            }
            Action::Mute { group, users, time, off } => {
                let duration_ms = time.map_or(0, |time| time.as_millis() as u64);
                RequestKind::GroupMute(client::GroupMute { group, users, muted: !off, duration_ms })
            }
            Action::Invite(Named { group, users }) => {
                RequestKind::GroupInvite(client::GroupInvite { group, users })
            }
            Action::Remove(Named { group, users }) => {
                RequestKind::GroupRemove(client::GroupRemove { group, users })
            }
            Action::Join { group, text } => RequestKind::GroupJoin(client::GroupJoin { group, text }),
            Action::Leave(Only { group }) => RequestKind::GroupLeave(client::GroupLeave { group }),
            Action::Dismiss(Only { group }) => RequestKind::GroupDismiss(client::GroupDismiss { group }),
            Action::Info(Only { group }) => RequestKind::GroupInfo(client::GroupInfo { group }),
            Action::Members { group, cursor, limit } => {
                RequestKind::GroupMembers(client::GroupMembers { group, cursor, limit })
            }
            Action::Requests(Only { group }) => RequestKind::GroupRequests(client::GroupRequests { group }),
            Action::Answer { group, user, accept, .. } => {
                RequestKind::GroupAnswer(client::GroupAnswer { group, user, accept })
            }
        })
    }
}
