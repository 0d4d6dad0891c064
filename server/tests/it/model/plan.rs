//! The steps of one seed, made before anything runs: who does what, on which device, and how it reaches the server.
//!
//! They are chosen while a world of their own follows them, so that most of them make sense and some are to be
//! refused.

use std::fmt;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::world::{Chat, Role, Who, World};

/// Devices that a user may come to have.
pub(crate) const DEVICES: [&str; 2] = ["phone", "tablet"];
/// Groups of one plan.
const GROUPS_MAX: usize = 3;

/// What one user does.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Say(Say),
    Recall { chat: Chat, seq: u64 },
    Read { chat: Chat, seq: u64 },
    Pin { chat: Chat, pinned: bool, muted: bool },
    Block { whom: Who, blocked: bool },
    Create { group: usize, members: Vec<Who>, is_super: bool, join: &'static str, all_history: bool },
    Invite { group: usize, users: Vec<Who> },
    Join { group: usize },
    Answer { group: usize, user: Who, accept: bool },
    Leave { group: usize },
    Remove { group: usize, users: Vec<Who> },
    Rename { group: usize, name: String },
    SetRole { group: usize, user: Who, role: Role },
    Mute { group: usize, user: Who, muted: bool },
    MuteAll { group: usize, muted: bool },
    Convert { group: usize },
    Dismiss { group: usize },
}

/// A message.
#[derive(Debug, Clone)]
pub(crate) struct Say {
    /// Its client message id, and what it says.
    pub(crate) id: String,
    pub(crate) chat: Chat,
    pub(crate) mentions: Vec<Who>,
    pub(crate) all: bool,
    /// Answers the message before it.
    pub(crate) replies: bool,
}

/// How a request reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Its answer is awaited.
    Plain,
    /// The connection is cut before the answer is read, and the same is sent again.
    Cut,
    /// The same is sent again after the answer.
    Doubled,
}

/// What a device says that it holds when it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// What it holds.
    Position,
    /// Nothing said: the server's record counts.
    Unsaid,
    /// It has lost everything.
    Nothing,
}

/// One step; it is over before the next one begins.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Act {
        by: Who,
        device: usize,
        way: Way,
        act: Act,
    },
    /// Messages that are sent at the same time, each by another user.
    Together(Vec<(Who, Say)>),
    /// A device goes without a word.
    Away {
        who: Who,
        device: usize,
    },
    Back {
        who: Who,
        device: usize,
        holds: Holds,
    },
    /// Waits until all inboxes hold everything.
    Settle,
    /// A device heals itself and must then have what there is.
    Heal {
        who: Who,
        device: usize,
    },
}

/// The steps, and how often a client loses, doubles and reorders what is pushed to it.
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) user_count: usize,
    pub(crate) steps: Vec<Step>,
    pub(crate) losses: Losses,
}

/// Chances, each of a hundred.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Losses {
    pub(crate) lost: u32,
    pub(crate) doubled: u32,
    pub(crate) delayed: u32,
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let user_count = random.random_range(4..=8);
        let losses = Losses {
            lost: *[0, 5, 20, 50, 100].choose(&mut random).unwrap(),
            doubled: random.random_range(0..=40),
            delayed: random.random_range(0..=40),
        };
        let world = World::new(seed, user_count);
        let step_count = random.random_range(24..=36);
        let mut maker = Maker { random, world, said_count: 0 };
        let mut steps = vec![maker.create(true)];
        maker.follow(&steps[0]);
        while steps.len() < step_count {
            let Some(step) = maker.step() else { continue };
            maker.world.step = steps.len();
            maker.follow(&step);
            steps.push(step);
        }
        Self { seed, user_count, steps, losses }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "seed {}: {} users, {:?}", self.seed, self.user_count, self.losses)?;
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(formatter, "{number:3}  {step:?}")?;
        }
        Ok(())
    }
}

struct Maker {
    random: StdRng,
    world: World,
    said_count: usize,
}

impl Maker {
    /// Moves the maker's own world on, as if all that is said at once were said one after another.
    fn follow(&mut self, step: &Step) {
        match step {
            Step::Act { by, act, .. } => {
                let _ = self.world.apply(*by, act);
            }
            Step::Together(says) => {
                for (by, say) in says {
                    let _ = self.world.apply(*by, &Act::Say(say.clone()));
                }
            }
            _ => {}
        }
    }

    fn who(&mut self) -> Who {
        self.random.random_range(0..self.world.user_count)
    }

    fn device(&mut self) -> usize {
        usize::from(self.random.random_bool(0.15))
    }

    fn percent(&mut self, chance: u32) -> bool {
        self.random.random_ratio(chance, 100)
    }

    fn some_of(&mut self, users: &[Who], count_max: usize) -> Vec<Who> {
        let count = self.random.random_range(1..=count_max.max(1)).min(users.len());
        let mut chosen: Vec<Who> = users.sample(&mut self.random, count).copied().collect();
        chosen.sort_unstable();
        chosen
    }

    fn step(&mut self) -> Option<Step> {
        let step = match self.random.random_range(0..100) {
            0..8 => Step::Away { who: self.who(), device: self.device() },
            8..16 => {
                let holds = [Holds::Position, Holds::Position, Holds::Unsaid, Holds::Nothing];
                let holds = *holds.choose(&mut self.random)?;
                Step::Back { who: self.who(), device: self.device(), holds }
            }
            16..21 => Step::Settle,
            21..26 => Step::Heal { who: self.who(), device: self.device() },
            26..38 => self.together()?,
            38..40 => self.create(false),
            40..70 => {
                let by = self.who();
                let say = self.say(by)?;
                self.done(by, Act::Say(say))
            }
            70..84 => self.of_conversations()?,
            _ => self.of_groups()?,
        };
        Some(step)
    }

    fn done(&mut self, by: Who, act: Act) -> Step {
        let way = match (&act, self.random.random_range(0..100)) {
            (Act::Say(_), 0..12) => Way::Cut,
            (Act::Say(_), 12..24) => Way::Doubled,
            _ => Way::Plain,
        };
        Step::Act { by, device: self.device(), way, act }
    }

    /// A message to a group of the user, or rarely to another; else to a user.
    fn say(&mut self, by: Who) -> Option<Say> {
        let chat = if self.percent(70) && !self.world.groups.is_empty() {
            Chat::Group(self.group_of(by, 92)?)
        } else {
            Chat::single(by, self.who())
        };
        let others: Vec<Who> = (0..self.world.user_count).filter(|&who| who != by).collect();
        let mentions = match (chat, self.percent(20)) {
            (Chat::Group(_), true) => self.some_of(&others, 2),
            _ => Vec::new(),
        };
        let id = format!("s{}-{}", self.world.seed, self.said_count);
        self.said_count += 1;
        let all = matches!(chat, Chat::Group(_)) && self.percent(6);
        Some(Say { id, chat, mentions, all, replies: self.percent(15) })
    }

    fn together(&mut self) -> Option<Step> {
        let everybody: Vec<Who> = (0..self.world.user_count).collect();
        let users: Vec<Who> = everybody.sample(&mut self.random, 3).copied().collect();
        let shared = self.say(users[0])?.chat;
        let mut says = Vec::new();
        for by in users {
            let mut say = self.say(by)?;
            // Mostly into one conversation, where their order is to be seen.
            if matches!(shared, Chat::Group(_)) && self.percent(75) {
                say.chat = shared;
            }
            if matches!(say.chat, Chat::Single(..)) {
                (say.mentions, say.all) = (Vec::new(), false);
            }
            say.replies = false;
            says.push((by, say));
        }
        Some(Step::Together(says))
    }

    fn create(&mut self, first: bool) -> Step {
        let by = self.who();
        let others: Vec<Who> = (0..self.world.user_count).filter(|&who| who != by).collect();
        let members = self.some_of(&others, if first { 4 } else { others.len() });
        let group = self.world.groups.len();
        if group >= GROUPS_MAX {
            return Step::Settle;
        }
        let join = *["open", "open", "approval", "approval", "closed"].choose(&mut self.random).unwrap();
        let act =
            Act::Create { group, members, is_super: self.percent(20), join, all_history: self.percent(30) };
        self.done(by, act)
    }

    /// A group that the user is in, this often of a hundred; else any.
    fn group_of(&mut self, who: Who, chance: u32) -> Option<usize> {
        let all: Vec<usize> = (0..self.world.groups.len()).collect();
        let own = all.iter().copied().filter(|&group| {
            let group = &self.world.groups[group];
            group.role(who).is_some() && !group.dismissed
        });
        let own: Vec<usize> = own.collect();
        if self.percent(chance) {
            own.choose(&mut self.random).copied()
        } else {
            all.choose(&mut self.random).copied()
        }
    }

    /// A user of a role in a group, this often of a hundred; else anyone.
    fn actor(&mut self, group: usize, role: Role) -> Who {
        let group = &self.world.groups[group];
        let able: Vec<Who> =
            group.members.iter().filter(|(_, member)| member.role >= role).map(|(who, _)| *who).collect();
        match able.choose(&mut self.random) {
            Some(&who) if self.random.random_ratio(88, 100) => who,
            _ => self.who(),
        }
    }

    fn of_conversations(&mut self) -> Option<Step> {
        let by = self.who();
        let chats = self.world.chats(by);
        let &chat = chats.choose(&mut self.random)?;
        let act = match self.random.random_range(0..100) {
            0..45 => {
                let (_, high) = self.world.sight(by, chat)?;
                let back = self.random.random_range(0..4);
                Act::Read { chat, seq: (high + 1).saturating_sub(back).max(1) }
            }
            45..75 => {
                let &(chat, seq) = self.world.said.choose(&mut self.random)?;
                // Mostly by who wrote it.
                let by = if self.percent(70) { self.world.writer(chat, seq) } else { by };
                return Some(self.done(by, Act::Recall { chat, seq }));
            }
            75..88 => Act::Pin { chat, pinned: self.percent(50), muted: self.percent(50) },
            _ => {
                let whom = self.who();
                if whom == by {
                    return None;
                }
                Act::Block { whom, blocked: self.percent(60) }
            }
        };
        Some(self.done(by, act))
    }

    fn of_groups(&mut self) -> Option<Step> {
        let groups: Vec<usize> = (0..self.world.groups.len()).collect();
        let &group = groups.choose(&mut self.random)?;
        if self.world.groups[group].dismissed {
            return None;
        }
        let outside: Vec<Who> =
            (0..self.world.user_count).filter(|&who| self.world.groups[group].role(who).is_none()).collect();
        let inside: Vec<Who> = self.world.groups[group].members.keys().copied().collect();
        let &inner = inside.choose(&mut self.random)?;
        let asking: Vec<Who> = self.world.groups[group].requests.iter().copied().collect();
        if let (Some(&user), true) = (asking.choose(&mut self.random), self.percent(40)) {
            let by = self.actor(group, Role::Admin);
            let accept = self.percent(75);
            return Some(self.done(by, Act::Answer { group, user, accept }));
        }
        let (by, act) = match self.random.random_range(0..100) {
            0..24 if !outside.is_empty() => {
                (self.actor(group, Role::Admin), Act::Invite { group, users: self.some_of(&outside, 3) })
            }
            24..44 if !outside.is_empty() => (*outside.choose(&mut self.random)?, Act::Join { group }),
            44..58 => (inner, Act::Leave { group }),
            58..72 => {
                (self.actor(group, Role::Admin), Act::Remove { group, users: self.some_of(&inside, 2) })
            }
            72..77 => {
                let name = format!("name {}", self.random.random_range(0..1_000_000));
                (self.actor(group, Role::Admin), Act::Rename { group, name })
            }
            77..86 => {
                let role = *[Role::Member, Role::Admin, Role::Admin, Role::Owner].choose(&mut self.random)?;
                (self.actor(group, Role::Owner), Act::SetRole { group, user: inner, role })
            }
            86..92 => {
                let muted = self.percent(60);
                (self.actor(group, Role::Admin), Act::Mute { group, user: inner, muted })
            }
            92..94 => (self.actor(group, Role::Admin), Act::MuteAll { group, muted: self.percent(50) }),
            94..98 => (self.actor(group, Role::Owner), Act::Convert { group }),
            98..100 => (self.actor(group, Role::Owner), Act::Dismiss { group }),
            _ => return None,
        };
        Some(self.done(by, act))
    }
}
