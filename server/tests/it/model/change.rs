//! What each act does to the world, and who may do it.

use super::plan::{Act, Say};
use super::world::{Chat, Entry, GROUP_MEMBERS_MAX, Group, Member, Role, Says, Stint, Who, World};

/// The act was refused, and nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

type Done = Result<(), Refused>;

fn only_if(allowed: bool) -> Done {
    if allowed { Ok(()) } else { Err(Refused) }
}

impl World {
    /// Does it, or refuses it.
    pub(crate) fn apply(&mut self, by: Who, act: &Act) -> Done {
        match act {
            Act::Say(say) => self.say(by, say),
            Act::Recall { chat, seq } => self.recall(by, *chat, *seq),
            Act::Read { chat, seq } => {
                let (_, high) = self.sight(by, *chat).ok_or(Refused)?;
                let own = self.own.entry((by, *chat)).or_default();
                own.read = own.read.max((*seq).min(high));
                Ok(())
            }
            Act::Pin { chat, pinned, muted } => {
                self.sight(by, *chat).ok_or(Refused)?;
                let own = self.own.entry((by, *chat)).or_default();
                (own.pinned, own.muted) = (*pinned, *muted);
                Ok(())
            }
            Act::Block { whom, blocked } => {
                match blocked {
                    true => self.blocked.insert((by, *whom)),
                    false => self.blocked.remove(&(by, *whom)),
                };
                Ok(())
            }
            act => self.change_group(by, act),
        }
    }

    /// Who wrote a row.
    pub(crate) fn writer(&self, chat: Chat, seq: u64) -> Who {
        self.rows[&chat][seq as usize - 1].by
    }

    /// The message that an answer to the last one names; 0 where there is none.
    pub(crate) fn answered_by(&self, by: Who, say: &Say) -> u64 {
        let seen = self.sight(by, say.chat).filter(|_| say.replies);
        let is_message = |seq: &u64| {
            matches!(self.rows[&say.chat][*seq as usize - 1].says, Says::Message { recalled: false, .. })
        };
        seen.and_then(|(low, high)| (low..=high).rev().find(is_message)).unwrap_or(0)
    }

    fn push(&mut self, chat: Chat, by: Who, says: Says) -> u64 {
        let entry = Entry { by, says, message_id: String::new(), born: self.step };
        let rows = self.rows.entry(chat).or_default();
        rows.push(entry);
        rows.len() as u64
    }

    fn say(&mut self, by: Who, say: &Say) -> Done {
        match say.chat {
            Chat::Single(one, other) => {
                let peer = if one == by { other } else { one };
                only_if(!self.blocked.contains(&(peer, by)))?;
            }
            Chat::Group(group) => {
                let group = &self.groups[group];
                let member = group.members.get(&by).ok_or(Refused)?;
                only_if(!group.dismissed && !member.muted)?;
                only_if(!group.all_muted || member.role > Role::Member)?;
                only_if(!say.all || !group.is_super() || member.role > Role::Member)?;
            }
        }
        let reply_to = self.answered_by(by, say);
        let says = Says::Message {
            id: say.id.clone(),
            mentions: say.mentions.clone(),
            all: say.all,
            reply_to,
            recalled: false,
        };
        let seq = self.push(say.chat, by, says);
        self.own.entry((by, say.chat)).or_default().sent = seq;
        self.said.push((say.chat, seq));
        Ok(())
    }

    fn recall(&mut self, by: Who, chat: Chat, seq: u64) -> Done {
        let (low, high) = self.sight(by, chat).ok_or(Refused)?;
        only_if((low..=high).contains(&seq))?;
        if let Chat::Group(group) = chat {
            self.groups[group].role(by).ok_or(Refused)?;
        }
        match self.rows[&chat][seq as usize - 1].says {
            // Recalling again answers the row that told it the first time.
            Says::Message { recalled: true, .. } => return Ok(()),
            Says::Message { .. } => {}
            _ => return Err(Refused),
        }
        let writer = self.writer(chat, seq);
        match chat {
            Chat::Single(..) => only_if(writer == by)?,
            Chat::Group(group) => {
                let group = &self.groups[group];
                only_if(!group.dismissed)?;
                match group.role(by) {
                    Some(Role::Owner) => {}
                    Some(Role::Admin) => only_if(writer == by || group.role(writer) <= Some(Role::Member))?,
                    _ => only_if(writer == by)?,
                }
            }
        }
        if let Says::Message { recalled, .. } = &mut self.rows.get_mut(&chat).unwrap()[seq as usize - 1].says
        {
            *recalled = true;
        }
        self.push(chat, by, Says::Recall { target: seq });
        Ok(())
    }

    /// The row that tells that a message was recalled.
    pub(crate) fn recalled_by(&self, chat: Chat, target: u64) -> u64 {
        let is_it = |entry: &Entry| entry.says == Says::Recall { target };
        self.rows[&chat].iter().position(is_it).map_or(0, |place| place as u64 + 1)
    }

    fn change_group(&mut self, by: Who, act: &Act) -> Done {
        match act {
            Act::Create { members, is_super, join, all_history, group } => {
                assert_eq!(*group, self.groups.len());
                self.create(by, members, *is_super, join, *all_history);
                Ok(())
            }
            Act::Invite { group, users } => {
                let role = self.role(*group, by)?;
                only_if(role > Role::Member || self.groups[*group].join == "open")?;
                self.let_in(*group, by, "invited", users);
                Ok(())
            }
            Act::Join { group } => self.join(by, *group),
            Act::Answer { group, user, accept } => {
                self.at_least(*group, by, Role::Admin)?;
                only_if(self.groups[*group].requests.remove(user))?;
                if *accept {
                    self.let_in(*group, by, "invited", &[*user]);
                }
                Ok(())
            }
            Act::Leave { group } => {
                let record = &self.groups[*group];
                if record.has_left(by) {
                    return Ok(());
                }
                only_if(self.role(*group, by)? < Role::Owner)?;
                self.let_out(*group, by, "left", &[by]);
                Ok(())
            }
            Act::Remove { group, users } => self.remove(*group, by, users),
            Act::Rename { group, name } => {
                self.at_least(*group, by, Role::Admin)?;
                self.groups[*group].name.clone_from(name);
                self.tell(*group, by, "updated", &[], "");
                Ok(())
            }
            Act::SetRole { group, user, role } => self.set_role(*group, by, *user, *role),
            Act::Mute { group, user, muted } => self.mute(*group, by, *user, *muted),
            Act::MuteAll { group, muted } => {
                self.at_least(*group, by, Role::Admin)?;
                if self.groups[*group].all_muted != *muted {
                    self.groups[*group].all_muted = *muted;
                    self.tell(*group, by, if *muted { "allMuted" } else { "allUnmuted" }, &[], "");
                }
                Ok(())
            }
            Act::Convert { group } => {
                let least = if self.groups[*group].is_super() { Role::Admin } else { Role::Owner };
                self.at_least(*group, by, least)?;
                self.convert(*group, by);
                Ok(())
            }
            Act::Dismiss { group } => {
                let is_owner = self.groups[*group].role(by) == Some(Role::Owner);
                only_if(is_owner)?;
                if !self.groups[*group].dismissed {
                    self.groups[*group].dismissed = true;
                    self.tell(*group, by, "dismissed", &[], "");
                }
                Ok(())
            }
            other => unreachable!("{other:?} is of no group"),
        }
    }

    fn role(&self, group: usize, who: Who) -> Result<Role, Refused> {
        let group = &self.groups[group];
        only_if(!group.dismissed)?;
        group.role(who).ok_or(Refused)
    }

    fn at_least(&self, group: usize, who: Who, least: Role) -> Done {
        only_if(self.role(group, who)? >= least)
    }

    /// The owner acts on everybody else, an admin on members without a role.
    fn acts_on(&self, group: usize, by: Who, user: Who) -> Done {
        let group = &self.groups[group];
        only_if(by != user && group.role(by) > group.role(user))
    }

    fn mute(&mut self, group: usize, by: Who, user: Who, muted: bool) -> Done {
        self.at_least(group, by, Role::Admin)?;
        if self.groups[group].role(user).is_none() {
            return Ok(());
        }
        self.acts_on(group, by, user)?;
        let member = self.groups[group].members.get_mut(&user).ok_or(Refused)?;
        if member.muted != muted {
            member.muted = muted;
            self.tell(group, by, if muted { "muted" } else { "unmuted" }, &[user], "");
        }
        Ok(())
    }

    fn tell(&mut self, group: usize, by: Who, kind: &'static str, users: &[Who], role: &'static str) -> u64 {
        self.push(Chat::Group(group), by, Says::Event { kind, users: users.to_vec(), role })
    }

    fn create(&mut self, by: Who, members: &[Who], is_super: bool, join: &'static str, all_history: bool) {
        let group = self.groups.len();
        let mut users = members.to_vec();
        users.push(by);
        users.sort_unstable();
        let stints = users.iter().map(|&who| Stint { who, joined: 1, left: u64::MAX }).collect();
        let member = |&who: &Who| {
            let role = if who == by { Role::Owner } else { Role::Member };
            (who, Member { role, muted: false })
        };
        let is_super = is_super || users.len() > GROUP_MEMBERS_MAX;
        self.groups.push(Group {
            name: format!("group {group}"),
            join,
            all_history,
            members: users.iter().map(member).collect(),
            stints,
            super_from: if is_super { 1 } else { u64::MAX },
            muted_since_before: Default::default(),
            all_muted: false,
            dismissed: false,
            requests: Default::default(),
        });
        self.tell(group, by, "created", &users, "");
    }

    fn join(&mut self, by: Who, group: usize) -> Done {
        let record = &mut self.groups[group];
        only_if(!record.dismissed)?;
        if record.role(by).is_some() {
            return Ok(());
        }
        match record.join {
            "open" => self.let_in(group, by, "joined", &[by]),
            "approval" => {
                record.requests.insert(by);
            }
            _ => return Err(Refused),
        }
        Ok(())
    }

    /// Lets those in who are outside; where there are too many then, the group is converted first.
    fn let_in(&mut self, group: usize, by: Who, kind: &'static str, users: &[Who]) {
        let record = &self.groups[group];
        let users: Vec<Who> = users.iter().copied().filter(|&who| record.role(who).is_none()).collect();
        if users.is_empty() {
            return;
        }
        if record.members.len() + users.len() > GROUP_MEMBERS_MAX {
            self.convert(group, by);
        }
        let joined = self.tell(group, by, kind, &users, "");
        let record = &mut self.groups[group];
        for who in users {
            let muted = record.muted_since_before.contains(&who);
            record.members.insert(who, Member { role: Role::Member, muted });
            record.stints.push(Stint { who, joined, left: u64::MAX });
            record.requests.remove(&who);
        }
    }

    fn let_out(&mut self, group: usize, by: Who, kind: &'static str, users: &[Who]) {
        if users.is_empty() {
            return;
        }
        let left = self.tell(group, by, kind, users, "");
        let record = &mut self.groups[group];
        for who in users {
            // A mute outlasts leaving and coming back.
            match record.members.remove(who) {
                Some(member) if member.muted => record.muted_since_before.insert(*who),
                _ => record.muted_since_before.remove(who),
            };
            let stint = record.stints.iter_mut().rev().find(|stint| stint.who == *who);
            stint.unwrap().left = left;
        }
    }

    fn remove(&mut self, group: usize, by: Who, users: &[Who]) -> Done {
        self.at_least(group, by, Role::Admin)?;
        let record = &self.groups[group];
        let members: Vec<Who> = users.iter().copied().filter(|&who| record.role(who).is_some()).collect();
        for &member in &members {
            self.acts_on(group, by, member)?;
        }
        self.let_out(group, by, "removed", &members);
        Ok(())
    }

    fn set_role(&mut self, group: usize, by: Who, user: Who, role: Role) -> Done {
        self.at_least(group, by, Role::Owner)?;
        let members = &mut self.groups[group].members;
        let member = members.get_mut(&user).ok_or(Refused)?;
        if member.role == role {
            return Ok(());
        }
        only_if(member.role != Role::Owner)?;
        member.role = role;
        if role == Role::Owner {
            members.get_mut(&by).unwrap().role = Role::Member;
            self.tell(group, by, "transferred", &[user], "");
        } else {
            self.tell(group, by, "role", &[user], role.name());
        }
        Ok(())
    }

    fn convert(&mut self, group: usize, by: Who) {
        if !self.groups[group].is_super() {
            let row = self.tell(group, by, "converted", &[], "");
            self.groups[group].super_from = row + 1;
        }
    }
}
